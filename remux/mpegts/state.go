package mpegts

import (
	"encoding/binary"
	"time"

	"github.com/miju-live/miju/media"
)

// State is where a reader of packets stands: what the next packets must fit
// to. The zero State fits to all.
type State struct {
	counters [pids]counter
	// pcr and psi are the last clock reference and the frame that the last
	// tables came with, in stream time plus one nanosecond; 0 is never.
	pcr, psi time.Duration
	// ahead is how far the first sound behind a picture was ahead of it;
	// pending says that this sound has not come.
	ahead   time.Duration
	pending bool
	program *Program
	epoch   uint64
}

// counter is the continuity counter of the last packet.
type counter struct {
	seen  bool
	value uint8
}

// The indexes of PIDs in a State.
const (
	ofPAT = iota
	ofPMT
	ofVideo
	ofAudio
	pids
)

var pidOf = [pids]uint16{ofPAT: pidPAT, ofPMT: pidPMT, ofVideo: pidVideo, ofAudio: pidAudio}

func indexOf(pid uint16) int {
	for i, p := range pidOf {
		if p == pid {
			return i
		}
	}
	return -1
}

// NeedsTables reports whether PAT and PMT should stand before f.
func (s *State) NeedsTables(p *Program, f *media.Frame) bool {
	switch {
	case s.psi == 0 || !p.Same(s.program):
		return true
	case f.Track.Kind() == media.KindVideo && f.RandomAccess:
		return true
	}
	return f.DTS-s.psi >= psiInterval && p.Video == nil || f.DTS-s.psi >= 4*psiInterval
}

// heard returns the clock, plus one nanosecond, by sound that goes on while
// pictures do not; 0 if that is not known. Sound that is ahead of its picture
// must not put the clock ahead of the next one.
func (s *State) heard(f *media.Frame) time.Duration {
	if f.Track.Kind() != media.KindAudio || s.pcr == 0 || s.pending || s.epoch != f.Set.Epoch {
		return 0
	}
	return f.DTS + 1 - s.ahead
}

// Span sums up the packets of a frame, or tables alone: what a reader must know
// of them to go on behind them. Readers share it as they share the packets, and
// need not walk through these. It has for each PID of a State the counter that
// its first packet has, or would have with a payload, and that of its last, both
// with spanSeen, then the last clock reference behind spanSeen.
type Span []byte

const (
	spanSeen = 0x80
	spanPCR  = 2 * pids
	spanSize = spanPCR + 6
)

// SpanOf sums packets up.
func SpanOf(packets []byte) Span {
	span := make(Span, spanSize)
	for ; len(packets) >= packetSize; packets = packets[packetSize:] {
		i := indexOf(uint16(packets[1]&0x1f)<<8 | uint16(packets[2]))
		if i < 0 {
			continue
		}
		counter := packets[3] & 0x0f
		span[2*i+1] = spanSeen | counter
		if span[2*i] == 0 {
			if packets[3]&0x10 == 0 { // repeats the counter before it
				counter = (counter + 1) & 0x0f
			}
			span[2*i] = spanSeen | counter
		}
		if packets[3]&0x20 != 0 && packets[4] > 0 && packets[5]&0x10 != 0 {
			span[spanPCR] = spanSeen
			copy(span[spanPCR+1:], packets[6:11])
		}
	}
	return span
}

// Glue appends packets without payload that let a reader whose state is s read
// packets that were made for another: they say where a counter may jump.
func Glue(dst []byte, s *State, span Span) []byte {
	for i := range pids {
		if span[2*i] == 0 {
			continue
		}
		before := (span[2*i] - 1) & 0x0f
		if c := s.counters[i]; !c.seen || c.value == before {
			continue
		}
		at := len(dst)
		dst = append(dst, syncByte, byte(pidOf[i]>>8), byte(pidOf[i]), 0x20|before, packetSize-5, 0x80)
		for len(dst) < at+packetSize {
			dst = append(dst, 0xff)
		}
	}
	return dst
}

// Follow notes packets of the frame f, or tables alone, that were sent.
func (s *State) Follow(p *Program, f *media.Frame, span Span) {
	if s.pending && f.Track.Kind() == media.KindAudio {
		s.ahead, s.pending = max(0, f.DTS+1-s.pcr), false
	}
	for i := range pids {
		if last := span[2*i+1]; last != 0 {
			s.counters[i] = counter{true, last & 0x0f}
		}
	}
	if span[spanPCR] != 0 {
		ahead := diff33(readPCR(span[spanPCR+1:]), stamp(f.DTS-delay))
		s.pcr, s.epoch = f.DTS+duration(ahead)+1, f.Set.Epoch
		s.pending = s.pending || f.Track.Kind() == media.KindVideo
	}
	if span[2*ofPMT] != 0 {
		s.psi, s.program = f.DTS+1, p
	}
}

// BeginsWithTables reports whether packets begin with a PAT.
func BeginsWithTables(packets []byte) bool {
	return len(packets) >= packetSize && packets[1]&0x1f == 0 && packets[2] == pidPAT
}

// Lacks reports whether a reader in this state needs the tables of p before
// packets, which do not begin with them.
func (s *State) Lacks(p *Program, packets []byte) bool {
	return !p.Same(s.program) && !BeginsWithTables(packets)
}

// readPCR reads the ticks of a program clock reference.
func readPCR(b []byte) int64 {
	return int64(binary.BigEndian.Uint32(b))<<1 | int64(b[4]>>7)
}
