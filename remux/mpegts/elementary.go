package mpegts

import (
	"fmt"
	"slices"

	"github.com/miju-live/miju/media"
)

// Types of NAL units that the way out looks at.
const (
	h264SPS = 7
	h264PPS = 8
	h264AUD = 9
	h265VPS = 32
	h265SPS = 33
	h265PPS = 34
	h265AUD = 35
)

var (
	// Access unit delimiters, which this container demands (2.14.1, 2.17.1),
	// that allow any kind of slice.
	delimiterH264 = []byte{0, 0, 0, 1, h264AUD, 0xf0}
	delimiterH265 = []byte{0, 0, 0, 1, h265AUD << 1, 1, 0x50}
	startCode     = []byte{0, 0, 0, 1}
)

// Bounds of what a frame of sound may have, in bytes: frame_length has 13 bits
// in ADTS, and a PES packet of sound must say its size in 16.
const (
	maxADTS      = 1<<13 - 1
	maxSoundSize = 0xffff - maxInFront
)

// payloadOf makes the payload of the PES packet of a frame, nil if there is no
// room for it.
func payloadOf(f *media.Frame) []byte {
	if f.Track.Kind() == media.KindAudio && (len(f.Data) == 0 || len(f.Data)/255+len(f.Data) > maxSoundSize) {
		return nil
	}
	switch f.Track.Codec {
	case media.H264, media.H265:
		return appendAnnexB(make([]byte, 0, len(f.Data)+maxInFront), f)
	case media.AAC:
		if adtsSize+len(f.Data) > maxADTS {
			return nil
		}
		if h := headerADTS(f); h != nil {
			return append(h, f.Data...)
		}
		return nil
	case media.Opus:
		return append(opusControl(len(f.Data)), f.Data...)
	}
	return f.Data
}

// appendAnnexB writes an access unit with start codes: a delimiter first, the
// parameter sets before a random access point that does not bring them all.
func appendAnnexB(dst []byte, f *media.Frame) []byte {
	typeOf, delimiter, aud := typeH264, delimiterH264, byte(h264AUD)
	sets := []byte{h264SPS, h264PPS}
	if f.Track.Codec == media.H265 {
		typeOf, delimiter, aud = typeH265, delimiterH265, h265AUD
		sets = []byte{h265VPS, h265SPS, h265PPS}
	}
	dst = append(dst, delimiter...)
	if f.RandomAccess {
		for n := range media.NALUs(f.Data) {
			sets = slices.DeleteFunc(sets, func(t byte) bool { return t == typeOf(n) })
		}
		if len(sets) > 0 {
			dst = appendParameterSets(dst, f.Track)
		}
	}
	for n := range media.NALUs(f.Data) {
		if typeOf(n) != aud {
			dst = append(append(dst, startCode...), n...)
		}
	}
	return dst
}

func typeH264(nalu []byte) byte { return nalu[0] & 0x1f }

func typeH265(nalu []byte) byte { return nalu[0] >> 1 & 0x3f }

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

// checkADTS tells whether ADTS has a way to say what an AAC track is: it knows
// frames of 1024 samples, thirteen rates, and an order of channels only if that
// is one of the usual or stands in every frame (ISO 14496-3, 1.A.2.2). Errors
// wrap media.ErrUnsupportedCodec.
func checkADTS(t *media.Track) error {
	c, err := media.ParseAudioSpecificConfig(t.Config)
	switch {
	case err != nil:
		return err
	case c.FrameLengthFlag:
		return fmt.Errorf("%w: MPEG-TS cannot carry AAC of 960 samples a frame", media.ErrUnsupportedCodec)
	case !slices.Contains(adtsRates, c.SampleRate):
		return fmt.Errorf("%w: MPEG-TS cannot carry AAC of %d Hz", media.ErrUnsupportedCodec, c.SampleRate)
	case c.ChannelConfig == 0 && len(t.Config) > bareConfig:
		return fmt.Errorf("%w: MPEG-TS cannot carry AAC with channels in an order of their own", media.ErrUnsupportedCodec)
	}
	return nil
}

// bareConfig is the size of an AudioSpecificConfig that tells no order of
// channels; then every frame does.
const bareConfig = 4

// headerADTS makes the header of an AAC frame (ISO 14496-3, 1.A.2.2), which knows
// the core's rate: HE-AAC is announced as the AAC-LC that it extends.
func headerADTS(f *media.Frame) []byte {
	h := make([]byte, adtsSize, adtsSize+len(f.Data))
	c, err := media.ParseAudioSpecificConfig(f.Track.Config)
	rate := slices.Index(adtsRates, c.SampleRate)
	if err != nil || rate < 0 {
		return nil // checkADTS has refused this
	}
	size, profile, channels := adtsSize+len(f.Data), byte(c.Type)-1, c.ChannelConfig
	h[0], h[1] = 0xff, 0xf1
	h[2] = profile<<6 | byte(rate)<<2 | channels>>2
	h[3] = channels<<6 | byte(size>>11)&3
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
