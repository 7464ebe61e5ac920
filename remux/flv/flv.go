// Package flv knows the FLV container and the message bodies that RTMP shares
// with it, both ways (Adobe Flash Video File Format 10.1, annex E; Enhanced
// RTMP v2).
package flv

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/miju-live/miju/media"
)

// The types of tags, and of RTMP messages (E.4.1).
const (
	TypeAudio  = 8
	TypeVideo  = 9
	TypeScript = 18
)

// MaxBody is the largest body that a tag can hold, in bytes: its size has 24
// bits.
const MaxBody = 1<<24 - 1

// maxScript bounds script data, in bytes. Metadata of encoders has under 1 kB,
// that of a file with an index of random access points up to 18 bytes for each.
const maxScript = 256 << 10

var (
	// ErrMalformed is wrapped by errors that mean "this is not FLV, or is cut
	// short".
	ErrMalformed = errors.New("malformed FLV")
	// ErrTooLarge is wrapped by errors that mean "over a bound": of script data,
	// of tracks, of modifiers.
	ErrTooLarge = errors.New("FLV over a bound")
)

// Packing is how H.265 is put into tags. Every other codec here has one form,
// the old one where there is one: more players know it.
type Packing uint8

// The packings.
const (
	// Enhanced is the "hvc1" of Enhanced RTMP.
	Enhanced Packing = iota
	// Legacy is codec id 12 in the header of H.264, which is in no standard
	// and in many players.
	Legacy
)

// Carries reports whether a tag can hold the codec.
func Carries(c media.Codec) bool { return c > 0 && int(c) < len(forms) && forms[c].typ != 0 }

// Codec ids of video and sound formats (E.4.3.1, E.4.2.1), and what Enhanced
// RTMP and custom add.
const (
	videoH264   = 7
	videoH265   = 12
	videoAV1    = 13
	soundMP3    = 2
	soundExHead = 9
	soundAAC    = 10
	soundOpus   = 13
	soundMP3At8 = 14
	exVideo     = 0x80
)

// Frame types (E.4.3.1). Encoders of Enhanced RTMP exist that leave it 0.
const (
	frameKey        = 1
	frameInter      = 2
	frameDisposable = 3
	frameCommand    = 5
)

// AVCPacketType and AACPacketType (E.4.3.1, E.4.2.1): the same numbers.
const (
	packetSequenceHeader = 0
	packetCoded          = 1
)

// VideoPacketType and AudioPacketType of Enhanced RTMP.
const (
	exSequenceStart   = 0
	exCodedFrames     = 1
	exSequenceEnd     = 2
	exCodedFramesX    = 3
	exMetadata        = 4 // of sound: MultichannelConfig
	exTSSequenceStart = 5 // MPEG2TSSequenceStart
	exMultitrack      = 6 // of sound: 5
	exModEx           = 7
)

const (
	tagHeaderSize = 11
	trailerSize   = 4
	maxBodyHead   = 8
)

// fourCC is four characters as Enhanced RTMP puts them on the wire.
type fourCC uint32

const (
	fourCCAVC  fourCC = 'a'<<24 | 'v'<<16 | 'c'<<8 | '1'
	fourCCHEVC fourCC = 'h'<<24 | 'v'<<16 | 'c'<<8 | '1'
	fourCCAV1  fourCC = 'a'<<24 | 'v'<<16 | '0'<<8 | '1'
	fourCCVP9  fourCC = 'v'<<24 | 'p'<<16 | '0'<<8 | '9'
	fourCCAAC  fourCC = 'm'<<24 | 'p'<<16 | '4'<<8 | 'a'
	fourCCOpus fourCC = 'O'<<24 | 'p'<<16 | 'u'<<8 | 's'
	fourCCFLAC fourCC = 'f'<<24 | 'L'<<16 | 'a'<<8 | 'C'
	fourCCAC3  fourCC = 'a'<<24 | 'c'<<16 | '-'<<8 | '3'
	fourCCEAC3 fourCC = 'e'<<24 | 'c'<<16 | '-'<<8 | '3'
	fourCCMP3  fourCC = '.'<<24 | 'm'<<16 | 'p'<<8 | '3'
)

// String returns the four characters.
func (f fourCC) String() string {
	return string([]byte{byte(f >> 24), byte(f >> 16), byte(f >> 8), byte(f)})
}

func appendFourCC(dst []byte, f fourCC) []byte { return binary.BigEndian.AppendUint32(dst, uint32(f)) }

// milliseconds rounds a time to FLV's unit. It wraps after 49.7 days, as the
// 32 bits of FLV and RTMP do; nothing is before 0.
func milliseconds(d time.Duration) int64 {
	return int64((max(d, 0) + time.Millisecond/2) / time.Millisecond)
}
