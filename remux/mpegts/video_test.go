package mpegts

import (
	"testing"

	"github.com/miju-live/miju/media"
)

func TestPictureParameterSetIDs(t *testing.T) {
	for _, c := range []struct {
		name  string
		codec media.Codec
		nalu  []byte
		want  uint32
	}{
		{"0", media.H264, []byte{0x68, 0x80}, 0},
		{"1", media.H264, []byte{0x68, 0x40}, 1},
		{"3 of H.265", media.H265, []byte{0x44, 1, 0x20}, 3},
		{"cut behind the header", media.H264, []byte{0x68}, 0},
		{"cut inside of H.265's header", media.H265, []byte{0x44}, 0},
		{"zeros only", media.H265, []byte{0x44, 1, 0, 0, 0, 0, 0, 0}, 0},
	} {
		v := &videoParser{codec: c.codec}
		if got := v.ppsID(c.nalu); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
