package mpegts

import (
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miju-live/miju/media"
)

// transport has ffmpeg put a clip into MPEG-TS.
func transport(t *testing.T, clip string, args ...string) []byte {
	t.Helper()
	all := append([]string{"-v", "error", "-i", filepath.Join("..", "..", "testdata", clip)}, args...)
	cmd := exec.Command("ffmpeg", append(all, "-f", "mpegts", "-")...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ffmpeg: %v: %s", err, said.String())
	}
	return out
}

// TestSoundOfFFmpeg reads what ffmpeg writes, writes it again and has ffmpeg
// decode that without a complaint.
func TestSoundOfFFmpeg(t *testing.T) {
	for _, c := range []struct {
		clip     string
		codec    media.Codec
		rate     int
		duration time.Duration // of a frame
		frames   int           // at least
	}{
		{"opus.mp4", media.Opus, 48000, 20 * time.Millisecond, 148},
		{"ac3.mp4", media.AC3, 48000, 32 * time.Millisecond, 90},
		{"eac3.mp4", media.EAC3, 48000, 32 * time.Millisecond, 90},
		{"mp3.mp4", media.MP3, 44100, 1152 * time.Second / 44100, 110},
		{"audio-only.m4a", media.AAC, 44100, 1024 * time.Second / 44100, 1300},
	} {
		t.Run(c.codec.String(), func(t *testing.T) {
			in := transport(t, c.clip, "-c", "copy")
			d, frames, err := demux(in, 1316)
			tracks, complete := d.Tracks()
			if err != nil || !complete || len(tracks) != 1 || tracks[0].Codec != c.codec || tracks[0].SampleRate != c.rate {
				t.Fatalf("%v, complete %v, %v", tracks, complete, err)
			}
			if len(frames) < c.frames {
				t.Fatalf("%d frames", len(frames))
			}
			for i := 1; i < len(frames); i++ {
				if step := frames[i].DTS - frames[i-1].DTS; (step - c.duration).Abs() > time.Millisecond {
					t.Fatalf("frame %d is %v behind the one before", i, step)
				}
			}
			again := remux(t, frames)
			_, twice, err := demux(again, packetSize)
			if err != nil || len(twice) != len(frames) {
				t.Fatalf("%d frames of %d, %v", len(twice), len(frames), err)
			}
			for i := range twice {
				if !bytes.Equal(twice[i].Data, frames[i].Data) {
					t.Fatalf("frame %d differs", i)
				}
			}
			decode(t, again)
		})
	}
}

// remux writes frames as a program of their own.
func remux(t *testing.T, frames []media.Frame) []byte {
	t.Helper()
	set := &media.TrackSet{}
	for _, f := range frames {
		if set.Lookup(f.Track.ID) == nil {
			set.Tracks = append(set.Tracks, f.Track)
		}
	}
	program, err := NewProgram(set)
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	var state State
	var w walk
	for i := range frames {
		frames[i].Set = set
		b := AppendFrame(nil, state, program, &frames[i])
		state.Follow(program, &frames[i], SpanOf(b))
		w.read(t, b)
		out = append(out, b...)
	}
	return out
}

// decode has ffmpeg decode a transport stream.
func decode(t *testing.T, b []byte) {
	t.Helper()
	cmd := exec.Command("ffmpeg", "-v", "error", "-xerror", "-f", "mpegts", "-i", "-", "-f", "null", "-")
	cmd.Stdin = bytes.NewReader(b)
	if said, err := cmd.CombinedOutput(); err != nil || len(said) > 0 {
		t.Errorf("ffmpeg: %v: %s", err, said)
	}
}

// TestPicturesOfFFmpeg does the same with pictures and sound together.
func TestPicturesOfFFmpeg(t *testing.T) {
	for _, clip := range []string{"h264-aac.flv", "h264-bframes-aac.flv", "h265-aac.mp4"} {
		t.Run(clip, func(t *testing.T) {
			_, frames, err := demux(transport(t, clip, "-c", "copy"), 1316)
			if err != nil || len(frames) < 600 {
				t.Fatal(len(frames), err)
			}
			decode(t, remux(t, frames))
		})
	}
}

func TestLayerIIIsRefusedByName(t *testing.T) {
	_, _, err := demux(transport(t, "mp3.mp4", "-c:a", "mp2"), packetSize)
	if !errors.Is(err, ErrNoTracks) || !strings.Contains(err.Error(), "layer II") {
		t.Error(err)
	}
}

// TestSoundFromItsMiddle: a stream that is joined inside of a frame begins with
// the next one, though the rest looks like a frame too, of another layer at that.
func TestSoundFromItsMiddle(t *testing.T) {
	for _, c := range []struct{ clip, junk string }{
		{"mp3.mp4", "\xff\xfd\x90\x64\xff\xfb\x90\x64\x00\x00\x00\x00"},
		{"ac3.mp4", "\x0b\x77\x00\x00\x14\x40\x43\xe1\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"},
		{"eac3.mp4", "\x0b\x77\x00\x10\x3f\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"},
		{"opus.mp4", "\x7f\xe0\x04\x00\x00\x00"},
	} {
		t.Run(c.clip, func(t *testing.T) {
			_, frames, err := demux(transport(t, c.clip, "-c", "copy"), 1316)
			if err != nil {
				t.Fatal(err)
			}
			p := &soundParser{id: 2, codec: frames[0].Track.Codec, channels: 2}
			var st Stats
			var got []media.Frame
			for i, f := range frames[:5] {
				payload := payloadOf(&f)
				if i == 0 {
					payload = append([]byte(c.junk), payload...)
				}
				if i == 1 {
					payload = append(payload, payloadOf(&frames[1])...)
				}
				got = p.frames(got, &pes{timed: true, pts: int64(i) * 3000, payload: payload}, &st)
			}
			// The first one has no time if it took the second PES packet to find it.
			if untimed := int(st.Untimed); len(got)+untimed != 6 || untimed > 1 || p.refused != "" || st.Malformed == 0 ||
				!bytes.Equal(got[0].Data, frames[untimed].Data) {
				t.Errorf("%d frames, %+v, refused %q", len(got), st, p.refused)
			}
		})
	}
}

// opusPacket is an Opus packet with its control header.
func opusPacket(flags byte, more []byte, size int) []byte {
	b := []byte{0x7f, 0xe0 | flags}
	n := size
	for ; n >= 255; n -= 255 {
		b = append(b, 255)
	}
	b = append(append(b, byte(n)), more...)
	return append(b, bytes.Repeat([]byte{0xfc}, size)...)
}

func TestCutOpus(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []byte
		want cut
	}{
		{"small", opusPacket(0, nil, 10), cut{3, 13}},
		{"255 bytes", opusPacket(0, nil, 255), cut{4, 259}},
		{"700 bytes", opusPacket(0, nil, 700), cut{5, 705}},
		{"trimmed at both ends", opusPacket(0x18, []byte{0, 1, 0, 2}, 10), cut{7, 17}},
		{"with an extension", opusPacket(0x04, []byte{2, 9, 9}, 10), cut{6, 16}},
		{"not a header", []byte{1, 2, 3}, cut{0, -1}},
		{"empty", []byte{0x7f, 0xe0, 0}, cut{0, -1}},
		{"a size without an end", append([]byte{0x7f, 0xe0}, bytes.Repeat([]byte{255}, 100)...), cut{}},
		{"a size beyond all bounds", append([]byte{0x7f, 0xe0}, bytes.Repeat([]byte{255}, 1000)...), cut{0, -1}},
	} {
		if got := cutOpus(c.in); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func FuzzSound(f *testing.F) {
	for i, p := range [][]byte{
		opusPacket(0, nil, 10), opusPacket(0x1c, []byte{0, 1, 0, 2, 1, 9}, 300),
		{0x0b, 0x77, 0, 0, 0x14, 0x40, 0x43, 0xe1, 0, 0, 0, 0, 0, 0, 0, 0},
		{0xff, 0xfb, 0x90, 0x64, 0, 0, 0, 0},
		{0xff, 0xfd, 0x90, 0x64},
	} {
		f.Add(byte(i), p, p)
	}
	codecs := []media.Codec{media.Opus, media.Opus, media.AC3, media.MP3, media.EAC3}
	f.Fuzz(func(t *testing.T, which byte, a, b []byte) {
		if len(a)+len(b) > maxAudioPES {
			return
		}
		s := &soundParser{id: 2, codec: codecs[int(which)%len(codecs)], channels: 2}
		var st Stats
		frames := s.frames(nil, &pes{timed: true, payload: a}, &st)
		frames = s.frames(frames, &pes{timed: true, pts: 3000, dts: 3000, payload: b}, &st)
		size := 0
		for _, fr := range frames {
			if fr.Track == nil || len(fr.Data) == 0 {
				t.Fatalf("%+v", fr)
			}
			size += len(fr.Data)
		}
		if size+len(s.buf) > len(a)+len(b) {
			t.Fatalf("%d bytes of %d", size+len(s.buf), len(a)+len(b))
		}
	})
}
