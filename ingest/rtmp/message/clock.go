package message

import "time"

// Clock makes timestamps that wrap after 49.7 days into times that go on. The
// zero Clock is ready for one connection: one for all its tracks, so that these
// stay together.
type Clock struct {
	last  uint32
	wraps int64
}

// Time returns the time of a message of sound or picture. These may come a
// little out of order, also around a wrap.
func (c *Clock) Time(timestamp uint32) time.Duration {
	t, straggler := c.place(timestamp)
	if !straggler {
		c.last, c.wraps = timestamp, int64(t>>32)
	}
	return time.Duration(t) * time.Millisecond
}

// Peek is Time for messages that may have any timestamp, such as metadata with
// a constant 0: it leaves the clock alone.
func (c *Clock) Peek(timestamp uint32) time.Duration {
	t, _ := c.place(timestamp)
	return time.Duration(t) * time.Millisecond
}

// place returns timestamp as a number of more than 32 bits: a step of more than
// half their range is one over the wrap. Before the first wrap nothing can be
// from before one, so that a first timestamp of 0 and others of weeks fit.
func (c *Clock) place(timestamp uint32) (t int64, straggler bool) {
	wraps := c.wraps
	switch step := int64(timestamp) - int64(c.last); {
	case step < -1<<31:
		wraps++
	case step > 1<<31 && wraps > 0:
		wraps--
		straggler = true
	}
	return wraps<<32 | int64(timestamp), straggler
}
