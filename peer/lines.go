package peer

import (
	"sync"
	"time"
)

const (
	// lineBurst is how many lines of the log may be taken at once, and lineRate for
	// long, in a second.
	lineBurst = 100
	lineRate  = 5
)

// Lines bounds what the log says of one kind of thing that peers do: who comes
// again and again must not fill it. Its zero value has said nothing. It is safe for
// concurrent use.
type Lines struct {
	mu     sync.Mutex
	used   float64 // of lineBurst
	at     time.Time
	passed uint64 // over since the last that was logged
}

// Take reports whether what happens now is logged, and how many were not before.
func (l *Lines) Take(now time.Time) (ok bool, passed uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used = max(0, l.used-lineRate*now.Sub(l.at).Seconds())
	l.at = now
	if l.used+1 > lineBurst {
		l.passed++
		return false, 0
	}
	l.used++
	passed, l.passed = l.passed, 0
	return true, passed
}
