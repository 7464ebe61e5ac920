package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/miju-live/miju/streamkey"
)

func TestWhichDoorsAreOpen(t *testing.T) {
	token := sign(t, jwt.SigningMethodHS256, testSecret, nil, good(map[string]any{"act": "publish,play,chat,admin"}))
	wrongAction := sign(t, jwt.SigningMethodHS256, testSecret, nil, good(map[string]any{"act": "play"}))
	expired := sign(t, jwt.SigningMethodHS256, testSecret, nil, good(map[string]any{"act": "publish,chat", "exp": 1}))
	const here, there = "127.0.0.1:5000", "192.0.2.7:5000"
	for _, c := range []struct {
		name    string
		config  Config
		proxied bool
		r       Request
		want    error
		subject string
	}{
		{"loopback publishes", DefaultConfig(), false, Request{Action: Publish, RemoteAddr: here}, nil, ""},
		{"loopback by IPv6 publishes", DefaultConfig(), false, Request{Action: Publish, RemoteAddr: "[::1]:5000"}, nil, ""},
		{"loopback mapped into IPv6 publishes", DefaultConfig(), false, Request{Action: Publish, RemoteAddr: "[::ffff:127.0.0.1]:5000"}, nil, ""},
		{"loopback behind a proxy", DefaultConfig(), true, Request{Action: Publish, RemoteAddr: here}, ErrUnauthenticated, ""},
		{"loopback with a token is somebody", DefaultConfig(), false, Request{Action: Publish, RemoteAddr: here, Token: token}, nil, "a1"},
		{"loopback with a bad token", DefaultConfig(), false, Request{Action: Publish, RemoteAddr: here, Token: expired}, ErrUnauthenticated, ""},
		{"another machine", DefaultConfig(), false, Request{Action: Publish, RemoteAddr: there}, ErrUnauthenticated, ""},
		{"an address that is none", DefaultConfig(), false, Request{Action: Publish, RemoteAddr: "localhost"}, ErrUnauthenticated, ""},
		{"another machine with a token", DefaultConfig(), false, Request{Action: Publish, RemoteAddr: there, Token: token}, nil, "a1"},
		{"open to publish", Config{Publish: ByNobody}, false, Request{Action: Publish, RemoteAddr: there}, nil, ""},
		{"open to publish, bad token", Config{Publish: ByNobody}, false, Request{Action: Publish, RemoteAddr: there, Token: "x"}, nil, ""},
		{"closed to loopback", Config{Publish: ByToken}, false, Request{Action: Publish, RemoteAddr: here}, ErrUnauthenticated, ""},
		{"the server's own file", Config{Publish: ByToken}, false, Request{Action: Publish, Internal: true}, nil, ""},
		{"open to play, bad token", DefaultConfig(), false, Request{Action: Play, RemoteAddr: there, Token: "x"}, nil, ""},
		{"closed to play", Config{Play: ByToken}, false, Request{Action: Play, RemoteAddr: here}, ErrUnauthenticated, ""},
		{"a guest", DefaultConfig(), false, Request{Action: Chat, RemoteAddr: there}, nil, ""},
		{"a member", DefaultConfig(), false, Request{Action: Chat, RemoteAddr: there, Token: token}, nil, "a1"},
		{"a member whose token is over", DefaultConfig(), false, Request{Action: Chat, RemoteAddr: there, Token: expired}, ErrUnauthenticated, ""},
		{"a viewer's token makes a guest", DefaultConfig(), false, Request{Action: Chat, RemoteAddr: there, Token: wrongAction}, nil, ""},
		{"a viewer's token at a closed chat", Config{Chat: ByToken}, false, Request{Action: Chat, RemoteAddr: there, Token: wrongAction}, ErrForbidden, ""},
		{"an operator without a token", DefaultConfig(), false, Request{Action: Admin, RemoteAddr: here}, ErrUnauthenticated, ""},
		{"an operator", DefaultConfig(), false, Request{Action: Admin, RemoteAddr: there, Token: token}, nil, "a1"},
		{"no operator", DefaultConfig(), false, Request{Action: Admin, RemoteAddr: there, Token: wrongAction}, ErrForbidden, ""},
		{"a stream key where there are none", DefaultConfig(), false, Request{Action: Publish, RemoteAddr: there, Token: "mk_x"}, ErrUnauthenticated, ""},
	} {
		d, err := New(c.config, Options{Secret: testSecret, Proxied: c.proxied, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		d.now = func() time.Time { return noon }
		c.r.Key = alice
		g, err := d.Authorize(t.Context(), c.r)
		if !errors.Is(err, c.want) || g.Subject != c.subject {
			t.Errorf("%s: %+v, %v", c.name, g, err)
		}
		yes, no, unknown := d.Decided(c.r.Action)
		if yes+no != 1 || unknown != 0 || (yes == 1) != (err == nil) {
			t.Errorf("%s: counted %d, %d, %d", c.name, yes, no, unknown)
		}
	}
}

func TestExpiryOfWhoIsIn(t *testing.T) {
	token := sign(t, jwt.SigningMethodHS256, testSecret, nil, good(map[string]any{"act": "play", "exp": noon.Add(time.Minute).Unix()}))
	for _, enforce := range []bool{false, true} {
		d := doorsWith(t, func(c *Config) { c.EnforceExpiry = enforce })
		at := noon
		d.now = func() time.Time { return at }
		ask := func(later time.Duration, continues bool) error {
			at = noon.Add(later)
			g, err := d.Authorize(t.Context(), Request{Action: Play, Key: alice, Token: token, Continues: continues})
			if err == nil && g.Expires.IsZero() == enforce {
				t.Errorf("enforced: %v, and the grant ends %v", enforce, g.Expires)
			}
			return err
		}
		if err := ask(50*time.Second, false); err != nil {
			t.Fatal(err)
		}
		if err := ask(70*time.Second, false); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("an expired token lets somebody in: %v", err)
		}
		if err := ask(75*time.Second, true); (err != nil) != enforce {
			t.Errorf("enforced: %v, and a player that goes on: %v", enforce, err)
		}
		if err := ask(100*time.Second, true); (err != nil) != enforce {
			t.Errorf("enforced: %v, and a player that goes on further: %v", enforce, err)
		}
		if err := ask(131*time.Second, true); err == nil {
			t.Error("a player that had stopped goes on")
		}
	}
}

// keysOf is the stream keys of a test.
type keysOf map[[sha256.Size]byte]StreamKey

func (k keysOf) FindKey(_ context.Context, hash [sha256.Size]byte) (StreamKey, bool, error) {
	key, ok := k[hash]
	if key.ID == "down" {
		return key, false, errors.New("no database")
	}
	return key, ok, nil
}

func (k keysOf) FindPassphrases(_ context.Context, key streamkey.Key) (all []StreamKey, err error) {
	for _, x := range k {
		if x.Sealed != "" && x.Key == key {
			all = append(all, x)
		}
	}
	return all, nil
}

func TestStreamKeys(t *testing.T) {
	d := doorsWith(t, nil)
	publish := ActionsOf(Publish)
	d.keys = keysOf{
		HashKey("mk_good"): {ID: "1", Key: alice, Actions: publish},
		HashKey("mk_late"): {ID: "2", Key: alice, Actions: publish, Expires: noon},
		HashKey("mk_bob"):  {ID: "3", Key: mustKey("live/bob"), Actions: publish},
		HashKey("mk_down"): {ID: "down"},
	}
	for secret, want := range map[string]error{"mk_good": nil, "mk_late": ErrUnauthenticated, "mk_bob": ErrForbidden, "mk_other": ErrUnauthenticated} {
		g, err := d.Authorize(t.Context(), Request{Action: Publish, Key: alice, Token: secret})
		if !errors.Is(err, want) || want == nil && g.Subject != KeySubject+"1" {
			t.Errorf("%s: %+v, %v", secret, g, err)
		}
	}
	if _, err := d.Authorize(t.Context(), Request{Action: Play, Key: alice, Token: "mk_good"}); !errors.Is(err, ErrForbidden) {
		t.Errorf("to play: %v", err)
	}
	if _, err := d.Authorize(t.Context(), Request{Action: Publish, Key: alice, Token: "mk_down"}); err == nil || errors.Is(err, ErrDenied) {
		t.Errorf("without a database: %v", err)
	}
}

func TestSecretFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	secret, fresh, err := OpenSecret(dir)
	if err != nil || !fresh || len(secret) != 43 {
		t.Fatalf("%d bytes, fresh %v, %v", len(secret), fresh, err)
	}
	path := filepath.Join(dir, SecretFile)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if left, err := filepath.Glob(path + ".*"); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	again, fresh, err := OpenSecret(dir)
	if err != nil || fresh || string(again) != string(secret) {
		t.Errorf("another secret, fresh %v, %v", fresh, err)
	}
	if err := writeOnce(path, []byte("x")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a secret is written over: %v", err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, _, err := OpenSecret(dir); err == nil {
			t.Errorf("mode %v is taken", mode)
		}
	}
	os.Chmod(path, 0o600)
	for _, text := range []string{"", "short\n", string(secret) + "\n" + string(secret)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := OpenSecret(dir); err == nil {
			t.Errorf("%q is taken for a secret", text)
		}
	}
}

func TestPatterns(t *testing.T) {
	for pattern, ok := range map[string]bool{
		"*": true, "live/*": true, "live/alice": true, "live/alice-*": true, "*/alice": true, "*/*": true,
		"": false, "live": false, "live/": false, "live/a*b": false, "**": false, "live/alice/x": false, "live/al ice": false,
	} {
		if err := (Patterns{pattern}).Check(); (err == nil) != ok {
			t.Errorf("%q: %v", pattern, err)
		}
	}
}

func TestConfigs(t *testing.T) {
	for _, change := range []func(*Config){
		func(c *Config) { c.Publish = "loopback" },
		func(c *Config) { c.Play = NoneFromLoopback },
		func(c *Config) { c.Chat = "" },
		func(c *Config) { c.JWKS = "file:///etc/passwd" },
		func(c *Config) { c.Audience = "x" },
		func(c *Config) { c.URLSign = "aliyun" },
		func(c *Config) { c.URLSign, c.SignPlay = "akamai", "x" },
		func(c *Config) { c.SignPlay = "x" },
		func(c *Config) { c.URLSign, c.SignPlay, c.SignNginx = "nginx", "x", "{uri}{expires}" },
	} {
		c := DefaultConfig()
		change(&c)
		if c.Check() == nil {
			t.Errorf("%+v is taken", c)
		}
	}
	if err := DefaultConfig().Check(); err != nil {
		t.Error(err)
	}
}
