package chatws

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestMediaTimeIsWhatTheSenderSaw(t *testing.T) {
	s := newStage(t, func(c *Config) { c.MaxDelay = 10 * time.Second })
	k := "live/x"
	s.streams.put(k, Clock{Broadcast: 5, Media: 60 * time.Second, Anchor: testAnchor})
	a, w := s.join(t, k, "a")
	if want := (Mapping{Broadcast: 5, Media: 60000, Wall: testAnchor.UnixMilli() + 60000}); !w.Live || *w.MediaTime != 60000 || *w.Mapping != want || w.Broadcast != 5 || w.Limits.Delay != 10000 {
		t.Errorf("%s", w.raw)
	}
	for _, c := range []struct {
		shown string
		want  int64
	}{
		{``, 60000},
		{`,"mediaTime":58000`, 58000},
		{`,"mediaTime":60000`, 60000},
		{`,"mediaTime":61000`, 60000},
		{`,"mediaTime":50000`, 50000},
		{`,"mediaTime":49999`, 50000},
		{`,"mediaTime":-5`, 50000},
		{`,"mediaTime":9223372036854775807`, 60000},
		{`,"mediaTime":-9223372036854775808`, 50000},
	} {
		a.send(`{"type":"say","text":"x"` + c.shown + `}`)
		if e := a.next("message"); e.MediaTime == nil || *e.MediaTime != c.want {
			t.Errorf("%s: %s", c.shown, e.raw)
		}
	}
	s.streams.put(k, Clock{Broadcast: 5, Media: 3 * time.Second, Anchor: testAnchor})
	a.send(`{"type":"say","text":"x","mediaTime":-100}`)
	if e := a.next("message"); *e.MediaTime != 0 {
		t.Errorf("%s", e.raw)
	}
	s.streams.put(k, Clock{})
	a.send(`{"type":"say","text":"x","mediaTime":3000}`)
	if e := a.next("message"); e.MediaTime != nil {
		t.Errorf("%s", e.raw)
	}
}

// TestNumberedEventsHaveMediaTime: what a host does has its place beside the
// pictures, too.
func TestNumberedEventsHaveMediaTime(t *testing.T) {
	s := newStage(t)
	k := "live/x"
	s.streams.put(k, Clock{Broadcast: 5, Media: 60 * time.Second, Anchor: testAnchor})
	host := s.as(t, k, "host:h")
	host.send(`{"type":"say","text":"x"}`)
	id := host.next("message").ID
	for _, c := range []struct{ command, event string }{
		{`{"type":"pin","message":"` + id + `"}`, "pinned"},
		{`{"type":"unpin","message":"` + id + `"}`, "pinned"},
		{`{"type":"set","slow":1000}`, "settings"},
		{`{"type":"announce","text":"y"}`, "announcement"},
		{`{"type":"delete","message":"` + id + `"}`, "deleted"},
		{`{"type":"delete","user":"h"}`, "deleted"},
		{`{"type":"clear"}`, "cleared"},
	} {
		host.send(c.command)
		if e := host.next(c.event); !strings.Contains(e.raw, `,"mediaTime":60000`) {
			t.Errorf("%s: %s", c.command, e.raw)
		}
	}
	s.streams.put(k, Clock{})
	s.StreamChanged(mustKey(t, k))
	if e := host.next("ended"); e.MediaTime == nil || *e.MediaTime != 60000 {
		t.Errorf("%s", e.raw)
	}
}

func TestBroadcasts(t *testing.T) {
	store := newKeepingStore()
	s := newStageWith(t, store)
	k := "live/x"
	a, w := s.join(t, k, "a")
	if w.Live || w.Broadcast != 0 || w.Mapping != nil {
		t.Errorf("%s", w.raw)
	}
	for _, broadcast := range []int64{5, 6} {
		s.streams.put(k, Clock{Broadcast: broadcast, Media: time.Second, Anchor: testAnchor})
		s.StreamChanged(mustKey(t, k))
		if broadcast == 6 { // nobody noticed the end of the one before
			if e := a.next("ended"); e.Broadcast != 5 {
				t.Errorf("%s", e.raw)
			}
		}
		if e := a.next("live"); e.Broadcast != broadcast || *e.MediaTime != 1000 || e.Mapping.Broadcast != broadcast {
			t.Errorf("%s", e.raw)
		}
		a.ok(fmt.Sprintf(`{"type":"react","id":"%d","emoji":"👍"}`, broadcast))
		if e := a.next("reactions"); e.Totals["👍"] != 1 {
			t.Errorf("%s", e.raw)
		}
	}
	store.mu.Lock()
	defer store.mu.Unlock()
	kept := ""
	for _, e := range store.events {
		kept += fmt.Sprint(" ", e.Type, e.Broadcast)
	}
	if kept != " live5 ended5 live6" {
		t.Errorf("kept as%s", kept)
	}
}

func TestMappingFollowsTheClock(t *testing.T) {
	inside(t, nil, nil, func(t *testing.T, b *bubble) {
		clock := Clock{Broadcast: 5, Media: time.Second, Anchor: testAnchor}
		b.streams.put("live/x", clock)
		a := b.join("live/x", `"name":"a"`)
		a.take()
		told := func(move time.Duration) (told []event) {
			clock.Anchor = clock.Anchor.Add(move)
			clock.Media += 5 * time.Second
			b.streams.put("live/x", clock)
			pass(5 * time.Second)
			for _, e := range a.take() {
				if e.Type == "mapping" {
					told = append(told, e)
				}
			}
			return told
		}
		if got := told(0); len(got) != 0 {
			t.Errorf("%+v", got)
		}
		if got := told(4 * time.Millisecond); len(got) != 0 {
			t.Errorf("%+v", got)
		}
		if got := told(7 * time.Millisecond); len(got) != 1 || got[0].Media != clock.Media.Milliseconds() || got[0].Wall != clock.Anchor.Add(clock.Media).UnixMilli() || got[0].Broadcast != 5 {
			t.Errorf("%+v", got)
		}
		if got := told(-3 * time.Second); len(got) != 1 {
			t.Errorf("%+v", got)
		}
	})
}
