package media

import (
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/bits"
)

// av1Sequence is what matters here of a sequence header OBU (AV1 Bitstream &
// Decoding Process, 5.5). mediacommon's parser knows neither the decoder model
// nor initial display delays, which hardware encoders send.
type av1Sequence struct {
	profile, level            uint8
	tier                      bool
	width, height             int
	frameRate                 float64
	bitDepth                  int
	monochrome                bool
	subsamplingX              bool
	subsamplingY              bool
	chromaPosition            uint8
	primaries                 uint8
	transfer, matrix          uint8
	fullRange                 bool
	delayLength               int // of the buffer delays of the decoder model, in bits
	decoderModel, stillHeader bool
}

// bitReader reads bits and remembers that they ran out.
type bitReader struct {
	b   []byte
	pos int
	err error
}

func (r *bitReader) bits(n int) uint64 {
	if r.err != nil || n == 0 { // of which ReadBits looks at the byte behind the end
		return 0
	}
	v, err := bits.ReadBits(r.b, &r.pos, n)
	r.err = err
	return v
}

func (r *bitReader) flag() bool { return r.bits(1) == 1 }

// uvlc reads a number of variable length (4.10.3).
func (r *bitReader) uvlc() uint64 {
	zeros := 0
	for !r.flag() {
		if zeros++; zeros >= 32 || r.err != nil {
			return 1<<32 - 1
		}
	}
	return r.bits(zeros) + 1<<zeros - 1
}

// parseAV1Sequence reads the payload of a sequence header OBU. Errors wrap
// ErrBadConfig.
func parseAV1Sequence(payload []byte) (*av1Sequence, error) {
	r := &bitReader{b: payload}
	s := &av1Sequence{}
	s.profile = uint8(r.bits(3))
	r.flag() // still_picture
	s.stillHeader = r.flag()
	if s.stillHeader {
		s.level = uint8(r.bits(5))
	} else {
		s.timing(r)
		s.operatingPoints(r)
	}
	widthBits, heightBits := int(r.bits(4))+1, int(r.bits(4))+1
	s.width, s.height = int(r.bits(widthBits))+1, int(r.bits(heightBits))+1
	if !s.stillHeader && r.flag() { // frame_id_numbers_present_flag
		r.bits(7)
	}
	s.tools(r)
	s.color(r)
	if r.err != nil {
		return nil, fmt.Errorf("%w: AV1 sequence header: %w", ErrBadConfig, r.err)
	}
	if s.profile > 2 {
		return nil, fmt.Errorf("%w: AV1 profile %d", ErrBadConfig, s.profile)
	}
	return s, nil
}

// timing reads timing_info and decoder_model_info (5.5.3, 5.5.4).
func (s *av1Sequence) timing(r *bitReader) {
	if !r.flag() {
		return
	}
	units, scale := r.bits(32), r.bits(32)
	if r.flag() { // equal_picture_interval
		ticks := r.uvlc() + 1
		if units > 0 {
			s.frameRate = float64(scale) / float64(units) / float64(ticks)
		}
	}
	if s.decoderModel = r.flag(); s.decoderModel {
		s.delayLength = int(r.bits(5)) + 1
		r.bits(32) // num_units_in_decoding_tick
		r.bits(10) // lengths of removal and presentation times
	}
}

func (s *av1Sequence) operatingPoints(r *bitReader) {
	initialDelay := r.flag()
	count := int(r.bits(5)) + 1
	for i := range count {
		r.bits(12) // operating_point_idc
		level, tier := uint8(r.bits(5)), false
		if level > 7 {
			tier = r.flag()
		}
		if i == 0 {
			s.level, s.tier = level, tier
		}
		if s.decoderModel && r.flag() {
			r.bits(s.delayLength)
			r.bits(s.delayLength)
			r.flag() // low_delay_mode_flag
		}
		if initialDelay && r.flag() {
			r.bits(4)
		}
	}
}

// tools skips what says which coding tools are used.
func (s *av1Sequence) tools(r *bitReader) {
	r.bits(3) // superblock size, filter intra, intra edge filter
	if !s.stillHeader {
		r.bits(4) // interintra, masked compound, warped motion, dual filter
		orderHint := r.flag()
		if orderHint {
			r.bits(2)
		}
		screenContent := uint64(2)
		if !r.flag() { // seq_choose_screen_content_tools
			screenContent = r.bits(1)
		}
		if screenContent > 0 && !r.flag() { // seq_choose_integer_mv
			r.flag()
		}
		if orderHint {
			r.bits(3)
		}
	}
	r.bits(3) // superres, CDEF, restoration
}

// color reads color_config (5.5.2).
func (s *av1Sequence) color(r *bitReader) {
	s.bitDepth = 8
	if r.flag() {
		s.bitDepth = 10
		if s.profile == 2 && r.flag() {
			s.bitDepth = 12
		}
	}
	if s.profile != 1 {
		s.monochrome = r.flag()
	}
	s.primaries, s.transfer, s.matrix = unspecified, unspecified, unspecified
	if r.flag() {
		s.primaries, s.transfer, s.matrix = uint8(r.bits(8)), uint8(r.bits(8)), uint8(r.bits(8))
	}
	switch {
	case s.monochrome:
		s.fullRange = r.flag()
		s.subsamplingX, s.subsamplingY = true, true
		return
	case s.primaries == 1 && s.transfer == 13 && s.matrix == 0: // sRGB
		s.fullRange = true
		return
	}
	s.fullRange = r.flag()
	switch {
	case s.profile == 0:
		s.subsamplingX, s.subsamplingY = true, true
	case s.profile == 1:
	case s.bitDepth == 12:
		if s.subsamplingX = r.flag(); s.subsamplingX {
			s.subsamplingY = r.flag()
		}
	default:
		s.subsamplingX = true
	}
	if s.subsamplingX && s.subsamplingY {
		s.chromaPosition = uint8(r.bits(2))
	}
}
