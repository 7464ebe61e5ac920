package mpegts

import (
	"bytes"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/ac3"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/eac3"

	"github.com/miju-live/miju/media"
)

// maxSoundFrame bounds a frame of sound, in bytes. The largest, of E-AC-3, have
// 4 KiB, and 61440 bytes are the most that an Opus packet of RFC 6716 can have.
const maxSoundFrame = 64 << 10

// soundParser makes frames of the PES packets of a stream of sound whose frames
// tell their own size. Frames may straddle PES packets.
type soundParser struct {
	id       int
	codec    media.Codec
	channels int // of Opus, whose packets do not tell
	language string
	current  *media.Track
	// refused names what the stream turned out to hold, if that is not carried.
	refused string
	// others counts headers of what is not carried, before the first frame.
	others int
	// synced says that the frames before are known to be some.
	synced bool
	buf    []byte

	anchored bool
	next     time.Duration
	last     time.Duration
}

var _ parser = (*soundParser)(nil)

func (s *soundParser) track() *media.Track { return s.current }

func (s *soundParser) lost() { s.buf, s.synced = s.buf[:0], false }

// cut is a frame at the beginning of bytes: header bytes to leave out, then the
// frame, of size bytes both together. A size of 0 says that more bytes are
// needed, a negative one that no frame begins there.
type cut struct{ header, size int }

func (s *soundParser) frames(dst []media.Frame, p *pes, st *Stats) []media.Frame {
	begins := len(s.buf)
	s.buf = append(s.buf, p.payload...)
	pos, counted := 0, false
	for pos < len(s.buf) && s.refused == "" {
		rest := s.buf[pos:]
		c := s.cut(rest)
		if c.size < 0 || c.size > maxSoundFrame || !s.synced && !s.follows(c, rest) {
			if !counted {
				st.Malformed++
				counted = true
			}
			s.synced = false
			pos++
			continue
		}
		if c.size == 0 || c.size > len(rest) {
			break
		}
		s.synced, counted = true, false
		if p.timed && pos >= begins {
			s.resync(duration(p.pts))
			p.timed = false
		}
		dst = s.frame(dst, rest[c.header:c.size], st)
		pos += c.size
	}
	// What is left is the start of one frame.
	s.buf = s.buf[:copy(s.buf, s.buf[pos:])]
	if len(s.buf) > maxSoundFrame {
		s.buf = s.buf[:0]
	}
	return dst
}

// follows reports whether another frame stands behind the one that c found, as
// far as it is there to see: headers are found in coded sound too.
func (s *soundParser) follows(c cut, b []byte) bool {
	if c.size == 0 || c.size >= len(b) {
		return true
	}
	return s.cut(b[c.size:]).size >= 0
}

// resync believes the encoder's time where the counted one is off.
func (s *soundParser) resync(pts time.Duration) {
	if !s.anchored || (s.next-pts).Abs() > ptsTolerance {
		s.anchored, s.next = true, pts
	}
}

func (s *soundParser) frame(dst []media.Frame, b []byte, st *Stats) []media.Frame {
	if !s.anchored {
		st.Untimed++
		return dst
	}
	t, err := s.describe(b)
	if err != nil {
		st.Malformed++
		return dst
	}
	first := s.current == nil
	if first || !bytes.Equal(t.Config, s.current.Config) || t.Channels != s.current.Channels || t.SampleRate != s.current.SampleRate {
		t.Language = s.language
		s.current = t
	}
	pts := s.next
	// A small step back must not give two frames one time.
	if !first && pts < s.last+ptsStep && pts > s.last-ptsBreak {
		pts = s.last + ptsStep
	}
	s.last = pts
	s.next += media.SoundDuration(s.current, b)
	return append(dst, media.Frame{Track: s.current, DTS: pts, PTS: pts, RandomAccess: true, Data: bytes.Clone(b)})
}

func (s *soundParser) describe(frame []byte) (*media.Track, error) {
	switch s.codec {
	case media.AC3:
		return media.NewAC3Track(s.id, frame)
	case media.EAC3:
		return media.NewEAC3Track(s.id, frame)
	case media.MP3:
		return media.NewMP3Track(s.id, frame)
	}
	return media.NewOpusTrack(s.id, media.OpusConfig(s.channels))
}

func (s *soundParser) cut(b []byte) cut {
	switch s.codec {
	case media.AC3, media.EAC3:
		return s.cutAC3(b)
	case media.MP3:
		return s.cutMPEG(b)
	}
	return cutOpus(b)
}

// longestSyncInfo is what the headers of AC-3 and E-AC-3 need at most, in bytes.
const longestSyncInfo = 16

// cutAC3 finds a frame of AC-3 or E-AC-3 (ETSI TS 102 366, 4.3, E.1.2): what
// the table announces and what comes may be mixed up. A dependent substream of
// E-AC-3 belongs to the frame before it.
func (s *soundParser) cutAC3(b []byte) cut {
	if len(b) < longestSyncInfo {
		return cut{}
	}
	var old ac3.SyncInfo
	if b[5]>>3 <= 10 && old.Unmarshal(b) == nil { // bsid
		if s.current == nil {
			s.codec = media.AC3
		}
		return cut{size: old.FrameSize()}
	}
	size := eac3Size(b)
	if size < 0 || isDependent(b) {
		return cut{size: -1}
	}
	if s.current == nil {
		s.codec = media.EAC3
	}
	for substreams := 0; size < len(b) && substreams < maxSubstreams; substreams++ {
		if len(b)-size < longestSyncInfo {
			return cut{size: size}
		}
		next := b[size:]
		more := eac3Size(next)
		if more < 0 || !isDependent(next) {
			break
		}
		size += more
	}
	return cut{size: size}
}

// maxSubstreams is how many may depend on one (ETSI TS 102 366, E.1.3.1.2).
const maxSubstreams = 8

// isDependent reads strmtyp of a frame of E-AC-3.
func isDependent(b []byte) bool { return b[2]>>6 == 1 }

func eac3Size(b []byte) int {
	var info eac3.SyncInfo
	if b[0] != 0x0b || b[1] != 0x77 || info.Unmarshal(b) != nil {
		return -1
	}
	return info.FrameSize()
}

// cutOpus finds an Opus packet behind its control header: eleven ones less the
// last, flags, and the size as a run of 255 (Opus in MPEG-TS, 4).
func cutOpus(b []byte) cut {
	if len(b) < 3 {
		return cut{}
	}
	if b[0] != 0x7f || b[1]&0xe0 != 0xe0 {
		return cut{size: -1}
	}
	n, size := 2, 0
	for {
		if n == len(b) {
			return cut{}
		}
		size += int(b[n])
		n++
		if b[n-1] != 255 {
			break
		}
		if size > maxSoundFrame {
			return cut{size: -1}
		}
	}
	for _, trim := range []byte{0x10, 0x08} { // start_trim_flag, end_trim_flag
		if b[1]&trim != 0 {
			n += 2
		}
	}
	if b[1]&0x04 != 0 { // control_extension_flag
		if n >= len(b) {
			return cut{}
		}
		n += 1 + int(b[n])
	}
	if size == 0 {
		return cut{size: -1}
	}
	return cut{header: n, size: n + size}
}
