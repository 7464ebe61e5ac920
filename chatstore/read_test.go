package chatstore

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestHistoryIsWholeAtEveryMoment: while batches are written, a reader finds
// every event once, in order, up to the last that was appended before it
// asked, and none that was deleted before it asked.
func TestHistoryIsWholeAtEveryMoment(t *testing.T) {
	onBoth(t, func(t *testing.T, c Config) {
		s := start(t, c, often, func(t *tuning) { t.pace, t.batch = time.Millisecond, 7 })
		var appended, deleted atomic.Int64
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				for ctx.Err() == nil {
					checkWhole(t, s, &appended, &deleted)
				}
			})
		}
		pace := time.NewTicker(200 * time.Microsecond)
		defer pace.Stop()
		for i := 1; ctx.Err() == nil; i++ {
			s.Append(message(s, "live/x", i), nil)
			appended.Store(int64(i))
			if i%10 == 0 {
				s.DeleteMessage("live/x", fmt.Sprint("m", i), nil)
				deleted.Store(int64(i))
			}
			<-pace.C
		}
		readers.Wait()
		t.Logf("%d events, %d commits", appended.Load(), s.Stats().Commits)
	})
}

func checkWhole(t *testing.T, s *Store, appended, deleted *atomic.Int64) {
	last, gone := uint64(appended.Load()), uint64(deleted.Load())
	events, err := s.History(t.Context(), "live/x", 100)
	if err != nil {
		t.Error(err)
		return
	}
	for i, e := range events {
		if e.Offset%10 == 0 && e.Offset <= gone {
			t.Errorf("%d is deleted", e.Offset)
		}
		if i == 0 {
			continue
		}
		before := events[i-1].Offset
		if e.Offset != before+1 && !(e.Offset == before+2 && e.Offset%10 == 1) {
			t.Errorf("%d after %d", e.Offset, before)
		}
	}
	if n := len(events); last > 0 && (n == 0 || events[n-1].Offset < last && !(last%10 == 0 && events[n-1].Offset == last-1)) {
		t.Errorf("it does not hold %d", last)
	}
	if last > 200 && len(events) < 80 { // what was deleted is not made up for until the commit
		t.Errorf("%d events", len(events))
	}
}

// TestIndexesAreUsed: a busy room has 200,000 rows, and deleting one message
// must not walk through them.
func TestIndexesAreUsed(t *testing.T) {
	s := start(t, sqliteConfig(t))
	for query, index := range map[string]string{deleteMessageSQL: "chat_events_id", deleteBySQL: "chat_events_user", unsweptSQL: "chat_rooms_unswept"} {
		rows, err := s.db.reader.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, "", "", "", 1)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var plan string
		for rows.Next() {
			var id, parent, unused int
			var step string
			if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
				t.Fatal(err)
			}
			plan += step + "; "
		}
		if err := rows.Err(); err != nil || !strings.Contains(plan, " INDEX "+index) {
			t.Errorf("%s: %s, %v", query, plan, err)
		}
	}
}

// TestAnswersAreBounded: in rows and in bytes.
func TestAnswersAreBounded(t *testing.T) {
	onBoth(t, func(t *testing.T, c Config) {
		s := start(t, c)
		for i := range MaxHistory + 10 {
			e := message(s, "live/small", i)
			s.Append(e, nil)
			e.Room = "live/large"
			if i < 150 {
				e.Body = make([]byte, MaxBody)
			}
			if i < 200 {
				s.Append(e, nil)
			}
		}
		must(t, func(done func(error)) { s.Clear("live/none", done) })
		if got := history(t, s, "live/small", 1<<30); len(got) != MaxHistory {
			t.Errorf("%d events", len(got))
		}
		if sent, err := s.Sent(t.Context(), "live/small", 1<<30); len(sent) != MaxHistory || err != nil {
			t.Errorf("%d, %v", len(sent), err)
		}
		if got := history(t, s, "live/large", 1<<30); len(got) < 150 || len(got) > 50+maxAnswer/MaxBody || got[len(got)-1] != "m199" {
			t.Errorf("%d large events", len(got))
		}
		if got := exported(t, s, Selection{Room: "live/large"}); len(got) != 200 {
			t.Errorf("%d exported", len(got))
		}
		if n, err := s.AuditLog(t.Context(), "", -1); n != nil || err != nil {
			t.Errorf("%v, %v", n, err)
		}
	})
}
