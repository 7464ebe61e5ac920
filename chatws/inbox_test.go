package chatws

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// heardFrames is what an inbox gave.
type heardFrames struct{ got []string }

func (h *heardFrames) visitMessage(text bool, payload []byte) error {
	h.got = append(h.got, fmt.Sprintf("message %v %s", text, payload))
	return nil
}

func (h *heardFrames) visitControl(opcode byte, payload []byte) error {
	h.got = append(h.got, fmt.Sprintf("control %x %s", opcode, payload))
	if opcode == opClose {
		return errEnded
	}
	return nil
}

// masked makes a client's frame.
func masked(first byte, payload string) []byte {
	b := appendFrame(nil, 0, []byte(payload))
	head, _ := frameHead(b)
	b[0], b[1] = first, b[1]|0x80
	key := [4]byte{1, 2, 3, 4}
	body := []byte(payload)
	mask(body, key)
	return append(append(b[:head:head], key[:]...), body...)
}

func frames(all ...[]byte) []byte { return bytes.Join(all, nil) }

var inboxCases = []struct {
	name string
	in   []byte
	got  []string
	code CloseCode
}{
	{"a text", masked(0x81, "hello"), []string{"message true hello"}, 0},
	{"an empty one", masked(0x81, ""), []string{"message true "}, 0},
	{"a long one", masked(0x81, strings.Repeat("a", 900)), []string{"message true " + strings.Repeat("a", 900)}, 0},
	{"a binary one", masked(0x82, "\xff"), []string{"message false \xff"}, 0},
	{"two", frames(masked(0x81, "a"), masked(0x81, "b")), []string{"message true a", "message true b"}, 0},
	{"in fragments, a ping between", frames(masked(0x01, "a"), masked(0x89, "p"), masked(0x00, "b"), masked(0x80, "c")), []string{"control 9 p", "message true abc"}, 0},
	{"a letter cut in two", frames(masked(0x01, "\xc3"), masked(0x80, "\xa9")), []string{"message true é"}, 0},
	{"a pong", masked(0x8a, "x"), []string{"control a x"}, 0},
	{"a close, and nothing after", frames(masked(0x88, "\x03\xe8"), masked(0x81, "a")), []string{"control 8 \x03\xe8"}, 0},
	{"not UTF-8", masked(0x81, "\xff"), nil, CloseInvalidData},
	{"not UTF-8 in fragments", frames(masked(0x01, "a"), masked(0x80, "\xc3")), nil, CloseInvalidData},
	{"over the bound", masked(0x81, strings.Repeat("a", 1001)), nil, CloseTooBig},
	{"fragments over the bound", frames(masked(0x01, strings.Repeat("a", 600)), masked(0x80, strings.Repeat("a", 600))), nil, CloseTooBig},
	{"a length of 2^63", []byte{0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0}, nil, CloseProtocol},
	{"a length of 2^40", []byte{0x81, 0xff, 0, 0, 1, 0, 0, 0, 0, 0}, nil, CloseTooBig},
	{"no mask", []byte{0x81, 1, 'a'}, nil, CloseProtocol},
	{"a reserved bit", masked(0xc1, "a"), nil, CloseProtocol},
	{"a reserved opcode", masked(0x83, "a"), nil, CloseProtocol},
	{"a reserved control opcode", masked(0x8b, "a"), nil, CloseProtocol},
	{"a continuation of nothing", masked(0x80, "a"), nil, CloseProtocol},
	{"a message within another", frames(masked(0x01, "a"), masked(0x81, "b")), nil, CloseProtocol},
	{"a ping in fragments", masked(0x09, "a"), nil, CloseProtocol},
	{"a ping too long", masked(0x89, strings.Repeat("a", 126)), nil, CloseProtocol},
}

const inboxLimit = 1000

// readIn gives an inbox b in pieces of n bytes.
func readIn(b []byte, n int) (h *heardFrames, in *inbox, code CloseCode, err error) {
	h, in = &heardFrames{}, &inbox{}
	b = bytes.Clone(b)
	for len(b) > 0 && code == 0 && err == nil {
		k := min(n, len(b))
		code, err = in.read(b[:k], inboxLimit, h)
		b = b[k:]
	}
	return h, in, code, err
}

func TestInbox(t *testing.T) {
	for _, c := range inboxCases {
		for _, n := range []int{1, 3, 7, 4096} {
			h, in, code, err := readIn(c.in, n)
			if strings.Join(h.got, "|") != strings.Join(c.got, "|") || code != c.code || err != nil && !errors.Is(err, errEnded) {
				t.Errorf("%s, by %d: %.100q, %d, %v", c.name, n, h.got, code, err)
			}
			if code == 0 && err == nil && (in.rest != nil || in.message != nil) {
				t.Errorf("%s, by %d: it holds %d and %d bytes", c.name, n, len(in.rest), len(in.message))
			}
		}
	}
}

func TestCloseCodesOfClients(t *testing.T) {
	for in, want := range map[string]string{
		"": "0 true", "\x03": "0 false", "\x03\xe8": "1000 true", "\x03\xe8bye": "1000 true", "\x03\xe8\xff": "0 false",
		"\x03\xe7": "0 false", "\x03\xed": "0 false", "\x0f\xa0": "4000 true", "\x13\x88": "0 false",
	} {
		code, ok := closeCodeOf([]byte(in))
		if got := fmt.Sprint(int(code), ok); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

// FuzzInbox: pieces make no difference, nothing is over the bound, and no more
// is held than a frame and a message.
func FuzzInbox(f *testing.F) {
	for _, c := range inboxCases {
		f.Add(c.in, 3)
	}
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		if n < 1 {
			n = 1
		}
		whole, _, code, err := readIn(b, max(1, len(b)))
		parts, in, code2, err2 := readIn(b, n)
		if strings.Join(whole.got, "|") != strings.Join(parts.got, "|") || code != code2 || err != err2 {
			t.Fatalf("%q, %d, %v and %q, %d, %v", whole.got, code, err, parts.got, code2, err2)
		}
		if len(in.rest) > inboxLimit+14 || len(in.message) > inboxLimit {
			t.Fatalf("it holds %d and %d bytes", len(in.rest), len(in.message))
		}
		for _, g := range whole.got {
			if len(g) > inboxLimit+20 {
				t.Fatalf("%d bytes", len(g))
			}
		}
	})
}
