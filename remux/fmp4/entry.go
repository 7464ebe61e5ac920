package fmp4

import (
	"math"

	"github.com/miju-live/miju/media"
)

// visualEntries are the names of a codec's sample entry and of the box in it
// that holds the record.
var visualEntries = map[media.Codec][2]string{
	media.H264: {"avc1", "avcC"},
	media.H265: {"hvc1", "hvcC"}, // parameter sets in the record: the one name Apple's players accept
	media.AV1:  {"av01", "av1C"},
	media.VP9:  {"vp09", "vpcC"},
}

// appendVisualEntry appends the sample entry of video (ISO 14496-12, 12.1.3;
// ISO 14496-15, 5.4.2 and 8.4.1; AV1 in ISOBMFF, 2.2; VP Codec ISO Media File
// Format Binding, 2.1) with the encoder's own record in it.
func appendVisualEntry(dst []byte, t *media.Track) []byte {
	names := visualEntries[t.Codec]
	dst, entry := begin(dst, names[0])
	dst = zeros(dst, 6)
	dst = u16s(dst, 1)   // data_reference_index
	dst = zeros(dst, 16) // pre_defined, reserved
	dst = u16s(dst, clamp16(t.Width), clamp16(t.Height))
	dst = u32s(dst, 0x00480000, 0x00480000, 0) // 72 dpi, reserved
	dst = u16s(dst, 1)                         // frame_count
	dst = zeros(dst, 32)                       // compressorname
	dst = u16s(dst, 24, 0xffff)                // depth, pre_defined
	dst, record := begin(dst, names[1])
	if t.Codec == media.VP9 {
		dst = u32s(dst, 1<<24) // version and flags
	}
	dst = append(dst, t.Config...)
	dst = end(dst, record)
	dst = appendColor(dst, t.Color)
	return end(dst, entry)
}

// appendColor appends what is known of the colours: colr, mdcv and clli (ISO
// 14496-12, 12.1.5 to 12.1.7).
func appendColor(dst []byte, c *media.Color) []byte {
	if !c.Described() {
		return dst
	}
	dst, colr := begin(dst, "colr")
	dst = append(dst, "nclx"...)
	dst = u16s(dst, uint16(c.Primaries), uint16(c.Transfer), uint16(c.Matrix))
	fullRange := byte(0)
	if c.FullRange {
		fullRange = 0x80
	}
	dst = end(append(dst, fullRange), colr)
	if m := c.Mastering; m != nil {
		var mdcv int
		dst, mdcv = begin(dst, "mdcv")
		const unit = 0.00002
		for _, v := range [...]float64{m.GreenX, m.GreenY, m.BlueX, m.BlueY, m.RedX, m.RedY, m.WhiteX, m.WhiteY} {
			dst = u16s(dst, uint16(inUnits(v, unit, math.MaxUint16)))
		}
		dst = u32s(dst, inUnits(m.MaxLuminance, 0.0001, math.MaxUint32), inUnits(m.MinLuminance, 0.0001, math.MaxUint32))
		dst = end(dst, mdcv)
	}
	if l := c.Light; l != nil {
		var clli int
		dst, clli = begin(dst, "clli")
		dst = u16s(dst, uint16(inUnits(l.MaxCLL, 1, math.MaxUint16)), uint16(inUnits(l.MaxFALL, 1, math.MaxUint16)))
		dst = end(dst, clli)
	}
	return dst
}

// inUnits counts the units in v, at most so many.
func inUnits(v, unit, most float64) uint32 {
	return uint32(min(max(math.Round(v/unit), 0), most))
}
