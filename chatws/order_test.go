package chatws

import (
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miju-live/miju/streamkey"
)

// TestLiveStateIsRightAtLast has many change and report a stream at once:
// members hear of changes only, and the last they hear is true.
func TestLiveStateIsRightAtLast(t *testing.T) {
	s := newStage(t)
	k := mustKey(t, "live/x")
	c, w := s.join(t, "live/x", "a")
	told := w.Live
	for round := range 20 {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for j := range 10 {
					s.streams.set("live/x", (i+j)%2 == 0)
					s.StreamChanged(k)
				}
			})
		}
		wg.Wait()
		_, live := s.streams.Live(k)
		c.send(`{"type":"say","text":"now"}`)
		for done := false; !done; {
			switch e := <-c.events; e.Type {
			case "live", "ended":
				if (e.Type == "live") == told {
					t.Fatalf("told %v twice", told)
				}
				told = e.Type == "live"
			case "message":
				done = true
			}
		}
		if told != live {
			t.Fatalf("round %d: told %v, it is %v", round, told, live)
		}
	}
}

// TestSequenceHasNoGap has members come, speak and go at once.
func TestSequenceHasNoGap(t *testing.T) {
	s := newStage(t)
	c, w := s.join(t, "live/x", "witness")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				other, _ := s.join(t, "live/x", "other")
				other.send(`{"type":"say","text":"hi"}`)
				if e := other.next("message"); e.Text == "" {
					t.Error(e)
				}
				other.conn.WriteClose(1000, nil)
			}
		})
	}
	wg.Wait()
	waitUntil(t, func() bool { return s.Rooms()[0].Online == 1 })
	c.send(`{"type":"say","text":"end"}`)
	for last, ids := w.Offset, map[string]bool{}; ; {
		e := <-c.events
		if e.Offset == 0 {
			continue
		}
		if e.Offset != last+1 {
			t.Fatalf("event %d follows %d", e.Offset, last)
		}
		last = e.Offset
		if ids[e.ID] || e.ID == "" {
			t.Fatalf("the name %q again", e.ID)
		}
		if ids[e.ID] = true; e.Text == "end" {
			break
		}
	}
}

// TestAMessageLargerThanTheQueue ends nobody who has nothing else waiting.
func TestAMessageLargerThanTheQueue(t *testing.T) {
	s := newStage(t, func(c *Config) { c.QueueKiB, c.MaxText, c.MaxFrameKiB = 4, 10000, 64 })
	a, _ := s.join(t, "live/x", "a")
	text := strings.Repeat("x", 9000)
	a.send(`{"type":"say","text":"` + text + `"}`)
	if e := a.next("message"); e.Text != text {
		t.Errorf("%.20q", e.Text)
	}
}

// TestOneWhoComesAndGoesFloodsNobody counts what a witness hears of it.
func TestOneWhoComesAndGoesFloodsNobody(t *testing.T) {
	s := newStage(t)
	c, _ := s.join(t, "live/x", "witness")
	begun := time.Now()
	for range 100 {
		other, _ := s.join(t, "live/x", "other")
		other.conn.WriteClose(1000, nil)
	}
	waitUntil(t, func() bool { return s.Rooms()[0].Online == 1 })
	c.send(`{"type":"say","text":"end"}`)
	notices := 0
	for e := range c.events {
		if e.Type == "message" {
			break
		}
		if e.Type == "joined" || e.Type == "left" {
			notices++
		}
	}
	if most := noticesPerSecond * (2 + int(time.Since(begun).Seconds())); notices > most {
		t.Errorf("%d notices, want at most %d", notices, most)
	}
}

// brokenStreams fails in our own code.
type brokenStreams struct{ liveSet }

func (b *brokenStreams) Live(k streamkey.Key) (Clock, bool) {
	if k.Name() == "broken" {
		panic("broken")
	}
	return b.liveSet.Live(k)
}

func TestOurOwnMistakeEndsOneConnection(t *testing.T) {
	s := newServer(t, DefaultConfig(), authorizer{}, &brokenStreams{}, NewMemoryStore())
	h := httptest.NewServer(s)
	defer h.Close()
	defer s.Shutdown(t.Context())
	stage := &stage{Server: s, url: h.URL}
	well, _ := stage.join(t, "live/x", "a")
	bad := stage.connect(t, "live/broken/chat")
	bad.send(`{"type":"join"}`)
	if code := bad.closeCode(); code != CloseCode(CloseInternal) {
		t.Errorf("closed with %d", code)
	}
	well.send(`{"type":"ping"}`)
	well.next("pong")
}
