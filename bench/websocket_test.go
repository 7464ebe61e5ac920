package bench

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// serverFrames are what servers send, right and wrong.
var serverFrames = []struct {
	name, wire string
	stream     string // what Read gives
	message    string // what the first message is
	err        string // of Read, "" is the end
	code       int    // of a close
	answers    string // opcodes that were sent
}{
	{"one message", "\x82\x03abc", "abc", "abc", "", 0, ""},
	{"two messages", "\x81\x01a\x82\x02bc", "abc", "a", "", 0, ""},
	{"fragments with a ping between", "\x02\x01a\x89\x02hi\x00\x01b\x80\x01c", "abc", "abc", "", 0, "\x8a"},
	{"an empty message", "\x82\x00\x82\x01a", "a", "", "", 0, ""},
	{"a length of 16 bits", "\x82\x7e\x00\x80" + strings.Repeat("x", 128), strings.Repeat("x", 128), strings.Repeat("x", 128), "", 0, ""},
	{"a length of 64 bits", "\x82\x7f\x00\x00\x00\x00\x00\x00\x00\x02xy", "xy", "xy", "", 0, ""},
	{"a pong", "\x8a\x00\x82\x01a", "a", "a", "", 0, ""},
	{"a close with a code", "\x82\x01a\x88\x02\x03\xe9", "a", "a", "closed with 1001", 1001, "\x88"},
	{"a close without", "\x88\x00", "", "", "closed with 1005", 1005, "\x88"},
	{"a length over 63 bits", "\x82\x7f\xff\x00\x00\x00\x00\x00\x00\x02xy", "", "", "protocol", 0, ""},
	{"a masked frame", "\x82\x81\x00\x00\x00\x00a", "", "", "protocol", 0, ""},
	{"a reserved bit", "\xc2\x01a", "", "", "protocol", 0, ""},
	{"a continuation of nothing", "\x80\x01a", "", "", "protocol", 0, ""},
	{"a message inside of one", "\x02\x01a\x82\x01b", "a", "a", "protocol", 0, ""},
	{"an opcode that is none", "\x83\x01a", "", "", "protocol", 0, ""},
	{"a control opcode that is none", "\x8b\x00", "", "", "protocol", 0, ""},
	{"a ping of 126 bytes", "\x89\x7e\x00\x7e" + strings.Repeat("x", 126), "", "", "protocol", 0, ""},
	{"a ping in fragments", "\x09\x01a", "", "", "protocol", 0, ""},
	{"half a frame", "\x82\x03ab", "ab", "ab", "unexpected EOF", 0, ""},
	{"half a length", "\x82\x7e\x00", "", "", "unexpected EOF", 0, ""},
	{"half a head", "\x82", "", "", "unexpected EOF", 0, ""},
}

func testSocket(wire string) (*socket, *bytes.Buffer) {
	var answers bytes.Buffer
	return &socket{r: strings.NewReader(wire), write: func(f []byte) error { answers.WriteByte(f[0]); return nil }}, &answers
}

func TestSocket(t *testing.T) {
	for _, c := range serverFrames {
		t.Run(c.name, func(t *testing.T) {
			s, answers := testSocket(c.wire)
			got, err := readStream(s)
			if got != c.stream || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) || c.err == "" && err != nil {
				t.Errorf("%q %v", got, err)
			}
			var end *closed
			if errors.As(err, &end) != (c.code != 0) || end != nil && (end.code != c.code || !errors.Is(err, io.EOF)) {
				t.Error(err)
			}
			if answers.String() != c.answers {
				t.Errorf("answered by %q", answers)
			}
			s, _ = testSocket(c.wire)
			m, err := s.message(nil)
			if string(m) != c.message && err == nil {
				t.Errorf("message %q %v", m, err)
			}
		})
	}
	s, _ := testSocket("\x81\x7f\x00\x00\x00\x00\x00\x20\x00\x00")
	if _, err := s.message(nil); !errors.Is(err, errProtocol) {
		t.Errorf("a message of 2 MiB: %v", err)
	}
}

// readStream is io.ReadAll that tells a close from an end.
func readStream(r io.Reader) (string, error) {
	var b bytes.Buffer
	buf := make([]byte, 7)
	for {
		n, err := r.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			if err == io.EOF {
				err = nil
			}
			return b.String(), err
		}
	}
}

// What is sent is what a server reads: masked, with the length in its shortest
// form.
func TestAppendFrame(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65535, 65536} {
		payload := bytes.Repeat([]byte("ab"), n)[:n]
		f := appendFrame([]byte("-"), opText, payload)[1:]
		head := 2
		switch {
		case n > 65535:
			head = 10
		case n > 125:
			head = 4
		}
		mask, body := f[head:head+4], f[head+4:]
		for i := range body {
			body[i] ^= mask[i&3]
		}
		if f[0] != 0x81 || f[1]&0x80 == 0 || !bytes.Equal(body, payload) {
			t.Errorf("%d bytes: % x", n, f[:min(len(f), 20)])
		}
		// Without its mask it is what servers send.
		s, _ := testSocket(string(append(append([]byte{f[0], f[1] & 0x7f}, f[2:head]...), body...)))
		if got, err := s.message(nil); err != nil || !bytes.Equal(got, payload) {
			t.Errorf("%d bytes come back as %d, %v", n, len(got), err)
		}
	}
}

func FuzzSocket(f *testing.F) {
	for _, c := range serverFrames {
		f.Add([]byte(c.wire))
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		s, _ := testSocket(string(wire))
		if n, err := io.Copy(io.Discard, s); n > int64(len(wire)) {
			t.Errorf("%d bytes of %d, %v", n, len(wire), err)
		}
		s, _ = testSocket(string(wire))
		for {
			m, err := s.message(nil)
			if len(m) > len(wire) && err == nil {
				t.Errorf("a message of %d bytes in %d", len(m), len(wire))
			}
			if err != nil {
				return
			}
		}
	})
}
