package chunk

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// Budget bounds what many Readers together hold in messages that have begun
// and not ended. A nil Budget is without bound.
type Budget struct {
	limit int64
	used  atomic.Int64
}

// NewBudget returns a budget of so many bytes.
func NewBudget(bytes int64) *Budget { return &Budget{limit: bytes} }

// Used returns how many bytes are held now.
func (b *Budget) Used() int64 { return b.used.Load() }

// share is what one Reader holds of a budget. Its Reader may be ended from
// another goroutine than the one that reads.
type share struct {
	of *Budget

	mu    sync.Mutex
	held  int64
	ended bool
}

// take asks for n more bytes.
func (s *share) take(n int) error {
	if s.of == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil // what is read now is of no use, and soon over
	}
	if used := s.of.used.Add(int64(n)); used > s.of.limit {
		s.of.used.Add(int64(-n))
		return fmt.Errorf("%w: unfinished messages of all connections would hold %d bytes, %d are allowed", ErrTooLarge, used, s.of.limit)
	}
	s.held += int64(n)
	return nil
}

// give returns n bytes.
func (s *share) give(n int) {
	if s.of == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.held -= int64(n)
		s.of.used.Add(int64(-n))
	}
}

// end returns everything.
func (s *share) end() {
	if s.of == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of.used.Add(-s.held)
	s.held, s.ended = 0, true
}
