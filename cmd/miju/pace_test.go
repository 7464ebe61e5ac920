package main

import (
	"runtime"
	"runtime/metrics"
	"testing"
	"time"
)

func TestPaceFollowsTheLoad(t *testing.T) {
	ms := time.Millisecond
	many := func(n int, l load) (all []load) {
		for range n {
			all = append(all, l)
		}
		return all
	}
	for _, c := range []struct {
		name  string
		loads []load
		want  time.Duration
	}{
		{"it has room", many(20, load{0.2, ms}), 0},
		{"it is half full", many(20, load{0.5, ms}), 0},
		{"it is busy for a moment", []load{{0.7, ms}, {0.5, ms}, {0.9, ms}}, 0},
		{"it is busy", many(2, load{0.7, ms}), 50 * ms},
		{"it is busy and stays so", many(19, load{0.7, ms}), 200 * ms},
		{"others take the processors", many(4, load{0.1, 40 * ms}), 100 * ms},
		{"thousands wait for each other", many(20, load{0.4, 25 * ms}), 0},
		{"it was busy and is half full", append(many(4, load{0.9, ms}), many(100, load{0.4, ms})...), 100 * ms},
		{"it was busy and has room for a while", append(many(4, load{0.9, ms}), many(5, load{0.2, ms})...), 50 * ms},
		{"it was busy and has room for long", append(many(9, load{0.9, ms}), many(40, load{0.2, ms})...), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p pacer
			var got time.Duration
			for _, l := range c.loads {
				got = p.next(l)
			}
			if got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

// Whatever the number of viewers, the pace comes to rest: what a step saves never
// lets it be taken back at once.
func TestPaceComesToRest(t *testing.T) {
	// What a gigabyte costs at each pace, by docs/performance.md.
	cost := map[time.Duration]float64{}
	for i, c := range []float64{0.92, 0.53, 0.47, 0.39} {
		cost[paces[i]] = c
	}
	for viewers := 0.0; viewers < 3; viewers += 0.01 { // in cores at the first pace, of one
		var p pacer
		pace, changes := time.Duration(0), 0
		for look := range 200 {
			next := p.next(load{share: min(1, viewers*cost[pace]/cost[0]), late: time.Millisecond})
			if look > 100 && next != pace {
				changes++
			}
			pace = next
		}
		if changes > 0 {
			t.Errorf("with a load of %.2f it changes %d times in 100 looks", viewers, changes)
		}
	}
}

func TestLoadIsMeasured(t *testing.T) {
	m := newLoadMeter()
	begun := cpuTime()
	for cpuTime() < begun+50*time.Millisecond {
		runtime.Gosched()
	}
	l := m.next()
	if l.share <= 0 || l.share > 1.5 {
		t.Errorf("share %v", l.share)
	}
	h := &metrics.Float64Histogram{Counts: []uint64{0, 1000, 0, 0}, Buckets: []float64{0, 0.001, 0.01, 0.1, 1}}
	m = &loadMeter{}
	if late := m.latest(h); late != time.Millisecond {
		t.Errorf("late %v", late)
	}
	h.Counts = []uint64{0, 1980, 20, 0}
	if late := m.latest(h); late != 10*time.Millisecond {
		t.Errorf("2 in 100 were later, and it says %v", late)
	}
	h.Counts = []uint64{0, 2980, 25, 0}
	if late := m.latest(h); late != time.Millisecond {
		t.Errorf("5 in 1000 were later, and it says %v", late)
	}
}
