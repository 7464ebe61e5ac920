package media

import (
	"bytes"
	"fmt"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
)

// maxAudioConfig bounds an AudioSpecificConfig, in bytes. AAC's have 2 to 7,
// with a program config element up to about 40.
const maxAudioConfig = 64

// NewAACTrack describes a track by its AudioSpecificConfig (ISO 14496-3,
// 1.6.2.1), which is kept as it is. Errors wrap ErrBadConfig.
func NewAACTrack(id int, config []byte) (*Track, error) {
	if len(config) > maxAudioConfig {
		return nil, fmt.Errorf("%w: AudioSpecificConfig of %d bytes", ErrBadConfig, len(config))
	}
	c, err := ParseAudioSpecificConfig(config)
	if err != nil {
		return nil, err
	}
	rate := c.SampleRate
	if c.ExtensionSampleRate > rate {
		rate = c.ExtensionSampleRate
	}
	return &Track{ID: id, Codec: AAC, Config: bytes.Clone(config), SampleRate: rate, Channels: channels(c.ChannelConfig)}, nil
}

// ParseAudioSpecificConfig reads an AudioSpecificConfig. Errors wrap ErrBadConfig.
func ParseAudioSpecificConfig(config []byte) (mpeg4audio.AudioSpecificConfig, error) {
	var c mpeg4audio.AudioSpecificConfig
	if err := c.Unmarshal(config); err != nil {
		return c, fmt.Errorf("%w: AudioSpecificConfig: %w", ErrBadConfig, err)
	}
	if c.SampleRate <= 0 {
		return c, fmt.Errorf("%w: AudioSpecificConfig with a sample rate of %d Hz", ErrBadConfig, c.SampleRate)
	}
	return c, nil
}

// AACFrameDuration returns how long a frame of an AAC track lasts: 1024 (or
// 960) samples of the core decoder's rate (ISO 14496-3, 4.5.1.1).
func AACFrameDuration(t *Track) time.Duration {
	c, err := ParseAudioSpecificConfig(t.Config)
	if err != nil {
		return 0
	}
	samples := time.Duration(mpeg4audio.SamplesPerAccessUnit)
	if c.FrameLengthFlag {
		samples = 960
	}
	return samples * time.Second / time.Duration(c.SampleRate)
}

// channels maps a channel configuration (ISO 14496-3, table 1.19) to a count;
// 0, a program config element, is shown as the stereo it nearly always is.
func channels(config uint8) int {
	switch {
	case config == 7:
		return 8
	case config == 0:
		return 2
	}
	return int(config)
}
