package chatws

import "encoding/binary"

// Opcodes of WebSocket frames (RFC 6455, 5.2).
const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xa

	finBit = 0x80
)

// appendFrame appends a whole frame as a server sends it: in one piece and
// not masked (RFC 6455, 5.2).
func appendFrame(b []byte, opcode byte, payload []byte) []byte {
	b = append(b, finBit|opcode)
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

// pingFrame asks a member for a sign of life.
var pingFrame = appendFrame(nil, opPing, nil)

// frame returns the frame that closes with c. The zero code makes one without
// a code, which answers one without.
func (c CloseCode) frame() []byte {
	if c == 0 {
		return appendFrame(nil, opClose, nil)
	}
	payload := binary.BigEndian.AppendUint16(nil, uint16(c))
	return appendFrame(nil, opClose, append(payload, c.reason()...))
}
