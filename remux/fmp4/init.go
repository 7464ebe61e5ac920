// Package fmp4 writes fragmented MP4 (ISO 14496-12): initialization sections
// and parts of one track.
package fmp4

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/miju-live/miju/media"
)

// VideoTimescale is the ticks per second of every video track. It is MPEG-TS's
// own, and a multiple of the usual frame rates.
const VideoTimescale = 90000

// trackID is the only track's number in its file; 0 is not allowed (8.3.2.3).
const trackID = 1

// maxConfig bounds the codec configuration record in an initialization
// section, in bytes. Records of real encoders stay under 1 KiB.
const maxConfig = 1 << 20

// ErrConfigSize is returned by AppendInit for a codec configuration record
// that is empty or over a bound.
var ErrConfigSize = errors.New("codec configuration record of unusable size")

// Check reports whether a track can be carried here: nil, or an error that wraps
// media.ErrUnsupportedCodec or ErrConfigSize.
func Check(t *media.Track) error {
	if visualEntries[t.Codec] == [2]string{} && audioEntries[t.Codec] == "" {
		return fmt.Errorf("fragmented MP4 for %s: %w", t.Codec, media.ErrUnsupportedCodec)
	}
	if n := len(t.Config); n == 0 || n > maxConfig || t.Codec == media.AAC && n > maxAACConfig || t.Codec == media.Opus && n < opusHeadSize {
		return fmt.Errorf("%w: %s with %d bytes", ErrConfigSize, t.Codec, n)
	}
	return nil
}

// Timescale returns the ticks per second of a track: VideoTimescale, or an
// audio track's sample rate.
func Timescale(t *media.Track) uint32 {
	if t.Kind() == media.KindAudio && t.SampleRate > 0 {
		return uint32(t.SampleRate)
	}
	return VideoTimescale
}

// Ticks converts a time to the nearest tick. Convert absolute times and
// subtract afterwards: differences of ticks then add up without drift.
func Ticks(t time.Duration, timescale uint32) int64 {
	seconds, rest := int64(t/time.Second), int64(t%time.Second)
	scaled := rest * int64(timescale)
	half := int64(time.Second / 2)
	if scaled < 0 {
		half = -half
	}
	return seconds*int64(timescale) + (scaled+half)/int64(time.Second)
}

// Duration converts ticks to a time, to the nearest nanosecond below.
func Duration(ticks int64, timescale uint32) time.Duration {
	scale := int64(timescale)
	return time.Duration(ticks/scale)*time.Second + time.Duration(ticks%scale*int64(time.Second)/scale)
}

// AppendInit appends the initialization section of a track, ftyp and moov, and
// returns the extended slice. The codec configuration record is carried as it
// is. Errors wrap media.ErrUnsupportedCodec or ErrConfigSize; dst is then
// returned as it was.
func AppendInit(dst []byte, t *media.Track) ([]byte, error) {
	if err := Check(t); err != nil {
		return dst, err
	}
	dst, ftyp := begin(dst, "ftyp")
	dst = append(dst, "iso6\x00\x00\x00\x00iso6cmfcmp41"...) // brands: iso6 for tfdt and signed trun offsets, cmfc (ISO 23000-19)
	dst = end(dst, ftyp)

	dst, moov := begin(dst, "moov")
	dst = appendMvhd(dst)
	dst = appendTrak(dst, t)
	dst, mvex := begin(dst, "mvex")
	dst, trex := beginFull(dst, "trex", 0, 0)
	dst = u32s(dst, trackID, 1, 0, 0, 0)
	dst = end(dst, trex)
	dst = end(dst, mvex)
	return end(dst, moov), nil
}

// appendMvhd appends a movie header (8.2.2) with no duration: it is all in fragments.
func appendMvhd(dst []byte) []byte {
	dst, mvhd := beginFull(dst, "mvhd", 0, 0)
	dst = u32s(dst, 0, 0, 1000, 0)         // created, modified, timescale, duration
	dst = u32s(dst, 0x00010000)            // rate 1.0
	dst = u16s(dst, 0x0100, 0)             // volume 1.0, reserved
	dst = zeros(dst, 8)                    // reserved
	dst = appendMatrix(dst)                //
	dst = zeros(dst, 24)                   // pre_defined
	return end(u32s(dst, trackID+1), mvhd) // next_track_ID
}

// appendMatrix appends the unity transformation (6.2.2).
func appendMatrix(dst []byte) []byte {
	return u32s(dst, 0x00010000, 0, 0, 0, 0x00010000, 0, 0, 0, 0x40000000)
}

func appendTrak(dst []byte, t *media.Track) []byte {
	video := t.Kind() == media.KindVideo
	dst, trak := begin(dst, "trak")
	dst, tkhd := beginFull(dst, "tkhd", 0, 3)  // enabled, in movie
	dst = u32s(dst, 0, 0, trackID, 0, 0, 0, 0) // created, modified, ID, reserved, duration, reserved
	volume := uint16(0x0100)
	if video {
		volume = 0
	}
	dst = u16s(dst, 0, 0, volume, 0) // layer, alternate_group, volume, reserved
	dst = appendMatrix(dst)
	dst = u32s(dst, uint32(clamp16(t.Width))<<16, uint32(clamp16(t.Height))<<16)
	dst = end(dst, tkhd)

	dst, mdia := begin(dst, "mdia")
	dst, mdhd := beginFull(dst, "mdhd", 0, 0)
	dst = u32s(dst, 0, 0, Timescale(t), 0)
	dst = u16s(dst, language(t.Language), 0)
	dst = end(dst, mdhd)

	dst, hdlr := beginFull(dst, "hdlr", 0, 0)
	dst = u32s(dst, 0)
	handler, name := "soun", "SoundHandler\x00"
	if video {
		handler, name = "vide", "VideoHandler\x00"
	}
	dst = append(dst, handler...)
	dst = zeros(dst, 12)
	dst = append(dst, name...)
	dst = end(dst, hdlr)

	dst = appendMinf(dst, t, video)
	dst = end(dst, mdia)
	return end(dst, trak)
}

func appendMinf(dst []byte, t *media.Track, video bool) []byte {
	dst, minf := begin(dst, "minf")
	var header int
	if video {
		dst, header = beginFull(dst, "vmhd", 0, 1)
		dst = zeros(dst, 8) // graphicsmode, opcolor
	} else {
		dst, header = beginFull(dst, "smhd", 0, 0)
		dst = zeros(dst, 4) // balance, reserved
	}
	dst = end(dst, header)

	dst, dinf := begin(dst, "dinf")
	dst, dref := beginFull(dst, "dref", 0, 0)
	dst = u32s(dst, 1)
	dst, url := beginFull(dst, "url ", 0, 1) // the media is in this file
	dst = end(dst, url)
	dst = end(dst, dref)
	dst = end(dst, dinf)

	dst, stbl := begin(dst, "stbl")
	dst, stsd := beginFull(dst, "stsd", 0, 0)
	dst = u32s(dst, 1)
	if video {
		dst = appendVisualEntry(dst, t)
	} else {
		dst = appendAudioEntry(dst, t)
	}
	dst = end(dst, stsd)
	for _, empty := range [...]string{"stts", "stsc", "stco"} {
		var box int
		dst, box = beginFull(dst, empty, 0, 0)
		dst = end(u32s(dst, 0), box)
	}
	dst, stsz := beginFull(dst, "stsz", 0, 0)
	dst = end(u32s(dst, 0, 0), stsz)
	dst = end(dst, stbl)
	return end(dst, minf)
}

func clamp16(v int) uint16 {
	return uint16(min(max(v, 0), math.MaxUint16))
}

// language packs an ISO 639-2 code into three letters of 5 bits (8.4.2.3);
// what is not one is "und".
func language(code string) uint16 {
	if len(code) != 3 {
		code = "und"
	}
	var packed uint16
	for i := range 3 {
		if code[i] < 'a' || code[i] > 'z' {
			return language("und")
		}
		packed = packed<<5 | uint16(code[i]-0x60)
	}
	return packed
}
