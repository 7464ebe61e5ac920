package bench

import (
	"sync/atomic"
	"time"
)

// stallAfter is how long a viewer gets nothing until that is a stall.
const stallAfter = 500 * time.Millisecond

// silences counts the stalls of all viewers.
type silences struct {
	stalls  atomic.Int64
	viewers atomic.Int64 // that had one in the window
	longest atomic.Int64 // in ns
	// window is the number of the window, so that a viewer knows whether it
	// has had a stall in this one.
	window atomic.Int64
}

// begin forgets what was before.
func (s *silences) begin() {
	s.window.Add(1)
	s.stalls.Store(0)
	s.viewers.Store(0)
	s.longest.Store(0)
}

// silence is that of one viewer.
type silence struct {
	last    time.Time // when something came
	stalled bool      // since then
	window  int64     // in which it stalled last, +1
}

// look takes note of a look at a viewer: whether something came, and how late
// the look itself was.
func (v *silence) look(all *silences, now time.Time, came bool, late time.Duration) {
	silent := now.Sub(v.last) - late
	window := all.window.Load()
	raise(&all.longest, int64(silent))
	if silent > stallAfter && !v.stalled {
		v.stalled = true
		all.stalls.Add(1)
		if v.window != window+1 {
			v.window = window + 1
			all.viewers.Add(1)
		}
	}
	if came {
		v.last, v.stalled = now, false
	} else if late > 0 {
		v.last = v.last.Add(late) // nobody was looking: it is not known
	}
}
