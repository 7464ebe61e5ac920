package origin

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gohlslib/v2"
	"github.com/bluenviron/gohlslib/v2/pkg/codecs"
	"go.uber.org/goleak"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/mpegts"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// clip returns the frames of a clip of testdata, which ffmpeg repeats.
func clip(t *testing.T, name string, times int) []media.Frame {
	t.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Fatal("ffmpeg is not installed: make tools")
	}
	ts := command(t, "ffmpeg", "-v", "error", "-stream_loop", fmt.Sprint(times-1), "-i", "../testdata/"+name,
		"-c", "copy", "-muxdelay", "0", "-muxpreload", "0", "-f", "mpegts", "-")
	d := mpegts.NewDemuxer()
	if err := d.Write(ts); err != nil {
		t.Fatal(err)
	}
	d.Flush()
	tracks, _ := d.Tracks()
	set := &media.TrackSet{Tracks: tracks, Anchor: media.Anchor{Wall: time.Now()}}
	var all []media.Frame
	for {
		f, ok := d.Next()
		if !ok {
			return all
		}
		f.Set, f.Arrival = set, set.Anchor.At(f.DTS)
		all = append(all, f)
	}
}

// command returns what a program says and fails the test if it complains.
func command(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%s: %v\n%s", name, err, &stderr)
	}
	return out
}

// serve publishes frames at once and ends the stream; it returns the URL of
// the multivariant playlist, which stays for 12 s.
func serve(t *testing.T, all []media.Frame) string {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) })
	config := DefaultConfig()
	config.HLS.Always = true
	hub := stream.NewHub(stream.DefaultConfig(), nil)
	server := NewServer(config, hub, auth.Open{}, http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		server.Run(ctx)
		close(done)
	}()
	web := httptest.NewServer(server)
	t.Cleanup(func() {
		web.Close()
		cancel()
		<-done
	})
	key, err := streamkey.Parse("live/alice")
	if err != nil {
		t.Fatal(err)
	}
	p, err := hub.Publish(key, stream.Source{})
	if err != nil {
		t.Fatal(err)
	}
	until := func(what string, done func() bool) {
		for deadline := time.Now().Add(10 * time.Second); !done(); runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatal("no ", what)
			}
		}
	}
	for i := range all {
		p.Write(all[i])
		if i == 0 {
			server.StreamChanged(key)
			until("packager", func() bool { return p.Stream().Stats().Readers > 0 })
		}
	}
	p.Close()
	until("end", server.hls.packager(key).ended)
	return web.URL + "/live/alice.m3u8"
}

func TestHLSReadByFFmpeg(t *testing.T) {
	for _, c := range []struct {
		clip         string
		want         string
		video, audio int
	}{
		{"h264-aac.flv", "h264,640x360,48000", 480, 750},
		{"h264-bframes-aac.flv", "h264,640x360,48000", 480, 750},
		{"h265-aac.mp4", "hevc,640x360,48000", 480, 750},
		{"video-only.flv", "h264,640x360,", 480, 0},
	} {
		t.Run(c.clip, func(t *testing.T) {
			all := clip(t, c.clip, 2)
			video, audio := count(all)
			if video != c.video || audio < c.audio-3 {
				t.Fatalf("the clip has %d and %d frames", video, audio)
			}
			url := serve(t, all)
			command(t, "ffmpeg", "-v", "error", "-xerror", "-i", url, "-f", "null", "-")
			got := string(command(t, "ffprobe", "-v", "error", "-count_packets", "-show_entries",
				"stream=codec_name,width,height,sample_rate,nb_read_packets", "-of", "compact=p=0", url))
			codec, rest, _ := strings.Cut(c.want, ",")
			size, rate, _ := strings.Cut(rest, ",")
			width, height, _ := strings.Cut(size, "x")
			for _, want := range []string{"codec_name=" + codec + "|width=" + width + "|height=" + height, fmt.Sprintf("nb_read_packets=%d", video), "sample_rate=" + rate} {
				if rate == "" && want == "sample_rate=" {
					continue
				}
				if !strings.Contains(got, want) {
					t.Errorf("no %s in\n%s", want, got)
				}
			}
			if audio > 0 && !strings.Contains(got, fmt.Sprintf("nb_read_packets=%d", audio)) {
				t.Errorf("not all of %d sound frames in\n%s", audio, got)
			}
		})
	}
}

// count counts from the first picture on: there HLS begins.
func count(all []media.Frame) (video, audio int) {
	for i := range all {
		if video == 0 && all[i].Track.Kind() == media.KindAudio {
			continue
		}
		if all[i].Track.Kind() == media.KindVideo {
			video++
		} else {
			audio++
		}
	}
	return video, audio
}

func TestHLSPlayedByGohlslib(t *testing.T) {
	url := serve(t, clip(t, "h265-aac.mp4", 2))
	var transport http.Transport
	defer transport.CloseIdleConnections()
	video, audio := make(chan int64, 1000), make(chan int64, 1000)
	c := &gohlslib.Client{URI: url, HTTPClient: &http.Client{Transport: &transport}}
	quiet := func(string) {}
	c.OnDownloadPrimaryPlaylist, c.OnDownloadStreamPlaylist, c.OnDownloadSegment, c.OnDownloadPart = quiet, quiet, quiet, quiet
	c.OnDecodeError = func(err error) { t.Errorf("decode: %v", err) }
	c.OnTracks = func(tracks []*gohlslib.Track) error {
		for _, tr := range tracks {
			switch tr.Codec.(type) {
			case *codecs.H265:
				c.OnDataH26x(tr, func(pts, _ int64, _ [][]byte) { video <- pts })
			case *codecs.MPEG4Audio:
				c.OnDataMPEG4Audio(tr, func(pts int64, _ [][]byte) { audio <- pts })
			}
		}
		if len(tracks) != 2 {
			t.Errorf("%d tracks", len(tracks))
		}
		return nil
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ended := make(chan error, 1)
	go func() { ended <- c.Wait2() }()
	for v, a := 0, 0; v < 30 || a < 30; {
		select {
		case err := <-ended:
			t.Fatalf("the player ends after %d pictures and %d sound frames: %v", v, a, err)
		case <-video:
			v++
		case <-audio:
			a++
		case <-time.After(10 * time.Second):
			t.Fatalf("%d pictures and %d sound frames in 10 s", v, a)
		}
	}
}
