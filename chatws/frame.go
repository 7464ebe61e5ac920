package chatws

import "encoding/binary"

// Opcodes of WebSocket frames (RFC 6455, 5.2).
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xa

	finBit = 0x80
)

// maxHead is the longest head of a frame that a server sends, in bytes.
const maxHead = 10

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

// textFrame makes the frame of an event.
func textFrame(e Event) []byte {
	b := encode(e)
	return appendFrame(make([]byte, 0, maxHead+len(b)), opText, b)
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

// frameHead returns the length of the head of the frame that b begins with,
// which is one of appendFrame's, and of its payload.
func frameHead(b []byte) (head, size int) {
	switch n := int(b[1]); n {
	case 126:
		return 4, int(binary.BigEndian.Uint16(b[2:]))
	case 127:
		return 10, int(binary.BigEndian.Uint64(b[2:]))
	default:
		return 2, n
	}
}
