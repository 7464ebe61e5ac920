package chatws

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
)

func TestEverybodyGetsEveryMessageOnceAndInOrder(t *testing.T) {
	s := newStage(t)
	const members, each = 50, 20
	clients := make([]*client, members)
	for i := range clients {
		clients[i], _ = s.join(t, "live/x", fmt.Sprintf("m%d", i))
	}
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			for n := range each {
				c.send(fmt.Sprintf(`{"type":"say","text":"%d/%d"}`, i, n))
			}
		})
	}
	wg.Wait()
	var first []string
	for i, c := range clients {
		var got []string
		last := uint64(0)
		nexts := map[string]int{}
		for range members * each {
			e := c.next("message")
			if e.Offset <= last {
				t.Fatalf("event %d after %d", e.Offset, last)
			}
			last = e.Offset
			var from, n int
			if _, err := fmt.Sscanf(e.Text, "%d/%d", &from, &n); err != nil || nexts[e.From.Name] != n || e.From.Name != fmt.Sprintf("m%d", from) {
				t.Fatalf("%q of %s, want number %d", e.Text, e.From.Name, nexts[e.From.Name])
			}
			nexts[e.From.Name]++
			got = append(got, e.Text)
		}
		if i == 0 {
			first = got
		} else if strings.Join(got, " ") != strings.Join(first, " ") {
			t.Fatalf("member %d got another order", i)
		}
	}
	if st := s.Stats(); st.Messages != members*each || st.Joined != members || st.Connections != members || st.Rooms != 1 {
		t.Errorf("%+v", st)
	}
}

func TestRoomsAreIsolated(t *testing.T) {
	s := newStage(t)
	a, _ := s.join(t, "live/a", "a")
	b, w := s.join(t, "live/b", "b")
	if w.Users != 1 {
		t.Errorf("%+v", w)
	}
	a.send(`{"type":"say","text":"for a"}`)
	a.next("message")
	b.send(`{"type":"say","text":"for b"}`)
	if e := b.next("message"); e.Text != "for b" || e.Offset != 1 {
		t.Errorf("%+v", e)
	}
	rooms := s.Rooms()
	if len(rooms) != 2 || rooms[0].Key.String() != "live/a" || rooms[0].Online != 1 {
		t.Errorf("%+v", rooms)
	}
}

func TestJoiningAndLeaving(t *testing.T) {
	s := newStage(t)
	a, w := s.join(t, "live/x", "  Ann ")
	if w.You.Name != "Ann" || w.Users != 1 || w.Version != ProtocolVersion || w.Live {
		t.Errorf("%+v", w)
	}
	b, w := s.join(t, "live/x", "")
	if !strings.HasPrefix(w.You.Name, "guest-") || w.Users != 2 {
		t.Errorf("%+v", w)
	}
	if e := a.next("joined"); e.User.Name != w.You.Name || e.Users != 2 {
		t.Errorf("%+v", e)
	}
	b.conn.WriteClose(1000, nil)
	if e := a.next("left"); e.User.ID != w.You.ID || e.Users != 1 {
		t.Errorf("%+v", e)
	}
	if _, w := s.join(t, "live/x?token=alice", "other"); w.You.Name != "Alice" {
		t.Errorf("%+v", w)
	}
}

func TestRoomsOutliveTheirLastMember(t *testing.T) {
	s := newStage(t)
	a, _ := s.join(t, "live/x", "a")
	a.ok(`{"type":"say","id":"1","text":"one"}`)
	a.leave()
	if _, w := s.join(t, "live/x", "b"); w.Offset != 1 || w.Replay != 1 {
		t.Errorf("%+v", w)
	}
	if _, err := s.Announce(mustKey(t, "live/nobody"), "hello"); !errors.Is(err, ErrNoRoom) {
		t.Error(err)
	}
}

func TestLiveStateIsTold(t *testing.T) {
	s := newStage(t)
	k := mustKey(t, "live/x")
	c, w := s.join(t, "live/x", "a")
	if w.Live || w.MediaTime != nil {
		t.Errorf("%+v", w)
	}
	for _, want := range []string{"live", "ended", "live"} {
		s.streams.set("live/x", want == "live")
		s.StreamChanged(k)
		s.StreamChanged(k) // no news
		if e := c.until(func(e event) bool { return e.Type == "live" || e.Type == "ended" }); e.Type != want || e.MediaTime == nil {
			t.Errorf("%+v, want %s", e, want)
		}
	}
	c.send(`{"type":"say","text":"now"}`)
	if e := c.next("message"); e.MediaTime == nil || *e.MediaTime != 1500 {
		t.Errorf("%+v", e)
	}
	if _, w := s.join(t, "live/x", "b"); !w.Live || *w.MediaTime != 1500 {
		t.Errorf("%+v", w)
	}
}

func TestAnnouncement(t *testing.T) {
	s := newStage(t)
	k := mustKey(t, "live/x")
	a, _ := s.join(t, "live/x", "a")
	b, _ := s.join(t, "live/x", "b")
	if n, err := s.Announce(k, " maintenance at noon "); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	for _, c := range []*client{a, b} {
		if e := c.next("announcement"); e.Text != "maintenance at noon" || e.From != nil {
			t.Errorf("%+v", e)
		}
	}
	if _, err := s.Announce(k, strings.Repeat("a", 501)); err == nil {
		t.Error("a text over the bound is announced")
	}
}

func TestBadCommandsAreAnswered(t *testing.T) {
	s := newStage(t)
	for _, c := range commandCases {
		if c.want == "" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			m, _ := s.join(t, "live/x", "a")
			m.send(c.in)
			if e := m.next("error"); e.Code != c.want || e.Message == "" || strings.HasPrefix(e.Message, c.want) {
				t.Errorf("%+v", e)
			}
			m.send(`{"type":"ping"}`) // and goes on
			m.next("pong")
		})
	}
}
