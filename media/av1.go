package media

import (
	"bytes"
	"fmt"
)

// OBU types (AV1 Bitstream & Decoding Process, 6.2.2).
const (
	obuSequenceHeader = 1
	obuFrameHeader    = 3
	obuFrame          = 6
)

// maxAV1Record bounds an av1C record, in bytes: its four, a sequence header of
// some 15 and metadata.
const maxAV1Record = 4096

// NewAV1Track describes a track by its av1C record (AV1 in ISOBMFF, 2.3.3),
// which is kept as it is. Size and colours are those of the sequence header in
// it; without one they are not known until Refresh. Errors wrap ErrBadConfig.
func NewAV1Track(id int, record []byte) (*Track, error) {
	if len(record) < 4 || len(record) > maxAV1Record || record[0] != 0x81 { // marker and version
		return nil, fmt.Errorf("%w: av1C of %d bytes", ErrBadConfig, len(record))
	}
	t := &Track{ID: id, Codec: AV1, Config: bytes.Clone(record)}
	u, err := parseAV1Unit(record[4:])
	if err != nil {
		return nil, fmt.Errorf("%w: av1C: %w", ErrBadConfig, err)
	}
	if u.sequence == nil {
		return t, nil
	}
	s, err := parseAV1Sequence(u.sequence)
	if err != nil {
		return nil, err
	}
	t.Width, t.Height, t.FrameRate = s.width, s.height, saneFrameRate(s.frameRate)
	t.Color = colorOf(s.bitDepth, s.primaries, s.transfer, s.matrix, s.fullRange)
	return t, nil
}

// AV1Config makes an av1C record of a sequence header OBU, which has its size
// field or ends with obu.
func AV1Config(obu []byte) ([]byte, error) {
	payload, err := av1Payload(obu)
	if err != nil {
		return nil, fmt.Errorf("%w: AV1 sequence header: %w", ErrBadConfig, err)
	}
	s, err := parseAV1Sequence(payload)
	if err != nil {
		return nil, err
	}
	if len(payload) > maxAV1Record/2 {
		return nil, fmt.Errorf("%w: AV1 sequence header of %d bytes", ErrBadConfig, len(payload))
	}
	flag := func(set bool, at int) byte {
		if set {
			return 1 << at
		}
		return 0
	}
	r := []byte{
		0x81, s.profile<<5 | s.level,
		flag(s.tier, 7) | flag(s.bitDepth > 8, 6) | flag(s.bitDepth > 10, 5) | flag(s.monochrome, 4) |
			flag(s.subsamplingX, 3) | flag(s.subsamplingY, 2) | s.chromaPosition,
		0,
	}
	r = append(r, obuSequenceHeader<<3|2)
	return append(appendLEB128(r, len(payload)), payload...), nil
}

// av1Unit is what matters here of a temporal unit.
type av1Unit struct {
	// sequence is the payload of the first sequence header, nil without one.
	sequence []byte
	// key says that the first frame is a key frame that is shown.
	key bool
}

// parseAV1Unit walks the OBUs of a temporal unit in the low-overhead format
// (5.2); the last may have no size field (AV1 in ISOBMFF, 2.4).
func parseAV1Unit(b []byte) (u av1Unit, err error) {
	framed := false
	for len(b) > 0 {
		typ, payload, rest, err := cutOBU(b)
		if err != nil {
			return u, err
		}
		switch typ {
		case obuSequenceHeader:
			if u.sequence == nil && !framed {
				u.sequence = payload
			}
		case obuFrame, obuFrameHeader:
			if !framed && len(payload) > 0 {
				// show_existing_frame 0, frame_type KEY_FRAME, show_frame 1 (5.9.2).
				u.key = payload[0]>>4 == 1
			}
			framed = true
		}
		b = rest
	}
	return u, nil
}

// cutOBU cuts the first OBU off b (5.3).
func cutOBU(b []byte) (typ byte, payload, rest []byte, err error) {
	header := b[0]
	if header&0x80 != 0 {
		return 0, nil, nil, fmt.Errorf("AV1 OBU with its forbidden bit set")
	}
	typ = header >> 3 & 0xf
	b = b[1:]
	if header&4 != 0 { // extension: temporal and spatial IDs
		if len(b) == 0 {
			return 0, nil, nil, fmt.Errorf("AV1 OBU without its extension")
		}
		b = b[1:]
	}
	if header&2 == 0 {
		return typ, b, nil, nil
	}
	size, n := leb128(b)
	if n == 0 || size > uint64(len(b)-n) {
		return 0, nil, nil, fmt.Errorf("AV1 OBU of %d bytes in %d", size, len(b)-n)
	}
	return typ, b[n : n+int(size)], b[n+int(size):], nil
}

func av1Payload(obu []byte) ([]byte, error) {
	if len(obu) == 0 {
		return nil, fmt.Errorf("it is empty")
	}
	typ, payload, _, err := cutOBU(obu)
	if err == nil && typ != obuSequenceHeader {
		err = fmt.Errorf("OBU of type %d", typ)
	}
	return payload, err
}

// leb128 reads an unsigned integer (4.10.5) and how many bytes it has, 0 if it
// is none or over 32 bits.
func leb128(b []byte) (v uint64, n int) {
	for n < len(b) && n < 8 {
		v |= uint64(b[n]&0x7f) << (7 * n)
		n++
		if b[n-1]&0x80 == 0 {
			if v > 1<<32-1 {
				return v, 0
			}
			return v, n
		}
	}
	return v, 0
}

func appendLEB128(dst []byte, n int) []byte {
	for n >= 0x80 {
		dst = append(dst, byte(n)|0x80)
		n >>= 7
	}
	return append(dst, byte(n))
}

// checkAV1 is Check for AV1.
func checkAV1(t *Track, data []byte) (randomAccess bool, err error) {
	u, err := parseAV1Unit(data)
	if err != nil {
		return false, err
	}
	// A key frame decodes with a sequence header, its own or the record's.
	return u.key && (u.sequence != nil || len(t.Config) > 4), nil
}

// refreshAV1 is Refresh for AV1.
func refreshAV1(t *Track, data []byte) (*Track, error) {
	u, err := parseAV1Unit(data)
	if err != nil || u.sequence == nil {
		return t, err
	}
	if len(t.Config) > 4 {
		if known, err := parseAV1Unit(t.Config[4:]); err == nil && bytes.Equal(known.sequence, u.sequence) {
			return t, nil
		}
	}
	config, err := AV1Config(append([]byte{obuSequenceHeader << 3}, u.sequence...))
	if err != nil {
		return t, err
	}
	return NewAV1Track(t.ID, config)
}

// AV1Sequence returns the sequence header OBU of an av1C record, with its size
// field; nil if there is none.
func AV1Sequence(record []byte) []byte {
	for b := record[min(4, len(record)):]; len(b) > 0; {
		typ, _, rest, err := cutOBU(b)
		if err != nil {
			return nil
		}
		if typ == obuSequenceHeader {
			return b[:len(b)-len(rest)]
		}
		b = rest
	}
	return nil
}

// CompleteAV1 returns a random access point of t with the sequence header in
// it, which decoders want there: data itself if it has one, else a copy with
// that of the record.
func CompleteAV1(t *Track, data []byte) []byte {
	if u, err := parseAV1Unit(data); err != nil || u.sequence != nil {
		return data
	}
	sequence := AV1Sequence(t.Config)
	return append(append(make([]byte, 0, len(sequence)+len(data)), sequence...), data...)
}
