package media

import (
	"bytes"
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
)

// H.265 NAL unit types of parameter sets (H.265, table 7-1).
const (
	naluVPS = 32
	naluSPS = 33
	naluPPS = 34
)

// NewH265Track describes a track by its hvcC record (ISO 14496-15, 8.3.3.1),
// which is kept as it is. Errors wrap ErrBadConfig or ErrUnsupportedCodec.
func NewH265Track(id int, record []byte) (*Track, error) {
	_, sps, _, err := H265ParameterSets(record)
	if err != nil {
		return nil, err
	}
	if len(sps) == 0 {
		return nil, fmt.Errorf("%w: hvcC holds no SPS", ErrBadConfig)
	}
	var s h265.SPS
	if err := s.Unmarshal(sps[0]); err != nil {
		return nil, fmt.Errorf("%w: H.265 SPS: %w", ErrBadConfig, err)
	}
	t := &Track{ID: id, Codec: H265, Config: bytes.Clone(record), Width: s.Width(), Height: s.Height()}
	t.FrameRate = saneFrameRate(s.FPS())
	if v := s.VUI; v != nil && v.ColourDescriptionPresentFlag {
		t.Color = colorOf(int(s.BitDepthLumaMinus8)+8, v.ColourPrimaries, v.TransferCharacteristics, v.MatrixCoefficients, v.VideoFullRangeFlag)
	}
	return t, nil
}

// H265ParameterSets returns the parameter sets of an hvcC record, as slices of it.
func H265ParameterSets(record []byte) (vps, sps, pps [][]byte, err error) {
	if len(record) < 23 || record[0] != 1 {
		return nil, nil, nil, fmt.Errorf("%w: hvcC of %d bytes", ErrBadConfig, len(record))
	}
	if n := record[21]&3 + 1; n != 4 {
		return nil, nil, nil, fmt.Errorf("%w: H.265 with %d-byte NAL unit sizes", ErrUnsupportedCodec, n)
	}
	rest := record[23:]
	for range record[22] {
		if len(rest) < 3 {
			return nil, nil, nil, fmt.Errorf("%w: hvcC ends inside its arrays", ErrBadConfig)
		}
		var sets [][]byte
		typ := rest[0] & 0x3f
		if sets, rest, err = cutParameterSets(rest[3:], int(rest[1])<<8|int(rest[2])); err != nil {
			return nil, nil, nil, err
		}
		switch typ {
		case naluVPS:
			vps = append(vps, sets...)
		case naluSPS:
			sps = append(sps, sets...)
		case naluPPS:
			pps = append(pps, sets...)
		}
	}
	return vps, sps, pps, nil
}

// H265Config makes an hvcC record of one VPS, SPS and PPS.
func H265Config(vps, sps, pps []byte) ([]byte, error) {
	return h265Config([][]byte{vps}, [][]byte{sps}, [][]byte{pps})
}

func h265Config(vps, sps, pps [][]byte) ([]byte, error) {
	arrays := []struct {
		what string
		typ  byte
		sets [][]byte
	}{{"H.265 VPS", naluVPS, vps}, {"H.265 SPS", naluSPS, sps}, {"H.265 PPS", naluPPS, pps}}
	for _, a := range arrays {
		if err := checkSets(a.what, a.sets, 3); err != nil {
			return nil, err
		}
	}
	var s h265.SPS
	if err := s.Unmarshal(sps[0]); err != nil {
		return nil, fmt.Errorf("%w: H.265 SPS: %w", ErrBadConfig, err)
	}
	// profile_tier_level stands byte-aligned behind the NAL unit header and
	// one byte of SPS (7.3.2.2.1), but only once emulation prevention bytes
	// are gone: with them in, the constraint bytes shift.
	raw := h264.EmulationPreventionRemove(sps[0])
	if len(raw) < 15 {
		return nil, fmt.Errorf("%w: H.265 SPS of %d bytes", ErrBadConfig, len(raw))
	}
	r := append([]byte{1}, raw[3:15]...)
	r = append(r, 0xf0, 0, 0xfc, 0xfc|byte(s.ChromaFormatIdc&3), 0xf8|byte(s.BitDepthLumaMinus8&7), 0xf8|byte(s.BitDepthChromaMinus8&7), 0, 0)
	nested := byte(0)
	if s.TemporalIDNestingFlag {
		nested = 1
	}
	r = append(r, (s.MaxSubLayersMinus1+1)&7<<3|nested<<2|3, byte(len(arrays)))
	for _, a := range arrays {
		r = append(r, 0x80|a.typ, 0, byte(len(a.sets)))
		for _, set := range a.sets {
			r = appendParameterSet(r, set)
		}
	}
	return r, nil
}
