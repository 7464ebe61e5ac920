package hlstest

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"
)

// describe reads an initialization section.
func (w *Walker) describe(b []byte) bool {
	var init fmp4.Init
	if err := init.Unmarshal(bytes.NewReader(b)); err != nil {
		w.find("initialization section: %v", err)
		return false
	}
	if len(init.Tracks) != 1 {
		w.find("an initialization section of %d tracks", len(init.Tracks))
		return false
	}
	t := init.Tracks[0]
	w.init, w.timescale, w.video, w.width, w.height = b, float64(t.TimeScale), t.Codec.IsVideo(), 0, 0
	var err error
	switch c := t.Codec.(type) {
	case *codecs.H264:
		err = w.h264(c)
	case *codecs.H265:
		err = w.h265(c)
	case *codecs.MPEG4Audio:
		w.codec = fmt.Sprintf("mp4a.40.%d", c.Config.Type)
	case *codecs.MPEG1Audio:
		w.codec = "mp4a."
	case *codecs.AC3:
		w.codec = "ac-3"
	case *codecs.EAC3:
		w.codec = "ec-3"
	case *codecs.Opus:
		w.codec = "Opus"
	case *codecs.FLAC:
		w.codec = "fLaC"
	case *codecs.AV1:
		w.codec = "av01."
	case *codecs.VP9:
		w.codec, w.width, w.height = "vp09.", c.Width, c.Height
	default:
		err = fmt.Errorf("codec %T", c)
	}
	if err != nil {
		w.find("initialization section: %v", err)
	}
	return err == nil
}

func (w *Walker) h264(c *codecs.H264) error {
	var sps h264.SPS
	if err := sps.Unmarshal(c.SPS); err != nil {
		return err
	}
	w.width, w.height = sps.Width(), sps.Height()
	w.codec = fmt.Sprintf("avc1.%x", c.SPS[1:4]) // RFC 6381, 3.3
	return nil
}

// h265 knows how the codec string begins: profile, compatibility in reversed
// order, tier and level (ISO 14496-15, E.3). Apple takes hvc1 only.
func (w *Walker) h265(c *codecs.H265) error {
	var sps h265.SPS
	if err := sps.Unmarshal(c.SPS); err != nil {
		return err
	}
	w.width, w.height = sps.Width(), sps.Height()
	p := sps.ProfileTierLevel
	compatible := uint32(0)
	for i, set := range p.GeneralProfileCompatibilityFlag {
		if set {
			compatible |= 1 << i
		}
	}
	w.codec = fmt.Sprintf("hvc1.%d.%x.%c%d", p.GeneralProfileIdc, compatible, "LH"[p.GeneralTierFlag], p.GeneralLevelIdc)
	if !bytes.Contains(w.init, []byte("hvc1")) {
		return fmt.Errorf("no hvc1 in it")
	}
	return nil
}

// says reports whether one of the codec strings is that of the section.
func (w *Walker) says(all []string) bool {
	for _, c := range all {
		if strings.HasPrefix(strings.ToLower(c), strings.ToLower(w.codec)) {
			return true
		}
	}
	return false
}
