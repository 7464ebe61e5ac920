package srt

import (
	"slices"
	"sync/atomic"
	"time"

	gosrt "github.com/datarhei/gosrt"
	"github.com/datarhei/gosrt/packet"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/remux/mpegts"
)

// figures count what gosrt counts wrong: its own loss counts a gap of n
// packets as n+1 and every packet that overtook another as a gap, and its drops
// are mostly packets that came twice. Here each packet counts once, when it is
// delivered or passed over.
type figures struct {
	// next is the sequence number that should follow, and time the delivery
	// time of the packet before it (microseconds), steps how many spacing is
	// the mean of. They belong to the reader.
	next, time uint64
	steps      int64

	// taken packets came from gosrt, in order.
	taken atomic.Uint64
	// recovered packets came only when they were sent again, dropped ones never.
	recovered, dropped atomic.Uint64
	// spacing is the media time from one packet to the next, in nanoseconds.
	spacing atomic.Int64
}

const (
	// sequenceNumbers wrap at 31 bits (SRT, 3.1).
	sequenceNumbers = 1 << 31
	// began marks that next is known.
	began = 1 << 32
	// smoothing is over how many packets spacing is averaged.
	smoothing = 256
)

// delivered notes a packet that gosrt has brought in order.
func (f *figures) delivered(h *packet.PacketHeader) {
	defer f.taken.Add(1)
	seq := uint64(h.PacketSequenceNumber.Val())
	if h.RetransmittedPacketFlag {
		f.recovered.Add(1)
	}
	if f.next&began != 0 {
		missing := (seq - f.next) % sequenceNumbers
		f.dropped.Add(missing)
		if h.PktTsbpdTime >= f.time {
			step := int64(h.PktTsbpdTime-f.time) * 1000 / int64(missing+1)
			f.steps = min(f.steps+1, smoothing)
			old := f.spacing.Load()
			f.spacing.Store(old + (step-old)/f.steps)
		}
	}
	f.next = began | (seq+1)%sequenceNumbers
	f.time = h.PktTsbpdTime
}

// contents is what the demuxer says of the transport stream.
type contents struct {
	stats   mpegts.Stats
	ignored []string
}

// noteContents has what the demuxer says at hand for Transport, if it is news.
func (c *conn) noteContents() {
	now := contents{c.demuxer.Stats(), c.demuxer.Ignored()}
	now.stats.Packets = 0 // no news
	if last := c.contents.Load(); last == nil || now.stats != last.stats || !slices.Equal(now.ignored, last.ignored) {
		news := now
		c.contents.Store(&news)
	}
}

// noRTT is what gosrt says before the first measurement, in milliseconds.
const noRTT = 100

var _ ingest.Measured = (*conn)(nil)

// Transport returns the figures that docs/srt.md describes. They are zero
// before Admit.
func (c *conn) Transport() ingest.Transport {
	c.mu.Lock()
	s, playing := c.srt, c.action == auth.Play
	c.mu.Unlock()
	if s == nil {
		return ingest.Transport{}
	}
	var st gosrt.Statistics
	s.Stats(&st)
	var t ingest.Transport
	if st.Instantaneous.MsRTT != noRTT {
		t.RTT = time.Duration(st.Instantaneous.MsRTT * float64(time.Millisecond))
	}
	if playing {
		t.Latency = time.Duration(st.Instantaneous.MsSendTsbPdDelay) * time.Millisecond
		t.Packets, t.Retransmitted, t.Dropped = st.Accumulated.PktSentUnique, st.Accumulated.PktRetrans, st.Accumulated.PktSendDrop
		return t
	}
	t.Latency = time.Duration(st.Instantaneous.MsRecvTsbPdDelay) * time.Millisecond
	t.Buffered = time.Duration(int64(st.Instantaneous.PktRecvBuf) * c.figures.spacing.Load())
	t.Packets, t.Retransmitted = st.Accumulated.PktRecvUnique, st.Accumulated.PktRecvRetrans
	t.Dropped = c.figures.dropped.Load()
	t.Lost = c.figures.recovered.Load() + t.Dropped
	if inside := c.contents.Load(); inside != nil {
		t.Faults, t.Ignored = inside.stats.Faults(), inside.ignored
	}
	return t
}
