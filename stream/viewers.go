package stream

import (
	"errors"
	"sync"
)

// ErrOverloaded is wrapped by every Refusal.
var ErrOverloaded = errors.New("overloaded")

// Refusal is the limit for which a viewer is not admitted. It is an error that
// wraps ErrOverloaded.
type Refusal uint8

// The refusals, by the setting that is reached.
const (
	RefusedByViewers Refusal = iota
	RefusedByStreamViewers
	RefusedByEgress
	refusals
)

var refusalTexts = [refusals]struct{ name, message string }{
	{"max_viewers", "this server has as many viewers as it may"},
	{"max_viewers_per_stream", "this stream has as many viewers as it may"},
	{"max_egress", "this server sends as much as it may"},
}

var _ error = Refusal(0)

// String names the limit for programs, such as "max_viewers".
func (r Refusal) String() string { return refusalTexts[r].name }

// Error implements error. It tells viewers no figure of the server.
func (r Refusal) Error() string { return ErrOverloaded.Error() + ": " + refusalTexts[r].message }

// Unwrap returns ErrOverloaded.
func (r Refusal) Unwrap() error { return ErrOverloaded }

// audience is everybody who watches a hub's streams, over whatever protocol.
type audience struct {
	config Config

	mu      sync.Mutex
	viewers int64
	refused [refusals]uint64
	meter   meter
}

// Viewer is a place in the audience. Leave belongs to one goroutine.
type Viewer struct {
	stream  *Stream // nil once it has left
	promise promise
}

// Admit takes a place for one more viewer of s, who must Leave. The error is a
// Refusal. What it costs is one lock, and nothing while the viewer watches.
func (s *Stream) Admit() (*Viewer, error) {
	a, rate := s.audience, s.meanRate()
	a.mu.Lock()
	defer a.mu.Unlock()
	switch c := &a.config; {
	case c.MaxViewers > 0 && a.viewers >= int64(c.MaxViewers):
		return nil, a.refuse(RefusedByViewers)
	case s.full(c):
		return nil, a.refuse(RefusedByStreamViewers)
	case a.overEgress(rate):
		return nil, a.refuse(RefusedByEgress)
	}
	a.viewers++
	s.viewers.Add(1)
	return &Viewer{stream: s, promise: a.meter.promise(rate)}, nil
}

// Leave gives the place back. Further calls do nothing.
func (v *Viewer) Leave() {
	if v.stream == nil {
		return
	}
	a := v.stream.audience
	a.mu.Lock()
	defer a.mu.Unlock()
	a.viewers--
	v.stream.viewers.Add(-1)
	a.meter.takeBack(v.promise)
	v.stream = nil
}

// AdmitUncounted is Admit for who takes what it wants in pieces, so that nobody
// knows when it has left, such as a player of HLS. It has no place: of the
// limits the egress alone holds for it.
func (s *Stream) AdmitUncounted() error {
	a := s.audience
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.overEgress(0) {
		return a.refuse(RefusedByEgress)
	}
	return nil
}

// overEgress reports whether viewers are, or would be with one more of rate in
// bits a second, sent more than they may be. The caller holds the lock.
func (a *audience) overEgress(rate float64) bool {
	return a.config.MaxEgress > 0 && a.meter.expected()+rate > float64(a.config.MaxEgress)*1e6
}

func (a *audience) refuse(r Refusal) error {
	a.refused[r]++
	return r
}

// stats fills in the figures of the audience.
func (a *audience) stats(st *HubStats) {
	a.mu.Lock()
	defer a.mu.Unlock()
	st.Viewers, st.EgressRate = a.viewers, a.meter.measured
	st.Refused = make(map[Refusal]uint64, refusals)
	for r, n := range a.refused {
		st.Refused[Refusal(r)] = n
	}
}
