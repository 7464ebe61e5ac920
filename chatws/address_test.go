package chatws

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"
)

func TestConnectionsOfAnAddress(t *testing.T) {
	s := newStage(t, proxied, func(c *Config) { c.AddressConnections = 3 })
	open := func(address string) *client {
		c := s.connectFrom(t, "live/x/chat", address)
		c.send(`{"type":"join"}`)
		c.next("welcome")
		return c
	}
	refused := func(address string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/live/x/chat", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = with(handshake, "X-Forwarded-For", address)
		w, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		w.Body.Close()
		if w.StatusCode != 429 || w.Header.Get("Retry-After") == "" {
			t.Errorf("%d %v", w.StatusCode, w.Header)
		}
	}
	first := open("2001:db8:1:2::1")
	open("2001:db8:1:2::2")
	open("2001:db8:1:2:ffff::3")
	refused("2001:db8:1:2::4")
	open("2001:db8:1:3::1")
	first.leave()
	waitUntil(t, func() bool { return s.Stats().Connections == 3 })
	open("2001:db8:1:2::4")
	refused("2001:db8:1:2::4")
	for range 5 {
		open("") // this machine
	}
	if n := s.Stats().Refused["address"]; n != 2 {
		t.Errorf("%d refused", n)
	}
}

func TestNewRoomsOfAnAddress(t *testing.T) {
	s := newStage(t, proxied)
	for i := 0; ; i++ { // one a second more on a slow machine
		c := s.connectFrom(t, fmt.Sprintf("live/r%d/chat", i), "192.0.2.1")
		c.send(`{"type":"join","id":"j"}`)
		e := c.until(func(e event) bool { return e.ID == "j" })
		if e.Type == "welcome" && i < 10*newRooms {
			continue
		}
		if i < newRooms || e.Code != "rate" || e.RetryAfter == 0 {
			t.Errorf("%d: %s", i, e.raw)
		}
		break
	}
	c := s.connectFrom(t, "live/r1/chat", "192.0.2.1") // it is there already
	c.send(`{"type":"join"}`)
	c.next("welcome")
	c = s.connectFrom(t, "live/r99/chat", "192.0.2.2")
	c.send(`{"type":"join"}`)
	c.next("welcome")
}

// TestACacheIsNobodysAddress: an edge that asks for all who read through it
// may begin any number of rooms.
func TestACacheIsNobodysAddress(t *testing.T) {
	s := newStage(t, func(c *Config) { c.Proxies, c.AddressConnections = trusted("192.0.2.10"), 1 })
	ask := func(from string, room int) int {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", fmt.Sprintf("/live/r%d/chat/index.json", room), nil)
		r.RemoteAddr = from + ":1234"
		s.ServeHTTP(w, r)
		return w.Code
	}
	for i := range 2 * newRooms {
		if code := ask("192.0.2.10", i); code != http.StatusOK {
			t.Errorf("%d for room %d", code, i)
		}
	}
	n := 0
	for ask("192.0.2.11", 1000+n) == http.StatusOK && n < 5*newRooms {
		n++
	}
	if n < newRooms || n == 5*newRooms {
		t.Errorf("an edge that is not known may begin %d rooms", n)
	}
}

func TestAddressesAreForgotten(t *testing.T) {
	l := addresses{most: 1, all: map[netip.Prefix]*address{}}
	now := time.Now()
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	l.enter(a, now)
	l.enter(b, now)
	l.leave(b, now)
	l.forget(now.Add(2 * addressKept))
	if len(l.all) != 1 || l.enter(a, now) {
		t.Errorf("%v", l.all)
	}
}

func TestBucket(t *testing.T) {
	var b bucket
	now := time.Now()
	for i := range 5 {
		if wait := b.take(now, 1, 2, 5); wait != 0 {
			t.Errorf("%d: %v", i, wait)
		}
	}
	if wait := b.take(now, 1, 2, 5); wait != 500*time.Millisecond {
		t.Error(wait)
	}
	if wait := b.take(now.Add(500*time.Millisecond), 1, 2, 5); wait != 0 {
		t.Error(wait)
	}
	if wait := b.take(now.Add(time.Hour), 5, 2, 5); wait != 0 {
		t.Error(wait)
	}
	if wait := b.take(now, 1, 2, 5); wait == 0 { // a clock that went back gives nothing
		t.Error("taken")
	}
}
