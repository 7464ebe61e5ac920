package chatstore

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
)

// BenchmarkAppend is a message of 300 bytes to one of 100 rooms, up to its
// commit, with as many in the air as 64 MiB hold at most.
func BenchmarkAppend(b *testing.B) {
	for name, config := range map[string]func(testing.TB) Config{"sqlite": sqliteConfig, "postgres": postgresConfig} {
		b.Run(name, func(b *testing.B) {
			s := start(b, config(b))
			body := make([]byte, 300)
			ahead := make(chan struct{}, 10_000)
			var failed atomic.Int64
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				e := message(s, rooms[i%len(rooms)], i)
				e.Body = body
				ahead <- struct{}{}
				s.Append(e, func(err error) {
					if err != nil {
						failed.Add(1)
					}
					<-ahead
				})
			}
			if err := committed(b, func(done func(error)) { s.Clear("live/none", done) }); err != nil || failed.Load() > 0 {
				b.Fatal(err, failed.Load())
			}
			b.ReportMetric(float64(i)/b.Elapsed().Seconds(), "appends/s")
		})
	}
}

var rooms = func() (names []string) {
	for i := range 100 {
		names = append(names, fmt.Sprintf("live/room%d", i))
	}
	return names
}()

// BenchmarkQuiet is how long a message waits for its commit in a room where
// nobody else speaks.
func BenchmarkQuiet(b *testing.B) {
	for name, config := range map[string]func(testing.TB) Config{"sqlite": sqliteConfig, "postgres": postgresConfig} {
		b.Run(name, func(b *testing.B) {
			s := start(b, config(b), func(t *tuning) { t.pace = 0 })
			i := 0
			for b.Loop() {
				i++
				must(b, func(done func(error)) { s.Append(message(s, "live/x", i), done) })
			}
		})
	}
}

// BenchmarkHistory is the newest 50 of a room with 10,000.
func BenchmarkHistory(b *testing.B) {
	for name, config := range map[string]func(testing.TB) Config{"sqlite": sqliteConfig, "postgres": postgresConfig} {
		b.Run(name, func(b *testing.B) {
			s := start(b, config(b))
			for i := range 10_000 {
				s.Append(message(s, "live/x", i), nil)
			}
			must(b, func(done func(error)) { s.Clear("live/none", done) })
			if _, err := s.db.writer.ExecContext(b.Context(), `ANALYZE`); err != nil { // as PostgreSQL does by itself within a minute
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if events, err := s.History(b.Context(), "live/x", 50); err != nil || len(events) != 50 {
					b.Fatal(len(events), err)
				}
			}
		})
	}
}

// BenchmarkRoom is the memory that a room with messages costs once they are
// written.
func BenchmarkRoom(b *testing.B) {
	s := start(b, sqliteConfig(b))
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, n := heap(), 0
	for b.Loop() {
		n++
		e := message(s, fmt.Sprintf("live/room%d", n), 1)
		if n%1000 == 0 {
			must(b, func(done func(error)) { s.Append(e, done) })
		} else {
			s.Append(e, nil)
		}
	}
	must(b, func(done func(error)) { s.Clear("live/none", done) })
	after := heap()
	b.ReportMetric(float64(after-min(after, before))/float64(n), "B/room")
}
