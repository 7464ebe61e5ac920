package bench

import (
	"hash/crc32"
	"sync"
	"time"
)

// maxPending bounds the pictures that not everybody has: 8 s of 60 a second.
const maxPending = 512

// spread is how far apart in time the viewers of a sample get the same
// picture, of one stream.
type spread struct {
	took hist

	mu      sync.Mutex
	viewers int
	pending map[picture]arrival
	// order are the pending pictures, the oldest first; some are no more.
	order []picture
}

// picture tells one from another, whatever timestamps a server gives it.
type picture struct {
	sum  uint32
	size int
}

type arrival struct {
	first time.Time
	of    int // so many viewers
	by    int
}

func newSpread() *spread { return &spread{pending: map[picture]arrival{}} }

func (s *spread) join()  { s.change(1) }
func (s *spread) leave() { s.change(-1) }

// change forgets what is pending: it was counted with others.
func (s *spread) change(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.viewers += n
	clear(s.pending)
	s.order = s.order[:0]
}

func (s *spread) reset() {
	s.change(0)
	s.took.reset()
}

// arrived takes note of a picture at one viewer. The last one of all tells how
// long it took.
func (s *spread) arrived(data []byte, now time.Time) {
	p := picture{crc32.ChecksumIEEE(data), len(data)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.viewers < 2 {
		return
	}
	a, ok := s.pending[p]
	if !ok {
		if len(s.order) == maxPending {
			delete(s.pending, s.order[0])
			s.order = s.order[1:]
		}
		s.order = append(s.order, p)
		a = arrival{first: now, of: s.viewers}
	}
	if a.by++; a.by < a.of {
		s.pending[p] = a
		return
	}
	delete(s.pending, p)
	for len(s.order) > 0 {
		if _, waits := s.pending[s.order[0]]; waits {
			break
		}
		s.order = s.order[1:]
	}
	s.took.add(now.Sub(a.first))
}
