package rtmp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/codecs"

	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/flv"
	"github.com/miju-live/miju/stream"
)

// push lets ffmpeg publish a clip in its own time.
func (h *house) push(t *testing.T, clip, name string, args ...string) {
	t.Helper()
	args = append([]string{"-hide_banner", "-loglevel", "error", "-re", "-i", clips + clip, "-c", "copy", "-f", "flv"}, args...)
	p := exec.Command("ffmpeg", append(args, h.url(name))...)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Process.Kill(); p.Wait() })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := h.hub.Await(ctx, key(t, "live/"+name)); err != nil {
		t.Fatal(err)
	}
}

func (h *house) url(name string) string {
	return fmt.Sprintf("%s://%s/live/%s", h.scheme, h.addr, name)
}

// pull has ffmpeg decode live/x to its end: all 240 pictures of the clip, or a
// GOP of 60 less for each that passed before it came.
func (h *house) pull(t *testing.T) {
	t.Helper()
	said, err := run(t, "ffmpeg", "-hide_banner", "-xerror", "-i", h.url("x"), "-f", "null", "-")
	counts := regexp.MustCompile(`frame= *(\d+) `).FindAllStringSubmatch(said, -1)
	if err != nil || len(counts) == 0 {
		t.Fatalf("ffmpeg: %v: %s", err, said)
	}
	if n, err := strconv.Atoi(counts[len(counts)-1][1]); err != nil || n == 0 || n > 240 || n%60 != 0 {
		t.Errorf("%d pictures: %s", n, said)
	}
}

// What an ffmpeg pushes comes to one that pulls, which ends well when the first
// one does.
func TestFfmpegPlays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, clip string
		args       []string
	}{
		{"H.264 and AAC", "h264-aac.flv", nil},
		{"B-frames", "h264-bframes-aac.flv", nil},
		{"video only", "video-only.flv", nil},
		{"over the limit of 24 bits", "h264-aac.flv", []string{"-output_ts_offset", "16775"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.push(t, c.clip, "x", c.args...)
			h.pull(t)
		})
	}
}

// ffmpeg speaks RTMPS with both sides of the server.
func TestFfmpegOverTLS(t *testing.T) {
	t.Parallel()
	h, _ := newSecureHouse(t)
	h.push(t, "h264-aac.flv", "x")
	h.pull(t)
}

func TestFfmpegIsToldThatNothingIsLive(t *testing.T) {
	h := newHouse(t)
	said, err := run(t, "ffmpeg", "-hide_banner", "-loglevel", "error", "-i", h.url("nobody"), "-f", "null", "-")
	if err == nil || !strings.Contains(said, stream.ErrOffline.Error()) {
		t.Errorf("%v: %s", err, said)
	}
}

func TestGStreamerPlays(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.push(t, "h264-aac.flv", "x")
	file := filepath.Join(t.TempDir(), "x.flv")
	if said, err := run(t, "gst-launch-1.0", "-q", "rtmp2src", "location="+h.url("x"), "!", "filesink", "location="+file); err != nil {
		t.Fatalf("gst-launch-1.0: %v: %s", err, said)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pictures, sounds := 0, 0
	for r := flv.NewReader(bytes.NewReader(b)); ; {
		typ, _, _, err := r.ReadTag()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch typ {
		case flv.TypeVideo:
			pictures++
		case flv.TypeAudio:
			sounds++
		}
	}
	// Sound from before the first picture is left out.
	// Whole GOPs may have passed before it came.
	if pictures%60 != 1 || pictures > 241 || sounds < pictures || sounds > 376 {
		t.Errorf("%d pictures and %d of sound with their sequence headers, want 241 and some 376", pictures, sounds)
	}
}

// gortmplib is a player of Enhanced RTMP written elsewhere.
func TestGortmplibPlaysH265(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	pub := h.publish(t, "live/x")
	source := &mediatest.Source{Video: mediatest.H265Track(1), Audio: mediatest.AACTrack(2)}
	live(t, pub, source)
	u, err := url.Parse(h.url("x"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := &gortmplib.Client{URL: u}
	if err := c.Initialize(ctx); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.NetConn().SetDeadline(time.Now().Add(patience))
	r := &gortmplib.Reader{Conn: c}
	if err := r.Initialize(); err != nil {
		t.Fatal(err)
	}
	pictures, sounds := 0, 0
	for _, track := range r.Tracks() {
		switch codec := track.Codec.(type) {
		case *codecs.H265:
			if !bytes.Equal(codec.SPS, mediatest.SPS265) {
				t.Errorf("SPS % x", codec.SPS)
			}
			r.OnDataH265(track, func(_, _ time.Duration, au [][]byte) { pictures++ })
		case *codecs.MPEG4Audio:
			r.OnDataMPEG4Audio(track, func(time.Duration, []byte) { sounds++ })
		default:
			t.Errorf("a track of %T", codec)
		}
	}
	for pictures < 60 || sounds < 60 {
		if err := r.Read(); err != nil {
			t.Fatalf("after %d pictures and %d of sound: %v", pictures, sounds, err)
		}
	}
}
