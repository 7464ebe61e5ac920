package media

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
)

// errNALUSize says that a NAL unit's size goes beyond its access unit.
var errNALUSize = errors.New("NAL unit exceeds its access unit")

// AppendLengthPrefixed appends NAL units to dst, each behind a 4-byte size
// (ISO 14496-15, 5.3.2): the one conversion from Annex B.
func AppendLengthPrefixed(dst []byte, nalus ...[]byte) []byte {
	for _, n := range nalus {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(n)))
		dst = append(dst, n...)
	}
	return dst
}

// NALUs yields the NAL units of a length-prefixed access unit. It stops at the
// first one that is cut short; CheckNALUs tells.
func NALUs(accessUnit []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(accessUnit) > 4 {
			n := binary.BigEndian.Uint32(accessUnit)
			if uint64(n) > uint64(len(accessUnit)-4) {
				return
			}
			if n > 0 && !yield(accessUnit[4:4+n]) {
				return
			}
			accessUnit = accessUnit[4+n:]
		}
	}
}

// CheckNALUs reports whether accessUnit is wholly made of length-prefixed NAL
// units, and whether one of them is a random access point of the codec: a NAL
// unit of type IDR in H.264 (7.4.1.2.4), of IRAP in H.265 (7.4.2.2, types 16
// to 21).
func CheckNALUs(codec Codec, accessUnit []byte) (randomAccess bool, err error) {
	for rest := accessUnit; len(rest) > 0; {
		if len(rest) < 4 {
			return false, fmt.Errorf("%w: %d bytes left over", errNALUSize, len(rest))
		}
		n := binary.BigEndian.Uint32(rest)
		if uint64(n) > uint64(len(rest)-4) {
			return false, fmt.Errorf("%w: %d bytes of %d", errNALUSize, n, len(rest)-4)
		}
		if n > 0 && isRandomAccess(codec, rest[4]) {
			randomAccess = true
		}
		rest = rest[4+n:]
	}
	return randomAccess, nil
}

func isRandomAccess(codec Codec, header byte) bool {
	if codec == H264 {
		return header&0x1f == 5
	}
	t := header >> 1 & 0x3f
	return codec == H265 && t >= 16 && t <= 21
}
