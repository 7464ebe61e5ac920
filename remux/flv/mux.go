package flv

import (
	"encoding/binary"
	"slices"
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

// Follows reports whether f can be sent to who was told of sent last, as its
// track's kind: the first picture of a promised track must be a random access
// point.
func Follows(sent *media.Track, f *media.Frame) bool {
	return len(sent.Config) > 0 || f.RandomAccess || f.Track.Kind() != media.KindVideo
}

// AppendSequenceHeader appends the whole tag that carries t's configuration
// record, trailer included. It appends nothing where AppendSequenceBody does.
func AppendSequenceHeader(dst []byte, t *media.Track, dts time.Duration, p Packing) []byte {
	return appendTag(dst, TypeOf(t), AppendSequenceBody(nil, t, p), dts)
}

// AppendSequenceBody appends the body of the tag or message that carries t's
// configuration record: the sequence header of H.264, H.265 and AAC (E.4.3.1,
// E.4.2.1), SequenceStart of Enhanced RTMP for the others. It appends nothing
// for codecs whose frames say it all (AC-3, E-AC-3, MP3), for script data and
// for a track that is only promised.
//
// FLAC's is the bare STREAMINFO block: the standard wants the magic and the
// block's header before it, but no writer puts them there, and not every reader
// knows them.
func AppendSequenceBody(dst []byte, t *media.Track, p Packing) []byte {
	switch f := formOf(t, p); {
	case len(t.Config) == 0:
		return dst
	case t.Codec == media.AC3 || t.Codec == media.EAC3 || t.Codec == media.MP3:
		return dst
	case t.Codec == media.AAC:
		dst = append(dst, aacHeader, packetSequenceHeader)
	case f.typ == TypeVideo && f.legacy != 0:
		dst = append(dst, frameKey<<4|f.legacy, packetSequenceHeader, 0, 0, 0)
	case f.typ == TypeVideo && f.four != 0:
		dst = appendFourCC(append(dst, exVideo|frameKey<<4|exSequenceStart), f.four)
	case f.typ == TypeAudio && f.four != 0:
		dst = appendFourCC(append(dst, soundExHead<<4|exSequenceStart), f.four)
	default:
		return dst
	}
	if t.Codec == media.VP9 { // version and flags of its box, which all write and read
		dst = append(dst, 1, 0, 0, 0)
	}
	return append(dst, t.Config...)
}

// aacHeader is fixed for AAC, whatever its rate and channels (E.4.2.1):
// 44 kHz, 16 bits, stereo.
const aacHeader = soundAAC<<4 | 0x0f

// form is how a codec is put into bodies: by an id of the old headers or by a
// FourCC, the other is 0.
type form struct {
	typ    byte
	legacy byte
	four   fourCC
}

// forms are the codecs whose form depends on nothing else.
var forms = [...]form{
	media.H264:   {TypeVideo, videoH264, 0},
	media.H265:   {TypeVideo, 0, fourCCHEVC},
	media.AV1:    {TypeVideo, 0, fourCCAV1},
	media.VP9:    {TypeVideo, 0, fourCCVP9},
	media.AAC:    {TypeAudio, soundAAC, 0},
	media.Opus:   {TypeAudio, 0, fourCCOpus},
	media.FLAC:   {TypeAudio, 0, fourCCFLAC},
	media.AC3:    {TypeAudio, 0, fourCCAC3},
	media.EAC3:   {TypeAudio, 0, fourCCEAC3},
	media.MP3:    {TypeAudio, 0, fourCCMP3},
	media.Script: {TypeScript, 0, 0},
}

func formOf(t *media.Track, p Packing) form {
	f := forms[t.Codec]
	switch {
	case t.Codec == media.H265 && p == Legacy:
		return form{TypeVideo, videoH265, 0}
	case t.Codec == media.MP3 && t.SampleRate == 8000:
		return form{TypeAudio, soundMP3At8, 0}
	case t.Codec == media.MP3 && slices.Contains(mp3Rates[:], t.SampleRate):
		return form{TypeAudio, soundMP3, 0}
	}
	return f
}

// mp3Rates are the sample rates in Hz of MP3 in the old header, by their code
// (E.4.2.1). 48 kHz has none of its own: all write it as 44.1 and read the
// frame's own header.
var mp3Rates = [5]int{1: 11025, 2: 22050, 3: 44100, 4: 48000}

// mp3Header is the old header of MP3: rate, 16 bits, channels.
func mp3Header(t *media.Track, id byte) byte {
	h := id<<4 | 0x02
	if t.Channels > 1 {
		h |= 0x01
	}
	if code := slices.Index(mp3Rates[:], t.SampleRate); code > 0 {
		h |= byte(min(code, 3)) << 2
	}
	return h
}

// TypeOf returns the type of the tags and messages of a track.
func TypeOf(t *media.Track) byte { return forms[t.Codec].typ }

// AppendFrameHead appends what stands before f.Data in its tag: head, f.Data
// and trailer are the tag. The frame's codec must be one that Carries names,
// and f.Data at least 8 bytes shorter than MaxBody.
func AppendFrameHead(dst []byte, f *media.Frame, p Packing) []byte {
	dst = appendTagHeader(dst, TypeOf(f.Track), bodyHeadSize(f, p)+len(f.Data), f.DTS)
	return AppendBodyHead(dst, f, p)
}

// AppendBodyHead appends what stands before f.Data in the body of its tag or
// message, at most 8 bytes. The frame's codec must be one that Carries names.
func AppendBodyHead(dst []byte, f *media.Frame, p Packing) []byte {
	form := formOf(f.Track, p)
	frameType := byte(frameInter)
	if f.RandomAccess {
		frameType = frameKey
	}
	offset := compositionTime(f)
	switch {
	case form.typ == TypeScript:
		return dst
	case f.Track.Codec == media.AAC:
		return append(dst, aacHeader, packetCoded)
	case form.typ == TypeAudio && form.legacy != 0:
		return append(dst, mp3Header(f.Track, form.legacy))
	case form.typ == TypeAudio:
		return appendFourCC(append(dst, soundExHead<<4|exCodedFrames), form.four)
	case form.legacy != 0:
		return appendUint24(append(dst, frameType<<4|form.legacy, packetCoded), offset)
	case form.four == fourCCHEVC && offset == 0:
		return appendFourCC(append(dst, exVideo|frameType<<4|exCodedFramesX), form.four)
	}
	dst = appendFourCC(append(dst, exVideo|frameType<<4|exCodedFrames), form.four)
	if form.four == fourCCHEVC {
		dst = appendUint24(dst, offset)
	}
	return dst
}

// AppendTrailer appends what stands behind f.Data in its tag, the 4 bytes of
// PreviousTagSize.
func AppendTrailer(dst []byte, f *media.Frame, p Packing) []byte {
	return appendTrailer(dst, bodyHeadSize(f, p)+len(f.Data))
}

// bodyHeadSize returns the length of AppendBodyHead.
func bodyHeadSize(f *media.Frame, p Packing) int {
	var head [maxBodyHead]byte
	return len(AppendBodyHead(head[:0], f, p))
}

// compositionTime returns PTS - DTS in milliseconds, both rounded first so
// that they stay true to the absolute times.
func compositionTime(f *media.Frame) uint32 {
	return uint32(min(max(milliseconds(f.PTS)-milliseconds(f.DTS), 0), 1<<23-1))
}

// appendTag appends a whole tag, nothing if it would be empty.
func appendTag(dst []byte, typ byte, body []byte, dts time.Duration) []byte {
	if len(body) == 0 {
		return dst
	}
	dst = appendTagHeader(dst, typ, len(body), dts)
	return appendTrailer(append(dst, body...), len(body))
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
