package mpegts

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/miju-live/miju/media"
)

// The PIDs of what is made here; those of ffmpeg, which every receiver has seen.
const (
	pidPMT   = 0x1000
	pidVideo = 0x0100
	pidAudio = 0x0101

	programNumber = 1
)

// Stream types of sound beside AAC (ISO 13818-1, table 2-34;
// ATSC A/53-3, 5.7.1).
const (
	streamTypeMP3     = 0x03 // ISO 11172-3
	streamTypeMP3Half = 0x04 // ISO 13818-3: half the sample rates
	streamTypeAC3     = 0x81
	streamTypeEAC3    = 0x87
)

// Tags of descriptors (ISO 13818-1, table 2-45; ETSI EN 300 468, 6.1).
const (
	tagRegistration = 0x05
	tagLanguage     = 0x0a
	tagAC3          = 0x6a
	tagEAC3         = 0x7a
	tagExtension    = 0x7f
	// extensionOpus is the user-defined extension that Opus in MPEG-TS has.
	extensionOpus = 0x80
)

// Carries reports whether MPEG-TS can hold the codec.
func Carries(c media.Codec) bool {
	switch c {
	case media.H264, media.H265, media.AAC, media.Opus, media.MP3, media.AC3, media.EAC3:
		return true
	}
	return false
}

// Program is what a PMT announces: one video and one audio track, or one of
// the two. It is immutable.
type Program struct {
	// Video and Audio are the tracks; nil is not there.
	Video, Audio *media.Track

	version uint8
	pmt     []byte // section
}

// NewProgram returns the program of the default tracks of a set. The error
// wraps media.ErrUnsupportedCodec and names what MPEG-TS cannot carry.
func NewProgram(set *media.TrackSet) (*Program, error) {
	p := &Program{Video: set.First(media.KindVideo), Audio: set.First(media.KindAudio)}
	if p.Video == nil && p.Audio == nil {
		return nil, fmt.Errorf("%w: MPEG-TS of a stream without picture and sound", media.ErrUnsupportedCodec)
	}
	for _, t := range []*media.Track{p.Video, p.Audio} {
		if err := check(t); err != nil {
			return nil, err
		}
	}
	pcr := uint16(pidAudio)
	var streams []byte
	if t := p.Video; t != nil {
		pcr = pidVideo
		streams = appendES(streams, pidVideo, t)
	}
	if t := p.Audio; t != nil {
		streams = appendES(streams, pidAudio, t)
	}
	body := binary.BigEndian.AppendUint16(nil, 0xe000|pcr)
	body = binary.BigEndian.AppendUint16(body, 0xf000) // no descriptors of the program
	p.version = p.versionOf()
	p.pmt = appendSection(nil, tablePMT, programNumber, p.version, append(body, streams...))
	return p, nil
}

// check tells why MPEG-TS cannot carry a track.
func check(t *media.Track) error {
	switch {
	case t == nil:
		return nil
	case !Carries(t.Codec):
		return fmt.Errorf("%w: MPEG-TS cannot carry %s", media.ErrUnsupportedCodec, t.Codec)
	case t.Codec == media.AAC:
		return checkADTS(t)
	}
	return nil
}

// versionOf tells programs apart: those of other codecs always, and what else
// their descriptors and types say as well as 32 versions can. Who reads along sees
// a new version when the program changes, and all who read see the same.
func (p *Program) versionOf() uint8 {
	v := uint8(0)
	if t := p.Video; t != nil {
		v = 10 + hash(t.Language)
		if t.Codec == media.H265 {
			v += 10
		}
	}
	if t := p.Audio; t != nil {
		v += soundVersion(t) + hash(t.Language)
	}
	return v & 0x1f
}

// soundVersion is between 1 and 9. Opus has four of these: one channel, two or
// three, up to seven, and eight.
func soundVersion(t *media.Track) uint8 {
	switch t.Codec {
	case media.AC3:
		return 2
	case media.EAC3:
		return 3
	case media.MP3:
		if isHalfRate(t) {
			return 5
		}
		return 4
	case media.Opus:
		return 5 + min(4, uint8(bits.Len(uint(t.Channels))))
	}
	return 1
}

// isHalfRate reports whether MP3 has a rate of ISO 13818-3.
func isHalfRate(t *media.Track) bool { return t.SampleRate < 32000 }

func hash(s string) (h uint8) {
	for _, c := range []byte(s) {
		h = h*5 + c
	}
	return h
}

// Same reports whether the PMTs are the same.
func (p *Program) Same(o *Program) bool {
	return p == o || o != nil && bytes.Equal(p.pmt, o.pmt)
}

// appendES appends a track's entry of the PMT (2.4.4.8).
func appendES(dst []byte, pid uint16, t *media.Track) []byte {
	var descriptors []byte
	typ := byte(streamTypePrivate)
	register := func(id string) { descriptors = append(append(descriptors, tagRegistration, 4), id...) }
	switch t.Codec {
	case media.H264:
		typ = streamTypeH264
	case media.H265:
		typ = streamTypeH265
	case media.AAC:
		typ = streamTypeAAC
	case media.MP3:
		if typ = streamTypeMP3; isHalfRate(t) {
			typ = streamTypeMP3Half
		}
	case media.AC3:
		typ = streamTypeAC3
		register("AC-3")
	case media.EAC3:
		typ = streamTypeEAC3
		register("EAC3")
	case media.Opus:
		register("Opus")
		descriptors = append(descriptors, tagExtension, 2, extensionOpus, byte(t.Channels))
	}
	if len(t.Language) == 3 {
		descriptors = append(append(append(descriptors, tagLanguage, 4), t.Language...), 0)
	}
	dst = binary.BigEndian.AppendUint16(append(dst, typ), 0xe000|pid)
	dst = binary.BigEndian.AppendUint16(dst, 0xf000|uint16(len(descriptors)))
	return append(dst, descriptors...)
}

// pat is the section of the PAT, which never changes.
var pat = appendSection(nil, tablePAT, 1, 0, []byte{0, programNumber, 0xe0 | pidPMT>>8, pidPMT & 0xff})

// appendSection appends a whole section with its CRC_32 (2.4.4).
func appendSection(dst []byte, tableID byte, id uint16, version uint8, body []byte) []byte {
	at := len(dst)
	dst = append(dst, tableID)
	dst = binary.BigEndian.AppendUint16(dst, 0xb000|uint16(5+len(body)+4))
	dst = binary.BigEndian.AppendUint16(dst, id)
	dst = append(dst, 0xc1|version<<1, 0, 0) // current; the only section
	dst = append(dst, body...)
	return binary.BigEndian.AppendUint32(dst, crc32MPEG(dst[at:]))
}
