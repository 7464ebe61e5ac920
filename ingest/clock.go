package ingest

import (
	"time"

	"github.com/miju-live/miju/media"
)

const (
	// window is for how long the earliest frame tells where the encoder's
	// clock is; up to twice as long, since it is renewed in halves. Networks
	// deliver some frame in that time without delay.
	window = 10 * time.Second
	// slew bounds how fast an anchor moves: by a thousandth of the time.
	slew = 1000
	// anchorStep is by how much an anchor has to move for a new track set.
	anchorStep = time.Millisecond
)

// least is the smallest value of the last window, at least, of time.
type least struct {
	known         bool
	value, recent time.Duration // of both halves, of the one that runs
	since         time.Time     // when that began
}

// add takes a value of a moment.
func (m *least) add(v time.Duration, at time.Time) {
	switch {
	case !m.known:
		m.known, m.value, m.recent, m.since = true, v, v, at
	case at.Sub(m.since) >= window:
		m.value, m.recent, m.since = min(m.recent, v), v, at
	default:
		m.value, m.recent = min(m.value, v), min(m.recent, v)
	}
}

// clock follows an encoder's clock by the frames that came with the least
// delay, and slews the stream's anchor after it.
type clock struct {
	// start is the wall-clock time of stream time zero as it was at first;
	// what follows is relative to it.
	start time.Time
	// delay is how late frames come at least.
	delay least
	// moved is how far the anchor is from start, told what its sets know.
	moved, told time.Duration
	seen        time.Time
}

// late returns by how much a frame comes after the time of its DTS.
func (c *clock) late(dts time.Duration, arrival time.Time) time.Duration {
	return arrival.Sub(c.start) - dts
}

// observe takes the DTS of a frame in stream time, and reports whether the
// anchor has moved enough to be told.
func (c *clock) observe(dts time.Duration, arrival time.Time) bool {
	c.delay.add(c.late(dts, arrival), arrival)
	most := max(0, arrival.Sub(c.seen)) / slew
	c.seen = arrival
	c.moved += min(max(c.delay.value-c.moved, -most), most)
	if (c.moved - c.told).Abs() < anchorStep {
		return false
	}
	c.told = c.moved
	return true
}

func (c *clock) anchor() media.Anchor { return media.Anchor{Wall: c.start.Add(c.told)} }
