package mpegts

import "time"

// maxReorder bounds how far presentation may be behind decoding, in ticks: 20 s
// are the 16 frames of H.264 and H.265 at less than one a second.
const maxReorder = 20 * 90_000

// clock unrolls the 33-bit times of all PIDs onto one line (ISO 13818-1,
// 2.4.3.7: they wrap every 26.5 hours).
type clock struct {
	set  bool
	last int64
}

// unroll gives the times of p their place nearest to the last decode time.
func (c *clock) unroll(p *pes) {
	if c.set {
		c.last += diff33(p.dts, c.last)
	} else {
		c.set, c.last = true, p.dts
	}
	// A PTS that cannot be is made the DTS: nothing presents before it decodes.
	ahead := diff33(p.pts, p.dts)
	if ahead < 0 || ahead > maxReorder {
		ahead = 0
	}
	p.dts = c.last
	p.pts = c.last + ahead
}

// diff33 is a-b as a signed number of 33 bits.
func diff33(a, b int64) int64 { return (a - b) << 31 >> 31 }

// duration converts 90 kHz ticks, to the nanosecond below.
func duration(ticks int64) time.Duration {
	return time.Duration(ticks/9*100_000 + ticks%9*100_000/9)
}
