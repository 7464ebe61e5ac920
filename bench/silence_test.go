package bench

import (
	"fmt"
	"testing"
	"time"
)

// looks are looks at one viewer: when, whether something had come, and how late
// the look was.
type looks []struct {
	at   time.Duration
	came bool
	late time.Duration
}

func TestSilence(t *testing.T) {
	ms := time.Millisecond
	for _, c := range []struct {
		name    string
		looks   looks
		stalls  int64
		longest time.Duration
	}{
		{"steady", looks{{100 * ms, true, 0}, {200 * ms, true, 0}, {600 * ms, true, 0}}, 0, 400 * ms},
		{"one stall, seen while it lasts", looks{{400 * ms, false, 0}, {600 * ms, false, 0}, {900 * ms, false, 0}, {1000 * ms, true, 0}, {1100 * ms, true, 0}}, 1, time.Second},
		{"two stalls", looks{{600 * ms, true, 0}, {1200 * ms, true, 0}}, 2, 600 * ms},
		{"nobody looked", looks{{100 * ms, true, 0}, {800 * ms, true, 600 * ms}}, 0, 100 * ms},
		{"nobody looked in a silence", looks{{100 * ms, true, 0}, {800 * ms, false, 600 * ms}, {1100 * ms, true, 0}}, 0, 400 * ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			var all silences
			all.begin()
			began := time.Now()
			v := silence{last: began}
			for _, l := range c.looks {
				v.look(&all, began.Add(l.at), l.came, l.late)
			}
			if all.stalls.Load() != c.stalls || all.viewers.Load() != min(c.stalls, 1) || time.Duration(all.longest.Load()) != c.longest {
				t.Errorf("%d stalls of %d viewers, the longest %v", all.stalls.Load(), all.viewers.Load(), time.Duration(all.longest.Load()))
			}
			all.begin()
			if all.stalls.Load()+all.viewers.Load()+all.longest.Load() != 0 {
				t.Error("a new window knows the old one")
			}
		})
	}
}

func TestSpread(t *testing.T) {
	s := newSpread()
	began := time.Now()
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	s.join()
	s.arrived([]byte("alone"), at(0))
	s.join()
	s.join()
	for i, ms := range []int{0, 4, 9} {
		s.arrived([]byte("first"), at(ms))
		s.arrived([]byte("second"), at(30+2*i))
	}
	if q := s.took.quantiles(); q.N != 2 || q.Max != 9 || q.P50 > 4.1 {
		t.Errorf("%+v", q)
	}
	// The same picture again, as a clip in a loop has it, and one that comes to
	// two of three only.
	s.arrived([]byte("lost"), at(90))
	s.arrived([]byte("lost"), at(90))
	for range 3 {
		s.arrived([]byte("first"), at(100))
	}
	s.leave()
	if q := s.took.quantiles(); q.N != 3 {
		t.Errorf("%+v", q)
	}
	for i := range 3 * maxPending {
		s.arrived(fmt.Append(nil, "never whole", i), at(200))
	}
	if len(s.pending) > maxPending || len(s.order) > maxPending {
		t.Errorf("%d are pending in an order of %d", len(s.pending), len(s.order))
	}
	s.reset()
	if q := s.took.quantiles(); q.N != 0 || len(s.pending) != 0 {
		t.Errorf("%+v", q)
	}
}
