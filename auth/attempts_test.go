package auth

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/miju-live/miju/peer"
)

// TestGuessingIsSlowed guesses for an hour, as fast as it may.
func TestGuessingIsSlowed(t *testing.T) {
	d := doorsWith(t, func(c *Config) { c.Play, c.WrongTries = ByToken, 5 })
	at := noon
	d.now, d.attempts.now = func() time.Time { return at }, func() time.Time { return at }
	good := sign(t, jwt.SigningMethodHS256, testSecret, nil, good(map[string]any{"act": "publish,play", "exp": noon.Add(24 * time.Hour).Unix()}))
	ask := func(action Action, from, token string) error {
		_, err := d.Authorize(t.Context(), Request{Action: action, Key: alice, RemoteAddr: from, Token: token})
		return err
	}
	const attacker, neighbour = "[2001:db8:1:2::66]:666", "[2001:db8:1:2:ffff::1]:1"
	looked, first := 0, time.Duration(0)
	for at.Sub(noon) < time.Hour {
		err := ask(Publish, attacker, fmt.Sprintf("mk_guess%d", looked))
		switch {
		case errors.Is(err, ErrPaused):
			if s := PauseOf(err); s < 1 || s > 30 || !strings.Contains(err.Error(), fmt.Sprintf("in %d s", s)) || !errors.Is(err, ErrDenied) || errors.Is(err, ErrUnauthenticated) {
				t.Fatalf("%d: %v", s, err)
			}
			at = at.Add(100 * time.Millisecond)
		case errors.Is(err, ErrUnauthenticated):
			if looked++; looked == 6 {
				first = at.Sub(noon)
			}
		default:
			t.Fatal(err)
		}
	}
	if first != 0 || looked > 5+6+3600/30 || looked < 100 {
		t.Errorf("%d guesses were looked at within an hour, the sixth after %v", looked, first)
	}
	if d.Attempts().Refused() == 0 {
		t.Error("none is counted")
	}

	// Whom it concerns, and whom not.
	for ask(Publish, attacker, "mk_wrong") != nil && !errors.Is(ask(Publish, attacker, "mk_wrong"), ErrPaused) {
		at = at.Add(time.Second)
	}
	if err := ask(Publish, neighbour, good); !errors.Is(err, ErrPaused) {
		t.Errorf("the neighbour: %v", err)
	}
	if err := ask(Play, neighbour, good); err != nil {
		t.Errorf("another action: %v", err)
	}
	if err := ask(Publish, neighbour, good); err != nil {
		t.Errorf("a token that was good before: %v", err)
	}
	if err := ask(Publish, "192.0.2.1:1", "mk_wrong"); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("another address: %v", err)
	}
	if err := ask(Publish, attacker, ""); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("nothing: %v", err)
	}
	for range 4 { // the right one has begun anew
		if err := ask(Publish, attacker, "mk_wrong"); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("afterwards: %v", err)
		}
	}
}

// TestWhatIsNoGuess never pauses anybody.
func TestWhatIsNoGuess(t *testing.T) {
	d := doorsWith(t, func(c *Config) { c.Play, c.WrongTries = ByToken, 1 })
	expired := sign(t, jwt.SigningMethodHS256, testSecret, nil, good(map[string]any{"act": "play", "exp": 1}))
	other := sign(t, jwt.SigningMethodHS256, testSecret, nil, good(map[string]any{"act": "publish"}))
	for range 20 {
		for _, token := range []string{"", expired, other} {
			if _, err := d.Authorize(t.Context(), Request{Action: Play, Key: alice, RemoteAddr: "192.0.2.1:1", Token: token}); errors.Is(err, ErrPaused) {
				t.Fatal(err)
			}
		}
	}
	d.attempts.exempt, _ = peer.ParseNetworks("10.0.0.0/8")
	for _, from := range []string{"127.0.0.1:1", "[::1]:1", "10.1.1.1:1", "pipe"} {
		for range 20 {
			if _, err := d.Authorize(t.Context(), Request{Action: Play, Key: alice, RemoteAddr: from, Token: "mk_x"}); errors.Is(err, ErrPaused) {
				t.Fatal(from, err)
			}
		}
	}
}

// TestAKeyInUseGoesOn, though somebody else guesses from the same address.
func TestAKeyInUseGoesOn(t *testing.T) {
	d := doorsWith(t, func(c *Config) { c.WrongTries = 1 })
	secrets := []string{NewStreamKey(), NewStreamKey()}
	d.keys = keysOf{HashKey(secrets[0]): {ID: "1", Key: alice, Actions: ActionsOf(Publish)}, HashKey(secrets[1]): {ID: "2", Key: alice, Actions: ActionsOf(Publish)}}
	ask := func(token string) error {
		_, err := d.Authorize(t.Context(), Request{Action: Publish, Key: alice, RemoteAddr: "192.0.2.1:1", Token: token})
		return err
	}
	if err := ask(secrets[0]); err != nil {
		t.Fatal(err)
	}
	ask("mk_wrong")
	ask("mk_wrong")
	if err := ask(secrets[1]); !errors.Is(err, ErrPaused) {
		t.Errorf("one that is new here: %v", err)
	}
	if err := ask(secrets[0]); err != nil {
		t.Errorf("one that was good before: %v", err)
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	a := NewAttempts(1, nil)
	at := noon
	a.now = func() time.Time { return at }
	a.Wrong(Play, "192.0.2.1")
	a.Wrong(Play, "192.0.2.1")
	for i := range 3 * maxAttempts {
		a.Wrong(Play, fmt.Sprintf("2001:db8:%x:%x::1", i>>16, i&0xffff))
	}
	if len(a.all) > maxAttempts || a.known.Load() != int64(len(a.all)) {
		t.Errorf("%d are remembered", len(a.all))
	}
	at = at.Add(attemptsKept + time.Second)
	if a.Wrong(Play, "192.0.2.1"); a.May(Play, "192.0.2.1") != nil {
		t.Error("what was long ago still counts")
	}
	if NewAttempts(0, nil).May(Play, "192.0.2.1") != nil {
		t.Error("none are counted, and somebody must wait")
	}
}

func TestAccess(t *testing.T) {
	d, err := New(Config{
		Publish: ByNobody, Play: ByNobody, Chat: ByNobody,
		Allow: "publish=10.0.0.0/8, 192.0.2.7,admin=127.0.0.1", Deny: "198.51.100.0/24,publish=10.6.0.0/16",
	}, Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		action  Action
		from    string
		allowed bool
	}{
		{Publish, "10.1.2.3:5", true},
		{Publish, "192.0.2.7:5", true},
		{Publish, "[::ffff:192.0.2.7]:5", true},
		{Publish, "192.0.2.8:5", false},
		{Publish, "10.6.1.1:5", false},
		{Publish, "here", false},
		{Play, "192.0.2.8:5", true},
		{Play, "10.6.1.1:5", true},
		{Play, "198.51.100.9:5", false},
		{Chat, "198.51.100.9:5", false},
		{Moderate, "198.51.100.9:5", false},
		{Admin, "192.0.2.7:5", false},
	} {
		_, err := d.Authorize(t.Context(), Request{Action: c.action, Key: alice, RemoteAddr: c.from})
		if got := !errors.Is(err, ErrForbidden); got != c.allowed && !(c.action == Moderate) || c.action == Moderate && !errors.Is(err, ErrForbidden) {
			t.Errorf("%s from %s: %v", c.action, c.from, err)
		}
	}
	if _, err := d.Authorize(t.Context(), Request{Action: Publish, Key: alice, Internal: true}); err != nil {
		t.Errorf("the server's own: %v", err)
	}
	for _, bad := range []string{"watch=10.0.0.0/8", "publish=here", "publish=", "=10.0.0.0/8", "moderate=10.0.0.0/8", "10.0.0.0/40"} {
		c := DefaultConfig()
		if c.Deny = bad; bad != "publish=" && c.Check() == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func BenchmarkMay(b *testing.B) {
	a := NewAttempts(10, nil)
	a.Wrong(Play, "192.0.2.1")
	for b.Loop() {
		a.May(Play, "192.0.2.2:5000")
	}
}
