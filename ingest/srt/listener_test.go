package srt

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/mpegts"
)

// gosrt's Dial, which only the tests call, may leave a goroutine behind when it
// is refused: it has an answer that nobody takes any more.
//
// The long tests wait for SRT's latencies, not for the processor: more of them
// may run at once than there are cores.
func TestMain(m *testing.M) {
	flag.Parse()
	flag.Set("test.parallel", "8")
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/datarhei/gosrt.Dial.func1"))
}

// listen opens a listener on a free port of the loopback address.
func listen(t *testing.T) *Listener {
	t.Helper()
	return listenWith(t, func(*Config) {})
}

func listenWith(t *testing.T, change func(*Config)) *Listener {
	t.Helper()
	c := DefaultConfig()
	c.Listen = "127.0.0.1:0"
	change(&c)
	l, err := Listen(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// srtURL is what ffmpeg and srt-live-transmit call a listener or relay by.
func srtURL(l interface{ Addr() net.Addr }, streamID string) string {
	u := "srt://" + l.Addr().String() + "?pkt_size=1316"
	if streamID != "" {
		u += "&streamid=" + url.QueryEscape(streamID)
	}
	return u
}

// client starts a program that is ended with the test. The returned function
// waits for it and gives its output.
func client(t *testing.T, name string, args ...string) (output func() string) {
	t.Helper()
	var out bytes.Buffer
	wait := start(t, nil, &out, name, args...)
	return func() string {
		wait()
		return out.String()
	}
}

// start is client with standard input and, unless it is client's buffer for
// all, standard output.
func start(t *testing.T, in *os.File, out io.Writer, name string, args ...string) (wait func()) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not installed: make tools", name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdout = out
	if in != nil {
		cmd.Stdin = in
	}
	if b, ok := out.(*bytes.Buffer); ok {
		cmd.Stderr = b
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		cmd.Wait()
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return func() { <-done }
}

// accept takes the next caller through its handshake.
func accept(t *testing.T, l *Listener) (ingest.Conn, auth.Request, error) {
	t.Helper()
	patience := time.AfterFunc(20*time.Second, func() { l.Close() })
	defer patience.Stop()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	r, err := c.Handshake(context.Background())
	return c, r, err
}

// readAll reads frames up to the end.
func readAll(c ingest.Conn) (frames []media.Frame, err error) {
	for {
		f, err := c.ReadFrame()
		if err != nil {
			return frames, err
		}
		frames = append(frames, f)
	}
}

// muxed makes a transport stream of so many seconds of a clip and returns its
// frames.
func muxed(t *testing.T, clip, seconds string) (file string, frames []media.Frame) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "clip.ts")
	loops := "9"
	if seconds == "8" { // what the clips last
		loops = "0"
	}
	if out := client(t, "ffmpeg", "-v", "error", "-stream_loop", loops, "-i", "../../testdata/"+clip, "-t", seconds, "-c", "copy", "-f", "mpegts", file)(); out != "" {
		t.Fatal(out)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d := mpegts.NewDemuxer()
	if err := d.Write(b); err != nil {
		t.Fatal(err)
	}
	d.Flush()
	for f, ok := d.Next(); ok; f, ok = d.Next() {
		frames = append(frames, f)
	}
	return file, frames
}

var clips = []struct {
	name   string
	tracks string
	frames int
}{
	{"h264-aac.flv", "1 avc1.64001e, 2 mp4a.40.2", 615},
	{"h264-bframes-aac.flv", "1 avc1.64001e, 2 mp4a.40.2", 615},
	{"h265-aac.mp4", "1 hvc1.1.6.L63.90, 2 mp4a.40.2", 615},
	{"video-only.flv", "1 avc1.64001e", 240},
	{"audio-only.m4a", "2 mp4a.40.2", 344},
}

// TestClipsComeThroughWhole pushes every clip with ffmpeg and srt-live-transmit
// and compares what arrives with the file.
func TestClipsComeThroughWhole(t *testing.T) {
	for _, c := range clips {
		for _, program := range []string{"ffmpeg", "srt-live-transmit"} {
			if program != "ffmpeg" && !strings.HasPrefix(c.name, "h26") {
				continue
			}
			t.Run(program+" "+c.name, func(t *testing.T) {
				t.Parallel()
				file, want := muxed(t, c.name, "8")
				if len(want) != c.frames && len(want) != c.frames+1 {
					t.Fatalf("%d frames in the file, want %d", len(want), c.frames)
				}
				l := listen(t)
				if program == "ffmpeg" {
					client(t, "ffmpeg", "-v", "error", "-readrate", "4", "-i", "../../testdata/"+c.name, "-t", "8", "-c", "copy", "-f", "mpegts", srtURL(l, "#!::r=live/alice,m=publish"))
				} else {
					transmit(t, file, "4", "3", srtURL(l, "publish:live/alice"))
				}
				checkClip(t, l, c.tracks, want)
			})
		}
	}
}

// transmit sends a file through srt-live-transmit, which ffmpeg feeds so many
// times as fast as it plays. It lives so many seconds.
func transmit(t *testing.T, file, rate, life, url string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	start(t, r, nil, "srt-live-transmit", "-q", "-t", life, "file://con", url)
	start(t, nil, w, "ffmpeg", "-v", "error", "-readrate", rate, "-i", file, "-c", "copy", "-f", "mpegts", "-muxdelay", "0.7", "-")
}

func checkClip(t *testing.T, l *Listener, tracks string, want []media.Frame) {
	t.Helper()
	c, r, err := accept(t, l)
	if err != nil || r.Action != auth.Publish || r.Key.String() != "live/alice" || r.Protocol != "srt" {
		t.Fatal(r, err)
	}
	if err := c.Admit(); err != nil {
		t.Fatal(err)
	}
	got, err := readAll(c)
	if err != io.EOF {
		t.Errorf("the end is %v, want io.EOF", err)
	}
	known, complete := c.Tracks()
	var names []string
	for _, tr := range known {
		names = append(names, fmt.Sprint(tr.ID, " ", tr.CodecString()))
	}
	if s := strings.Join(names, ", "); s != tracks || !complete {
		t.Errorf("tracks %s, complete %v, want %s", s, complete, tracks)
	}
	checkFrames(t, got, want)
}

// checkFrames compares the frames of each track one by one. ffmpeg's last
// packets may be missing, which hold the end of a picture or some sound.
func checkFrames(t *testing.T, got, want []media.Frame) {
	t.Helper()
	if len(got) < len(want)-40 || len(got) > len(want) {
		t.Errorf("%d frames, want %d; the last at %v, %v", len(got), len(want), got[len(got)-1].DTS, want[len(want)-1].DTS)
	}
	for id := 1; id <= 2; id++ {
		g, w := ofTrack(got, id), ofTrack(want, id)
		if len(g) > len(w) {
			t.Fatalf("%d frames of track %d, want %d", len(g), id, len(w))
		}
		for i, f := range g {
			w := w[i]
			if !bytes.Equal(f.Data, w.Data) || f.DTS != w.DTS || f.PTS != w.PTS || f.RandomAccess != w.RandomAccess ||
				!bytes.Equal(f.Track.Config, w.Track.Config) || f.Arrival.IsZero() {
				t.Fatalf("frame %d of track %d: %d bytes at %v, want %d at %v", i, id, len(f.Data), f.DTS, len(w.Data), w.DTS)
			}
			if i > 0 && f.DTS <= g[i-1].DTS {
				t.Fatalf("frame %d of track %d: DTS %v after %v", i, id, f.DTS, g[i-1].DTS)
			}
		}
	}
}

func ofTrack(frames []media.Frame, id int) (of []media.Frame) {
	for _, f := range frames {
		if f.Track.ID == id {
			of = append(of, f)
		}
	}
	return of
}
