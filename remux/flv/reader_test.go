package flv_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/flv"
)

const fileHeader = "FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00"

var files = []struct {
	name   string
	in     string
	bodies []string
	want   error
}{
	{"one tag", fileHeader + "\x08\x00\x00\x02\x00\x00\x05\x00\x00\x00\x00xy\x00\x00\x00\x0d", []string{"xy"}, io.EOF},
	{"a wrong PreviousTagSize", fileHeader + "\x08\x00\x00\x01\x00\x00\x05\x00\x00\x00\x00x\xff\xff\xff\xff" + "\x08\x00\x00\x01\x00\x00\x06\x00\x00\x00\x00y", []string{"x", "y"}, io.EOF},
	{"a longer header", "FLV\x01\x05\x00\x00\x00\x0bzz\x00\x00\x00\x00\x08\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00", []string{""}, io.EOF},
	{"no tags", fileHeader, nil, io.EOF},
	{"empty", "", nil, io.EOF},
	{"header cut short", "FLV\x01", nil, io.ErrUnexpectedEOF},
	{"not FLV", "GIF89a.........", nil, flv.ErrMalformed},
	{"a header of 4 GiB", "FLV\x01\x05\xff\xff\xff\xff", nil, flv.ErrMalformed},
	{"tag header cut short", fileHeader + "\x08\x00", nil, io.ErrUnexpectedEOF},
	{"body cut short", fileHeader + "\x08\x00\x00\x02\x00\x00\x05\x00\x00\x00\x00x", nil, io.ErrUnexpectedEOF},
	{"body that never begins", fileHeader + "\x08\x00\x00\x02\x00\x00\x05\x00\x00\x00\x00", nil, io.ErrUnexpectedEOF},
	{"encrypted", fileHeader + "\x28\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00", nil, media.ErrUnsupportedCodec},
}

func TestReader(t *testing.T) {
	for _, c := range files {
		t.Run(c.name, func(t *testing.T) {
			r := flv.NewReader(iotest.HalfReader(strings.NewReader(c.in)))
			for _, want := range c.bodies {
				if _, _, b, err := r.ReadTag(); err != nil || string(b) != want {
					t.Fatalf("%q, %v", b, err)
				}
			}
			if _, _, b, err := r.ReadTag(); !errors.Is(err, c.want) {
				t.Errorf("%q, %v, want %v", b, err, c.want)
			}
		})
	}
}

func TestReaderReadsTimestampsOf32Bits(t *testing.T) {
	r := flv.NewReader(strings.NewReader(fileHeader + "\x09\x00\x00\x00\x34\x56\x78\x12\x00\x00\x00"))
	typ, ts, _, err := r.ReadTag()
	if typ != flv.TypeVideo || ts != 0x12345678*time.Millisecond || err != nil {
		t.Error(typ, ts, err)
	}
}

func TestReaderReadsLargeBodies(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	r := flv.NewReader(strings.NewReader(fileHeader + "\x09\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00" + string(want)))
	if _, _, b, err := r.ReadTag(); !bytes.Equal(b, want) || err != nil {
		t.Error(len(b), err)
	}
}

func TestSizeThatNeverComesIsNotAllocated(t *testing.T) {
	in := fileHeader + "\x09\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00x"
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, _, _, err := flv.NewReader(strings.NewReader(in)).ReadTag(); err != io.ErrUnexpectedEOF {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes", n)
	}
}

// The clip is ffmpeg's: every frame of it comes out, and nothing else.
func TestClipOfFfmpeg(t *testing.T) {
	for _, c := range []struct {
		clip                       string
		video, audio, randomAccess int
		maxOffset                  time.Duration
	}{
		{"h264-aac.flv", 240, 375, 4, 0},
		{"h264-bframes-aac.flv", 240, 375, 4, 167 * time.Millisecond},
		{"video-only.flv", 240, 0, 4, 0},
	} {
		t.Run(c.clip, func(t *testing.T) {
			file, err := os.Open("../../testdata/" + c.clip)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			r := flv.NewReader(file)
			var d flv.Demuxer
			count := map[media.Kind]int{}
			random := 0
			var offset time.Duration
			for {
				typ, ts, b, err := r.ReadTag()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				f, ok, err := demux(&d, typ, ts, b)
				if err != nil {
					t.Fatal(err)
				}
				if !ok {
					continue
				}
				count[f.Track.Kind()]++
				offset = max(offset, f.PTS-f.DTS)
				if f.RandomAccess && f.Track.Kind() == media.KindVideo {
					random++
				}
			}
			tracks, complete := d.Tracks()
			if !complete || tracks[0].Width != 640 || tracks[0].Height != 360 || tracks[0].FrameRate != 30 {
				t.Errorf("%v %+v", complete, tracks[0])
			}
			if count[media.KindVideo] != c.video || count[media.KindAudio] != c.audio || random != c.randomAccess || offset != c.maxOffset {
				t.Errorf("%v frames, %d random access points, offset %v", count, random, offset)
			}
		})
	}
}

func FuzzReader(f *testing.F) {
	for _, c := range files {
		f.Add([]byte(c.in))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := flv.NewReader(bytes.NewReader(b))
		total := 0
		for {
			_, ts, body, err := r.ReadTag()
			if err != nil {
				return
			}
			if total += len(body); total > len(b) || ts < 0 {
				t.Fatalf("%d bytes of bodies in %d", total, len(b))
			}
		}
	})
}
