package rtmp

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
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

func (h *house) url(name string) string { return fmt.Sprintf("rtmp://%s/live/%s", h.addr, name) }

// Every picture of an ffmpeg that pushes comes to one that pulls, which ends
// well when the first one does.
func TestFfmpegPlays(t *testing.T) {
	for _, c := range []struct {
		name, clip string
		args       []string
		frames     string
	}{
		{"H.264 and AAC", "h264-aac.flv", nil, "frame=  240 "},
		{"B-frames", "h264-bframes-aac.flv", nil, "frame=  240 "},
		{"video only", "video-only.flv", nil, "frame=  240 "},
		{"over the limit of 24 bits", "h264-aac.flv", []string{"-output_ts_offset", "16775"}, "frame=  240 "},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.push(t, c.clip, "x", c.args...)
			said, err := run(t, "ffmpeg", "-hide_banner", "-xerror", "-i", h.url("x"), "-f", "null", "-")
			if err != nil || !strings.Contains(said, c.frames) {
				t.Errorf("ffmpeg: %v: %s", err, said)
			}
		})
	}
}
