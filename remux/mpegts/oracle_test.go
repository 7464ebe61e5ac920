package mpegts

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/asticode/go-astits"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	oracle "github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/codecs"

	"github.com/miju-live/miju/media"
)

// remuxed makes a transport stream of a clip with ffmpeg.
func remuxed(t testing.TB, clip string, args ...string) []byte {
	t.Helper()
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Fatal("ffmpeg is not installed: make tools")
	}
	args = append([]string{"-v", "error", "-i", "../../testdata/" + clip, "-c", "copy"}, args...)
	cmd := exec.Command(ffmpeg, append(args, "-f", "mpegts", "-")...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// expected is a frame as mediacommon's reader sees it.
type expected struct {
	dts, pts int64
	data     []byte
}

// readOracle reads a stream with mediacommon, by track ID.
func readOracle(t *testing.T, in []byte) map[int][]expected {
	t.Helper()
	r := &oracle.Reader{R: bytes.NewReader(in)}
	if err := r.Initialize(); err != nil {
		t.Fatal(err)
	}
	r.OnDecodeError(func(err error) { t.Errorf("mediacommon: %v", err) })
	frames := map[int][]expected{}
	video := func(codec media.Codec) func(pts, dts int64, au [][]byte) error {
		return func(pts, dts int64, au [][]byte) error {
			var kept [][]byte
			for _, n := range au {
				if r := roleOf(codec, n); r == other || r == picture {
					kept = append(kept, n)
				}
			}
			frames[1] = append(frames[1], expected{dts, pts, media.AppendLengthPrefixed(nil, kept...)})
			return nil
		}
	}
	for _, track := range r.Tracks() {
		switch c := track.Codec.(type) {
		case *codecs.H264:
			r.OnDataH264(track, video(media.H264))
		case *codecs.H265:
			r.OnDataH265(track, video(media.H265))
		case *codecs.MPEG4Audio:
			r.OnDataMPEG4Audio(track, func(pts int64, aus [][]byte) error {
				for i, au := range aus {
					p := pts + int64(i)*mpeg4audio.SamplesPerAccessUnit*90000/int64(c.SampleRate)
					frames[2] = append(frames[2], expected{p, p, au})
				}
				return nil
			})
		}
	}
	for {
		err := r.Read()
		if errors.Is(err, astits.ErrNoMorePackets) || errors.Is(err, io.EOF) {
			return frames
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestAgainstMediacommon holds that mediacommon's reader and this one see the
// same in what ffmpeg writes.
func TestAgainstMediacommon(t *testing.T) {
	sized := []string{"-mpegts_flags", "resend_headers+pat_pmt_at_frames", "-omit_video_pes_length", "0"}
	for _, c := range []struct {
		name, clip                 string
		args                       []string
		video, audio, randomAccess int
	}{
		{"H.264 and AAC", "h264-aac.flv", nil, 240, 375, 4},
		{"H.264 with B-frames", "h264-bframes-aac.flv", nil, 240, 375, 4},
		{"H.265", "h265-aac.mp4", nil, 240, 375, 4},
		{"video only", "video-only.flv", nil, 240, 0, 4},
		{"audio only", "audio-only.m4a", nil, 0, 1323, 0},
		{"PES packets with their size", "h264-bframes-aac.flv", sized, 240, 375, 4},
		{"an audio frame in each PES packet", "h264-aac.flv", []string{"-pes_payload_size", "0"}, 240, 375, 4},
		{"over the wrap", "h264-bframes-aac.flv", []string{"-output_ts_offset", "95440"}, 240, 375, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := remuxed(t, c.clip, c.args...)
			want := readOracle(t, in)
			if len(want[1]) != c.video || len(want[2]) != c.audio {
				t.Fatalf("mediacommon sees %d pictures and %d audio frames", len(want[1]), len(want[2]))
			}
			for _, piece := range []int{len(in), 1316, packetSize, 1000} {
				d, frames, err := demux(in, piece)
				if err != nil || d.Stats() != (Stats{Packets: uint64(len(in) / packetSize)}) {
					t.Fatalf("%v, %+v", err, d.Stats())
				}
				if n := compare(t, frames, want); n != c.randomAccess {
					t.Errorf("%d random access points, want %d", n, c.randomAccess)
				}
				tracks, complete := d.Tracks()
				if !complete || len(tracks) != len(want) {
					t.Errorf("tracks %v, complete %v", tracks, complete)
				}
				for _, tr := range tracks {
					checkTrack(t, tr)
				}
			}
		})
	}
}

// compare holds frames against the oracle's and returns the number of random
// access points.
func compare(t *testing.T, frames []media.Frame, want map[int][]expected) (randomAccess int) {
	t.Helper()
	at := map[int]int{}
	last := map[int]time.Duration{}
	for _, f := range frames {
		id := f.Track.ID
		i := at[id]
		at[id]++
		if i == len(want[id]) {
			t.Fatalf("more frames of track %d than %d", id, i)
		}
		w := want[id][i]
		// Times of sound are counted within what the PES times round to.
		tolerance := int64(0)
		if f.Track.Kind() == media.KindAudio {
			tolerance = int64(ptsTolerance * 90_000 / time.Second)
		} else if f.RandomAccess {
			randomAccess++
		}
		if !bytes.Equal(f.Data, w.data) {
			t.Fatalf("frame %d of track %d: %d bytes, want %d", i, id, len(f.Data), len(w.data))
		}
		dts, pts := diff33(ticks(f.DTS), w.dts), diff33(ticks(f.PTS), w.pts)
		if max(dts, -dts) > tolerance || max(pts, -pts) > tolerance {
			t.Fatalf("frame %d of track %d: %d %d, want %d %d", i, id, ticks(f.DTS), ticks(f.PTS), w.dts, w.pts)
		}
		if i > 0 && f.DTS <= last[id] {
			t.Fatalf("frame %d of track %d: DTS %v after %v", i, id, f.DTS, last[id])
		}
		last[id] = f.DTS
	}
	for id := range want {
		if at[id] != len(want[id]) {
			t.Errorf("%d frames of track %d, want %d", at[id], id, len(want[id]))
		}
	}
	return randomAccess
}

func checkTrack(t *testing.T, tr *media.Track) {
	t.Helper()
	switch tr.Kind() {
	case media.KindVideo:
		if tr.ID != 1 || tr.Width != 640 || tr.Height != 360 || tr.FrameRate != 30 {
			t.Errorf("%+v", tr)
		}
	case media.KindAudio:
		if tr.ID != 2 || tr.SampleRate != 48000 && tr.SampleRate != 44100 || tr.Channels != 2 {
			t.Errorf("%+v", tr)
		}
	}
}

func BenchmarkDemuxer(b *testing.B) {
	in := remuxed(b, "h264-bframes-aac.flv")
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		demux(in, 1316)
	}
}
