package main

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib"
	rtmpcodecs "github.com/bluenviron/gortmplib/pkg/codecs"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	mp4codecs "github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"
)

// clip is coded media as fMP4 has it.
type codedClip struct {
	path    string
	tracks  []*fmp4.InitTrack
	samples []codedSample // of all tracks, by DTS
	period  time.Duration
}

type codedSample struct {
	track    int
	dts, pts time.Duration
	payload  []byte
}

// encode makes ten seconds of a test picture and a tone with ffmpeg. The
// arguments choose the codecs, as for an output of ffmpeg's.
func encode(t *testing.T, args ...string) codedClip {
	t.Helper()
	c := codedClip{path: filepath.Join(t.TempDir(), "clip.mp4"), period: 10 * time.Second}
	all := []string{
		"-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", "10",
		"-pix_fmt", "yuv420p", "-g", "25",
	}
	all = append(append(all, args...), "-strict", "-2", "-movflags", "frag_keyframe+delay_moov+default_base_moof", "-f", "mp4", c.path)
	command(t, false, "ffmpeg", all...)
	b, err := os.ReadFile(c.path)
	if err != nil {
		t.Fatal(err)
	}
	var init fmp4.Init
	if err := init.Unmarshal(bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	c.tracks = init.Tracks
	var parts fmp4.Parts
	if err := parts.Unmarshal(b); err != nil {
		t.Fatal(err)
	}
	for _, part := range parts {
		for _, pt := range part.Tracks {
			i := slices.IndexFunc(init.Tracks, func(t *fmp4.InitTrack) bool { return t.ID == pt.ID })
			scale := time.Duration(init.Tracks[i].TimeScale)
			at := time.Duration(pt.BaseTime)
			for _, s := range pt.Samples {
				c.samples = append(c.samples, codedSample{i, at * time.Second / scale, (at + time.Duration(s.PTSOffset)) * time.Second / scale, s.Payload})
				at += time.Duration(s.Duration)
			}
		}
	}
	slices.SortStableFunc(c.samples, func(a, b codedSample) int { return int(a.dts - b.dts) })
	return c
}

// rtmpTrack says to gortmplib what a track is.
func rtmpTrack(t *testing.T, c mp4codecs.Codec) *gortmplib.Track {
	t.Helper()
	switch c := c.(type) {
	case *mp4codecs.AV1:
		return &gortmplib.Track{Codec: &rtmpcodecs.AV1{}}
	case *mp4codecs.VP9:
		return &gortmplib.Track{Codec: &rtmpcodecs.VP9{}}
	case *mp4codecs.H264:
		return &gortmplib.Track{Codec: &rtmpcodecs.H264{SPS: c.SPS, PPS: c.PPS}}
	case *mp4codecs.H265:
		return &gortmplib.Track{Codec: &rtmpcodecs.H265{VPS: c.VPS, SPS: c.SPS, PPS: c.PPS}}
	case *mp4codecs.Opus:
		return &gortmplib.Track{Codec: &rtmpcodecs.Opus{IDHeader: &opus.IDHeader{Version: 1, ChannelCount: uint8(c.ChannelCount), PreSkip: 312, InputSampleRate: 48000}}}
	case *mp4codecs.FLAC:
		return &gortmplib.Track{Codec: &rtmpcodecs.FLAC{StreamInfo: c.StreamInfo}}
	case *mp4codecs.AC3:
		return &gortmplib.Track{Codec: &rtmpcodecs.AC3{SampleRate: c.SampleRate, ChannelCount: c.ChannelCount}}
	case *mp4codecs.MPEG1Audio:
		return &gortmplib.Track{Codec: &rtmpcodecs.MPEG1Audio{}}
	case *mp4codecs.MPEG4Audio:
		return &gortmplib.Track{Codec: &rtmpcodecs.MPEG4Audio{Config: &c.Config}}
	}
	t.Fatalf("gortmplib knows no %T", c)
	return nil
}

// writeSample sends one frame.
func writeSample(w *gortmplib.Writer, track *gortmplib.Track, s codedSample, offset time.Duration) error {
	pts, dts := s.pts+offset, s.dts+offset
	switch track.Codec.(type) {
	case *rtmpcodecs.AV1:
		var tu av1.Bitstream
		if err := tu.Unmarshal(s.payload); err != nil {
			return err
		}
		return w.WriteAV1(track, pts, tu)
	case *rtmpcodecs.VP9:
		return w.WriteVP9(track, pts, s.payload)
	case *rtmpcodecs.H264:
		var au h264.AVCC
		if err := au.Unmarshal(s.payload); err != nil {
			return err
		}
		return w.WriteH264(track, pts, dts, au)
	case *rtmpcodecs.H265:
		var au h264.AVCC
		if err := au.Unmarshal(s.payload); err != nil {
			return err
		}
		return w.WriteH265(track, pts, dts, au)
	case *rtmpcodecs.Opus:
		return w.WriteOpus(track, pts, s.payload)
	case *rtmpcodecs.FLAC:
		return w.WriteFLAC(track, pts, s.payload)
	case *rtmpcodecs.AC3:
		return w.WriteAC3(track, pts, s.payload)
	case *rtmpcodecs.MPEG1Audio:
		return w.WriteMPEG1Audio(track, pts, s.payload)
	case *rtmpcodecs.MPEG4Audio:
		return w.WriteMPEG4Audio(track, pts, s.payload)
	}
	return fmt.Errorf("no writer for %T", track.Codec)
}

// publishEnhanced sends a clip in a loop, in real time, by Enhanced RTMP as
// gortmplib writes it, copies times: each time as one more track.
func publishEnhanced(t *testing.T, c codedClip, copies int, target string) {
	t.Helper()
	address, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	client := &gortmplib.Client{URL: address, Publish: true}
	if err := client.Initialize(ctx); err != nil {
		t.Fatal(err)
	}
	tracks := make([][]*gortmplib.Track, len(c.tracks))
	w := &gortmplib.Writer{Conn: client}
	for i, track := range c.tracks {
		for range copies {
			tracks[i] = append(tracks[i], rtmpTrack(t, track.Codec))
		}
		w.Tracks = append(w.Tracks, tracks[i]...)
	}
	if err := w.Initialize(); err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		begun := time.Now()
		for offset := time.Duration(0); ; offset += c.period {
			for _, s := range c.samples {
				select {
				case <-ctx.Done():
					sent <- nil
					return
				case <-time.After(time.Until(begun.Add(offset + s.dts))):
				}
				for _, track := range tracks[s.track] {
					if err := writeSample(w, track, s, offset); err != nil {
						sent <- err
						return
					}
				}
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-sent; err != nil {
			t.Error(err)
		}
		client.Close()
	})
}

// TestCodecs publishes every codec of Enhanced RTMP, and reads it back as the
// formats that carry it.
func TestCodecs(t *testing.T) {
	s := start(t)
	for _, c := range []struct {
		name         string
		args         []string
		video, audio string // as ffprobe names them
		codecs       string // of the HLS variant
		ts           bool
	}{
		{"AV1 and Opus", []string{"-c:v", "libsvtav1", "-preset", "12", "-c:a", "libopus"}, "av1", "opus", `av01.0.`, false},
		{"VP9 and FLAC", []string{"-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "flac"}, "vp9", "flac", `vp09.00.`, false},
		{"H.265 and AC-3", []string{"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none", "-tag:v", "hvc1", "-c:a", "ac3"}, "hevc", "ac3", `hvc1.`, true},
		{"H.264 and MP3", []string{"-c:v", "libx264", "-preset", "ultrafast", "-c:a", "libmp3lame", "-ar", "44100"}, "h264", "mp3", `avc1.`, true},
		{"H.264 and Opus", []string{"-c:v", "libx264", "-preset", "veryfast", "-c:a", "libopus"}, "h264", "opus", `avc1.`, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			name := strings.NewReplacer(" ", "-", ".", "").Replace(strings.ToLower(c.name))
			clip := encode(t, c.args...)
			publishEnhanced(t, clip, 1, s.rtmpURL(name))
			s.waitLive(t, name)
			_, playlist := get(t, s.url("/live/"+name+".m3u8"))
			if !strings.Contains(playlist, `CODECS="`+c.codecs) && !strings.Contains(playlist, ","+c.codecs) {
				t.Errorf("the playlist says\n%s", playlist)
			}
			ways := []string{".m3u8"}
			if c.ts {
				ways = append(ways, ".ts")
			} else if status, body := get(t, s.url("/live/"+name+".ts")); status != 406 || !strings.Contains(body, "carry") {
				t.Errorf("as MPEG-TS: %d %s", status, body)
			}
			for _, way := range ways {
				t.Run(way[1:], func(t *testing.T) {
					t.Parallel()
					got := probePackets(t, s.url("/live/"+name+way), 6)
					clip.check(t, got, "video", c.video, way == ".m3u8")
					clip.check(t, got, "audio", c.audio, way == ".m3u8")
				})
			}
			t.Run("rtmp", func(t *testing.T) {
				t.Parallel()
				clip.checkRTMP(t, s.rtmpURL(name))
			})
			t.Run("decoded", func(t *testing.T) {
				t.Parallel()
				command(t, true, "ffmpeg", "-hide_banner", "-nostdin", "-v", "error", "-xerror", "-i", s.url("/live/"+name+".m3u8"), "-t", "5", "-f", "null", "-")
			})
		})
	}
}

// check holds the packets of one kind against the clip's. Where the container
// stores frames as the clip's does, they must be the same bytes.
func (c codedClip) check(t *testing.T, got probed, kind, codec string, sameBytes bool) {
	t.Helper()
	if !slices.ContainsFunc(got.Streams, func(s probedStream) bool { return s.Type == kind && s.Codec == codec }) {
		t.Errorf("no %s in %+v", codec, got.Streams)
	}
	var ref reference
	for _, p := range probePackets(t, c.path, 0).Packets {
		if p.Type == kind {
			ref.hashes = append(ref.hashes, p.Hash)
		}
	}
	var packets []packet
	last := -time.Hour
	for _, p := range got.Packets {
		if p.Type != kind {
			continue
		}
		dts := p.seconds(t, p.DTS)
		if dts <= last {
			t.Errorf("%s packet %d has DTS %v after %v", kind, len(packets), dts, last)
		}
		last = dts
		packets = append(packets, p)
	}
	if len(packets) < 50 { // frames of FLAC last 96 ms
		t.Fatalf("%d %s packets", len(packets), kind)
	}
	if kind == "video" && packets[0].Flags[0] != 'K' {
		t.Error("the first picture is no random access point")
	}
	if sameBytes && len(ref.offsets(packets)) == 0 {
		t.Errorf("the %d %s packets are not those that were pushed", len(packets), kind)
	}
}

// TestMultitrack publishes three pictures and three sounds on one connection:
// all become tracks, in HLS variants and renditions; players that know one get
// the first.
func TestMultitrack(t *testing.T) {
	t.Parallel()
	s := start(t)
	clip := encode(t, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac")
	publishEnhanced(t, clip, 3, s.rtmpURL("many"))
	s.waitLive(t, "many")
	live := s.stream(t, "many")
	waitFor(t, "six tracks", func() bool { return len(live.Tracks().Tracks) == 6 })
	_, api := get(t, s.adminURL("/api/v1/streams"))
	if n := strings.Count(api, `"codec": "H.264"`); n != 3 {
		t.Errorf("%d tracks of H.264 in the API: %s", n, api)
	}
	_, list := get(t, s.url("/live/many.m3u8"))
	if v, a := strings.Count(list, "#EXT-X-STREAM-INF:"), strings.Count(list, "#EXT-X-MEDIA:TYPE=AUDIO"); v != 3 || a != 3 {
		t.Errorf("%d variants and %d sounds in\n%s", v, a, list)
	}
	for way, kinds := range map[string]string{
		".flv": "video audio", ".ts": "video audio", "/video.m3u8": "video", "/video2.m3u8": "video", "/video3.m3u8": "video", "/audio.m3u8": "audio", "/audio3.m3u8": "audio",
	} {
		t.Run(way[1:], func(t *testing.T) {
			t.Parallel()
			got := probePackets(t, s.url("/live/many"+way), 5)
			if n := len(strings.Fields(kinds)); len(got.Streams) != n {
				t.Errorf("%+v", got.Streams)
			}
			for kind := range strings.FieldsSeq(kinds) {
				clip.check(t, got, kind, map[string]string{"video": "h264", "audio": "aac"}[kind], way != ".ts")
			}
		})
	}
}
