package ingest

import (
	"sync"
	"time"
)

// Deadline is a read deadline for connections whose transport has none: they
// wait for Done beside what they wait for. The zero value never ends.
type Deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	done  chan struct{}
}

// Done returns a channel that is closed once the deadline has passed. It
// follows later calls of Set until then.
func (d *Deadline) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.channel()
}

func (d *Deadline) channel() chan struct{} {
	if d.done == nil {
		d.done = make(chan struct{})
	}
	return d.done
}

// Set moves the deadline to t; the zero time takes it away.
func (d *Deadline) Set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.channel() // the timer has fired: let it close what it must
		d.done = nil
	}
	d.timer = nil
	done := d.channel()
	select {
	case <-done:
		d.done = nil
		done = d.channel()
	default:
	}
	if t.IsZero() {
		return
	}
	if left := time.Until(t); left > 0 {
		d.timer = time.AfterFunc(left, func() { close(done) })
	} else {
		close(done)
	}
}
