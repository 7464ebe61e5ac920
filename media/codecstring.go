package media

import (
	"github.com/bluenviron/gohlslib/v2/pkg/codecparams"
	"github.com/bluenviron/gohlslib/v2/pkg/codecs"
)

// CodecString returns the track's codec as RFC 6381 spells it ("avc1.64001f",
// "hvc1.1.6.L93.90", "mp4a.40.2"), for HLS playlists and MSE. It is empty for
// data tracks and for a track without a usable Config.
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
	case AAC:
		if c, err := ParseAudioSpecificConfig(t.Config); err == nil {
			return codecparams.Marshal(&codecs.MPEG4Audio{Config: c})
		}
	}
	return ""
}
