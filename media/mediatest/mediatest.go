// Package mediatest makes synthetic tracks and GOPs for tests.
package mediatest

import (
	"encoding/binary"
	"time"

	"github.com/miju-live/miju/media"
)

// Parameter sets of real encoders: x264 (1280x720, 30 fps, High) and x265
// (1920x1080, Main, with emulation prevention inside the profile bytes).
var (
	SPS264 = []byte{
		0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x6c, 0x80, 0x00, 0x00, 0x03,
		0x00, 0x80, 0x00, 0x00, 0x1e, 0x07, 0x8c, 0x18, 0xcb,
	}
	PPS264 = []byte{0x68, 0xeb, 0xec, 0xb2, 0x2c}
	VPS265 = []byte{
		0x40, 0x01, 0x0c, 0x01, 0xff, 0xff, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03,
		0x00, 0x00, 0x03, 0x00, 0x78, 0x99, 0x98, 0x09,
	}
	SPS265 = []byte{
		0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03,
		0x00, 0x78, 0xa0, 0x03, 0xc0, 0x80, 0x10, 0xe5, 0x96, 0x66, 0x69, 0x24, 0xca, 0xe0, 0x10, 0x00,
		0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x01, 0xe0, 0x80,
	}
	PPS265 = []byte{0x44, 0x01, 0xc1, 0x72, 0xb4, 0x62, 0x40}
)

// H264Track returns an H.264 track of 1280x720.
func H264Track(id int) *media.Track {
	return must(media.NewH264Track(id, must(media.H264Config(SPS264, PPS264))))
}

// H265Track returns an H.265 track of 1920x1080.
func H265Track(id int) *media.Track {
	return must(media.NewH265Track(id, must(media.H265Config(VPS265, SPS265, PPS265))))
}

// AACTrack returns an AAC-LC track of 48 kHz stereo.
func AACTrack(id int) *media.Track {
	return must(media.NewAACTrack(id, []byte{0x11, 0x90}))
}

// Source makes the frames of a synthetic live stream, in arrival order. Zero
// fields mean a stream of 30 frames and 2 s a GOP without sound.
type Source struct {
	Video, Audio *media.Track
	// GOP is the number of video frames from one random access point to the next.
	GOP int
	// FrameRate is in frames per second.
	FrameRate int
	// FrameBytes is the size of every video frame's Data.
	FrameBytes int

	set          *media.TrackSet
	start        time.Time
	video, audio int
	nextV, nextA time.Duration
}

// Next returns the next frame. Its Set is made of the source's tracks, with
// an anchor of 2026-01-01, and its Arrival is the anchor plus its DTS.
func (s *Source) Next() media.Frame {
	if s.set == nil {
		s.init()
	}
	f := media.Frame{Set: s.set}
	if s.Video != nil && (s.Audio == nil || s.nextV <= s.nextA) {
		f.Track, f.DTS, f.PTS = s.Video, s.nextV, s.nextV
		f.RandomAccess = s.video%s.GOP == 0
		f.Data = accessUnit(s.Video.Codec, f.RandomAccess, s.FrameBytes, s.video)
		s.video++
		s.nextV = time.Duration(s.video) * time.Second / time.Duration(s.FrameRate)
	} else {
		f.Track, f.DTS, f.PTS, f.RandomAccess = s.Audio, s.nextA, s.nextA, true
		f.Data = binary.BigEndian.AppendUint32(make([]byte, 0, 200), uint32(s.audio))[:200]
		s.audio++
		s.nextA = time.Duration(s.audio) * 1024 * time.Second / time.Duration(s.Audio.SampleRate)
	}
	f.Arrival = s.start.Add(f.DTS)
	return f
}

func (s *Source) init() {
	if s.GOP == 0 {
		s.GOP = 60
	}
	if s.FrameRate == 0 {
		s.FrameRate = 30
	}
	if s.FrameBytes < 16 {
		s.FrameBytes = 1000
	}
	s.start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s.set = &media.TrackSet{Anchor: media.Anchor{Wall: s.start}}
	for _, t := range []*media.Track{s.Video, s.Audio} {
		if t != nil {
			s.set.Tracks = append(s.set.Tracks, t)
		}
	}
}

// accessUnit makes a length-prefixed access unit of size bytes with the
// frame's number in it: right to every parser but a decoder.
func accessUnit(codec media.Codec, randomAccess bool, size, number int) []byte {
	nalu := make([]byte, size-4)
	switch {
	case codec == media.H264 && randomAccess:
		nalu[0] = 0x65
	case codec == media.H264:
		nalu[0] = 0x41
	case randomAccess:
		nalu[0], nalu[1] = 19<<1, 1
	default:
		nalu[0], nalu[1] = 1<<1, 1
	}
	binary.BigEndian.PutUint32(nalu[2:], uint32(number)|0x80000000)
	for i := 6; i < len(nalu); i++ {
		nalu[i] = 0xaa
	}
	return media.AppendLengthPrefixed(make([]byte, 0, size), nalu)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // a constant of this file is wrong
	}
	return v
}
