package auth

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/miju-live/miju/streamkey"
)

// Keys knows the stream keys that an operator has given out.
type Keys interface {
	// FindKey returns whose the secret with this hash is; ok is false if it is
	// nobody's. An error says that this cannot be known now.
	FindKey(ctx context.Context, hash [sha256.Size]byte) (k StreamKey, ok bool, err error)
	// FindPassphrases returns the keys of a stream that are passphrases too.
	FindPassphrases(ctx context.Context, key streamkey.Key) ([]StreamKey, error)
}

// StreamKey permits something with one stream.
type StreamKey struct {
	// ID names it where its secret must not be seen.
	ID  string
	Key streamkey.Key
	// Actions are Publish, Play or both.
	Actions Actions
	// Expires is when it ends; zero is never.
	Expires time.Time
	// Sealed is its secret, encrypted by Seal, if it is a passphrase too.
	Sealed string
}

// KeyPrefix begins every stream key's secret, so that it is known for one where it
// should not be.
const KeyPrefix = "mk_"

func looksLikeKey(s string) bool { return strings.HasPrefix(s, KeyPrefix) }

// OwnSubject begins subjects that no token may have: who publishes by what is not
// a token must not be taken for somebody else, nor the other way round.
const OwnSubject = "miju:"

// KeySubject begins the subject of who publishes by a stream key, before its ID.
const KeySubject = OwnSubject + "key:"

// NewStreamKey returns a secret of 160 bits for a stream key, without what an
// encoder could take for the end of it.
func NewStreamKey() string { return KeyPrefix + strings.ToLower(rand.Text() + rand.Text())[:32] }

// maxStreamKey bounds a stream key's secret, in bytes.
const maxStreamKey = 128

// HashKey returns what is kept of a stream key's secret. It needs no salt and no
// slow hash: the secret is random, of 160 bits.
func HashKey(secret string) [sha256.Size]byte {
	return sha256.Sum256([]byte("miju stream key\x00" + secret))
}

const (
	// knownFor is for how long a stream key is taken for good without another
	// look: who plays by one asks many times a second.
	knownFor = time.Second
	// maxKnown bounds how many are known.
	maxKnown = 4096
)

// knownKeys are the stream keys that were found just now.
type knownKeys struct {
	mu  sync.Mutex
	all map[[sha256.Size]byte]knownKey
}

type knownKey struct {
	StreamKey
	at time.Time
}

func (k *knownKeys) get(hash [sha256.Size]byte, now time.Time) (StreamKey, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	x, ok := k.all[hash]
	return x.StreamKey, ok && now.Sub(x.at) < knownFor
}

func (k *knownKeys) put(hash [sha256.Size]byte, x StreamKey, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.all == nil || len(k.all) >= maxKnown {
		k.all = map[[sha256.Size]byte]knownKey{}
	}
	k.all[hash] = knownKey{x, now}
}

func (k *knownKeys) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all = nil
}

// byKey judges a stream key.
func (d *Doors) byKey(ctx context.Context, r *Request) (Grant, error) {
	if d.keys == nil || len(r.Token) > maxStreamKey {
		return Grant{}, errUnknownStreamKey
	}
	hash, now := HashKey(r.Token), d.now()
	if r.Action == Play {
		if k, ok := d.known.get(hash, now); ok {
			return d.byFound(&k, r)
		}
	}
	k, ok, err := d.keys.FindKey(ctx, hash)
	if err != nil {
		return Grant{}, err
	}
	if !ok {
		return Grant{}, errUnknownStreamKey
	}
	if r.Action == Play {
		d.known.put(hash, k, now)
	}
	return d.byFound(&k, r)
}

var errUnknownStreamKey = fmt.Errorf("%w: the stream key is unknown", ErrWrong)

// byFound judges a stream key that somebody has.
func (d *Doors) byFound(k *StreamKey, r *Request) (Grant, error) {
	switch {
	case !k.Expires.IsZero() && !d.now().Before(k.Expires):
		return Grant{}, fmt.Errorf("%w: the stream key has expired", ErrUnauthenticated)
	case !k.Actions.has(r.Action):
		return Grant{}, fmt.Errorf("%w: the stream key is to %s only", ErrForbidden, k.Actions)
	case k.Key != r.Key:
		return Grant{}, fmt.Errorf("%w: the stream key is not for this stream", ErrForbidden)
	}
	return Grant{Subject: KeySubject + k.ID, Name: r.Name, Expires: k.Expires, Credential: keyCredential + k.ID}, nil
}

// Passphrase is a stream key's secret that a peer may encrypt with.
type Passphrase struct {
	Secret string
	Key    StreamKey
}

// Passphrases returns what proves, where a protocol encrypts with it, that its peer
// may do what r asks; nil if there are none here for anybody.
func (d *Doors) Passphrases(ctx context.Context, r Request) ([]Passphrase, error) {
	if d.keys == nil || d.secret == nil {
		return nil, nil
	}
	found, err := d.keys.FindPassphrases(ctx, r.Key)
	if err != nil {
		return nil, err
	}
	all := []Passphrase{}
	for _, k := range found {
		if _, err := d.byFound(&k, &r); err != nil {
			continue
		}
		secret, err := unseal(d.secret, k.ID, k.Sealed)
		if err != nil {
			d.log.Error("cannot read a stream key that is a passphrase", "key", k.ID, "stream", k.Key, "err", err)
			continue
		}
		all = append(all, Passphrase{secret, k})
	}
	return all, nil
}

// Seal encrypts the secret of a stream key, of that ID, with the secret that signs
// tokens (AES-256-GCM): a passphrase must be known in clear, and the database alone
// shall not give it away.
func Seal(secret []byte, id, text string) (string, error) {
	a, err := sealer(secret)
	if err != nil {
		return "", err
	}
	return string(a.Seal(nil, nil, []byte(text), []byte(id))), nil
}

var errUnseal = errors.New("it was made with another signing secret")

func unseal(secret []byte, id, sealed string) (string, error) {
	a, err := sealer(secret)
	if err != nil {
		return "", err
	}
	text, err := a.Open(nil, nil, []byte(sealed), []byte(id))
	if err != nil {
		return "", errUnseal
	}
	return string(text), nil
}

func sealer(secret []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, "miju stream key as a passphrase", 32)
	if err != nil {
		return nil, fmt.Errorf("derive a key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("derive a key: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}
