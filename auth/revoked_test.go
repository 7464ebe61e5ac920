package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// revocable are what somebody may type to revoke it, with what of the error or of the
// credential is told.
func revocable(t testing.TB) map[string]string {
	claims := func(text string) string { return "eyJ." + base64.RawURLEncoding.EncodeToString([]byte(text)) + ".x" }
	return map[string]string{
		"abc12345":                            "id:abc12345",
		strings.Repeat("a", 128):              "id:aaa",
		claims(`{"jti":"an-id"}`):             "id:an-id",
		claims(`{}`):                          "hash:",
		claims(`{"exp":4102444800}`):          "hash:",
		claims(`{"jti":7}`):                   "malformed",
		claims(`[`):                           "malformed",
		"eyJ.!.x":                             "malformed",
		"":                                    "neither",
		"two words":                           "neither",
		strings.Repeat("a", 129):              "neither",
		"a.b":                                 "id:a.b",
		claims(`{"jti":"` + long(129)):        "malformed",
		claims(`{"jti":"` + long(129) + `"}`): "hash:",
	}
}

func long(n int) string { return strings.Repeat("j", n) }

func TestWhatCanBeRevoked(t *testing.T) {
	for text, want := range revocable(t) {
		credential, _, err := Revocable(text)
		if told := credential; err == nil && !strings.HasPrefix(told, want) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %q, %v, want %q", text, credential, err, want)
		}
	}
}

func FuzzWhatCanBeRevoked(f *testing.F) {
	for text := range revocable(f) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		credential, _, err := Revocable(text)
		if (err == nil) == (credential == "") || len(credential) > len(idCredential)+maxTokenID {
			t.Errorf("%q: %q, %v", text, credential, err)
		}
	})
}

// TestRevokedTokens: what Revocable says of a token takes it back, and no other.
func TestRevokedTokens(t *testing.T) {
	for _, c := range []struct{ name, id string }{{"with an ID", "an-id"}, {"without one", ""}, {"with a long one", long(200)}} {
		t.Run(c.name, func(t *testing.T) {
			d := doorsWith(t, nil)
			claims := good(map[string]any{"act": "play,publish"})
			if c.id != "" {
				claims["jti"] = c.id
			}
			token := sign(t, jwt.SigningMethodHS256, testSecret, nil, claims)
			claims["sub"], claims["jti"] = "another", "another"
			other := sign(t, jwt.SigningMethodHS256, testSecret, nil, claims)
			ask := func(token string, continues bool) error {
				g, err := d.Authorize(t.Context(), Request{Action: Play, Key: alice, Token: token, Continues: continues})
				if err == nil && g.Credential == "" {
					t.Error("its grant has no credential")
				}
				return err
			}
			if err := errors.Join(ask(token, false), ask(other, false)); err != nil {
				t.Fatal(err)
			}
			credential, until, err := Revocable(token)
			if err != nil || strings.Contains(credential, token[len(token)-20:]) {
				t.Fatalf("%q, %v", credential, err)
			}
			d.Revoke(credential, until)
			for _, continues := range []bool{false, true} {
				if err := ask(token, continues); !errors.Is(err, ErrRevoked) || !errors.Is(err, ErrUnauthenticated) {
					t.Errorf("a revoked token: %v", err)
				}
			}
			if err := ask(other, false); err != nil {
				t.Error(err)
			}
			if c.id == "" {
				d.forgetRevoked(until.Add(2 * skew))
				if d.revoked.has(credential) {
					t.Error("it is known after its end")
				}
			} else if d.forgetRevoked(time.Now().Add(1e6 * time.Hour)); len(c.id) <= maxTokenID && !d.revoked.has(credential) {
				t.Error("others may have its ID, and it is forgotten")
			}
		})
	}
}

// TestRevokedWithAnotherSignature: of a signature by ECDSA whoever has it can make
// another that is as good (n-s for s), and a token that is written differently.
func TestRevokedWithAnotherSignature(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := newKeyServer(t)
	s.serve(http.StatusOK, set(t, map[string]crypto.PublicKey{"1": &key.PublicKey}))
	d := doorsWith(t, func(c *Config) { c.JWKS = s.URL })
	token := sign(t, jwt.SigningMethodES256, key, map[string]any{"kid": "1"}, good(nil))
	text, signature, _ := strings.Cut(token[strings.IndexByte(token, '.')+1:], ".")
	text = token[:strings.IndexByte(token, '.')+1] + text
	b, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		t.Fatal(err)
	}
	n := elliptic.P256().Params().N
	new(big.Int).Sub(n, new(big.Int).SetBytes(b[32:])).FillBytes(b[32:])
	other := text + "." + base64.RawURLEncoding.EncodeToString(b)
	ask := func(token string) error {
		_, err := d.Authorize(t.Context(), Request{Action: Publish, Key: alice, Token: token})
		return err
	}
	if err := errors.Join(ask(token), ask(other)); err != nil || other == token {
		t.Fatal(err)
	}
	credential, until, err := Revocable(token)
	if err != nil {
		t.Fatal(err)
	}
	d.Revoke(credential, until)
	for _, token := range []string{token, other} {
		if err := ask(token); !errors.Is(err, ErrRevoked) {
			t.Errorf("%v", err)
		}
	}
}

// TestPartsCostOneCheck: a player's token is verified once, however much it asks for.
func TestPartsCostOneCheck(t *testing.T) {
	d := doorsWith(t, nil)
	token := sign(t, jwt.SigningMethodHS256, testSecret, nil, good(map[string]any{"act": "play"}))
	for i := range 1000 {
		if _, err := d.Authorize(t.Context(), Request{Action: Play, Key: alice, Token: token, Continues: i > 0, Protocol: "hls"}); err != nil {
			t.Fatal(err)
		}
	}
	if n := d.Checked(); n != 1 {
		t.Errorf("%d checks", n)
	}
}
