package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// keyServer serves a key set that a test changes.
type keyServer struct {
	*httptest.Server
	mu     sync.Mutex
	body   string
	status int
	asked  atomic.Int64
}

func newKeyServer(t testing.TB) *keyServer {
	s := &keyServer{status: http.StatusOK}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.asked.Add(1)
		s.mu.Lock()
		defer s.mu.Unlock()
		w.WriteHeader(s.status)
		fmt.Fprint(w, s.body)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *keyServer) serve(status int, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.body = status, body
}

func set(t testing.TB, keys map[string]crypto.PublicKey) string {
	t.Helper()
	var all jwkset.JWKSMarshal
	for id, key := range keys {
		j, err := jwkset.NewJWKFromKey(key, jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: id}})
		if err != nil {
			t.Fatal(err)
		}
		all.Keys = append(all.Keys, j.Marshal())
	}
	b, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestKeySetRotates(t *testing.T) {
	_, first, _ := ed25519.GenerateKey(rand.Reader)
	second, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := newKeyServer(t)
	d := doorsWith(t, func(c *Config) { c.JWKS, c.Issuer, c.Audience = s.URL, "https://id.example", "miju" })
	at := noon
	d.now, d.keySet.now = func() time.Time { return at }, func() time.Time { return at }
	claims := good(map[string]any{"iss": "https://id.example", "aud": []string{"other", "miju"}})
	byFirst := sign(t, jwt.SigningMethodEdDSA, first, map[string]any{"kid": "1"}, claims)
	bySecond := sign(t, jwt.SigningMethodES256, second, map[string]any{"kid": "2"}, claims)
	ask := func(token string) error {
		_, err := d.Authorize(t.Context(), Request{Action: Publish, Key: alice, Token: token})
		return err
	}

	s.serve(http.StatusServiceUnavailable, "")
	if err := ask(byFirst); err == nil || errors.Is(err, ErrDenied) {
		t.Errorf("before there are keys: %v", err)
	}
	s.serve(http.StatusOK, set(t, map[string]crypto.PublicKey{"1": first.Public()}))
	if err := ask(byFirst); err == nil || s.asked.Load() != 1 {
		t.Errorf("asked %d times within 10 s, %v", s.asked.Load(), err)
	}
	at = at.Add(fetchPause)
	if err := ask(byFirst); err != nil {
		t.Errorf("the first key: %v", err)
	}
	if err := ask(bySecond); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("a key that is not there: %v", err)
	}

	// The key is replaced: the new one is fetched as soon as it is used, what was
	// found by the old one is forgotten.
	s.serve(http.StatusOK, set(t, map[string]crypto.PublicKey{"2": &second.PublicKey}))
	at = at.Add(fetchPause)
	if err := ask(bySecond); err != nil {
		t.Errorf("the second key: %v", err)
	}
	if err := ask(byFirst); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("the key that was taken back: %v", err)
	}

	// While the URL fails the keys stay.
	s.serve(http.StatusOK, `{"keys":[]}`)
	at = at.Add(20 * time.Minute)
	if err := d.keySet.refresh(t.Context()); err == nil {
		t.Error("an empty set is taken")
	}
	if err := ask(bySecond); err != nil {
		t.Errorf("while the URL fails: %v", err)
	}

	for name, change := range map[string]map[string]any{"issuer": {"iss": "https://evil.example"}, "audience": {"aud": "other"}, "no audience": {"aud": nil}} {
		c := good(map[string]any{"iss": "https://id.example", "aud": "miju"})
		for k, v := range change {
			c[k] = v
		}
		if err := ask(sign(t, jwt.SigningMethodES256, second, map[string]any{"kid": "2"}, c)); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	// They do not concern the server's own.
	if err := ask(sign(t, jwt.SigningMethodHS256, testSecret, nil, good(nil))); err != nil {
		t.Errorf("the server's own token: %v", err)
	}
}

func TestKeySetsThatAreRefused(t *testing.T) {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	one := set(t, map[string]crypto.PublicKey{"1": key.Public()})
	member := strings.TrimSuffix(strings.TrimPrefix(one, `{"keys":[`), "]}")
	for name, body := range map[string]string{
		"no JSON":          "x",
		"no keys":          `{}`,
		"a secret":         `{"keys":[{"kty":"oct","kid":"1","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}]}`,
		"to encrypt":       `{"keys":[` + strings.TrimSuffix(member, "}") + `,"use":"enc"}]}`,
		"weak RSA":         `{"keys":[{"kty":"RSA","kid":"1","e":"AQAB","n":"` + strings.Repeat("z", 171) + `"}]}`,
		"another's alg":    strings.Replace(one, "EdDSA", "RS256", 1),
		"off the curve":    `{"keys":[{"kty":"EC","crv":"P-256","kid":"1","x":"` + strings.Repeat("A", 42) + `E","y":"` + strings.Repeat("A", 42) + `E"}]}`,
		"unknown":          `{"keys":[{"kty":"AKP","kid":"1"}]}`,
		"too many":         `{"keys":[` + strings.Repeat(member+",", maxKeys) + member + `]}`,
		"too large":        one + strings.Repeat(" ", maxKeySet),
		"a wrong exponent": `{"keys":[{"kty":"RSA","kid":"1","e":"","n":"` + strings.Repeat("z", 342) + `"}]}`,
	} {
		if keys, err := parseKeySet([]byte(body)); err == nil {
			t.Errorf("%s: %+v", name, keys)
		}
	}
	if keys, err := parseKeySet([]byte(one)); err != nil || len(keys) != 1 || keys[0].id != "1" {
		t.Errorf("%+v, %v", keys, err)
	}
}

func TestKeySetURLThatRedirectsOrHangs(t *testing.T) {
	inner := newKeyServer(t)
	s := httptest.NewServer(http.RedirectHandler(inner.URL, http.StatusFound))
	defer s.Close()
	if err := newKeySet(strings.Replace(s.URL, "//", "//user:hunter2@", 1)).refresh(t.Context()); err == nil || strings.Contains(err.Error(), "hunter2") || inner.asked.Load() != 0 {
		t.Errorf("%v, asked %d times", err, inner.asked.Load())
	}
	release := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer slow.Close()
	defer close(release)
	k := newKeySet(slow.URL)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, _, err := k.find(ctx, "1", "EdDSA"); err == nil || errors.Is(err, ErrDenied) {
		t.Errorf("while it hangs: %v", err)
	}
}

// TestWhoGoesTakesNoKeySetFromOthers: the first who brings a new key's token has it
// fetched, though it has gone when the set comes.
func TestWhoGoesTakesNoKeySetFromOthers(t *testing.T) {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	body := set(t, map[string]crypto.PublicKey{"1": key.Public()})
	asked, release := make(chan struct{}, 9), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		<-release
		fmt.Fprint(w, body)
	}))
	defer s.Close()
	k := newKeySet(s.URL)
	defer k.close()
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, _, err := k.find(ctx, "1", "EdDSA")
		gone <- err
	}()
	<-asked
	leave()
	if err := <-gone; err == nil || errors.Is(err, ErrDenied) {
		t.Errorf("who has gone: %v", err)
	}
	close(release)
	if _, _, err := k.find(t.Context(), "1", "EdDSA"); err != nil {
		t.Errorf("the next one: %v", err)
	}
	k.close()
	if err := k.refresh(t.Context()); err == nil {
		t.Error("it is fetched after the end")
	}
}

func TestDoorsRunFetchesAndEnds(t *testing.T) {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	s := newKeyServer(t)
	s.serve(http.StatusOK, set(t, map[string]crypto.PublicKey{"1": key.Public()}))
	d := doorsWith(t, func(c *Config) { c.JWKS = s.URL })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { d.Run(ctx); close(ended) }()
	for deadline := time.Now().Add(10 * time.Second); d.keySet.generation() == 0; {
		if time.Now().After(deadline) {
			t.Fatal("never fetched")
		}
	}
	cancel()
	<-ended
}

func FuzzKeySet(f *testing.F) {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	f.Add([]byte(set(f, map[string]crypto.PublicKey{"1": key.Public()})))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"OKP","crv":"Ed25519","x":""}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, err := parseKeySet(b)
		if err == nil && len(keys) == 0 || len(keys) > maxKeys {
			t.Errorf("%d keys", len(keys))
		}
		for _, k := range keys {
			if len(k.algs) == 0 || len(k.id) > maxKeyID {
				t.Errorf("%+v", k)
			}
		}
	})
}
