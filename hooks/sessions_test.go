package hooks

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/streamkey"
)

func part(token, addr string) auth.Request {
	return auth.Request{Action: auth.Play, Key: alice, Token: token, Query: "token=" + token + "&_HLS_msn=7", Continues: true, Protocol: "hls", RemoteAddr: addr}
}

// TestPlayersOfHLSAreAskedAboutOnce however many files they ask for, and at
// once.
func TestPlayersOfHLSAreAskedAboutOnce(t *testing.T) {
	a := newApplication(t, nil)
	h, _ := newHooks(t, a.URL, true, nil)
	var asking sync.WaitGroup
	for i := range 100 {
		asking.Go(func() {
			if _, err := h.Authorize(t.Context(), part("a", fmt.Sprint("192.0.2.7:", 1000+i))); err != nil {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	if q := a.all(); len(q) != 1 || q[0]["query"] != "token=a" || q[0]["token"] != "a" {
		t.Errorf("asked %v", q)
	}
	bob := part("a", "192.0.2.7:1")
	var err error
	if bob.Key, err = streamkey.Parse("live/bob"); err != nil {
		t.Fatal(err)
	}
	for _, other := range []auth.Request{
		part("b", "192.0.2.7:1"), part("a", "192.0.2.8:1"), bob,
		{Action: auth.Chat, Key: alice, Token: "a", Reads: true, RemoteAddr: "192.0.2.7:1"},
	} {
		if _, err := h.Authorize(t.Context(), other); err != nil {
			t.Error(err)
		}
	}
	if st := h.Stats(); len(a.all()) != 5 || st.Players != 5 || st.Remembered != 99 {
		t.Errorf("asked %d times, %+v", len(a.all()), st)
	}
}

// TestAnswersThatEnd are asked for again: after expiresIn, a refusal after a few
// seconds, a player that was away.
func TestAnswersThatEnd(t *testing.T) {
	answer := atomic.Pointer[string]{}
	a := newApplication(t, func(w http.ResponseWriter, _ *http.Request, _ map[string]any) { io.WriteString(w, *answer.Load()) })
	h, _ := newHooks(t, a.URL, true, nil)
	var offset atomic.Int64
	begin := time.Now()
	h.now = func() time.Time { return begin.Add(time.Duration(offset.Load())) }
	try := func(text string, after time.Duration, asked int, denied bool) {
		t.Helper()
		answer.Store(&text)
		offset.Add(int64(after))
		_, err := h.Authorize(t.Context(), part("a", "192.0.2.7:1"))
		if errors.Is(err, auth.ErrDenied) != denied || !denied && err != nil || len(a.all()) != asked {
			t.Errorf("%s: %v, asked %d times", text, err, len(a.all()))
		}
	}
	try(`{"expiresIn":20}`, 0, 1, false)
	try(`{"allow":false}`, 15*time.Second, 1, false) // nobody asks
	try(`{"allow":false}`, 6*time.Second, 2, true)
	try(`{}`, 3*time.Second, 2, true)
	try(`{}`, 3*time.Second, 3, false)
	for range 10 {
		try(`{}`, sessionIdle-time.Second, 3, false)
	}
	try(`{}`, sessionIdle+time.Second, 4, false)
	h.players.sweep(h.now().Add(time.Hour))
	if n := h.Stats().Players; n != 0 {
		t.Errorf("%d players are left", n)
	}
}

// TestOpenFailures let a player in for a moment only: then the application is
// asked again.
func TestOpenFailures(t *testing.T) {
	down := atomic.Bool{}
	down.Store(true)
	a := newApplication(t, func(w http.ResponseWriter, _ *http.Request, _ map[string]any) {
		w.WriteHeader(map[bool]int{true: http.StatusBadGateway, false: http.StatusForbidden}[down.Load()])
	})
	h, _ := newHooks(t, a.URL, true, func(c *Config) { c.Fail = FailOpen })
	var offset atomic.Int64
	begin := time.Now()
	h.now = func() time.Time { return begin.Add(time.Duration(offset.Load())) }
	for i, want := range []struct {
		asked int
		err   error
	}{{1, nil}, {1, nil}, {2, auth.ErrForbidden}} {
		if i == 2 {
			down.Store(false)
			offset.Add(int64(denialKept))
		}
		if _, err := h.Authorize(t.Context(), part("a", "192.0.2.7:1")); !errors.Is(err, want.err) || len(a.all()) != want.asked {
			t.Errorf("%d: %v, asked %d times", i, err, len(a.all()))
		}
	}
}

// TestSessionsAreBounded: the ones that were away for long go first.
func TestSessionsAreBounded(t *testing.T) {
	s := sessions{all: map[sessionID]*session{}}
	ended := 0
	now := time.Now()
	for i := range maxSessions + 100 {
		x, first := s.get(sessionID{byte(i), byte(i >> 8), byte(i >> 16)}, now)
		if !first {
			t.Fatal("a new one is known")
		}
		x.end = func() { ended++ }
		close(x.decided)
	}
	if s.len() != maxSessions || ended != 100 {
		t.Errorf("%d sessions, %d ended", s.len(), ended)
	}
	s.endAll()
	if s.len() != 0 || ended != maxSessions+100 {
		t.Errorf("%d sessions, %d ended", s.len(), ended)
	}
}
