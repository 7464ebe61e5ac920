package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

var publishAlice = Claims{Subject: "k7q2m4xw6n", ID: "c3x5b7t2", Actions: ActionsOf(Publish), Keys: Patterns{"live/alice"}, Expires: jwt.NewNumericDate(noon.Add(time.Hour))}

// doorsAt returns doors that look for a signing key in dir.
func doorsAt(t testing.TB, dir string, change func(*Config)) *Doors {
	t.Helper()
	c := DefaultConfig()
	c.Publish = ByToken
	if change != nil {
		change(&c)
	}
	d, err := New(c, Options{Secret: testSecret, Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	d.now = func() time.Time { return noon }
	return d
}

func (d *Doors) asks(t testing.TB, token string) error {
	_, err := d.Authorize(t.Context(), Request{Action: Publish, Key: alice, Token: token})
	return err
}

// A key that is made beside a running server is known to it a moment later.
func TestSigningKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	d := doorsAt(t, dir, nil)
	at := noon
	d.tokens.local.now = func() time.Time { return at }
	_, early, _ := ed25519.GenerateKey(rand.Reader)
	if err := d.asks(t, sign(t, jwt.SigningMethodEdDSA, early, nil, good(nil))); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("without a key: %v", err)
	}

	k, err := OpenSigningKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, SigningKeyFile)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	again, err := OpenSigningKey(dir)
	if err != nil || again.id != k.id || !again.private.Equal(k.private) {
		t.Errorf("another key: %v", err)
	}
	token, err := k.Mint(publishAlice)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.asks(t, token); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("it is looked for more often than once a second: %v", err)
	}
	at = at.Add(time.Second)
	if err := d.asks(t, token); err != nil {
		t.Error(err)
	}
	if err := d.asks(t, sign(t, jwt.SigningMethodEdDSA, k.private, nil, good(nil))); err != nil {
		t.Errorf("without an ID: %v", err)
	}

	for name, bad := range map[string]string{
		"another key":          sign(t, jwt.SigningMethodEdDSA, early, map[string]any{"kid": k.id}, good(nil)),
		"another key's ID":     sign(t, jwt.SigningMethodEdDSA, k.private, map[string]any{"kid": "x"}, good(nil)),
		"another text":         token[:30] + string(token[30]^1) + token[31:],
		"no signature":         token[:strings.LastIndexByte(token, '.')+1],
		"half a signature":     token[:len(token)-43],
		"the public as secret": sign(t, jwt.SigningMethodHS256, []byte(k.public), nil, good(nil)),
	} {
		if err := d.asks(t, bad); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A signature that is not the one that this server would have made is as good.
func TestSignatureWithAnotherNonce(t *testing.T) {
	k, err := OpenSigningKey(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	little := func(b []byte) *big.Int {
		b = bytes.Clone(b)
		slices.Reverse(b)
		return new(big.Int).SetBytes(b)
	}
	scalar := func(private ed25519.PrivateKey) *big.Int { // RFC 8032, 5.1.5
		h := sha512.Sum512(private.Seed())
		h[0] &= 248
		h[31] = h[31]&127 | 64
		return little(h[:32])
	}
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	const text = "a.b"
	point, nonce, _ := ed25519.GenerateKey(rand.Reader) // a point is as good as another
	h := sha512.Sum512([]byte(string(point) + string(k.public) + text))
	s := new(big.Int).Mul(little(h[:]), scalar(k.private))
	s.Add(s, scalar(nonce)).Mod(s, order)
	b := s.FillBytes(make([]byte, 32))
	slices.Reverse(b)
	if sig := append(bytes.Clone(point), b...); !k.verify(text, sig) || bytes.Equal(sig, ed25519.Sign(k.private, []byte(text))) {
		t.Error("it is refused, or the same")
	}
}

func TestSigningKeysThatAreNone(t *testing.T) {
	key := func(k any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	_, private, _ := ed25519.GenerateKey(rand.Reader)
	for name, c := range map[string]struct {
		text []byte
		mode os.FileMode
	}{
		"no PEM":             {[]byte("hunter22"), 0o600},
		"no key":             {[]byte("-----BEGIN PRIVATE KEY-----\naHVudGVyMjI=\n-----END PRIVATE KEY-----\n"), 0o600},
		"another algorithm":  {key(ecdsaKey(t)), 0o600},
		"for others to read": {key(private), 0o644},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, SigningKeyFile), c.text, c.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenSigningKey(dir); err == nil || strings.Contains(err.Error(), "hunter22") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := New(DefaultConfig(), Options{Secret: testSecret, Dir: dir}); err == nil {
			t.Errorf("%s: a server starts", name)
		}
	}
}

// Another server needs no more than the key set to verify what this one minted.
func TestKeySetOfSigningKey(t *testing.T) {
	k, err := OpenSigningKey(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	set, err := k.JWKS()
	if err != nil || strings.Contains(string(set), `"d"`) || strings.Contains(string(set), base64.RawURLEncoding.EncodeToString(k.private.Seed())) {
		t.Fatalf("%s, %v", set, err)
	}
	s := newKeyServer(t)
	s.serve(http.StatusOK, string(set))
	d := doorsAt(t, t.TempDir(), func(c *Config) { c.JWKS = s.URL })
	token, err := k.Mint(publishAlice)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.asks(t, token); err != nil {
		t.Error(err)
	}
	// Both have keys: the ID says whose it is.
	own, err := OpenSigningKey(filepath.Dir(d.tokens.local.path))
	if err != nil {
		t.Fatal(err)
	}
	d.tokens.local.tried = time.Time{}
	if token, err = own.Mint(publishAlice); err != nil {
		t.Fatal(err)
	}
	if err := d.asks(t, token); err != nil {
		t.Error(err)
	}
}

// OBS has about 1000 bytes for key and query, SRT 512 characters for its stream
// ID: tokens for names as people have them fit with room to spare, and by HS256
// for the longest ones too.
func TestTokensFit(t *testing.T) {
	k, err := OpenSigningKey(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		app, stream string
		eddsa       bool
	}{
		"usual":           {"live", "alice-in-the-garden", true},
		"the longest":     {strings.Repeat("a", 64), strings.Repeat("n", 64), false},
		"half as long as": {strings.Repeat("a", 32), strings.Repeat("n", 32), true},
	} {
		claims := publishAlice
		claims.Keys = Patterns{c.app + "/" + c.stream}
		h, err := Mint(testSecret, claims)
		if err != nil {
			t.Fatal(err)
		}
		e, err := k.Mint(claims)
		if err != nil {
			t.Fatal(err)
		}
		for alg, token := range map[string]string{"HS256": h, "EdDSA": e} {
			id := fmt.Sprintf("#!::r=%s/%s,m=publish,token=%s", c.app, c.stream, token)
			obs := c.stream + "?token=" + token
			t.Logf("%s: %s: token %d, stream ID %d, OBS's key %d", name, alg, len(token), len(id), len(obs))
			if len(obs) > 700 || (alg == "HS256" || c.eddsa) && len(id) > 512 {
				t.Errorf("%s: %s: stream ID %d, OBS's key %d", name, alg, len(id), len(obs))
			}
		}
	}
}

// BenchmarkAuthorize is what a connection's credential costs: "first" has its
// signature checked, "known" was there before.
func BenchmarkAuthorize(b *testing.B) {
	dir := b.TempDir()
	k, err := OpenSigningKey(dir)
	if err != nil {
		b.Fatal(err)
	}
	_, foreign, _ := ed25519.GenerateKey(rand.Reader)
	s := newKeyServer(b)
	s.serve(http.StatusOK, set(b, map[string]crypto.PublicKey{"e": foreign.Public(), "p": ecdsaKey(b).Public()}))
	d := doorsAt(b, dir, func(c *Config) { c.JWKS = s.URL })
	if err := d.keySet.refresh(b.Context()); err != nil {
		b.Fatal(err)
	}
	hs, err := Mint(testSecret, publishAlice)
	if err != nil {
		b.Fatal(err)
	}
	ed, err := k.Mint(publishAlice)
	if err != nil {
		b.Fatal(err)
	}
	for _, x := range []struct{ name, token string }{
		{"HS256", hs},
		{"EdDSA", ed},
		{"EdDSA-JWKS", sign(b, jwt.SigningMethodEdDSA, foreign, map[string]any{"kid": "e"}, good(nil))},
	} {
		r := Request{Action: Publish, Key: alice, Token: x.token, RemoteAddr: "192.0.2.7:5000"}
		for _, state := range []string{"first", "known"} {
			b.Run(x.name+"/"+state, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if state == "first" {
						d.tokens.verdicts = newVerdicts(2)
					}
					if _, err := d.Authorize(b.Context(), r); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func ecdsaKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// FuzzEdDSA: whatever comes, only what the key has signed is granted.
func FuzzEdDSA(f *testing.F) {
	dir := f.TempDir()
	key, err := OpenSigningKey(dir)
	if err != nil {
		f.Fatal(err)
	}
	d := doorsAt(f, dir, nil)
	token, err := key.Mint(publishAlice)
	if err != nil {
		f.Fatal(err)
	}
	head, rest, _ := strings.Cut(token, ".")
	claims, sum, _ := strings.Cut(rest, ".")
	f.Add(head, claims, sum)
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"EdDSA"}`)), claims, sum)
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)), claims, "")
	f.Add(head, claims, sum[:len(sum)-1]+"A")
	f.Fuzz(func(t *testing.T, head, claims, sum string) {
		forged := head + "." + claims + "." + sum
		err := d.asks(t, forged)
		if err == nil && forged != token {
			t.Errorf("granted: %q", forged)
		}
		if err != nil && !errors.Is(err, ErrDenied) {
			t.Errorf("undecided: %v", err)
		}
	})
}
