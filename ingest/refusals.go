package ingest

import "time"

const (
	// refusalBurst is how many lines of the log refused connections may take at
	// once, and refusalRate for long, in a second: who comes again and again must
	// not fill it.
	refusalBurst = 100
	refusalRate  = 5
)

// refusalLog decides which refusals are logged. The Server's lock is held.
type refusalLog struct {
	used   float64 // of refusalBurst
	at     time.Time
	passed uint64 // over since the last that was logged
}

// take reports whether a refusal of now is logged, and how many were not before.
func (l *refusalLog) take(now time.Time) (ok bool, passed uint64) {
	l.used = max(0, l.used-refusalRate*now.Sub(l.at).Seconds())
	l.at = now
	if l.used+1 > refusalBurst {
		l.passed++
		return false, 0
	}
	l.used++
	passed, l.passed = l.passed, 0
	return true, passed
}
