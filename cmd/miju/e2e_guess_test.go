package main

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

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
		seen := map[int]int{}
		for range 5 {
			status, h := askFrom(t, attacker, s.url(path+"?token=mk_wrong"))
			if seen[status]++; status == http.StatusTooManyRequests {
				if after, err := strconv.Atoi(h.Get("Retry-After")); err != nil || after < 1 || after > 30 {
					t.Errorf("%s: Retry-After %q", path, h.Get("Retry-After"))
				}
			}
		}
		if seen[http.StatusTooManyRequests] == 0 {
			t.Errorf("%s: %v", path, seen)
		}
	}
	if status, _ := askFrom(t, attacker, s.url("/live/alice.flv?token="+play)); status != http.StatusTooManyRequests {
		t.Errorf("a right one within the pause: %d", status)
	}
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
	for i := range 5 {
		if err := publish(s.rtmpURL("alice?token=mk_wrong")); err == nil || !strings.Contains(err.Error(), "NetStream.Publish.Denied") || strings.Contains(err.Error(), come) != (i > 3) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if n := s.metric(t, "miju_auth_paused_total"); n < 5 {
		t.Errorf("%v are counted", n)
	}
	s.tellsNothing(t)
}
