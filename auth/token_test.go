package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/miju-live/miju/streamkey"
)

var (
	testSecret = []byte("0123456789abcdef0123456789abcdef")
	alice      = mustKey("live/alice")
	noon       = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
)

func mustKey(s string) streamkey.Key {
	k, err := streamkey.Parse(s)
	if err != nil {
		panic(err)
	}
	return k
}

// doorsWith returns closed doors at noon.
func doorsWith(t testing.TB, change func(*Config)) *Doors {
	t.Helper()
	c := DefaultConfig()
	c.Publish, c.Play, c.Chat = ByToken, ByToken, ByToken
	c.WrongTries = 0 // they are wrong all the time
	if change != nil {
		change(&c)
	}
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	d, err := New(c, Options{Secret: testSecret, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	d.now = func() time.Time { return noon }
	return d
}

// sign makes a token of any header and claims.
func sign(t testing.TB, method jwt.SigningMethod, key any, header, claims map[string]any) string {
	t.Helper()
	token := jwt.NewWithClaims(method, jwt.MapClaims(claims))
	maps.Copy(token.Header, header)
	s, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func good(change map[string]any) map[string]any {
	c := map[string]any{"sub": "a1", "act": "publish", "key": "live/alice", "exp": noon.Add(time.Hour).Unix()}
	maps.Copy(c, change)
	return c
}

var claimCases = []struct {
	name   string
	change map[string]any
	want   error // nil: granted
}{
	{"good", nil, nil},
	{"list of actions and keys", map[string]any{"act": []string{"play", "publish"}, "key": []string{"live/bob", "live/alice"}}, nil},
	{"app's pattern", map[string]any{"key": "live/*"}, nil},
	{"name's pattern", map[string]any{"key": "live/al*"}, nil},
	{"everything", map[string]any{"key": "*"}, nil},
	{"no end", map[string]any{"exp": nil}, nil},
	{"good soon, within the skew", map[string]any{"nbf": noon.Add(29 * time.Second).Unix()}, nil},
	{"address", map[string]any{"addr": "192.0.2.7"}, nil},
	{"network", map[string]any{"addr": []string{"198.51.100.0/24", "192.0.2.0/24"}}, nil},
	{"unknown actions beside", map[string]any{"act": "dance,publish"}, nil},
	{"expired now", map[string]any{"exp": noon.Unix()}, ErrUnauthenticated},
	{"expired in 1970", map[string]any{"exp": 0}, ErrUnauthenticated},
	{"not good yet", map[string]any{"nbf": noon.Add(31 * time.Second).Unix()}, ErrUnauthenticated},
	{"exp is a text", map[string]any{"exp": "tomorrow"}, ErrUnauthenticated},
	{"no action", map[string]any{"act": nil}, ErrForbidden},
	{"another action", map[string]any{"act": "play,chat"}, ErrForbidden},
	{"an action that is a number", map[string]any{"act": 1}, ErrUnauthenticated},
	{"the actor of RFC 8693", map[string]any{"act": map[string]any{"sub": "x"}}, ErrUnauthenticated},
	{"no key", map[string]any{"key": nil}, ErrForbidden},
	{"another key", map[string]any{"key": "live/alicea"}, ErrForbidden},
	{"another app", map[string]any{"key": "game/*"}, ErrForbidden},
	{"a star in the middle", map[string]any{"key": "live/*ce"}, ErrForbidden},
	{"another address", map[string]any{"addr": "192.0.2.8"}, ErrForbidden},
	{"another network", map[string]any{"addr": "10.0.0.0/8"}, ErrForbidden},
	{"an address that is none", map[string]any{"addr": "home"}, ErrUnauthenticated},
	{"an address that is empty", map[string]any{"addr": ""}, ErrUnauthenticated},
	{"the subject of a stream key", map[string]any{"sub": KeySubject + "1"}, ErrUnauthenticated},
	{"too many keys", map[string]any{"key": strings.Repeat("live/alice,", 40)}, ErrUnauthenticated},
}

func TestClaims(t *testing.T) {
	d := doorsWith(t, nil)
	for _, c := range claimCases {
		token := sign(t, jwt.SigningMethodHS256, testSecret, nil, good(c.change))
		for _, again := range []bool{false, true} { // the second time by its verdict
			g, err := d.Authorize(t.Context(), Request{Action: Publish, Key: alice, Token: token, RemoteAddr: "192.0.2.7:5000"})
			if !errors.Is(err, c.want) || c.want != nil && !errors.Is(err, ErrDenied) {
				t.Errorf("%s (again: %v): %v, want %v", c.name, again, err, c.want)
			}
			if c.want == nil && g.Subject != "a1" {
				t.Errorf("%s: %+v", c.name, g)
			}
			if err != nil && strings.Contains(err.Error(), token) {
				t.Errorf("%s: the error holds the token", c.name)
			}
		}
	}
}

func TestTokensThatAreForged(t *testing.T) {
	d := doorsWith(t, nil)
	right := sign(t, jwt.SigningMethodHS256, testSecret, nil, good(nil))
	if _, err := d.Authorize(t.Context(), Request{Action: Publish, Key: alice, Token: right}); err != nil {
		t.Fatal(err)
	}
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	parts := strings.Split(right, ".")
	raw := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	for name, token := range map[string]string{
		"another secret":          sign(t, jwt.SigningMethodHS256, []byte("another secret of thirty-two bytes"), nil, good(nil)),
		"none":                    sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, good(nil)),
		"none in capitals":        raw(`{"alg":"NONE"}`) + "." + parts[1] + ".",
		"no signature":            parts[0] + "." + parts[1] + ".",
		"another hash":            sign(t, jwt.SigningMethodHS512, testSecret, nil, good(nil)),
		"EdDSA without a key set": sign(t, jwt.SigningMethodEdDSA, ed, nil, good(nil)),
		"changed claims":          parts[0] + "." + raw(`{"act":"publish","key":"*"}`) + "." + parts[2],
		"crit":                    sign(t, jwt.SigningMethodHS256, testSecret, map[string]any{"crit": []string{"exp"}}, good(nil)),
		"a key ID that is none":   sign(t, jwt.SigningMethodHS256, testSecret, map[string]any{"kid": 7}, good(nil)),
		"a long key ID":           sign(t, jwt.SigningMethodHS256, testSecret, map[string]any{"kid": strings.Repeat("k", 129)}, good(nil)),
		"a long header":           sign(t, jwt.SigningMethodHS256, testSecret, map[string]any{"x": strings.Repeat("k", 600)}, good(nil)),
		"a long token":            sign(t, jwt.SigningMethodHS256, testSecret, nil, good(map[string]any{"x": strings.Repeat("k", 4096)})),
		"padded":                  parts[0] + "." + parts[1] + "." + parts[2] + "=",
		"another end of base64":   parts[0] + "." + parts[1] + "." + lastBitsSet(parts[2]),
		"four parts":              right + ".x",
		"no JSON":                 raw("x") + "." + raw("y") + "." + parts[2],
		"empty parts":             "ey..",
		"no token":                "hunter2",
	} {
		_, err := d.Authorize(t.Context(), Request{Action: Publish, Key: alice, Token: token})
		if !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// lastBitsSet changes the bits at the end of base64 that stand for nothing.
func lastBitsSet(s string) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(digits, s[len(s)-1])
	return s[:len(s)-1] + string(digits[last|1])
}

func TestPublicKeyIsNoSecret(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set := &keySet{now: func() time.Time { return noon }, tried: noon, count: 1, keys: []publicKey{{id: "r", key: &private.PublicKey, algs: asymmetric[:6]}}}
	d := doorsWith(t, nil)
	d.keySet = set
	d.tokens = newTokens(testSecret, nil, set, d.config)
	ask := func(token string) error {
		_, err := d.Authorize(t.Context(), Request{Action: Publish, Key: alice, Token: token})
		return err
	}
	kid := map[string]any{"kid": "r"}
	for _, m := range []jwt.SigningMethod{jwt.SigningMethodRS256, jwt.SigningMethodRS512, jwt.SigningMethodPS256} {
		if err := ask(sign(t, m, private, kid, good(nil))); err != nil {
			t.Errorf("%s: %v", m.Alg(), err)
		}
	}
	if err := ask(sign(t, jwt.SigningMethodRS256, private, nil, good(nil))); err != nil {
		t.Errorf("no key ID, one key: %v", err)
	}
	public := private.N.Bytes()
	for name, token := range map[string]string{
		"HMAC with the modulus": sign(t, jwt.SigningMethodHS256, public, kid, good(nil)),
		"another key's ID":      sign(t, jwt.SigningMethodRS256, private, map[string]any{"kid": "s"}, good(nil)),
		"another algorithm":     sign(t, jwt.SigningMethodES384, other, kid, good(nil)),
	} {
		if err := ask(token); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzToken seeds itself with the cases above. Whatever comes, a token that is
// granted must be one of those that were signed.
func FuzzToken(f *testing.F) {
	d := doorsWith(f, nil)
	signed := map[string]bool{}
	for _, c := range claimCases {
		token := sign(f, jwt.SigningMethodHS256, testSecret, nil, good(c.change))
		signed[token] = true
		f.Add(token)
	}
	f.Add("mk_abc")
	f.Add("ey..")
	f.Fuzz(func(t *testing.T, token string) {
		_, err := d.Authorize(t.Context(), Request{Action: Publish, Key: alice, Token: token, RemoteAddr: "192.0.2.7:5000"})
		if err == nil && !signed[token] {
			t.Errorf("granted: %q", token)
		}
		if err != nil && !errors.Is(err, ErrDenied) {
			t.Errorf("undecided: %v", err)
		}
	})
}

// FuzzClaims takes claims as a backend may sign them.
func FuzzClaims(f *testing.F) {
	for _, s := range []string{`{"act":"publish","key":"live/alice"}`, `{"act":["publish"],"key":["*"],"addr":"10.0.0.0/8"}`, `{"exp":1e300}`, `{"addr":[]}`, `{"aud":["a"],"exp":1.5,"nbf":-1}`} {
		f.Add(s)
	}
	d := doorsWith(f, nil)
	f.Fuzz(func(t *testing.T, claims string) {
		head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
		sum, err := jwt.SigningMethodHS256.Sign(head, testSecret)
		if err != nil {
			t.Fatal(err)
		}
		g, err := d.Authorize(t.Context(), Request{Action: Publish, Key: alice, Token: head + "." + base64.RawURLEncoding.EncodeToString(sum), RemoteAddr: "192.0.2.7:1"})
		if err == nil && !strings.Contains(strings.ToLower(claims), "act") {
			t.Errorf("granted without an action: %s, %+v", claims, g)
		}
	})
}

func TestMintedTokenFitsAnEncoder(t *testing.T) {
	token, err := Mint(testSecret, Claims{
		Subject: "k7q2m4xw6n", Role: RoleHost, Actions: ActionsOf(Publish, Chat), Keys: Patterns{"live/alice"},
		Expires: jwt.NewNumericDate(noon.Add(time.Hour)),
	})
	if err != nil || len(token) > 220 {
		t.Errorf("%d characters, %v", len(token), err)
	}
	d := doorsWith(t, nil)
	if g, err := d.Authorize(t.Context(), Request{Action: Publish, Key: alice, Token: token}); err != nil || g.Subject != "k7q2m4xw6n" || g.Role != RoleHost {
		t.Errorf("%+v, %v", g, err)
	}
	if _, err := Mint([]byte("short"), Claims{}); err == nil {
		t.Error("a short secret signs")
	}
}

func TestVerdictsAreBounded(t *testing.T) {
	c := newVerdicts(8)
	keep := [32]byte{0xff}
	c.put(keep, &verdict{})
	for i := range 100 {
		c.put([32]byte{byte(i)}, &verdict{})
		if c.get(keep) == nil {
			t.Fatalf("what is asked for is forgotten after %d", i)
		}
		if n := len(c.young) + len(c.old); n > 8 {
			t.Fatalf("%d verdicts", n)
		}
	}
}
