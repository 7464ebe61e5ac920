package media

import (
	"bytes"
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/vp9"
)

// vpccSize is the length of a VPCodecConfigurationRecord of VP9, in bytes,
// without the version and flags that the box vpcC puts before it.
const vpccSize = 8

// NewVP9Track describes a track by its VPCodecConfigurationRecord (VP Codec
// ISO Media File Format Binding, 2.2), with or without the version and flags
// of its box. Size is not known until Refresh. Errors wrap ErrBadConfig.
func NewVP9Track(id int, record []byte) (*Track, error) {
	if len(record) >= vpccSize+4 && bytes.Equal(record[:4], []byte{1, 0, 0, 0}) {
		record = record[4:]
	}
	// codecInitializationData must be empty for VP9.
	if len(record) != vpccSize || record[6] != 0 || record[7] != 0 {
		return nil, fmt.Errorf("%w: vpcC of %d bytes", ErrBadConfig, len(record))
	}
	depth := record[2] >> 4
	if record[0] > 3 || depth != 8 && depth != 10 && depth != 12 {
		return nil, fmt.Errorf("%w: vpcC of profile %d, %d bits", ErrBadConfig, record[0], depth)
	}
	t := &Track{ID: id, Codec: VP9, Config: bytes.Clone(record)}
	t.Color = colorOf(int(depth), record[3], record[4], record[5], record[2]&1 != 0)
	return t, nil
}

// vp9Levels are the luma samples of a picture up to which a level goes (VP9
// levels, table of 2016).
var vp9Levels = []struct {
	samples int
	level   byte
}{
	{36864, 10}, {73728, 11}, {122880, 20}, {245760, 21}, {552960, 30}, {983040, 31}, {2228224, 41}, {8912896, 51}, {35651584, 61},
}

// vp9Config makes the record of a key frame's header. The level, which no
// frame tells, is that of the size at a usual frame rate.
func vp9Config(h *vp9.Header) []byte {
	level := byte(62)
	for i := len(vp9Levels) - 1; i >= 0 && h.Width()*h.Height() <= vp9Levels[i].samples; i-- {
		level = vp9Levels[i].level
	}
	full := byte(0)
	if h.ColorConfig.ColorRange {
		full = 1
	}
	// color_space (VP9, 7.2.2) as H.273 numbers it.
	codes := [8]byte{unspecified, 6, 1, 6, 7, 9, unspecified, 1}
	matrices := [8]byte{unspecified, 6, 1, 6, 7, 9, unspecified, 0}
	space := h.ColorConfig.ColorSpace & 7
	return []byte{
		h.Profile, level, h.ColorConfig.BitDepth<<4 | h.ChromaSubsampling()<<1 | full,
		codes[space], codes[space], matrices[space], 0, 0,
	}
}

// checkVP9 is Check for VP9.
func checkVP9(data []byte) (randomAccess bool, err error) {
	var h vp9.Header
	if err := h.Unmarshal(data); err != nil {
		return false, fmt.Errorf("VP9 frame: %w", err)
	}
	return !h.NonKeyFrame && !h.ShowExistingFrame, nil
}

// refreshVP9 is Refresh for VP9: only frames tell the size.
func refreshVP9(t *Track, data []byte) (*Track, error) {
	var h vp9.Header
	if err := h.Unmarshal(data); err != nil {
		return t, fmt.Errorf("VP9 frame: %w", err)
	}
	if h.FrameSize == nil || h.ColorConfig == nil {
		return t, nil
	}
	config := t.Config
	if len(config) != vpccSize || config[0] != h.Profile || config[2]>>4 != h.ColorConfig.BitDepth {
		config = vp9Config(&h)
	} else if t.Width == h.Width() && t.Height == h.Height() {
		return t, nil
	}
	fresh, err := NewVP9Track(t.ID, config)
	if err != nil {
		return t, err
	}
	fresh.Width, fresh.Height = h.Width(), h.Height()
	return fresh, nil
}
