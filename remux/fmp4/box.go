package fmp4

import "encoding/binary"

var be = binary.BigEndian

// begin opens a box (ISO 14496-12, 4.2) at the end of dst and returns where it
// starts, for end. A box here never reaches 4 GiB: parts hold seconds.
func begin(dst []byte, typ string) ([]byte, int) {
	dst = append(dst, 0, 0, 0, 0)
	return append(dst, typ...), len(dst) - 4
}

// beginFull opens a FullBox: a box with a version and 24 bits of flags.
func beginFull(dst []byte, typ string, version byte, flags uint32) ([]byte, int) {
	dst, start := begin(dst, typ)
	return be.AppendUint32(dst, uint32(version)<<24|flags), start
}

// end closes the box that starts at start: its size is what has come since.
func end(dst []byte, start int) []byte {
	be.PutUint32(dst[start:], uint32(len(dst)-start))
	return dst
}

func zeros(dst []byte, n int) []byte {
	return append(dst, make([]byte, n)...)
}

func u16s(dst []byte, values ...uint16) []byte {
	for _, v := range values {
		dst = be.AppendUint16(dst, v)
	}
	return dst
}

func u32s(dst []byte, values ...uint32) []byte {
	for _, v := range values {
		dst = be.AppendUint32(dst, v)
	}
	return dst
}
