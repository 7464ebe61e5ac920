package bench

import (
	"sync"
	"time"
)

// buffer is what a player has to show, in media time, and where it is in that:
// a player that shows one second a second, waits when it has nothing, and never
// hurries.
type buffer struct {
	mu sync.Mutex
	// ends are up to where each rendition is there, from where the player
	// begins to show: less than 0 while it has only what it does not show.
	ends []time.Duration
	// zero is the date of what is shown first, if it is known.
	zero time.Time
	// began is when the first thing was shown, zero before; waited is how long
	// the player has stood still since.
	began  time.Time
	waited time.Duration
	dry    bool
	// over is that nothing more comes: to have nothing to show is no stall.
	over bool

	stalls  int
	stalled time.Duration
}

func newBuffer(renditions int) *buffer { return &buffer{ends: make([]time.Duration, renditions)} }

// start takes note of where a rendition begins: at a date, zero if it is
// unknown, and so long before what the player is to show. All show the same
// date as the first of them.
func (b *buffer) start(rendition int, at time.Time, lead time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case at.IsZero():
	case b.zero.IsZero():
		b.zero = at.Add(lead)
	default:
		lead = b.zero.Sub(at)
	}
	b.ends[rendition] = -lead
}

// finish says that nothing more comes.
func (b *buffer) finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(time.Now())
	b.over = true
}

// add takes a piece that a rendition has brought. ahead is how much there is to
// show then of all of it, and playing whether it is being shown.
func (b *buffer) add(rendition int, d time.Duration, now time.Time) (ahead time.Duration, playing bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(now)
	b.ends[rendition] += d
	if b.began.IsZero() {
		if b.end() <= 0 {
			return 0, false
		}
		b.began = now
	}
	b.dry = b.dry && b.shown(now) >= b.end()
	return b.ends[rendition] - b.shown(now), true
}

// look takes note of how things are without a new piece.
func (b *buffer) look(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(now)
}

// take returns the stalls since the last call.
func (b *buffer) take(now time.Time) (stalls int, stalled time.Duration) {
	b.look(now)
	b.mu.Lock()
	defer b.mu.Unlock()
	stalls, stalled = b.stalls, b.stalled
	b.stalls, b.stalled = 0, 0
	return stalls, stalled
}

// end is up to where everything is there.
func (b *buffer) end() time.Duration {
	end := b.ends[0]
	for _, e := range b.ends[1:] {
		end = min(end, e)
	}
	return end
}

func (b *buffer) shown(now time.Time) time.Duration { return now.Sub(b.began) - b.waited }

// advance plays up to now.
func (b *buffer) advance(now time.Time) {
	if b.began.IsZero() || b.over {
		return
	}
	over := b.shown(now) - b.end()
	if over <= 0 {
		return
	}
	b.waited += over
	b.stalled += over
	if !b.dry {
		b.dry = true
		b.stalls++
	}
}
