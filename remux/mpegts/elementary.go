package mpegts

import (
	"slices"

	"github.com/miju-live/miju/media"
)

// Types of NAL units that the way out looks at.
const (
	h264SPS = 7
	h264AUD = 9
	h265VPS = 32
	h265AUD = 35
)

var (
	// Access unit delimiters, which this container demands (2.14.1, 2.17.1),
	// that allow any kind of slice.
	delimiterH264 = []byte{0, 0, 0, 1, h264AUD, 0xf0}
	delimiterH265 = []byte{0, 0, 0, 1, h265AUD << 1, 1, 0x50}
	startCode     = []byte{0, 0, 0, 1}
)

// payloadOf makes the payload of the PES packet of a frame.
func payloadOf(f *media.Frame) []byte {
	switch f.Track.Codec {
	case media.H264, media.H265:
		return appendAnnexB(make([]byte, 0, len(f.Data)+maxInFront), f)
	case media.AAC:
		return append(headerADTS(f), f.Data...)
	case media.Opus:
		return append(opusControl(len(f.Data)), f.Data...)
	}
	return f.Data
}

// appendAnnexB writes an access unit with start codes: a delimiter first, the
// parameter sets before a random access point that does not bring its own.
func appendAnnexB(dst []byte, f *media.Frame) []byte {
	h265 := f.Track.Codec == media.H265
	typeOf := func(n []byte) byte {
		if h265 {
			return n[0] >> 1 & 0x3f
		}
		return n[0] & 0x1f
	}
	delimiter, aud, first := delimiterH264, byte(h264AUD), byte(h264SPS)
	if h265 {
		delimiter, aud, first = delimiterH265, h265AUD, h265VPS
	}
	dst = append(dst, delimiter...)
	if f.RandomAccess {
		own := false
		for n := range media.NALUs(f.Data) {
			own = own || len(n) > 0 && typeOf(n) == first
		}
		if !own {
			dst = appendParameterSets(dst, f.Track)
		}
	}
	for n := range media.NALUs(f.Data) {
		if len(n) == 0 || typeOf(n) == aud {
			continue
		}
		dst = append(append(dst, startCode...), n...)
	}
	return dst
}

func appendParameterSets(dst []byte, t *media.Track) []byte {
	var all [][]byte
	if t.Codec == media.H265 {
		vps, sps, pps, err := media.H265ParameterSets(t.Config)
		if err != nil { // NewH265Track has read it
			return dst
		}
		all = slices.Concat(vps, sps, pps)
	} else {
		sps, pps, err := media.H264ParameterSets(t.Config)
		if err != nil {
			return dst
		}
		all = slices.Concat(sps, pps)
	}
	for _, n := range all {
		dst = append(append(dst, startCode...), n...)
	}
	return dst
}

// maxInFront is about the most that stands before the data of a picture.
const maxInFront = 256

const adtsSize = 7

// headerADTS makes the header of an AAC frame (ISO 14496-3, 1.A.2.2), which knows
// the core's rate and at most eight channels.
func headerADTS(f *media.Frame) []byte {
	h := make([]byte, adtsSize, adtsSize+len(f.Data))
	size := adtsSize + len(f.Data)
	profile, rate, channels := byte(1), 4, f.Track.Channels
	if c, err := media.ParseAudioSpecificConfig(f.Track.Config); err == nil {
		// HE-AAC is announced as the AAC-LC that it extends.
		if c.Type >= 1 && c.Type <= 4 {
			profile = byte(c.Type) - 1
		}
		if i := slices.Index(adtsRates, c.SampleRate); i >= 0 {
			rate = i
		}
		channels = int(c.ChannelConfig)
	}
	h[0], h[1] = 0xff, 0xf1
	h[2] = profile<<6 | byte(rate)<<2 | byte(channels)>>2
	h[3] = byte(channels)<<6 | byte(size>>11)&3
	h[4] = byte(size >> 3)
	h[5] = byte(size)<<5 | 0x1f
	h[6] = 0xfc
	return h
}

// adtsRates are sampling_frequency_index's (ISO 14496-3, table 1.18).
var adtsRates = []int{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}

// opusControl makes the control header of an Opus packet: a prefix and the size.
func opusControl(size int) []byte {
	h := make([]byte, 2, 3+size/255+size)
	h[0], h[1] = 0x7f, 0xe0
	for ; size >= 255; size -= 255 {
		h = append(h, 255)
	}
	return append(h, byte(size))
}
