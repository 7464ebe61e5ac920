package ingest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// ErrBitrate ends a publisher that sends more than it may, and refuses one while
// all together do.
var ErrBitrate = errors.New("over the bitrate limit")

// Counted is a Conn that knows how much it has received, which is more than frames:
// who sends what is no frame sends it all the same. ReadFrame's goroutine calls it.
type Counted interface {
	// Received is in bytes since the beginning.
	Received() uint64
}

const (
	// bitrateWindow is over how long a publisher's mean must be within its limit:
	// an encoder that was cut off for a moment sends what it has kept meanwhile.
	bitrateWindow = 10 * time.Second
	// bitrateStep is over how long its bitrate is measured.
	bitrateStep = 3 * time.Second
)

// bitrate measures what one publisher sends, and holds it to a limit. All but rate
// belongs to the publisher's goroutine.
type bitrate struct {
	limit float64   // bytes a second; 0 is none
	over  float64   // bytes beyond the limit
	at    time.Time // of the last frame
	bytes uint64    // up to it

	began  time.Time // of a step
	before uint64    // bytes until then
	rate   atomic.Uint64
}

// note counts what has come until now, in bytes since the beginning. The error
// wraps ErrBitrate.
func (b *bitrate) note(now time.Time, total uint64) error {
	if b.at.IsZero() {
		b.at, b.began = now, now
	}
	if passed := now.Sub(b.began); passed >= bitrateStep {
		b.rate.Store(uint64(float64(total-b.before) / passed.Seconds()))
		b.began, b.before = now, total
	}
	if b.limit > 0 {
		b.over = max(0, b.over-b.limit*now.Sub(b.at).Seconds()) + float64(total-b.bytes)
		if b.over > b.limit*bitrateWindow.Seconds() {
			return fmt.Errorf("%w: this publisher sends more than %d kbit/s", ErrBitrate, int(b.limit*8/1000))
		}
	}
	b.at, b.bytes = now, total
	return nil
}

// limitOf returns the lower one of two limits in kbit/s, of which 0 is none, in
// bytes a second.
func limitOf(a, b int) float64 {
	if a == 0 || b != 0 && b < a {
		a = b
	}
	return float64(a) * 1000 / 8
}

// IngestRate is what all publishers send, in bits a second over the last seconds.
func (s *Server) IngestRate() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ingestRate()
}

// ingestRate is IngestRate for who holds the lock. Who has just come is not in it.
func (s *Server) ingestRate() float64 {
	var bytes uint64
	for _, x := range s.publishers {
		bytes += x.bitrate.rate.Load()
	}
	return float64(bytes) * 8
}

// overIngest returns why there is no room for one more publisher. The caller holds
// the lock.
func (s *Server) overIngest() error {
	if s.config.MaxIngest > 0 && s.ingestRate() >= float64(s.config.MaxIngest)*1e6 {
		return fmt.Errorf("%w: this server receives as much as it may", ErrBitrate)
	}
	return nil
}
