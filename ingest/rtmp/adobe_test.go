package rtmp

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/remux/amf0"
)

func users(t testing.TB) *auth.Users {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(path, []byte("# hardware\ntruck hunter22 hw/truck\nall secret99 hw/*,tv/*\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	u, err := auth.ReadUsers(path)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func connectTo(app string) amf0.Object {
	return amf0.Object{{Name: "app", Value: amf0.String(app)}, {Name: "type", Value: amf0.String("nonprivate")}}
}

// questionOf reads what stands in a refusal.
func questionOf(t testing.TB, err error) query {
	t.Helper()
	_, q, ok := strings.Cut(fmt.Sprint(err), "?")
	if !ok || errors.Is(err, ingest.ErrAsked) == errors.Is(err, auth.ErrUnauthenticated) {
		t.Fatalf("no question: %v", err)
	}
	return query{q}
}

func TestAdobeAsksTwice(t *testing.T) {
	s := NewServer(DefaultConfig())
	s.AskUsers(users(t))
	now := time.Now()
	const host = "192.0.2.7"
	if _, err := s.adobe.ask(connectTo("hw"), host, now); err == nil || !strings.Contains(err.Error(), "[ code=403 need auth; authmod=adobe ] :") {
		t.Fatal(err)
	}
	_, err := s.adobe.ask(connectTo("hw?authmod=adobe&user=truck"), host, now)
	q := questionOf(t, err)
	if q.value("reason") != "needauth" || q.value("user") != "truck" || q.value("salt") == "" || q.value("challenge") == "" {
		t.Fatal(err)
	}
	try := func(user, password, host string, later time.Duration, change ...string) (string, error) {
		r := response(user, q.value("salt"), password, q.value("opaque"), "own")
		app := fmt.Sprintf("hw?authmod=adobe&user=%s&challenge=own&response=%s&opaque=%s", user, r, q.value("opaque"))
		return s.adobe.ask(connectTo(strings.NewReplacer(change...).Replace(app)), host, now.Add(later))
	}
	if user, err := try("truck", "hunter22", host, time.Second); user != "truck" || err != nil {
		t.Errorf("%q, %v", user, err)
	}
	for name, err := range map[string]error{
		"a wrong password":      second(try("truck", "hunter23", host, 0)),
		"no password":           second(try("truck", "", host, 0)),
		"another user":          second(try("all", "hunter22", host, 0)),
		"nobody":                second(try("eve", "", host, 0)),
		"another address":       second(try("truck", "hunter22", "192.0.2.8", 0)),
		"late":                  second(try("truck", "hunter22", host, challengeLife+time.Second)),
		"before it was asked":   second(try("truck", "hunter22", host, -time.Second)),
		"a challenge not ours":  second(try("truck", "hunter22", host, 0, q.value("opaque"), "AAAA")),
		"none":                  second(try("truck", "hunter22", host, 0, "opaque=", "x=")),
		"another own challenge": second(try("truck", "hunter22", host, 0, "challenge=own", "challenge=two")),
	} {
		if err == nil || questionOf(t, err).value("reason") != "authfailed" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, o := range map[string]amf0.Object{
		"another app":           connectTo("live"),
		"a token":               connectTo("hw?token=x"),
		"a player":              {{Name: "app", Value: amf0.String("hw")}},
		"a query without end":   connectTo("hw?" + strings.Repeat("x", 2000)),
		"an app without a name": connectTo(""),
	} {
		if user, err := s.adobe.ask(o, host, now); user != "" || err != nil {
			t.Errorf("%s: %q, %v", name, user, err)
		}
	}
	if _, err := (&adobe{}).ask(connectTo("hw"), host, now); err != nil {
		t.Errorf("without users: %v", err)
	}
}

func second(_ string, err error) error { return err }

// FuzzAdobe: nobody is let in by chance.
func FuzzAdobe(f *testing.F) {
	s := NewServer(DefaultConfig())
	s.AskUsers(users(f))
	now := time.Now()
	_, err := s.adobe.ask(connectTo("hw?authmod=adobe&user=truck"), "h", now)
	q := questionOf(f, err)
	f.Add("hw")
	f.Add("hw?authmod=adobe&user=truck")
	f.Add("hw?authmod=adobe&user=truck&challenge=own&response=x&opaque=" + q.value("opaque"))
	f.Fuzz(func(t *testing.T, app string) {
		if user, _ := s.adobe.ask(connectTo(app), "h", now); user != "" {
			t.Errorf("%q is %q", app, user)
		}
	})
}

// TestPasswordsCannotBeGuessed: who was wrong too often is asked to come back, also
// with the right one.
func TestPasswordsCannotBeGuessed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(path, []byte("truck hunter22 hw/truck\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := auth.DefaultConfig()
	c.Users, c.WrongTries = path, 3
	d, err := auth.New(c, auth.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(DefaultConfig())
	s.AskUsers(d.Users())
	now := time.Now()
	try := func(host, password string) error {
		_, err := s.adobe.ask(connectTo("hw?authmod=adobe&user=truck"), host, now)
		q := questionOf(t, err)
		r := response("truck", q.value("salt"), password, q.value("opaque"), "own")
		_, err = s.adobe.ask(connectTo("hw?authmod=adobe&user=truck&challenge=own&response="+r+"&opaque="+q.value("opaque")), host, now)
		return err
	}
	for i := range 4 {
		if err := try("192.0.2.7", fmt.Sprintf("hunter%d", i)); !errors.Is(err, auth.ErrWrong) {
			t.Fatalf("%d: %v", i, err)
		}
	}
	if err := try("192.0.2.7", "hunter22"); !errors.Is(err, auth.ErrPaused) {
		t.Errorf("the right one at once: %v", err)
	}
	if err := try("192.0.2.8", "hunter22"); err != nil {
		t.Errorf("from another address: %v", err)
	}
}
