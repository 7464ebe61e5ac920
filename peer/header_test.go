package peer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
)

// v2 makes a header of version 2.
func v2(command, family byte, rest ...byte) string {
	b := append([]byte(prefixV2), command, family)
	return string(append(binary.BigEndian.AppendUint16(b, uint16(len(rest))), rest...))
}

var (
	four = []byte{203, 0, 113, 7, 192, 0, 2, 1, 0xdb, 0xee, 0x07, 0x8f}
	six  = append(append(addr("2001:db8::7"), addr("2001:db8::1")...), 0xdb, 0xee, 0x07, 0x8f)
)

func addr(s string) []byte { return netip.MustParseAddr(s).AsSlice() }

var headers = []struct {
	name, bytes, source string
	// left is what is still to be read of the socket, unread what was read and
	// is no header.
	left, unread string
	bad          bool
}{
	{name: "version 1, IPv4", bytes: "PROXY TCP4 203.0.113.7 192.0.2.1 56302 1935\r\n\x03abc", source: "203.0.113.7:56302", left: "\x03abc"},
	{name: "version 1, IPv6", bytes: "PROXY TCP6 2001:db8::7 2001:db8::1 56302 1935\r\n", source: "[2001:db8::7]:56302"},
	{name: "version 1, IPv4 in IPv6", bytes: "PROXY TCP6 ::ffff:203.0.113.7 ::ffff:192.0.2.1 56302 1935\r\n", source: "203.0.113.7:56302"},
	{name: "version 1, longest", bytes: "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\nx", source: "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", left: "x"},
	{name: "version 1, unknown", bytes: "PROXY UNKNOWN\r\nGET /", left: "GET /"},
	{name: "version 1, unknown with more", bytes: "PROXY UNKNOWN ffff:: ffff:: 65535 65535\r\n"},
	{name: "version 1, too long", bytes: "PROXY UNKNOWN " + strings.Repeat("x", 100) + "\r\n", bad: true},
	{name: "version 1, no end", bytes: "PROXY TCP4 203.0.113.7 192.0.2.1 56302 1935\n" + strings.Repeat("\x00", 200), bad: true},
	{name: "version 1, cut off", bytes: "PROXY TCP4 203.0.113.7 192.", bad: true},
	{name: "version 1, families differ", bytes: "PROXY TCP4 2001:db8::7 2001:db8::1 56302 1935\r\n", bad: true},
	{name: "version 1, no address", bytes: "PROXY TCP4 here there 56302 1935\r\n", bad: true},
	{name: "version 1, a zone", bytes: "PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n", bad: true},
	{name: "version 1, port", bytes: "PROXY TCP4 203.0.113.7 192.0.2.1 65536 1935\r\n", bad: true},
	{name: "version 1, signed port", bytes: "PROXY TCP4 203.0.113.7 192.0.2.1 +1 1935\r\n", bad: true},
	{name: "version 1, two spaces", bytes: "PROXY TCP4  203.0.113.7 192.0.2.1 1 1935\r\n", bad: true},
	{name: "version 1, UDP", bytes: "PROXY UDP4 203.0.113.7 192.0.2.1 1 1935\r\n", bad: true},
	{name: "version 2, IPv4", bytes: v2(0x21, 0x11, four...) + "\x03", source: "203.0.113.7:56302", left: "\x03"},
	{name: "version 2, IPv6", bytes: v2(0x21, 0x21, six...) + "\x16\x03", source: "[2001:db8::7]:56302", left: "\x16\x03"},
	{name: "version 2, TLVs", bytes: v2(0x21, 0x11, append(append([]byte{}, four...), bytes.Repeat([]byte{4}, 3000)...)...) + "x", source: "203.0.113.7:56302", left: "x"},
	{name: "version 2, local", bytes: v2(0x20, 0x00), left: ""},
	{name: "version 2, local with addresses", bytes: v2(0x20, 0x11, four...) + "x", left: "x"},
	{name: "version 2, unspecified", bytes: v2(0x21, 0x00, 1, 2, 3) + "x", left: "x"},
	{name: "version 2, UDP", bytes: v2(0x21, 0x12, four...) + "x", left: "x"},
	{name: "version 2, Unix", bytes: v2(0x21, 0x31, make([]byte, 216)...) + "x", left: "x"},
	{name: "version 2, too short for its family", bytes: v2(0x21, 0x21, four...) + strings.Repeat("x", 40), bad: true},
	{name: "version 2, cut off", bytes: v2(0x21, 0x11, four...)[:20], bad: true},
	{name: "version 2, cut off in the head", bytes: v2(0x21, 0x11, four...)[:14], bad: true},
	{name: "version 2, TLVs cut off", bytes: v2(0x21, 0x11, append(append([]byte{}, four...), 1, 2, 3)...)[:29], bad: true},
	{name: "version 2, command", bytes: v2(0x22, 0x11, four...), bad: true},
	{name: "version 3", bytes: v2(0x31, 0x11, four...), bad: true},
	{name: "version 2, family", bytes: v2(0x21, 0x41, four...), bad: true},
	{name: "RTMP", bytes: "\x03" + strings.Repeat("\x00", 1536), unread: "\x03", left: strings.Repeat("\x00", 1536)},
	{name: "TLS", bytes: "\x16\x03\x01", unread: "\x16", left: "\x03\x01"},
	{name: "HTTP", bytes: "POST / HTTP/1.1\r\n", unread: "PO", left: "ST / HTTP/1.1\r\n"},
	{name: "HTTP/2", bytes: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", unread: "PRI", left: " * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
	{name: "HTTP after empty lines", bytes: "\r\n\r\nGET /", unread: "\r\n\r\nG", left: "ET /"},
	{name: "part of a signature", bytes: "\r\n\r\n\x00\r\nQU", unread: "\r\n\r\n\x00\r\nQU"},
}

// TestHeaders feeds each byte by byte, where nothing is read that need not be,
// and as a whole.
func TestHeaders(t *testing.T) {
	for _, c := range headers {
		t.Run(c.name, func(t *testing.T) {
			r := strings.NewReader(c.bytes)
			source, unread, err := readHeader(iotest.OneByteReader(r), nil)
			if c.bad {
				if !errors.Is(err, errHeader) || source.IsValid() {
					t.Errorf("%v, %v", source, err)
				}
				return
			}
			left, _ := io.ReadAll(r)
			if err != nil || string(unread) != c.unread || string(left) != c.left || source.IsValid() != (c.source != "") || source.IsValid() && source.String() != c.source {
				t.Errorf("source %v, unread %q, left %q, %v", source, unread, left, err)
			}
			whole := strings.NewReader(c.bytes)
			again, unread, err := readHeader(whole, nil)
			left, _ = io.ReadAll(whole)
			if err != nil || again != source || string(unread)+string(left) != c.unread+c.left {
				t.Errorf("as a whole: source %v, unread %q, left %q, %v", again, unread, left, err)
			}
		})
	}
}

func TestNothingCame(t *testing.T) {
	begun := false
	if _, unread, err := readHeader(strings.NewReader(""), func() { begun = true }); err != io.EOF || unread != nil || begun {
		t.Errorf("%q, %v", unread, err)
	}
}

// FuzzHeader: whatever comes, no byte is lost that is not of a header.
func FuzzHeader(f *testing.F) {
	for _, c := range headers {
		f.Add([]byte(c.bytes))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		source, unread, err := readHeader(r, nil)
		if read := len(b) - r.Len(); read > headV2+1<<16 || len(unread) > firstRead {
			t.Errorf("%d bytes read, %d unread", read, len(unread))
		}
		if err != nil && (source.IsValid() || unread != nil) || source.IsValid() && unread != nil {
			t.Errorf("%v, %q, %v", source, unread, err)
		}
		if unread != nil && !bytes.HasPrefix(b, unread) {
			t.Errorf("%q is not what came", unread)
		}
	})
}
