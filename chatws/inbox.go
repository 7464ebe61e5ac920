package chatws

import (
	"encoding/binary"
	"errors"
	"unicode/utf8"
)

// maxControl is the longest payload of a control frame (RFC 6455, 5.5).
const maxControl = 125

// errEnded ends a connection that is over for its reader: the close code says why.
var errEnded = errors.New("the connection ends")

// inbox takes apart what a client sends (RFC 6455, 5). It holds bytes only
// while a frame or a message is not whole.
type inbox struct {
	rest    []byte // the beginning of a frame
	message []byte // the fragments of a message so far
	opcode  byte   // that of these fragments; 0: there are none
}

// visitor gets what an inbox reads. Payloads are valid during the call. An
// error ends the reading.
type visitor interface {
	visitMessage(text bool, payload []byte) error
	visitControl(opcode byte, payload []byte) error
}

// read takes the next bytes of the connection, which it changes, and gives v
// whole messages and control frames of up to limit bytes. The code is 0, or
// why the client is to be closed.
func (in *inbox) read(b []byte, limit int, v visitor) (CloseCode, error) {
	if len(in.rest) > 0 {
		in.rest = append(in.rest, b...)
		b = in.rest
	}
	for {
		head, size, code := parseHead(b, limit)
		if code != 0 {
			in.rest = nil
			return code, nil
		}
		if head == 0 || len(b) < head+size {
			in.keep(b)
			return 0, nil
		}
		payload := b[head : head+size]
		mask(payload, [4]byte(b[head-4:head]))
		if code, err := in.frame(b[0]&finBit != 0, b[0]&0x0f, payload, limit, v); code != 0 || err != nil {
			in.rest = nil
			return code, err
		}
		b = b[head+size:]
	}
}

// keep holds on to b, the beginning of a frame. What is read of large frames
// is appended to it, so it is copied once only.
func (in *inbox) keep(b []byte) {
	switch {
	case len(b) == 0:
		in.rest = nil
	case len(in.rest) == len(b): // it is all of it
	default:
		in.rest = append([]byte(nil), b...)
	}
}

// parseHead reads a frame's head (RFC 6455, 5.2): its length and that of the
// payload. The length is 0 while it is not whole; but what is wrong with it,
// or too much, is told as soon as it shows.
func parseHead(b []byte, limit int) (head, size int, code CloseCode) {
	if len(b) < 2 {
		return 0, 0, 0
	}
	opcode := b[0] & 0x0f
	control := opcode&0x8 != 0
	switch {
	case b[0]&0x70 != 0, // reserved bits: no extension was agreed on
		b[1]&0x80 == 0, // clients must mask (5.1)
		opcode > opBinary && opcode < opClose, opcode > opPong,
		control && (b[0]&finBit == 0 || b[1]&0x7f > maxControl): // 5.5
		return 0, 0, CloseProtocol
	}
	head = 2
	n := uint64(b[1] & 0x7f)
	switch n {
	case 126:
		if len(b) < 4 {
			return 0, 0, 0
		}
		n, head = uint64(binary.BigEndian.Uint16(b[2:])), 4
	case 127:
		if len(b) < 10 {
			return 0, 0, 0
		}
		if n, head = binary.BigEndian.Uint64(b[2:]), 10; n>>63 != 0 {
			return 0, 0, CloseProtocol
		}
	}
	if n > uint64(limit) && !control {
		return 0, 0, CloseTooBig
	}
	if head += 4; len(b) < head {
		return 0, 0, 0
	}
	return head, int(n), 0
}

// mask undoes a client's masking (RFC 6455, 5.3).
func mask(b []byte, key [4]byte) {
	long := uint64(binary.LittleEndian.Uint32(key[:]))
	long |= long << 32
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^long)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= key[i&3]
	}
}

// frame takes one frame (RFC 6455, 5.4).
func (in *inbox) frame(final bool, opcode byte, payload []byte, limit int, v visitor) (CloseCode, error) {
	switch {
	case opcode&0x8 != 0:
		return 0, v.visitControl(opcode, payload)
	case (opcode == opContinuation) == (in.opcode == 0):
		return CloseProtocol, nil
	case opcode == opContinuation && len(in.message)+len(payload) > limit:
		return CloseTooBig, nil
	case opcode != opContinuation && final:
		return deliver(opcode, payload, v)
	}
	if opcode != opContinuation {
		in.opcode = opcode
	}
	in.message = append(in.message, payload...)
	if !final {
		return 0, nil
	}
	whole, opcode := in.message, in.opcode
	in.message, in.opcode = nil, 0
	return deliver(opcode, whole, v)
}

func deliver(opcode byte, payload []byte, v visitor) (CloseCode, error) {
	if opcode == opText && !utf8.Valid(payload) {
		return CloseInvalidData, nil
	}
	return 0, v.visitMessage(opcode == opText, payload)
}
