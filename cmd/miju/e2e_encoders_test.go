package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Encoders as they are: what each of them does to a server that other servers
// have stumbled over, and what its viewers must not notice.

// lavfi is ffmpeg's test picture and tone, in real time, for 40 s. Lines of
// arguments are split at spaces.
func lavfi(video, audio string) []string {
	var args []string
	for _, in := range []string{video, audio} {
		if in != "" {
			args = append(args, "-re", "-f", "lavfi", "-i", in)
		}
	}
	return append([]string{"-hide_banner", "-loglevel", "warning", "-nostdin"}, append(args, "-t", "40", "-pix_fmt", "yuv420p")...)
}

const (
	testPicture = "testsrc2=size=320x180:rate=25"
	testTone    = "sine=frequency=440:sample_rate=48000"
	x264        = " -c:v libx264 -preset ultrafast -tune zerolatency -g 25 "
)

func TestEncoders(t *testing.T) {
	s := start(t)
	for i, c := range []struct {
		name  string
		input []string
		args  string
		kinds string
	}{
		{"timestamps that pass 24 bits after two seconds", lavfi(testPicture, testTone), x264 + "-c:a aac -output_ts_offset 16775 -f flv", "video audio"},
		{"no metadata", lavfi(testPicture, testTone), x264 + "-c:a aac -flvflags no_metadata -f flv", "video audio"},
		{"video only", lavfi(testPicture, ""), x264 + "-f flv", "video"},
		{"audio only", lavfi("", testTone), "-c:a aac -f flv", "audio"},
		{"audio only without metadata", lavfi("", testTone), "-c:a aac -flvflags no_metadata -f flv", "audio"},
		{"MP3", lavfi(testPicture, testTone), x264 + "-c:a libmp3lame -ar 44100 -f flv", "video audio"},
		{"sound that starts five seconds late", []string{
			"-hide_banner", "-loglevel", "warning", "-nostdin", "-re", "-f", "lavfi", "-i", testPicture,
			"-re", "-itsoffset", "5", "-f", "lavfi", "-i", testTone, "-t", "40", "-pix_fmt", "yuv420p",
		}, x264 + "-c:a aac -f flv", "video audio"},
		{"B-frames and 44.1 kHz", lavfi(testPicture, "sine=sample_rate=44100"), "-c:v libx264 -preset superfast -bf 3 -g 50 -c:a aac -f flv", "video audio"},
		{"29.97 frames a second", lavfi("testsrc2=size=320x180:rate=30000/1001", testTone), x264 + "-c:a aac -f flv", "video audio"},
		{"SRT, 23.976 frames a second", lavfi("testsrc2=size=320x180:rate=24000/1001", testTone), x264 + "-c:a aac -f mpegts", "video audio"},
		{"SRT, AC-3", lavfi(testPicture, testTone), x264 + "-c:a ac3 -f mpegts", "video audio"},
		{"SRT, Opus", lavfi(testPicture, testTone), x264 + "-c:a libopus -f mpegts", "video audio"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			name := fmt.Sprintf("encoder-%d", i)
			url := s.rtmpURL(name)
			if strings.HasSuffix(c.args, "mpegts") {
				url = s.srtURL("publish:live/" + name)
			}
			spawn(t, "ffmpeg", append(append(c.input, strings.Fields(c.args)...), url)...)
			s.waitLive(t, name)
			if strings.Contains(c.args, "ac3") || strings.Contains(c.args, "opus") { // ffmpeg 5.1 knows neither in FLV
				s.plays(t, name, c.kinds, ".m3u8", ".ts")
				return
			}
			s.plays(t, name, c.kinds)
		})
	}
	t.Run("GStreamer", func(t *testing.T) {
		t.Parallel()
		spawn(t, "gst-launch-1.0", "-q", "filesrc", "location="+clipPath("h264-aac.flv"), "!", "flvdemux", "name=d",
			"flvmux", "name=m", "streamable=true", "!", "rtmp2sink", "sync=true", "location="+s.rtmpURL("gst"),
			"d.video", "!", "queue", "!", "h264parse", "!", "m.", "d.audio", "!", "queue", "!", "aacparse", "!", "m.")
		s.waitLive(t, "gst")
		s.plays(t, "gst", "video audio")
	})
	t.Run("another resolution in the middle", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		list := filepath.Join(dir, "list.txt")
		var lines strings.Builder
		for i, size := range []string{"320x180", "640x360"} {
			path := filepath.Join(dir, fmt.Sprintf("%d.ts", i))
			command(t, true, "ffmpeg", append(strings.Fields("-v error -f lavfi -i testsrc2=size="+size+":rate=25 -f lavfi -i "+testTone+" -t 8 -pix_fmt yuv420p"+x264+"-c:a aac"), path)...)
			fmt.Fprintf(&lines, "file '%s'\n", path)
		}
		writeFile(t, list, lines.String())
		spawn(t, "ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-re", "-stream_loop", "3", "-f", "concat", "-safe", "0", "-i", list,
			"-c", "copy", "-f", "mpegts", s.srtURL("publish:live/sizes"))
		s.waitLive(t, "sizes")
		live := s.stream(t, "sizes")
		width := func() int { return live.Tracks().Tracks[0].Width }
		s.plays(t, "sizes", "video audio")
		waitFor(t, "the larger pictures", func() bool { return width() == 640 })
		s.plays(t, "sizes", "video audio")
	})
}

// plays reads five seconds of a stream as FLV and as HLS, if not as the ways
// that are given: every kind of track must come, in rising order, and be
// decodable without a complaint.
func (s *testServer) plays(t *testing.T, name, kinds string, ways ...string) {
	t.Helper()
	if ways == nil {
		ways = []string{".flv", ".m3u8"}
	}
	got := make([]probed, len(ways))
	var readers sync.WaitGroup
	for i, way := range ways {
		url := s.url("/live/" + name + way)
		readers.Go(func() { got[i] = probePackets(t, url, 5) })
		readers.Go(func() {
			command(t, true, "ffmpeg", "-hide_banner", "-nostdin", "-v", "error", "-i", url, "-t", "5", "-fps_mode", "passthrough", "-enc_time_base", "-1", "-f", "null", "-")
		})
	}
	readers.Wait()
	for i, way := range ways {
		last, first, count := map[string]time.Duration{}, map[string]time.Duration{}, map[string]int{}
		for _, p := range got[i].Packets {
			dts := p.seconds(t, p.DTS)
			if before, seen := last[p.Type]; seen && dts <= before {
				t.Errorf("%s: %s packet %d has DTS %v after %v", way, p.Type, count[p.Type], dts, before)
			}
			if count[p.Type] == 0 {
				first[p.Type] = dts
			}
			last[p.Type] = dts
			count[p.Type]++
		}
		for _, kind := range []string{"video", "audio"} {
			switch want := strings.Contains(kinds, kind); {
			case want && count[kind] < 100:
				t.Errorf("%s: %d %s packets", way, count[kind], kind)
			case !want && count[kind] > 0:
				t.Errorf("%s: %d %s packets, of a stream that has none", way, count[kind], kind)
			}
		}
		if apart := (first["video"] - first["audio"]).Abs(); kinds == "video audio" && apart > time.Second {
			t.Errorf("%s: sound and picture begin %v apart", way, apart)
		}
	}
}
