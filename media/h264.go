package media

import (
	"bytes"
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
)

// maxParameterSet bounds one SPS, PPS or VPS, in bytes. Real ones stay under
// 300; the record gives their size 16 bits.
const maxParameterSet = 4096

// NewH264Track describes a track by its avcC record (ISO 14496-15, 5.3.3.1),
// which is kept as it is. Errors wrap ErrBadConfig or ErrUnsupportedCodec.
func NewH264Track(id int, record []byte) (*Track, error) {
	sps, _, err := H264ParameterSets(record)
	if err != nil {
		return nil, err
	}
	if len(sps) == 0 {
		return nil, fmt.Errorf("%w: avcC holds no SPS", ErrBadConfig)
	}
	var s h264.SPS
	if err := s.Unmarshal(sps[0]); err != nil {
		return nil, fmt.Errorf("%w: H.264 SPS: %w", ErrBadConfig, err)
	}
	t := &Track{ID: id, Codec: H264, Config: bytes.Clone(record), Width: s.Width(), Height: s.Height()}
	t.FrameRate = saneFrameRate(s.FPS())
	if v := s.VUI; v != nil && v.ColourDescriptionPresentFlag {
		t.Color = colorOf(int(s.BitDepthLumaMinus8)+8, v.ColourPrimaries, v.TransferCharacteristics, v.MatrixCoefficients, v.VideoFullRangeFlag)
	}
	return t, nil
}

// H264ParameterSets returns the SPS and PPS of an avcC record, as slices of it.
func H264ParameterSets(record []byte) (sps, pps [][]byte, err error) {
	if len(record) < 7 || record[0] != 1 {
		return nil, nil, fmt.Errorf("%w: avcC of %d bytes", ErrBadConfig, len(record))
	}
	if n := record[4]&3 + 1; n != 4 {
		return nil, nil, fmt.Errorf("%w: H.264 with %d-byte NAL unit sizes", ErrUnsupportedCodec, n)
	}
	rest := record[6:]
	if sps, rest, err = cutParameterSets(rest, int(record[5]&0x1f)); err != nil {
		return nil, nil, err
	}
	if len(rest) == 0 {
		return nil, nil, fmt.Errorf("%w: avcC ends before its PPS", ErrBadConfig)
	}
	if pps, _, err = cutParameterSets(rest[1:], int(rest[0])); err != nil {
		return nil, nil, err
	}
	return sps, pps, nil
}

// H264Config makes an avcC record of one SPS and one PPS.
func H264Config(sps, pps []byte) ([]byte, error) {
	return h264Config([][]byte{sps}, [][]byte{pps})
}

func h264Config(sps, pps [][]byte) ([]byte, error) {
	if err := checkSets("H.264 SPS", sps, 4); err != nil {
		return nil, err
	}
	if err := checkSets("H.264 PPS", pps, 1); err != nil {
		return nil, err
	}
	first := sps[0]
	r := []byte{1, first[1], first[2], first[3], 0xff, 0xe0 | byte(len(sps))}
	for _, set := range sps {
		r = appendParameterSet(r, set)
	}
	r = append(r, byte(len(pps)))
	for _, set := range pps {
		r = appendParameterSet(r, set)
	}
	// The profiles above Extended carry four more bytes (5.3.3.1.2).
	switch first[1] {
	case 100, 110, 122, 144:
		var s h264.SPS
		if err := s.Unmarshal(first); err != nil {
			return nil, fmt.Errorf("%w: H.264 SPS: %w", ErrBadConfig, err)
		}
		r = append(r, 0xfc|byte(s.ChromaFormatIdc&3), 0xf8|byte(s.BitDepthLumaMinus8&7), 0xf8|byte(s.BitDepthChromaMinus8&7), 0)
	}
	return r, nil
}

// checkSets checks the parameter sets of one kind that go into a record.
func checkSets(what string, sets [][]byte, least int) error {
	if len(sets) == 0 || len(sets) > maxInBand {
		return fmt.Errorf("%w: %d of %s", ErrBadConfig, len(sets), what)
	}
	for _, set := range sets {
		if len(set) < least || len(set) > maxParameterSet {
			return fmt.Errorf("%w: %s of %d bytes", ErrBadConfig, what, len(set))
		}
	}
	return nil
}

func appendParameterSet(dst, set []byte) []byte {
	dst = append(dst, byte(len(set)>>8), byte(len(set)))
	return append(dst, set...)
}

func cutParameterSets(b []byte, count int) (sets [][]byte, rest []byte, err error) {
	for range count {
		if len(b) < 2 {
			return nil, nil, fmt.Errorf("%w: record ends inside its parameter sets", ErrBadConfig)
		}
		n := int(b[0])<<8 | int(b[1])
		if n == 0 || n > maxParameterSet || n > len(b)-2 {
			return nil, nil, fmt.Errorf("%w: parameter set of %d bytes", ErrBadConfig, n)
		}
		sets = append(sets, b[2:2+n])
		b = b[2+n:]
	}
	return sets, b, nil
}

// saneFrameRate drops what a VUI cannot mean: encoders write anything there.
func saneFrameRate(fps float64) float64 {
	if fps >= 1 && fps <= 480 {
		return fps
	}
	return 0
}
