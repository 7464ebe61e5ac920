package flv

import (
	"encoding/binary"
	"time"

	"github.com/miju-live/miju/media"
)

// AppendFileHeader appends the header of a file and its PreviousTagSize0 (E.2,
// E.3), 13 bytes. What it announces must come: players wait for it.
func AppendFileHeader(dst []byte, video, audio bool) []byte {
	var flags byte
	if video {
		flags |= 0x01
	}
	if audio {
		flags |= 0x04
	}
	return append(dst, 'F', 'L', 'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0)
}

// AppendSequenceHeader appends the whole tag that carries t's configuration
// record, trailer included. It appends nothing for script data.
func AppendSequenceHeader(dst []byte, t *media.Track, dts time.Duration, p Packing) []byte {
	var prefix [5]byte
	head := prefix[:0]
	typ := byte(TypeVideo)
	switch {
	case t.Codec == media.H264:
		head = append(head, frameKey<<4|videoH264, packetSequenceHeader, 0, 0, 0)
	case t.Codec == media.H265 && p == Legacy:
		head = append(head, frameKey<<4|videoH265, packetSequenceHeader, 0, 0, 0)
	case t.Codec == media.H265:
		head = append(head, exVideo|frameKey<<4|exSequenceStart)
		head = binary.BigEndian.AppendUint32(head, uint32(fourCCHEVC))
	case t.Codec == media.AAC:
		head = append(head, aacHeader, packetSequenceHeader)
		typ = TypeAudio
	default:
		return dst
	}
	dst = appendTagHeader(dst, typ, len(head)+len(t.Config), dts)
	dst = append(append(dst, head...), t.Config...)
	return appendTrailer(dst, len(head)+len(t.Config))
}

// aacHeader is fixed for AAC, whatever its rate and channels (E.4.2.1):
// 44 kHz, 16 bits, stereo.
const aacHeader = soundAAC<<4 | 0x0f

// AppendFrameHead appends what stands before f.Data in its tag: head, f.Data
// and trailer are the tag. The frame's codec must be one that Carries names,
// and f.Data at least 8 bytes shorter than MaxBody.
func AppendFrameHead(dst []byte, f *media.Frame, p Packing) []byte {
	offset := compositionTime(f)
	n := prefixSize(f, p) + len(f.Data)
	frameType := byte(frameInter)
	if f.RandomAccess {
		frameType = frameKey
	}
	switch {
	case f.Track.Codec == media.H264 || f.Track.Codec == media.H265 && p == Legacy:
		id := byte(videoH264)
		if f.Track.Codec == media.H265 {
			id = videoH265
		}
		dst = appendTagHeader(dst, TypeVideo, n, f.DTS)
		return appendUint24(append(dst, frameType<<4|id, packetCoded), offset)
	case f.Track.Codec == media.H265:
		dst = appendTagHeader(dst, TypeVideo, n, f.DTS)
		if offset == 0 {
			return binary.BigEndian.AppendUint32(append(dst, exVideo|frameType<<4|exCodedFramesX), uint32(fourCCHEVC))
		}
		dst = binary.BigEndian.AppendUint32(append(dst, exVideo|frameType<<4|exCodedFrames), uint32(fourCCHEVC))
		return appendUint24(dst, offset)
	case f.Track.Codec == media.AAC:
		return append(appendTagHeader(dst, TypeAudio, n, f.DTS), aacHeader, packetCoded)
	}
	return appendTagHeader(dst, TypeScript, n, f.DTS)
}

// AppendTrailer appends what stands behind f.Data in its tag, the 4 bytes of
// PreviousTagSize.
func AppendTrailer(dst []byte, f *media.Frame, p Packing) []byte {
	return appendTrailer(dst, prefixSize(f, p)+len(f.Data))
}

// prefixSize returns how many bytes of the body stand before f.Data.
func prefixSize(f *media.Frame, p Packing) int {
	switch {
	case f.Track.Codec == media.H265 && p == Enhanced && compositionTime(f) != 0:
		return 8
	case f.Track.Kind() == media.KindVideo:
		return 5
	case f.Track.Kind() == media.KindAudio:
		return 2
	}
	return 0
}

// compositionTime returns PTS - DTS in milliseconds, both rounded first so
// that they stay true to the absolute times.
func compositionTime(f *media.Frame) uint32 {
	return uint32(min(max(milliseconds(f.PTS)-milliseconds(f.DTS), 0), 1<<23-1))
}

func appendTagHeader(dst []byte, typ byte, bodySize int, dts time.Duration) []byte {
	ts := uint32(milliseconds(dts))
	dst = appendUint24(append(dst, typ), uint32(bodySize))
	dst = append(appendUint24(dst, ts), byte(ts>>24))
	return appendUint24(dst, 0)
}

func appendTrailer(dst []byte, bodySize int) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(tagHeaderSize+bodySize))
}

func appendUint24(dst []byte, n uint32) []byte {
	return append(dst, byte(n>>16), byte(n>>8), byte(n))
}
