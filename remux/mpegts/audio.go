package mpegts

import (
	"bytes"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/miju-live/miju/media"
)

const (
	// ptsTolerance is how far counted samples and PES times may differ before
	// the PES is believed. Muxers round to milliseconds or to ticks; a clock
	// that drifts, or a lost frame, goes beyond.
	ptsTolerance = 5 * time.Millisecond
	// ptsBreak is how far back a time must be to be a new timeline.
	ptsBreak = time.Second
	// ptsStep is the least distance of two frames. It is a millisecond since
	// FLV knows nothing finer.
	ptsStep = time.Millisecond
)

// adtsHeader is what tells the frames apart (ISO 14496-3, 1.A.2.2).
type adtsHeader struct {
	// config is the AudioSpecificConfig that says the same.
	config [2]byte
	// header and size are in bytes; size includes the header.
	header, size int
}

// unmarshal reads a header. It is false for what is none, or announces more
// than one raw_data_block, which no live encoder sends.
func (h *adtsHeader) unmarshal(b []byte) bool {
	if len(b) < 7 || b[0] != 0xff || b[1]&0xf6 != 0xf0 || b[6]&3 != 0 {
		return false
	}
	objectType, rate, channels := b[2]>>6+1, b[2]>>2&0x0f, b[2]&1<<2|b[3]>>6
	h.config = [2]byte{objectType<<3 | rate>>1, rate<<7 | channels<<3}
	h.header = 7
	if b[1]&1 == 0 {
		h.header = 9 // crc_check
	}
	h.size = int(b[3]&3)<<11 | int(b[4])<<3 | int(b[5]>>5)
	return rate <= 12 && h.size > h.header
}

// audioParser makes frames of the PES packets of an AAC stream in ADTS.
// Frames may straddle PES packets.
type audioParser struct {
	id       int
	language string
	current  *media.Track
	config   [2]byte
	// buf holds the frame that is not whole yet.
	buf []byte

	// A frame's time is anchor plus its count of samples: counted from one
	// absolute point, rounding does not add up.
	anchored bool
	anchor   time.Duration
	samples  int64
	last     time.Duration
}

var _ parser = (*audioParser)(nil)

func (a *audioParser) track() *media.Track { return a.current }

// lost forgets the frame that a gap cut.
func (a *audioParser) lost() { a.buf = a.buf[:0] }

func (a *audioParser) frames(dst []media.Frame, p *pes, st *Stats) []media.Frame {
	// The PTS is that of the first frame that starts in this packet (ISO
	// 13818-1, 2.4.3.7).
	begins := len(a.buf)
	a.buf = append(a.buf, p.payload...)
	pos, inSync := 0, true
	for len(a.buf)-pos >= 7 {
		var h adtsHeader
		rest := a.buf[pos:]
		if !h.unmarshal(rest) || !follows(&h, rest) {
			if inSync {
				st.Malformed++
				inSync = false
			}
			pos++
			continue
		}
		if h.size > len(rest) {
			break
		}
		inSync = true
		if p.timed && pos >= begins {
			a.resync(duration(p.pts))
			p.timed = false
		}
		dst = a.frame(dst, &h, rest[h.header:h.size], st)
		pos += h.size
	}
	// What is left is the start of one frame: under 8 KiB, as its size has 13 bits.
	a.buf = a.buf[:copy(a.buf, a.buf[pos:])]
	return dst
}

// follows reports whether a header of the same stream stands behind the frame,
// as far as it is there to see: 0xfff alone is found in coded sound too.
func follows(h *adtsHeader, b []byte) bool {
	if len(b) < h.size+7 {
		return true
	}
	var next adtsHeader
	return next.unmarshal(b[h.size:])
}

// resync compares the counted time with the one that the encoder sent.
func (a *audioParser) resync(pts time.Duration) {
	if a.anchored && (a.next()-pts).Abs() <= ptsTolerance {
		return
	}
	a.anchored, a.anchor, a.samples = true, pts, 0
}

// next returns the counted time of the next frame.
func (a *audioParser) next() time.Duration {
	if a.current == nil {
		return a.anchor
	}
	rate := int64(a.current.SampleRate)
	seconds, rest := a.samples/rate, a.samples%rate
	return a.anchor + time.Duration(seconds)*time.Second + time.Duration(rest)*time.Second/time.Duration(rate)
}

func (a *audioParser) frame(dst []media.Frame, h *adtsHeader, raw []byte, st *Stats) []media.Frame {
	if !a.anchored {
		st.Untimed++
		return dst
	}
	first := a.current == nil
	if first || h.config != a.config {
		t, err := media.NewAACTrack(a.id, h.config[:])
		if err != nil {
			st.Malformed++
			return dst
		}
		t.Language = a.language
		a.anchor, a.samples = a.next(), 0
		a.current, a.config = t, h.config
	}
	pts := a.next()
	a.samples += mpeg4audio.SamplesPerAccessUnit
	// A small step back must not give two frames one time.
	if !first && pts < a.last+ptsStep && pts > a.last-ptsBreak {
		pts = a.last + ptsStep
	}
	a.last = pts
	return append(dst, media.Frame{Track: a.current, DTS: pts, PTS: pts, RandomAccess: true, Data: bytes.Clone(raw)})
}
