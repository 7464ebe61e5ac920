package media

import (
	"fmt"

	"github.com/bluenviron/gohlslib/v2/pkg/codecparams"
	"github.com/bluenviron/gohlslib/v2/pkg/codecs"
)

// CodecString returns the track's codec as RFC 6381 spells it ("avc1.64001f",
// "hvc1.1.6.L93.90", "av01.0.08M.08", "mp4a.40.2", "Opus"), for HLS playlists
// and MSE. It is empty for data tracks and for a track without a usable Config.
func (t *Track) CodecString() string {
	switch t.Codec {
	case H264:
		if sps, pps, err := H264ParameterSets(t.Config); err == nil && len(sps) > 0 && len(pps) > 0 {
			return codecparams.Marshal(&codecs.H264{SPS: sps[0], PPS: pps[0]})
		}
	case H265:
		if vps, sps, pps, err := H265ParameterSets(t.Config); err == nil && len(vps) > 0 && len(sps) > 0 && len(pps) > 0 {
			return codecparams.Marshal(&codecs.H265{VPS: vps[0], SPS: sps[0], PPS: pps[0]})
		}
	case AV1:
		return t.av1String()
	case VP9:
		return t.vp9String()
	case AAC:
		if c, err := ParseAudioSpecificConfig(t.Config); err == nil {
			return codecparams.Marshal(&codecs.MPEG4Audio{Config: c})
		}
	case Opus:
		return "Opus"
	case FLAC:
		return "fLaC"
	case AC3:
		return "ac-3"
	case EAC3:
		return "ec-3"
	case MP3: // object type 34 of MPEG-4, which players know better than "mp4a.6B"
		return "mp4a.40.34"
	}
	return ""
}

// av1String follows AV1 in ISOBMFF, 5. What is optional stands there all or
// not at all.
func (t *Track) av1String() string {
	if len(t.Config) < 4 {
		return ""
	}
	b := t.Config[1:]
	tier, depth := 'M', 8
	if b[1]&0x80 != 0 {
		tier = 'H'
	}
	if b[1]&0x40 != 0 {
		depth = 10
		if b[1]&0x20 != 0 {
			depth = 12
		}
	}
	s := fmt.Sprintf("av01.%d.%02d%c.%02d", b[0]>>5, b[0]&0x1f, tier, depth)
	if t.Color.Described() {
		s += fmt.Sprintf(".%d.%d%d%d.%s", b[1]>>4&1, b[1]>>3&1, b[1]>>2&1, b[1]&3, t.Color.codePoints(1))
	}
	return s
}

// vp9String follows the VP Codec ISO Media File Format Binding, "Codecs
// Parameter String".
func (t *Track) vp9String() string {
	if len(t.Config) != vpccSize {
		return ""
	}
	s := fmt.Sprintf("vp09.%02d.%02d.%02d", t.Config[0], t.Config[1], t.Config[2]>>4)
	if t.Color.Described() {
		s += fmt.Sprintf(".%02d.%s", t.Config[2]>>1&7, t.Color.codePoints(2))
	}
	return s
}

// codePoints are primaries, transfer, matrix and range as codec strings have
// them, the range with so many digits.
func (c *Color) codePoints(rangeDigits int) string {
	full := 0
	if c.FullRange {
		full = 1
	}
	return fmt.Sprintf("%02d.%02d.%02d.%0*d", c.Primaries, c.Transfer, c.Matrix, rangeDigits, full)
}
