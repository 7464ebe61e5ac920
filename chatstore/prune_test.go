package chatstore

import (
	"fmt"
	"testing"
	"time"
)

// often prunes without a pause, a few rows at a time.
func often(t *tuning) {
	t.pruneEvery, t.pruneRows = 10*time.Millisecond, 7
}

func TestOldIsDeleted(t *testing.T) {
	onBoth(t, func(t *testing.T, c Config) {
		c.Keep, c.AuditKeep = 24*time.Hour, 48*time.Hour
		s := start(t, c)
		now := time.Now()
		for i := range 100 { // from 99 hours ago on, the room's clock having gone wrong now and then
			e := message(s, "live/x", i)
			e.At = now.Add(-time.Duration(i^1)*time.Hour - time.Minute)
			s.Append(e, nil)
			s.Audit(AuditEntry{At: e.At, Room: "live/x"}, nil)
		}
		stop(t, s)
		s = start(t, c, often)
		waitUntil(t, "what is old is deleted", func() bool { return rows(t, s, "chat_events") == 24 && rows(t, s, "chat_audit") == 48 })
		events, err := s.History(t.Context(), "live/x", 100)
		if err != nil || len(events) != 24 {
			t.Fatal(len(events), err)
		}
		for _, e := range events {
			if now.Sub(e.At) > 24*time.Hour {
				t.Errorf("%v is kept", e.At)
			}
		}
	})
}

func TestRoomsAreBounded(t *testing.T) {
	onBoth(t, func(t *testing.T, c Config) {
		c.MaxPerRoom = 100
		s := start(t, c, often)
		for i := 1; i <= 1000; i++ {
			s.Append(message(s, "live/x", i), nil)
			if i <= 90 {
				s.Append(message(s, "live/y", i), nil)
			}
		}
		count := func(room string) (n int) {
			if err := s.db.reader.QueryRowContext(t.Context(), `SELECT count(*) FROM chat_events WHERE room = $1`, room).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		waitUntil(t, "the room is cut", func() bool { return s.Stats().Waiting == 0 && count("live/x") <= 105 })
		got := history(t, s, "live/x", 200)
		if n := len(got); n < 100 || got[n-1] != "m1000" || got[n-100] != "m901" {
			t.Errorf("%v", got)
		}
		if n := count("live/y"); n != 90 {
			t.Errorf("the small room has %d", n)
		}
	})
}

// TestRestartsDoNotLetARoomGrow: the growth that a process knows of ends with it.
func TestRestartsDoNotLetARoomGrow(t *testing.T) {
	c := sqliteConfig(t)
	c.MaxPerRoom = 100
	for range 40 {
		s := start(t, c, often)
		for i := range 4 { // under the step of 5 from which on a room is counted
			s.Append(message(s, "live/x", i), nil)
		}
		s.Append(message(s, "live/y", 0), nil)
		waitUntil(t, "it is pruned", func() bool { return s.Stats().Waiting == 0 })
		stop(t, s)
	}
	s := start(t, c, often)
	waitUntil(t, "the room is cut", func() bool {
		must(t, func(done func(error)) { s.Append(message(s, "live/x", rows(t, s, "chat_events")+100), done) })
		return rows(t, s, "chat_events") <= 40+105
	})
}

// TestGrowthIsBounded: a worker does not remember every room there ever was.
func TestGrowthIsBounded(t *testing.T) {
	w := &worker{store: &Store{config: Config{MaxPerRoom: 1000}}, grown: map[string]int{}}
	for i := range maxGrown * 2 {
		w.count(fmt.Sprint("live/", i))
	}
	if len(w.grown) > maxGrown || len(w.grown) == 0 {
		t.Errorf("%d rooms", len(w.grown))
	}
}
