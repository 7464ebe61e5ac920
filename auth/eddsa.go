package auth

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// SigningKeyFile is the name of the private key's file in the data directory.
const SigningKeyFile = "auth.ed25519.key"

// SigningKey signs tokens with Ed25519 (RFC 8037): others who have its public half can
// verify them, and cannot make any.
type SigningKey struct {
	private ed25519.PrivateKey
	public  ed25519.PublicKey
	id      string
}

// OpenSigningKey returns the key in dir, and makes one if there is none. It is in the
// form of PKCS #8, as "openssl genpkey -algorithm ed25519" writes it.
func OpenSigningKey(dir string) (*SigningKey, error) {
	path := filepath.Join(dir, SigningKeyFile)
	k, err := readSigningKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("make a signing key: %w", err)
	}
	b := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := writeOnce(path, b); err != nil && !errors.Is(err, fs.ErrExist) { // somebody else did
		return nil, fmt.Errorf("make a signing key: %w", err)
	}
	return readSigningKey(path)
}

func readSigningKey(path string) (*SigningKey, error) {
	b, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM block", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	private, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("%s holds no private key of Ed25519", path)
	}
	k := &SigningKey{private: private, public: private.Public().(ed25519.PublicKey)}
	k.id = keyID(k.public)
	return k, nil
}

// keyID is the beginning of a key's thumbprint (RFC 8037, appendix A.3), which
// is enough to tell the few keys of a house apart.
func keyID(public ed25519.PublicKey) string {
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + base64.RawURLEncoding.EncodeToString(public) + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:6])
}

// Mint signs claims.
func (k *SigningKey) Mint(c Claims) (string, error) {
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, &c)
	delete(t.Header, "typ")
	t.Header["kid"] = k.id
	return t.SignedString(k.private)
}

// JWKS is the public key as a JSON Web Key Set (RFC 7517).
func (k *SigningKey) JWKS() ([]byte, error) {
	j, err := jwkset.NewJWKFromKey(k.public, jwkset.JWKOptions{
		Metadata: jwkset.JWKMetadataOptions{KID: k.id, ALG: jwkset.AlgEdDSA, USE: jwkset.UseSig},
	})
	if err != nil {
		return nil, fmt.Errorf("make a key set: %w", err)
	}
	return json.Marshal(jwkset.JWKSMarshal{Keys: []jwkset.JWKMarshal{j.Marshal()}})
}

// verify reports whether sig is k's signature of text. Signatures of Ed25519 are
// deterministic (RFC 8032, 5.1.6), so to make one and compare is as good as to
// check one, and takes less than half the time. What differs is checked after
// all: there are signers that put randomness in.
func (k *SigningKey) verify(text string, sig []byte) bool {
	b := []byte(text)
	return subtle.ConstantTimeCompare(ed25519.Sign(k.private, b), sig) == 1 || ed25519.Verify(k.public, b, sig)
}

// signingKeys is the key of a data directory, which may be made while the server runs.
type signingKeys struct {
	path string
	now  func() time.Time

	key   atomic.Pointer[SigningKey]
	mu    sync.Mutex
	tried time.Time
}

// openSigningKeys fails if there is a key that is no good.
func openSigningKeys(dir string) (*signingKeys, error) {
	s := &signingKeys{path: filepath.Join(dir, SigningKeyFile), now: time.Now}
	k, err := readSigningKey(s.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	s.key.Store(k)
	return s, nil
}

// find returns the key that a token with this ID, or with none, may be signed
// by; nil if there is none. Without a key it looks for one, once a second at most.
func (s *signingKeys) find(id string) *SigningKey {
	if s == nil {
		return nil
	}
	k := s.key.Load()
	if k == nil {
		if k = s.look(); k == nil {
			return nil
		}
	}
	if id != "" && id != k.id {
		return nil
	}
	return k
}

func (s *signingKeys) look() *SigningKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.key.Load(); k != nil {
		return k
	}
	now := s.now()
	if now.Sub(s.tried) < time.Second {
		return nil
	}
	s.tried = now
	k, err := readSigningKey(s.path)
	if err != nil { // the next start says what is wrong with it
		return nil
	}
	s.key.Store(k)
	return k
}
