package mpegts

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/miju-live/miju/media"
)

const (
	// delay is how far decode times are ahead of the clock reference, so that
	// sound that comes later than its picture is still in time.
	delay = 500 * time.Millisecond
	// pcrInterval is after how long the next frame of sound brings a clock
	// reference for pictures that do not come.
	pcrInterval = 50 * time.Millisecond
	// maxPCRStep is the most that lies between two clock references; the
	// standard's bound is 100 ms (2.7.2).
	maxPCRStep = 95 * time.Millisecond
	// maxPCRGap is how long a pause is filled with clock references. A longer
	// one is a hole in the stream, which none can mend.
	maxPCRGap = time.Second
	// psiInterval is how often tables come where no random access point of a
	// picture brings them.
	psiInterval = 500 * time.Millisecond
)

// AppendTables appends PAT and PMT, two packets.
func AppendTables(dst []byte, s State, p *Program) []byte {
	w := writer{dst: dst, state: s}
	w.tables(p)
	return w.dst
}

// AppendFrame appends the packets of a frame of one of p's tracks, with what
// must stand before them: tables where State.NeedsTables says so, clock
// references where the last is too old. A frame of sound that is too large for
// its framing is left out.
func AppendFrame(dst []byte, s State, p *Program, f *media.Frame) []byte {
	es := payloadOf(f)
	if len(es) == 0 {
		return dst
	}
	w := writer{dst: dst, state: s}
	if s.NeedsTables(p, f) {
		w.tables(p)
	}
	index, onPCR := ofVideo, true
	if f.Track.Kind() == media.KindAudio {
		index, onPCR = ofAudio, p.Video == nil
	}
	switch now := s.heard(f); {
	case onPCR && s.pcr > 0:
		// Sound may have been ahead; the clock never goes back.
		if onPCR = f.DTS+1 > s.pcr; onPCR && s.epoch == f.Set.Epoch {
			w.between(index, s.pcr-1, f.DTS)
		}
	case !onPCR && now > s.pcr+pcrInterval:
		w.between(ofVideo, s.pcr-1, now-1)
		w.reference(ofVideo, now-1)
	}
	w.frame(index, onPCR, f, es)
	return w.dst
}

// writer makes packets.
type writer struct {
	dst   []byte
	state State
}

func (w *writer) next(index int) byte {
	c := &w.state.counters[index]
	if c.seen {
		c.value = (c.value + 1) & 0x0f
	}
	c.seen = true
	return c.value
}

// tables appends PAT and PMT, each a section in a packet.
func (w *writer) tables(p *Program) {
	for index, section := range [...][]byte{ofPAT: pat, ofPMT: p.pmt} {
		at := len(w.dst)
		pid := pidOf[index]
		w.dst = append(w.dst, syncByte, 0x40|byte(pid>>8), byte(pid), 0x10|w.next(index), 0)
		w.dst = append(w.dst, section...)
		for len(w.dst) < at+packetSize {
			w.dst = append(w.dst, 0xff)
		}
	}
}

// between appends clock references between two times, so many that no step is
// too large.
func (w *writer) between(index int, from, to time.Duration) {
	if to-from > maxPCRGap {
		return
	}
	steps := (to-from-1)/maxPCRStep + 1
	for i := time.Duration(1); i < steps; i++ {
		w.reference(index, from+(to-from)*i/steps)
	}
}

// reference appends a packet that holds a clock reference only. Its counter
// does not count (2.4.3.3): it is that of the packet before, or what would come
// before the first.
func (w *writer) reference(index int, dts time.Duration) {
	at := len(w.dst)
	pid := pidOf[index]
	counter := byte(0x0f)
	if c := w.state.counters[index]; c.seen {
		counter = c.value
	}
	w.dst = append(w.dst, syncByte, byte(pid>>8), byte(pid), 0x20|counter, packetSize-5, 0x10)
	w.dst = appendPCR(w.dst, dts)
	for len(w.dst) < at+packetSize {
		w.dst = append(w.dst, 0xff)
	}
}

// frame appends one PES packet (2.4.3.6) in as many packets as it takes.
func (w *writer) frame(index int, pcr bool, f *media.Frame, es []byte) {
	head := pesHeader(f, len(es))
	w.dst = slices.Grow(w.dst, (len(head)+len(es)+2*packetSize)/(packetSize-4)*packetSize)
	pid := pidOf[index]
	for first := true; first || len(head)+len(es) > 0; first = false {
		at := len(w.dst)
		start := byte(0)
		if first {
			start = 0x40
		}
		w.dst = append(w.dst, syncByte, start|byte(pid>>8), byte(pid), 0x10|w.next(index))
		var field [8]byte
		adaptation := field[:0]
		if first && (pcr || f.RandomAccess) {
			flags := byte(0)
			if f.RandomAccess {
				flags |= 0x40
			}
			if adaptation = append(adaptation, flags); pcr {
				adaptation[0] |= 0x10
				if w.state.pcr > 0 && w.state.epoch != f.Set.Epoch {
					// The clock goes on, but it stood still for who knows how long.
					adaptation[0] |= 0x80
				}
				adaptation = appendPCR(adaptation, f.DTS)
			}
		}
		w.fill(at, adaptation, len(head)+len(es))
		n := min(len(head), at+packetSize-len(w.dst))
		w.dst = append(w.dst, head[:n]...)
		head = head[n:]
		n = min(len(es), at+packetSize-len(w.dst))
		w.dst = append(w.dst, es[:n]...)
		es = es[n:]
	}
}

// fill appends the adaptation field of the packet at at, with the stuffing that
// left bytes of payload need to end with the packet (2.4.3.4).
func (w *writer) fill(at int, adaptation []byte, left int) {
	room := packetSize - 4
	if len(adaptation) > 0 {
		room -= 1 + len(adaptation)
	}
	stuffing := max(0, room-left)
	if len(adaptation) == 0 && stuffing == 0 {
		return
	}
	w.dst[at+3] |= 0x20
	if len(adaptation) == 0 { // its length and its flags are the first stuffing
		stuffing--
		w.dst = append(w.dst, byte(stuffing))
		if stuffing > 0 {
			w.dst = append(w.dst, 0)
			stuffing--
		}
	} else {
		w.dst = append(append(w.dst, byte(len(adaptation)+stuffing)), adaptation...)
	}
	for range stuffing {
		w.dst = append(w.dst, 0xff)
	}
}

// pesHeader makes the header of the PES packet of a frame, whose payload has so
// many bytes.
func pesHeader(f *media.Frame, payload int) []byte {
	id := byte(0xe0)
	switch f.Track.Codec {
	case media.AAC, media.MP3:
		id = 0xc0
	case media.Opus, media.AC3, media.EAC3:
		id = 0xbd // private_stream_1
	}
	pts, dts := stamp(f.PTS), stamp(f.DTS)
	h := []byte{0, 0, 1, id, 0, 0, 0x84, 0x80, 5} // data_alignment_indicator
	if pts != dts {
		h[7], h[8] = 0xc0, 10
		h = appendStamp(h, 0x30, pts)
		h = appendStamp(h, 0x10, dts)
	} else {
		h = appendStamp(h, 0x20, pts)
	}
	if size := len(h) - 6 + payload; size <= 0xffff { // else unbounded, which pictures may be
		binary.BigEndian.PutUint16(h[4:], uint16(size))
	}
	return h
}

// stamp turns stream time into PTS or DTS, to the nearest tick: what was ticks
// before becomes the same ticks again.
func stamp(d time.Duration) int64 {
	return (int64(d+delay)*9 + 50_000) / 100_000
}

// appendStamp appends 33 bits with their markers (2.4.3.7).
func appendStamp(dst []byte, prefix byte, t int64) []byte {
	return append(dst, prefix|byte(t>>29)&0x0e|1, byte(t>>22), byte(t>>14)|1, byte(t>>7), byte(t<<1)|1)
}

// appendPCR appends a program clock reference (2.4.3.5).
func appendPCR(dst []byte, dts time.Duration) []byte {
	t := stamp(dts - delay)
	return append(dst, byte(t>>25), byte(t>>17), byte(t>>9), byte(t>>1), byte(t<<7)|0x7e, 0)
}
