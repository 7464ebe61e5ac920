package main

import (
	"context"
	"runtime"
	"runtime/metrics"
	"time"

	"github.com/miju-live/miju/stream"
)

// paces are how often viewers are written to by --flv-batch auto and --rtmp-batch
// auto, from a machine that has room to one that is busy. What each costs
// is in docs/performance.md.
var paces = [...]time.Duration{0, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond}

const (
	// paceLook is how often the load is looked at.
	paceLook = time.Second
	// busyShare of the processors used by this process, or goroutines that wait
	// longer than lateRun for one, is busy: the next pace is slower if it stays so,
	// which it does not when a crowd has come in. Thousands of viewers of one picture
	// wait for each other too, which is well if all have it before the next.
	busyShare = 0.6
	lateRun   = 30 * time.Millisecond
	busyLooks = 2
	// A step back makes a write cost twice as much at most. So it is taken when
	// that leaves room, and calmLooks in a row say so.
	calmShare = busyShare * 0.4
	calmRun   = lateRun / 6
	calmLooks = 4
)

// load is what a look at the machine saw.
type load struct {
	// share of the processors that this process used, 0 to 1.
	share float64
	// late is how long one goroutine in a hundred waited for a processor, which
	// other processes may have.
	late time.Duration
}

// pacer chooses the pace by the load.
type pacer struct {
	step       int
	busy, calm int // looks in a row
}

func (p *pacer) next(l load) time.Duration {
	switch {
	case l.share > busyShare || l.late > lateRun:
		p.calm = 0
		if p.busy++; p.busy >= busyLooks {
			p.step, p.busy = min(p.step+1, len(paces)-1), 0
		}
	case l.share > calmShare || l.late > calmRun:
		p.busy, p.calm = 0, 0
	default:
		p.busy = 0
		if p.calm++; p.calm >= calmLooks {
			p.step, p.calm = max(p.step-1, 0), 0
		}
	}
	return paces[p.step]
}

// keepPace sets the hub's pace, and how much garbage may gather, until ctx ends.
func keepPace(ctx context.Context, hub *stream.Hub) {
	var p pacer
	var h headroom
	look := newLoadMeter()
	tick := time.NewTicker(paceLook)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l := look.next()
			hub.SetPace(p.next(l))
			h.set(l)
		case <-ctx.Done():
			return
		}
	}
}

// loadMeter measures the load between two looks.
type loadMeter struct {
	at     time.Time
	cpu    time.Duration
	sample []metrics.Sample
	before []uint64
}

func newLoadMeter() *loadMeter {
	m := &loadMeter{sample: []metrics.Sample{{Name: "/sched/latencies:seconds"}}}
	m.next()
	return m
}

func (m *loadMeter) next() (l load) {
	now, cpu := time.Now(), cpuTime()
	if passed := now.Sub(m.at); passed > 0 {
		l.share = float64(cpu-m.cpu) / float64(passed) / float64(runtime.GOMAXPROCS(0))
	}
	m.at, m.cpu = now, cpu
	metrics.Read(m.sample)
	if m.sample[0].Value.Kind() == metrics.KindFloat64Histogram {
		l.late = m.latest(m.sample[0].Value.Float64Histogram())
	}
	return l
}

// latest returns the 99th percentile of what came since the last call.
func (m *loadMeter) latest(h *metrics.Float64Histogram) time.Duration {
	if len(m.before) != len(h.Counts) {
		m.before = make([]uint64, len(h.Counts))
	}
	total := uint64(0)
	for i, n := range h.Counts {
		total += n - m.before[i]
	}
	above, late := total/100, time.Duration(0)
	for i := len(h.Counts) - 1; i >= 0; i-- {
		n := h.Counts[i] - m.before[i]
		if n > above {
			late = time.Duration(max(h.Buckets[i], 0) * float64(time.Second))
			break
		}
		above -= n
	}
	copy(m.before, h.Counts)
	return late
}
