package stream

import (
	"context"
	"time"
)

const (
	// meterStep is how often a meter looks, and meterWindow over how many steps
	// it takes the mean: three seconds, in which a few streams with a random
	// access point each second or two are even, and a crowd is noticed.
	meterStep   = 500 * time.Millisecond
	meterWindow = 6
)

// meter measures what all viewers are sent, in bits a second.
//
// A viewer that has just come is not in the mean yet, and a crowd that comes at
// once would be let in as a whole. So each brings a promise: its stream's rate,
// which counts as far as the window does not reach back to its coming.
type meter struct {
	sources []func() uint64 // bytes since the start
	samples [meterWindow + 1]sample
	// taken counts the samples; that of number n is at n modulo their number.
	taken    uint64
	measured float64
}

// sample is what was sent up to a moment, and promised until the next one.
type sample struct {
	at       time.Time
	bytes    uint64
	promised float64
}

// promise is a rate that was promised behind a sample.
type promise struct {
	sample uint64
	rate   float64
}

func (m *meter) at(n uint64) *sample { return &m.samples[n%uint64(len(m.samples))] }

// look takes a sample.
func (m *meter) look(now time.Time) {
	s := sample{at: now}
	for _, sent := range m.sources {
		s.bytes += sent()
	}
	oldest := m.at(m.taken - min(m.taken, meterWindow))
	if passed := now.Sub(oldest.at); m.taken > 0 && passed > 0 {
		m.measured = float64(s.bytes-oldest.bytes) * 8 / passed.Seconds()
	}
	*m.at(m.taken) = s
	m.taken++
}

// expected is the measured rate, and what was promised and is not in it.
func (m *meter) expected() float64 {
	rate := m.measured
	for age := uint64(0); age < min(meterWindow, m.taken); age++ {
		rate += m.at(m.taken-1-age).promised * (1 - float64(age)/meterWindow)
	}
	return rate
}

func (m *meter) promise(rate float64) promise {
	if m.taken == 0 { // nobody measures
		return promise{}
	}
	m.at(m.taken - 1).promised += rate
	return promise{m.taken - 1, rate}
}

// takeBack forgets the promise of a viewer that has left so soon.
func (m *meter) takeBack(p promise) {
	if p.sample+uint64(len(m.samples)) >= m.taken {
		m.at(p.sample).promised -= p.rate
	}
}

// CountEgress has the bytes that sent returns, a count since the start, among
// those that viewers are sent. It is for before Run.
func (h *Hub) CountEgress(sent func() uint64) {
	h.audience.mu.Lock()
	defer h.audience.mu.Unlock()
	h.audience.meter.sources = append(h.audience.meter.sources, sent)
}

// Run measures what viewers are sent and lets go of what parked readers are too
// far behind of, until ctx ends.
func (h *Hub) Run(ctx context.Context) {
	step := time.NewTicker(meterStep)
	defer step.Stop()
	var streams []*Stream
	for {
		h.audience.mu.Lock()
		h.audience.meter.look(time.Now())
		h.audience.mu.Unlock()
		h.mu.RLock()
		for _, s := range h.streams {
			streams = append(streams, s)
		}
		h.mu.RUnlock()
		for _, s := range streams {
			s.tow()
		}
		clear(streams)
		streams = streams[:0]
		select {
		case <-step.C:
		case <-ctx.Done():
			return
		}
	}
}

// meanRate is what a viewer of s takes on the long run, in bits a second.
func (s *Stream) meanRate() float64 {
	return float64(s.log.bytes.Load()) * 8 / max(s.Newest(), time.Second).Seconds()
}
