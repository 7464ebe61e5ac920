package chatws

import "time"

// bucket is a token bucket in two words: members have several each. It is
// full when it is new.
type bucket struct {
	spent float32   // tokens that are missing
	at    time.Time // when that was so
}

// take takes n tokens of a bucket that holds burst and gets rate a second. If
// they are not there it takes none and returns after how long they are.
func (b *bucket) take(now time.Time, n, rate, burst float32) time.Duration {
	if b.at.IsZero() {
		b.at = now
	}
	// Who asks looked at the clock before it had the lock: another may have been
	// faster with a later time.
	if since := now.Sub(b.at); since > 0 {
		b.spent, b.at = max(0, b.spent-float32(since.Seconds())*rate), now
	}
	if missing := b.spent + n - burst; missing > 0 {
		return max(time.Millisecond, time.Duration(missing/rate*float32(time.Second)))
	}
	b.spent += n
	return 0
}
