package mpegts

import (
	"encoding/binary"
	"errors"
)

// maxSection is the longest PAT or PMT section: 3 bytes and a section_length
// of at most 1021 (ISO 13818-1, 2.4.4.4 and 2.4.4.9).
const maxSection = 1024

const (
	tablePAT = 0x00
	tablePMT = 0x02
)

var errSection = errors.New("malformed PSI section")

// sections puts the sections of one PID together.
type sections struct {
	cont continuity
	buf  []byte
	// last is the CRC_32 of the last table that was taken; read says whether
	// there was one.
	last uint32
	read bool
}

// isNew reports whether a whole section differs from the last one it was asked
// for. It goes by CRC_32: there are encoders that change a table and not its
// version.
func (s *sections) isNew(section []byte) bool {
	crc := binary.BigEndian.Uint32(section[len(section)-4:])
	if s.read && s.last == crc {
		return false
	}
	s.last, s.read = crc, true
	return true
}

// push takes the next packet's payload and hands each section that it
// completes to done, as a slice that is valid during the call. It reports
// whether what came was well-formed.
func (s *sections) push(p *packet, done func([]byte)) bool {
	payload := p.payload
	if !p.start {
		if len(s.buf) == 0 {
			return true
		}
		ok := s.append(payload, done)
		return ok
	}
	// pointer_field counts the bytes that still belong to the section before.
	n := int(payload[0])
	payload = payload[1:]
	if n > len(payload) {
		s.buf = s.buf[:0]
		return false
	}
	if len(s.buf) > 0 && n > 0 {
		s.append(payload[:n], done)
	}
	s.buf = s.buf[:0]
	return s.append(payload[n:], done)
}

func (s *sections) append(b []byte, done func([]byte)) bool {
	s.buf = append(s.buf, b...)
	rest := s.buf
	for {
		// Stuffing fills the packet behind the last section (2.4.4).
		if len(rest) > 0 && rest[0] == 0xff {
			rest = nil
		}
		if len(rest) < 3 {
			break
		}
		n := 3 + int(binary.BigEndian.Uint16(rest[1:])&0x0fff)
		if n > maxSection {
			s.buf = s.buf[:0]
			return false
		}
		if len(rest) < n {
			break
		}
		done(rest[:n])
		rest = rest[n:]
	}
	s.buf = s.buf[:copy(s.buf, rest)]
	return true
}

// table is what all sections of PAT and PMT have in common.
type table struct {
	// id is the transport stream's or the program's.
	id      uint16
	version uint8
	current bool
	number  uint8
	body    []byte
}

// unmarshal reads a whole section, which must be of the given table.
func (t *table) unmarshal(tableID uint8, b []byte) error {
	if len(b) < 12 || b[0] != tableID || b[1]&0x80 == 0 || crc32MPEG(b) != 0 {
		return errSection
	}
	*t = table{
		id:      binary.BigEndian.Uint16(b[3:]),
		version: b[5] >> 1 & 0x1f,
		current: b[5]&1 != 0,
		number:  b[6],
		body:    b[8 : len(b)-4],
	}
	return nil
}

// program is one entry of a PAT (2.4.4.3).
type program struct {
	number uint16
	pmtPID uint16
}

// firstProgram returns the first program of a PAT's body, past the network PID.
func firstProgram(body []byte) (program, bool) {
	for ; len(body) >= 4; body = body[4:] {
		p := program{binary.BigEndian.Uint16(body), binary.BigEndian.Uint16(body[2:]) & 0x1fff}
		if p.number != 0 {
			return p, true
		}
	}
	return program{}, false
}

// lists reports whether a PAT's body lists a program as it is.
func lists(body []byte, p program) bool {
	for ; len(body) >= 4; body = body[4:] {
		if p.number != 0 && p == (program{binary.BigEndian.Uint16(body), binary.BigEndian.Uint16(body[2:]) & 0x1fff}) {
			return true
		}
	}
	return false
}

// esInfo is one elementary stream of a PMT (2.4.4.8).
type esInfo struct {
	streamType  uint8
	pid         uint16
	descriptors []byte
}

// unmarshalPMT reads a PMT's body. A section holds at most some 200 streams.
func unmarshalPMT(body []byte) ([]esInfo, error) {
	if len(body) < 4 {
		return nil, errSection
	}
	n := int(binary.BigEndian.Uint16(body[2:]) & 0x0fff)
	if n > len(body)-4 {
		return nil, errSection
	}
	var streams []esInfo
	for body = body[4+n:]; len(body) > 0; {
		if len(body) < 5 {
			return nil, errSection
		}
		n := int(binary.BigEndian.Uint16(body[3:]) & 0x0fff)
		if n > len(body)-5 {
			return nil, errSection
		}
		streams = append(streams, esInfo{body[0], binary.BigEndian.Uint16(body[1:]) & 0x1fff, body[5 : 5+n]})
		body = body[5+n:]
	}
	return streams, nil
}

// crc32MPEG is the CRC of ISO 13818-1, annex A: over a section with its
// CRC_32 it is zero. hash/crc32 knows the reflected form only.
func crc32MPEG(b []byte) uint32 {
	crc := ^uint32(0)
	for _, c := range b {
		crc = crc<<8 ^ crcTable[byte(crc>>24)^c]
	}
	return crc
}

var crcTable = func() (t [256]uint32) {
	for i := range t {
		c := uint32(i) << 24
		for range 8 {
			if c&0x80000000 != 0 {
				c = c<<1 ^ 0x04c11db7
			} else {
				c <<= 1
			}
		}
		t[i] = c
	}
	return t
}()
