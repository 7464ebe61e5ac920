package main

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest/rtmp/client"
	"github.com/miju-live/miju/remux/flv"
)

// askFrom returns the answer to who comes from an address, as a proxy says.
func askFrom(t testing.TB, address, url string) (int, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Forwarded-For", address)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode, resp.Header
}

// TestGuessersMustPause: each protocol says so in its words, and a right
// credential gets through after the pause.
func TestGuessersMustPause(t *testing.T) {
	t.Parallel()
	s := startWith(t, nil, closed, func(c *config) {
		c.Peers.Trusted, c.Auth.WrongTries = "127.0.0.1", 3
	})
	const attacker, other = "203.0.113.66", "203.0.113.67"
	play := s.mint(t, auth.ActionsOf(auth.Play))
	for _, path := range []string{"/live/alice.flv", "/live/alice.m3u8", "/live/alice/chat/index.json"} {
		tried := 0
		for status, h := 0, http.Header(nil); status != http.StatusTooManyRequests; tried++ {
			if status, h = askFrom(t, attacker, s.url(path+"?token=mk_wrong")); status == http.StatusTooManyRequests {
				if after, err := strconv.Atoi(h.Get("Retry-After")); err != nil || after < 1 || after > 30 {
					t.Errorf("%s: Retry-After %q", path, h.Get("Retry-After"))
				}
			} else if tried > 100 {
				t.Fatalf("%s: never paused, %d", path, status)
			}
		}
	}
	waitFor(t, "a right one to come within a pause", func() bool {
		status := 0
		for status != http.StatusTooManyRequests {
			status, _ = askFrom(t, attacker, s.url("/live/alice.flv?token=mk_wrong"))
		}
		status, _ = askFrom(t, attacker, s.url("/live/alice.flv?token="+s.mint(t, auth.ActionsOf(auth.Play), func(c *auth.Claims) { c.Name = time.Now().String() })))
		return status == http.StatusTooManyRequests
	})
	if status, _ := askFrom(t, attacker, s.url("/api/check/live/alice.flv?token=mk_wrong")); status != http.StatusForbidden {
		t.Errorf("an edge is told %d", status)
	}
	if status, _ := askFrom(t, other, s.url("/live/alice.flv?token=mk_wrong")); status != http.StatusUnauthorized {
		t.Errorf("another address: %d", status)
	}
	waitFor(t, "the pause to be over", func() bool {
		status, _ := askFrom(t, attacker, s.url("/live/alice.flv?token="+play))
		return status == http.StatusNotFound // it is not live
	})

	publish := func(url string) error {
		c, err := (&client.Dialer{DialContext: through(proxyV1(attacker + ":5"))}).Dial(t.Context(), url)
		if err == nil {
			err = c.Publish(t.Context(), flv.Enhanced)
			c.Close()
		}
		return err
	}
	const come = "come back in "
	for i := 0; ; i++ {
		err := publish(s.rtmpURL("alice?token=mk_wrong"))
		if err == nil || !strings.Contains(err.Error(), "NetStream.Publish.Denied") || i > 100 {
			t.Fatalf("%d: %v", i, err)
		}
		if strings.Contains(err.Error(), come) {
			if i < 4 {
				t.Errorf("paused after %d", i)
			}
			break
		}
	}
	if n := s.metric(t, "miju_auth_paused_total"); n < 4 {
		t.Errorf("%v are counted", n)
	}
	s.tellsNothing(t)
}

// TestOperatorsBehindAProxy: a loopback address is no reason to let anybody in once a
// proxy may bring others, whatever it says of them.
func TestOperatorsBehindAProxy(t *testing.T) {
	t.Parallel()
	s := startWith(t, nil, func(c *config) { c.Peers.Trusted = "127.0.0.1" })
	at := s.adminURL("/api/v1/streams")
	for _, address := range []string{"203.0.113.66", "127.0.0.1", "::1", "127.0.0.2"} {
		if status, _ := askFrom(t, address, at); status != http.StatusUnauthorized {
			t.Errorf("from %s: %d", address, status)
		}
	}
	// A proxy on this machine that does not say whom it brings, or an operator here.
	if status, _ := get(t, at); status != http.StatusUnauthorized {
		t.Errorf("from here: %d", status)
	}
	if status, _ := get(t, s.adminURL("/healthz")); status != http.StatusOK {
		t.Errorf("health: %d", status)
	}
	if status, body, _ := getAs(t, at, s.mint(t, auth.ActionsOf(auth.Admin))); status != http.StatusOK {
		t.Errorf("with a token: %d %s", status, body)
	}
	if !strings.Contains(s.banner(), "miju token --operate") {
		t.Errorf("nobody is told:\n%s", s.banner())
	}
}
