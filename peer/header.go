package peer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// The PROXY protocol, versions 1 and 2 (HAProxy, doc/proxy-protocol.txt). The
// header is read to its last byte and not beyond: what comes after it is read
// straight from the socket, in ways that no buffer can stand before.

const (
	prefixV1 = "PROXY "
	prefixV2 = "\r\n\r\n\x00\r\nQUIT\n"
	// firstRead is how much of a header may be read without knowing which it is:
	// as much as the signature of version 2, and less than any of version 1.
	firstRead = len(prefixV2)
	// maxLineV1 is the longest header of version 1, its end included (2.1).
	maxLineV1 = 107
	// headV2 is what every header of version 2 has: signature, version and
	// command, family, length of the rest (2.2).
	headV2 = 16
	// What of the rest matters here: the addresses and ports of IPv6.
	maxAddressesV2 = 36
)

var errHeader = errors.New("malformed PROXY header")

// readHeader reads a PROXY header, if there is one. source is where it says that
// the connection comes from; zero if it says nothing, as for a proxy's own health
// check. Without a header, unread is what was read instead: 12 bytes at most.
// begun, if not nil, is called once something has come.
func readHeader(r io.Reader, begun func()) (source netip.AddrPort, unread []byte, err error) {
	var b [headV2]byte
	n := 0
	for n < firstRead {
		m, err := r.Read(b[n:firstRead])
		if n == 0 && m > 0 && begun != nil {
			begun()
		}
		n += m
		if !mayBeHeader(b[:n]) || err != nil && n > 0 && n < firstRead {
			return source, bytes.Clone(b[:n]), nil
		}
		if err != nil && n < firstRead {
			return source, nil, err
		}
	}
	if b[0] == prefixV1[0] {
		source, err = readV1(r, b[:n])
		return source, nil, err
	}
	if _, err := io.ReadFull(r, b[n:]); err != nil {
		return source, nil, cutOff(err)
	}
	source, err = readV2(r, b)
	return source, nil, err
}

// mayBeHeader reports whether the first bytes of a connection may begin a header.
func mayBeHeader(b []byte) bool {
	return strings.HasPrefix(prefixV2, string(b)) || strings.HasPrefix(prefixV1, string(b[:min(len(b), len(prefixV1))]))
}

func cutOff(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it is cut off", errHeader)
	}
	return err
}

// readV1 reads the rest of a line that begins with begun, byte by byte: where it
// ends is seen at its end.
func readV1(r io.Reader, begun []byte) (source netip.AddrPort, err error) {
	var b [maxLineV1]byte
	n := copy(b[:], begun)
	for !bytes.HasSuffix(b[:n], []byte("\r\n")) {
		if n == len(b) {
			return source, fmt.Errorf("%w: the line is too long", errHeader)
		}
		if _, err := io.ReadFull(r, b[n:n+1]); err != nil {
			return source, cutOff(err)
		}
		n++
	}
	return parseV1(string(b[:n-2]))
}

// parseV1 reads "PROXY TCP4 192.0.2.1 198.51.100.1 56324 1935" (2.1).
func parseV1(line string) (source netip.AddrPort, err error) {
	f := strings.Split(line, " ")
	if len(f) >= 2 && f[1] == "UNKNOWN" { // whatever follows
		return source, nil
	}
	if len(f) != 6 || f[1] != "TCP4" && f[1] != "TCP6" {
		return source, errHeader
	}
	var both [2]netip.AddrPort
	for i := range both {
		a, err := netip.ParseAddr(f[2+i])
		port, portErr := strconv.ParseUint(f[4+i], 10, 16)
		if err != nil || portErr != nil || a.Is4() != (f[1] == "TCP4") || a.Zone() != "" {
			return source, errHeader
		}
		both[i] = netip.AddrPortFrom(a.Unmap(), uint16(port))
	}
	return both[0], nil
}

// readV2 reads the rest of a header of version 2 whose first bytes are b (2.2).
func readV2(r io.Reader, b [headV2]byte) (source netip.AddrPort, err error) {
	const local, proxied = 0x20, 0x21
	rest := int(binary.BigEndian.Uint16(b[14:]))
	need, family := 0, b[13]
	switch {
	case b[12] != local && b[12] != proxied:
		return source, fmt.Errorf("%w: version and command 0x%02x", errHeader, b[12])
	case b[12] == local: // the proxy's own connection, whatever follows
	case family>>4 == 1: // IPv4
		need = 12
	case family>>4 == 2: // IPv6
		need = maxAddressesV2
	case family>>4 > 3 || family&0xf > 2:
		return source, fmt.Errorf("%w: family 0x%02x", errHeader, family)
	}
	if rest < need {
		return source, fmt.Errorf("%w: %d bytes of addresses", errHeader, rest)
	}
	var addresses [maxAddressesV2]byte
	if _, err := io.ReadFull(r, addresses[:need]); err != nil {
		return source, cutOff(err)
	}
	if _, err := io.CopyN(io.Discard, r, int64(rest-need)); err != nil { // TLVs
		return source, cutOff(err)
	}
	if need == 0 || family&0xf != 1 { // of no stream: what it says is not of this connection
		return source, nil
	}
	size := (need - 4) / 2
	a, _ := netip.AddrFromSlice(addresses[:size])
	return netip.AddrPortFrom(a.Unmap(), binary.BigEndian.Uint16(addresses[2*size:])), nil
}
