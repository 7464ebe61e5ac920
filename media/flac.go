package media

import (
	"bytes"
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/flac"
)

const (
	// flacMagic begins a FLAC stream (RFC 9639, 6).
	flacMagic = "fLaC"
	// FLACStreamInfoSize is the length of a STREAMINFO block without its
	// header, in bytes.
	FLACStreamInfoSize = 34
)

// NewFLACTrack describes a track by its STREAMINFO block (RFC 9639, 8.2): bare,
// behind its block header or behind the magic too. Config is the bare block.
// Errors wrap ErrBadConfig.
func NewFLACTrack(id int, config []byte) (*Track, error) {
	info := bytes.TrimPrefix(config, []byte(flacMagic))
	if len(info) >= 4+FLACStreamInfoSize && info[0]&0x7f == 0 && bytes.Equal(info[1:4], []byte{0, 0, FLACStreamInfoSize}) {
		info = info[4 : 4+FLACStreamInfoSize]
	}
	if len(info) != FLACStreamInfoSize {
		return nil, fmt.Errorf("%w: FLAC STREAMINFO in %d bytes", ErrBadConfig, len(config))
	}
	var s flac.StreamInfo
	if err := s.Unmarshal(info); err != nil {
		return nil, fmt.Errorf("%w: FLAC STREAMINFO: %w", ErrBadConfig, err)
	}
	if s.SampleRate == 0 || s.BitDepth < 4 || s.MaxBlockSize < 16 || s.MinBlockSize > s.MaxBlockSize {
		return nil, fmt.Errorf("%w: FLAC STREAMINFO of %d Hz, %d bits", ErrBadConfig, s.SampleRate, s.BitDepth)
	}
	return &Track{ID: id, Codec: FLAC, Config: bytes.Clone(info), SampleRate: int(s.SampleRate), Channels: int(s.ChannelCount)}, nil
}

// flacSamples returns how many samples each frame of a track has, 0 if they
// differ.
func flacSamples(t *Track) int {
	var s flac.StreamInfo
	if s.Unmarshal(t.Config) != nil || s.MinBlockSize != s.MaxBlockSize {
		return 0
	}
	return int(s.MaxBlockSize)
}
