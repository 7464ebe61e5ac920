package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
)

const (
	// maxKeySet bounds a key set, in bytes, and maxKeys its keys.
	maxKeySet, maxKeys = 512 << 10, 64
	// fetchTimeout is how long it may take to get one.
	fetchTimeout = 10 * time.Second
	// fetchPause is the least time between two: nobody makes this server fetch
	// more often by tokens with invented key IDs.
	fetchPause = 10 * time.Second
)

// asymmetric are the algorithms of a key set's keys. HMAC is none of them: a
// public key must never be taken for a secret.
var asymmetric = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

var (
	errUnknownKey = fmt.Errorf("%w: unknown key", ErrUnauthenticated)
	errNoKeys     = errors.New("the key set could not be fetched yet")
)

// publicKey is a key that signs tokens.
type publicKey struct {
	id   string
	key  any
	algs []string
}

// keySet is what a URL says (RFC 7517), as it was when last fetched.
type keySet struct {
	url    string
	client *http.Client
	now    func() time.Time

	mu    sync.Mutex
	keys  []publicKey
	count uint64 // how often keys have changed; 0: there never were any
	tried time.Time
	// fetching is the fetch that runs; nil if none does.
	fetching *fetching
	closed   bool // run has ended, and nothing is fetched any more
	running  sync.WaitGroup
}

// fetching is a fetch of the set. It is nobody's who waits for it: else who asks and
// goes at once, again and again, could keep it from all.
type fetching struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // once it is done
}

func newKeySet(url string) *keySet {
	return &keySet{url: url, now: time.Now, client: &http.Client{
		Timeout:       fetchTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("the key set's URL redirects") },
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, MaxResponseHeaderBytes: 16 << 10, DisableKeepAlives: true},
	}}
}

func (s *keySet) generation() uint64 {
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// find returns the key of an ID for an algorithm. An unknown one has the set
// fetched, if that was not done just now.
func (s *keySet) find(ctx context.Context, id, alg string) (any, uint64, error) {
	s.mu.Lock()
	key, generation := s.lookup(id, alg), s.count
	due := s.fetching != nil || s.now().Sub(s.tried) >= fetchPause
	s.mu.Unlock()
	if key != nil {
		return key, generation, nil
	}
	if due {
		s.refresh(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch key = s.lookup(id, alg); {
	case key != nil:
		return key, s.count, nil
	case s.count == 0:
		return nil, 0, errNoKeys
	case ctx.Err() != nil:
		return nil, 0, ctx.Err()
	}
	return nil, 0, errUnknownKey
}

// lookup finds a key. A token without an ID is of the only key that can have
// signed it.
func (s *keySet) lookup(id, alg string) any {
	var found any
	n := 0
	for _, k := range s.keys {
		if slices.Contains(k.algs, alg) && (id == "" || id == k.id) {
			found = k.key
			n++
		}
	}
	if n != 1 {
		return nil
	}
	return found
}

// refresh fetches the set, or waits for the fetch that runs, until ctx ends. Whether
// it was fetched is told only to who began.
func (s *keySet) refresh(ctx context.Context) error {
	s.mu.Lock()
	f, began := s.fetching, false
	if f == nil {
		if s.closed {
			s.mu.Unlock()
			return context.Canceled
		}
		began = true
		life, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
		f = &fetching{cancel: cancel, done: make(chan struct{})}
		s.fetching, s.tried = f, s.now()
		s.running.Go(func() { s.fetchNow(life, f) })
	}
	s.mu.Unlock()
	select {
	case <-f.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if began {
		return f.err
	}
	return nil
}

func (s *keySet) fetchNow(ctx context.Context, f *fetching) {
	defer f.cancel()
	keys, err := s.fetch(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && !slices.EqualFunc(keys, s.keys, publicKey.equal) {
		s.keys = keys
		s.count++
	}
	s.fetching, f.err = nil, err
	close(f.done)
}

// close ends the fetch that runs, for good.
func (s *keySet) close() {
	s.mu.Lock()
	s.closed = true
	if s.fetching != nil {
		s.fetching.cancel()
	}
	s.mu.Unlock()
	s.running.Wait()
}

func (k publicKey) equal(other publicKey) bool {
	key, ok := k.key.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.id == other.id && slices.Equal(k.algs, other.algs) && key.Equal(other.key)
}

// fetch gets the set. Keys that are not understood are left out: others may
// understand them.
func (s *keySet) fetch(ctx context.Context) ([]publicKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, errors.New("the key set's URL is wrong")
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch the key set: %w", errors.Unwrap(err)) // without the URL, which may hold a password
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch the key set: %s", resp.Status)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySet+1))
	if err != nil {
		return nil, fmt.Errorf("fetch the key set: %w", err)
	}
	return parseKeySet(b)
}

func parseKeySet(b []byte) ([]publicKey, error) {
	if len(b) > maxKeySet {
		return nil, fmt.Errorf("the key set has over %d bytes", maxKeySet)
	}
	var set struct {
		Keys []jwkset.JWKMarshal `json:"keys"`
	}
	if err := json.Unmarshal(b, &set); err != nil {
		return nil, errors.New("the key set is no JSON Web Key Set")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("the key set has %d keys, %d are allowed", len(set.Keys), maxKeys)
	}
	var all []publicKey
	for _, m := range set.Keys {
		if k, ok := parseKey(m); ok {
			all = append(all, k)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("the key set has no key that can verify a token")
	}
	return all, nil
}

func parseKey(m jwkset.JWKMarshal) (publicKey, bool) {
	if m.USE != "" && m.USE != jwkset.UseSig || len(m.KID) > maxKeyID {
		return publicKey{}, false
	}
	// What can make the library look elsewhere (x5u, x5c) stays away, and so do
	// private parts.
	j, err := jwkset.NewJWKFromMarshal(
		jwkset.JWKMarshal{KTY: m.KTY, CRV: m.CRV, X: m.X, Y: m.Y, N: m.N, E: m.E},
		jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return publicKey{}, false
	}
	k := publicKey{id: m.KID, key: j.Key()}
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n < 2048 || n > 8192 { // RFC 7518, 3.3; and a bound on the work
			return k, false
		}
		k.algs = asymmetric[:6]
	case *ecdsa.PublicKey:
		k.algs = map[string][]string{"P-256": {"ES256"}, "P-384": {"ES384"}, "P-521": {"ES512"}}[key.Curve.Params().Name]
	case ed25519.PublicKey:
		k.algs = []string{"EdDSA"}
	default:
		return k, false
	}
	if alg := string(m.ALG); alg != "" {
		if !slices.Contains(k.algs, alg) {
			return k, false
		}
		k.algs = []string{alg}
	}
	return k, len(k.algs) > 0
}

// run keeps the set fresh until ctx ends. It tells failed what went wrong.
func (s *keySet) run(ctx context.Context, every time.Duration, failed func(error)) {
	defer s.close()
	for {
		if err := s.refresh(ctx); err != nil && ctx.Err() == nil {
			failed(err)
		}
		wait := every
		if s.generation() == 0 {
			wait = min(every, fetchPause)
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
	}
}
