package stream

import (
	"sync"
	"sync/atomic"
)

// parking knows the readers that may be parked. What a reader is behind of is
// held in memory for it; while its owner is held up elsewhere it cannot jump, so
// its place is taken from it instead.
type parking struct {
	mu      sync.Mutex
	readers map[*Reader]struct{}
}

// Park is for an owner that goes to write what the reader brought to somebody
// who may take it slowly, or not at all: if the reader comes to lag too far
// meanwhile, its place is given up. Only Unpark and Close may come next. A
// reader of all frames keeps its place.
func (r *Reader) Park() {
	if r.options.All {
		return
	}
	if r.parked == nil {
		r.parked = new(atomic.Pointer[node])
		p := &r.stream.parking
		p.mu.Lock()
		if p.readers == nil {
			p.readers = map[*Reader]struct{}{}
		}
		p.readers[r] = struct{}{}
		p.mu.Unlock()
	}
	r.parked.Store(r.last)
	r.last = nil
}

// Unpark has the reader go on: where it was, or at the newest random access
// point if it has come to lag too far.
func (r *Reader) Unpark() {
	if r.options.All {
		return
	}
	if r.last = r.parked.Swap(nil); r.last != nil {
		return
	}
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	r.seek(l.set.Load())
	r.countSkip()
}

// unregister forgets a reader that is closed.
func (r *Reader) unregister() {
	if r.parked == nil {
		return
	}
	r.parked.Store(nil)
	p := &r.stream.parking
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.readers, r)
}

// tow takes their places from parked readers that lag too far.
func (s *Stream) tow() {
	p := &s.parking
	p.mu.Lock()
	defer p.mu.Unlock()
	for r := range p.readers {
		if n := r.parked.Load(); n != nil && s.log.lagging(n) && r.behindGOP(n) {
			r.parked.CompareAndSwap(n, nil)
		}
	}
}

// behindGOP reports whether the reader would jump forward from behind n. What is
// in the newest GOP the log holds anyway.
func (r *Reader) behindGOP(n *node) bool {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.closed.Load() && r.newest(l.set.Load()).seq > n.seq
}
