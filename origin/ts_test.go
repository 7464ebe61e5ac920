package origin

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/mpegts"
)

func TestTSFramings(t *testing.T) {
	read := map[string]func(*testing.T, *site) []byte{
		"HTTP/1.1": func(t *testing.T, s *site) []byte {
			r, body := s.open(t, "/live/x.ts")
			h := r.Header
			if len(r.TransferEncoding) != 1 || r.TransferEncoding[0] != "chunked" || h.Get("Content-Type") != "video/mp2t" ||
				h.Get("Cache-Control") != "no-store" || h.Get("X-Accel-Buffering") != "no" || h.Get("Access-Control-Allow-Origin") != "*" {
				t.Error(r.TransferEncoding, h)
			}
			return all(t, s, body)
		},
		"HTTP/1.0": func(t *testing.T, s *site) []byte {
			c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			fmt.Fprintf(c, "GET /live/x.ts HTTP/1.0\r\n\r\n")
			r, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || len(r.TransferEncoding) > 0 {
				t.Fatal(err, r)
			}
			return all(t, s, r.Body)
		},
	}
	var want []byte
	for _, name := range []string{"HTTP/1.1", "HTTP/1.0"} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.write(&mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2), GOP: 1000, FrameBytes: 70000}, 30)
			got := read[name](t, s)
			if want == nil {
				want = got
				if video, audio := countTS(t, got); video+audio != 30 {
					t.Errorf("%d and %d frames", video, audio)
				}
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%d bytes, others got %d", len(got), len(want))
			}
			waitUntil(t, func() bool { st := s.Stats(); return st.TSViewers == 0 && st.TSBytes > uint64(len(got)) })
		})
	}
}

// countTS demuxes a transport stream, in which nothing may be wrong.
func countTS(t *testing.T, b []byte) (video, audio int) {
	t.Helper()
	d := mpegts.NewDemuxer()
	if err := d.Write(b); err != nil {
		t.Fatal(err)
	}
	d.Flush()
	if st := d.Stats(); st != (mpegts.Stats{Packets: uint64(len(b) / 188)}) {
		t.Errorf("%+v", st)
	}
	for f, ok := d.Next(); ok; f, ok = d.Next() {
		if f.Track.Kind() == media.KindVideo {
			video++
		} else {
			audio++
		}
	}
	return video, audio
}

func TestTSAnswersWithoutBody(t *testing.T) {
	s := newSite(t)
	s.write(&mediatest.Source{Video: mediatest.H264Track(1)}, 1)
	for method, want := range map[string]int{http.MethodHead: 200, http.MethodOptions: 204, http.MethodPost: 405} {
		req, err := http.NewRequestWithContext(t.Context(), method, s.url+"/live/x.ts", nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != want || method == http.MethodHead && r.Header.Get("Content-Type") != "video/mp2t" {
			t.Error(method, r.Status, r.Header)
		}
	}
	waitUntil(t, func() bool { return s.pub.Stream().Stats().Readers == 0 })
	if s.Stats().TSViewers != 0 {
		t.Error("a request without an answer's body is a viewer")
	}
}

func TestTSOfWhatItCannotCarry(t *testing.T) {
	s := newSite(t)
	for _, f := range mediatest.Clip(t, "av1", 1)[:3] {
		s.pub.Write(f)
	}
	r, err := http.Get(s.url + "/live/x.ts")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusNotAcceptable || !strings.Contains(string(b), "AV1") {
		t.Error(err, r.Status, string(b))
	}
}

// TestTSEndsWhereTheTracksChange to what it cannot carry: what came before is
// whole.
func TestTSEndsWhereTheTracksChange(t *testing.T) {
	s := newSite(t)
	s.write(&mediatest.Source{Video: mediatest.H264Track(1)}, 10)
	_, body := s.open(t, "/live/x.ts")
	waitViewer(t, s)
	for _, f := range mediatest.Clip(t, "av1", 1)[:3] {
		f.DTS, f.PTS = f.DTS+time.Second, f.PTS+time.Second
		s.pub.Write(f)
	}
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	if video, _ := countTS(t, b); video != 10 {
		t.Errorf("%d pictures", video)
	}
}

func TestStuckTSViewerIsDisconnected(t *testing.T) {
	s := newSite(t, func(c *Config) { c.WriteTimeout = time.Second })
	source := &mediatest.Source{Video: mediatest.H264Track(1), GOP: 10, FrameBytes: 1 << 20}
	s.write(source, 1)
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /live/x.ts HTTP/1.1\r\nHost: x\r\n\r\n")
	waitViewer(t, s)
	s.write(source, 60) // more than the sockets hold
	waitUntil(t, func() bool { return s.Stats().Slow == 1 && s.Stats().TSViewers == 0 })
}

// TestTSPlayedByFFmpeg has ffmpeg pull a stream that goes on for five seconds,
// and complain of nothing.
func TestTSPlayedByFFmpeg(t *testing.T) {
	for _, name := range []string{"h264-bframes-aac.flv", "h265-aac.mp4"} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			frames := clip(t, name, 1)
			from := slices.IndexFunc(frames, func(f media.Frame) bool { return f.RandomAccess && f.Track.Kind() == media.KindVideo })
			frames = frames[from:]
			s.pub.Write(frames[0])
			ctx, cancel := context.WithCancel(t.Context())
			written := make(chan struct{})
			go func() {
				defer close(written)
				s.writeInTime(ctx, frames[1:])
			}()
			defer func() {
				cancel()
				<-written
			}()
			cmd := exec.CommandContext(t.Context(), "ffmpeg", "-v", "warning", "-xerror", "-t", "5", "-i", s.url+"/live/x.ts", "-f", "framecrc", "-")
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil || stderr.Len() > 0 {
				t.Fatalf("ffmpeg: %v\n%s", err, &stderr)
			}
			if video, audio := bytes.Count(out, []byte("\n0,")), bytes.Count(out, []byte("\n1,")); video < 145 || audio < 220 {
				t.Errorf("%d pictures and %d frames of sound", video, audio)
			}
		})
	}
}

// writeInTime writes frames at the pace of their DTS, and ends the stream.
func (s *site) writeInTime(ctx context.Context, frames []media.Frame) {
	began := time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := range frames {
		for time.Since(began) < frames[i].DTS-frames[0].DTS {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
		f := frames[i]
		f.Arrival = time.Now()
		s.pub.Write(f)
	}
	s.pub.Close()
}
