package media

import (
	"slices"

	"github.com/bluenviron/mediacommon/v2/pkg/bits"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
)

// The syntactic elements of a raw_data_block (ISO 14496-3, table 4.85).
const (
	elementSCE = 0 // one channel
	elementCPE = 1 // two channels
	elementLFE = 3 // the low-frequency channel, coded as one channel
	elementEND = 7
)

// elementsOf are the elements of a channel configuration, in their order (ISO
// 14496-3, table 1.19).
var elementsOf = [8][]uint64{
	1: {elementSCE},
	2: {elementCPE},
	3: {elementSCE, elementCPE},
	4: {elementSCE, elementCPE, elementSCE},
	5: {elementSCE, elementCPE, elementCPE},
	6: {elementSCE, elementCPE, elementCPE, elementLFE},
	7: {elementSCE, elementCPE, elementCPE, elementCPE, elementLFE},
}

// silentOpus is a packet of 20 ms without a sound (RFC 6716, 3.1): CELT, full
// band, one frame. A mono packet is fine in a stream of two channels.
var silentOpus = []byte{0xf8, 0xff, 0xfe}

// Silence returns a frame of t in which nothing is heard and how long it
// lasts: samples of rate a second. The frame is nil where none can be made:
// of a codec other than AAC and Opus, and of channels in an order of their own.
func Silence(t *Track) (frame []byte, samples, rate int) {
	switch t.Codec {
	case AAC:
		c, err := ParseAudioSpecificConfig(t.Config)
		if err != nil {
			return nil, 0, 0
		}
		samples = mpeg4audio.SamplesPerAccessUnit
		if c.FrameLengthFlag {
			samples = 960
		}
		return silentAAC(c.ChannelConfig), samples, c.SampleRate
	case Opus:
		// Of several streams in a packet (RFC 7845, 5.1.1) each had to be silent.
		if c := t.Config; len(c) > 18 && (c[18] == 0 || len(c) > 19 && c[19] == 1) {
			return slices.Clone(silentOpus), 960, 48000
		}
	}
	return nil, 0, 0
}

// silentAAC makes a raw_data_block whose channels have no scale factor band at
// all (ISO 14496-3, 4.4.2.1). nil if the channels are not those of a table.
func silentAAC(channelConfig uint8) []byte {
	if int(channelConfig) >= len(elementsOf) || elementsOf[channelConfig] == nil {
		return nil
	}
	var b [32]byte // the largest has 21
	pos := 0
	put := func(v uint64, n int) { bits.WriteBitsUnsafe(b[:], &pos, v, n) }
	var tags [elementEND]uint64
	for _, e := range elementsOf[channelConfig] {
		put(e, 3)
		put(tags[e], 4)
		tags[e]++
		if e == elementCPE {
			put(1, 1)  // common_window
			put(0, 11) // ics_info: a long window, max_sfb 0, no prediction
			put(0, 2)  // ms_mask_present
			put(0, 11) // global_gain; no pulse data, no TNS, no gain control
			put(0, 11)
			continue
		}
		put(0, 8)  // global_gain
		put(0, 11) // ics_info
		put(0, 3)
	}
	put(elementEND, 3)
	return slices.Clone(b[:(pos+7)/8])
}

// aacRates are the sampling frequencies that have an index (ISO 14496-3,
// table 1.18).
var aacRates = []int{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}

// NewSilentAACTrack describes a track of AAC-LC whose configuration is not
// known: it has the sample rate (in Hz) and channels that were promised, or 48
// kHz and two channels where these cannot be.
func NewSilentAACTrack(id, rate, channels int) (*Track, error) {
	if !slices.Contains(aacRates, rate) {
		rate = 48000
	}
	c := mpeg4audio.AudioSpecificConfig{Type: mpeg4audio.ObjectTypeAACLC, SampleRate: rate, ChannelConfig: 2}
	switch {
	case channels >= 1 && channels <= 6:
		c.ChannelConfig = uint8(channels)
	case channels == 8:
		c.ChannelConfig = 7
	}
	config, err := c.Marshal()
	if err != nil {
		return nil, err
	}
	return NewAACTrack(id, config)
}
