package bench

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The opcodes of WebSocket frames (RFC 6455, 5.2).
const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10
)

const (
	// maxControl bounds the payload of control frames (5.5), in bytes.
	maxControl = 125
	// maxText bounds a message that is read whole, in bytes.
	maxText = 1 << 20
	// acceptGUID is what a server's proof is made with (1.3).
	acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
)

// upgrade makes a WebSocket of a connection that nothing was asked on.
func (c *conn) upgrade(u *url.URL, headers ...string) error {
	var nonce [16]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return err
	}
	key := base64.StdEncoding.EncodeToString(nonce[:])
	headers = append(headers, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: "+key)
	if err := c.get(u, u.RequestURI(), headers...); err != nil {
		return err
	}
	r, err := c.answer()
	if err != nil {
		return err
	}
	if r.StatusCode != http.StatusSwitchingProtocols {
		return refusalOf(r)
	}
	if r.Header.Get("Sec-WebSocket-Accept") != accept(key) || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return fmt.Errorf("%w: a 101 that is no answer to a WebSocket", errProtocol)
	}
	return nil
}

// accept is a server's proof that it has read a key (4.2.2).
func accept(key string) string {
	proof := sha1.Sum([]byte(key + acceptGUID))
	return base64.StdEncoding.EncodeToString(proof[:])
}

// closed is the end of a WebSocket, with the server's code (7.4), 1005 without.
type closed struct{ code int }

func (e *closed) Error() string { return fmt.Sprintf("closed with %d", e.code) }

// Is makes it an end like that of other streams.
func (e *closed) Is(target error) bool { return target == io.EOF }

// socket reads the messages of a WebSocket, and answers pings.
type socket struct {
	r io.Reader
	// write sends a frame.
	write func(frame []byte) error
	// left is what is still to come of a frame of data, last whether it is
	// the last of its message.
	left uint64
	last bool
	// open is whether a message has begun and not ended.
	open bool
}

// webSocket returns a socket on a connection that was upgraded.
func (c *conn) webSocket() *socket {
	return &socket{r: c.br, write: func(frame []byte) error {
		if err := c.SetWriteDeadline(time.Now().Add(writeWait)); err != nil {
			return err
		}
		_, err := c.Conn.Write(frame)
		return err
	}}
}

// Read reads payload, of as many messages as there are: a stream.
func (s *socket) Read(p []byte) (int, error) {
	for s.left == 0 {
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	n, err := s.r.Read(p[:min(uint64(len(p)), s.left)])
	s.left -= uint64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// message reads the rest of a message, at most maxText bytes.
func (s *socket) message(dst []byte) ([]byte, error) {
	for {
		if err := s.next(); err != nil {
			return dst, err
		}
		if s.left > maxText-uint64(len(dst)) {
			return dst, fmt.Errorf("%w: a message of more than %d bytes", errProtocol, maxText)
		}
		begin := len(dst)
		dst = append(dst, make([]byte, s.left)...)
		s.left = 0
		if _, err := io.ReadFull(s.r, dst[begin:]); err != nil {
			return dst, unexpected(err)
		}
		if s.last {
			return dst, nil
		}
	}
}

// next reads the head of the next frame of data, and all of the control frames
// before it.
func (s *socket) next() error {
	for {
		op, last, size, err := s.header()
		if err != nil {
			return err
		}
		if op < opClose {
			if op == opContinuation != s.open || op > opBinary {
				return fmt.Errorf("%w: a frame of opcode %d", errProtocol, op)
			}
			s.left, s.last, s.open = size, last, !last
			return nil
		}
		if err := s.control(op, last, size); err != nil {
			return err
		}
	}
}

// header reads a frame's head (5.2).
func (s *socket) header() (op byte, last bool, size uint64, err error) {
	var b [8]byte
	if _, err := io.ReadFull(s.r, b[:2]); err != nil {
		return 0, false, 0, err
	}
	op, last, size = b[0]&15, b[0]&0x80 != 0, uint64(b[1]&0x7f)
	if b[0]&0x70 != 0 || b[1]&0x80 != 0 {
		return 0, false, 0, fmt.Errorf("%w: a frame with reserved bits, or masked by a server", errProtocol)
	}
	switch size {
	case 126:
		_, err = io.ReadFull(s.r, b[:2])
		size = uint64(binary.BigEndian.Uint16(b[:2]))
	case 127:
		_, err = io.ReadFull(s.r, b[:8])
		size = binary.BigEndian.Uint64(b[:8])
	}
	if err == nil && size>>63 != 0 {
		err = fmt.Errorf("%w: a frame of %d bytes", errProtocol, size)
	}
	return op, last, size, unexpected(err)
}

func (s *socket) control(op byte, last bool, size uint64) error {
	if size > maxControl || !last || op > opPong {
		return fmt.Errorf("%w: a control frame of opcode %d and %d bytes", errProtocol, op, size)
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(s.r, payload); err != nil {
		return unexpected(err)
	}
	switch op {
	case opPing:
		return s.write(appendFrame(nil, opPong, payload))
	case opClose:
		e := &closed{code: 1005}
		if size >= 2 {
			e.code = int(binary.BigEndian.Uint16(payload))
		}
		return errors.Join(e, s.write(appendFrame(nil, opClose, payload[:min(size, 2)])))
	}
	return nil
}

// appendFrame appends a frame as clients send them: masked (5.3).
func appendFrame(dst []byte, op byte, payload []byte) []byte {
	dst = append(dst, 0x80|op)
	switch n := len(payload); {
	case n <= maxControl:
		dst = append(dst, 0x80|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, 0x80|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(n))
	}
	var mask [4]byte
	rand.Read(mask[:]) // it never fails
	dst = append(dst, mask[:]...)
	for i, b := range payload {
		dst = append(dst, b^mask[i&3])
	}
	return dst
}

// unexpected is err, or what an end inside of something is.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

var _ io.Reader = (*socket)(nil)
