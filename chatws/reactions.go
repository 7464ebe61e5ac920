package chatws

import (
	"time"
)

// sumsEvery is how often a room tells the sums of reactions.
const sumsEvery = 200 * time.Millisecond

const (
	// reactRate and reactBurst are how many commands with reactions a member
	// may send, a second and at once.
	reactRate  = 10
	reactBurst = 20
)

// reactionSums are what was not told yet.
type reactionSums struct {
	added map[string]uint64
	timer *time.Timer
	armed bool
}

// react adds to the sums, which are told together.
func (r *room) react(emoji string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.totals == nil {
		r.totals = map[string]uint64{}
	}
	s := &r.sums
	if s.added == nil {
		s.added = map[string]uint64{}
	}
	r.totals[emoji] += uint64(n)
	s.added[emoji] += uint64(n)
	r.server.reactions.Add(uint64(n))
	switch {
	case s.armed:
		return
	case s.timer == nil:
		s.timer = time.AfterFunc(sumsEvery, r.tellSums)
	default:
		s.timer.Reset(sumsEvery)
	}
	s.armed = true
}

func (r *room) tellSums() {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.sums
	s.armed = false
	totals := make(map[string]uint64, len(s.added))
	for k := range s.added {
		totals[k] = r.totals[k]
	}
	r.tell(&Reactions{Added: s.added, Totals: totals}, time.Now())
	s.added = nil
}
