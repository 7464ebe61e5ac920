package mpegts

import (
	"bytes"
	"errors"
)

const (
	packetSize = 188
	syncByte   = 0x47

	pidPAT  = 0x0000
	pidNull = 0x1fff
)

var errPacket = errors.New("malformed TS packet")

// packet is one transport packet (ISO 13818-1, 2.4.3.2).
type packet struct {
	pid uint16
	// start says that a PES packet or a section starts in the payload.
	start bool
	// corrupt is transport_error_indicator.
	corrupt   bool
	scrambled bool
	// discontinuity says that the counter may jump here without a loss.
	discontinuity bool
	// stuffed says that the adaptation field is longer than what it holds.
	stuffed bool
	counter uint8
	// payload is nil when the packet has none.
	payload []byte
}

// unmarshal reads b, packetSize bytes that start with the sync byte. The
// payload is a slice of b.
func (p *packet) unmarshal(b []byte) error {
	*p = packet{
		pid:       uint16(b[1]&0x1f)<<8 | uint16(b[2]),
		corrupt:   b[1]&0x80 != 0,
		start:     b[1]&0x40 != 0,
		scrambled: b[3]&0xc0 != 0,
		counter:   b[3] & 0x0f,
	}
	body := b[4:packetSize]
	if b[3]&0x20 != 0 {
		// adaptation_field_length may reach to the packet's end (2.4.3.4).
		n := int(body[0])
		if n >= len(body) {
			return errPacket
		}
		p.stuffed = stuffed(body[1 : 1+n])
		if n > 0 {
			p.discontinuity = body[1]&0x80 != 0
		}
		body = body[1+n:]
	}
	if b[3]&0x10 != 0 {
		if len(body) == 0 {
			return errPacket
		}
		p.payload = body
	}
	return nil
}

// stuffed reports whether an adaptation field, without its length, has more
// bytes than its flags say (2.4.3.4). A field of nothing is stuffing itself.
func stuffed(field []byte) bool {
	if len(field) == 0 {
		return true
	}
	n, flags := 1, field[0]
	if flags&0x10 != 0 { // PCR
		n += 6
	}
	if flags&0x08 != 0 { // original PCR
		n += 6
	}
	if flags&0x04 != 0 { // splice_countdown
		n++
	}
	for _, flag := range [...]byte{0x02, 0x01} { // private data, extension: with their length
		if flags&flag != 0 && n < len(field) {
			n += 1 + int(field[n])
		}
	}
	return n < len(field)
}

// continuity follows the counter of one PID (ISO 13818-1, 2.4.3.3).
type continuity struct {
	seen    bool
	counter uint8
	size    int
	payload [packetSize - 4]byte
}

// next takes a packet with payload. A duplicate is to be left out; a gap says
// that packets before p are missing.
func (c *continuity) next(p *packet) (duplicate, gap bool) {
	switch {
	case !c.seen || p.discontinuity:
	case p.counter == c.counter:
		// Fifteen lost packets look like a duplicate, but for their bytes.
		if bytes.Equal(c.payload[:c.size], p.payload) {
			return true, false
		}
		gap = true
	default:
		gap = p.counter != (c.counter+1)&0x0f
	}
	c.seen, c.counter = true, p.counter
	c.size = copy(c.payload[:], p.payload)
	return false, gap
}

// jump takes the counter of a packet without payload that announces a jump.
func (c *continuity) jump(p *packet) {
	c.seen, c.counter, c.size = true, p.counter, 0
}
