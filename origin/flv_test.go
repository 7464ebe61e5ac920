package origin

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lxzan/gws"
	"go.uber.org/goleak"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/flv"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// site is an origin on a real socket with a stream that a test writes.
type site struct {
	*Server
	url  string
	pub  *stream.Publisher
	stop func() // ends everything and waits; tests need not call it
}

func newSite(t *testing.T, change ...func(*Config)) *site {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	c := DefaultConfig()
	for _, f := range change {
		f(&c)
	}
	hub := stream.NewHub(stream.DefaultConfig(), nil)
	s := NewServer(c, hub, auth.Open{}, http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	h := httptest.NewUnstartedServer(s)
	h.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	h.Start()
	key, err := streamkey.Join("live", "x")
	if err != nil {
		t.Fatal(err)
	}
	pub, err := hub.Publish(key, stream.Source{})
	if err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		pub.Close()
		cancel()
		h.Close()
		s.WaitViewers()
		http.DefaultClient.CloseIdleConnections()
	})
	t.Cleanup(func() {
		stop()
		goleak.VerifyNone(t, ignore)
	})
	return &site{s, h.URL, pub, stop}
}

func (s *site) write(source *mediatest.Source, frames int) {
	for range frames {
		s.pub.Write(source.Next())
	}
}

// open gets a URL of the live stream and returns the answer's tags.
func (s *site) open(t *testing.T, path string) (*http.Response, *bufio.Reader) {
	t.Helper()
	r, err := http.Get(s.url + path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Body.Close() })
	if r.StatusCode != http.StatusOK {
		t.Fatal(r.Status)
	}
	return r, bufio.NewReader(r.Body)
}

// tags returns the types and first body bytes of the tags until the n-th.
func tags(t *testing.T, r *flv.Reader, n int) []string {
	t.Helper()
	var all []string
	for range n {
		typ, _, body, err := r.ReadTag()
		if err != nil {
			t.Fatalf("after %q: %v", all, err)
		}
		all = append(all, fmt.Sprintf("%d:% x", typ, body[:min(2, len(body))]))
	}
	return all
}

func TestFLVBeginsWithHeadersAndARandomAccessPoint(t *testing.T) {
	for _, c := range []struct {
		name   string
		source *mediatest.Source
		query  string
		flags  byte
		want   string
	}{
		{"H.264 and AAC", &mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2), GOP: 10}, "", 5, "[18:02 00 9:17 00 8:af 00 18:02 00 9:17 01 8:af 01]"},
		{"video only", &mediatest.Source{Video: mediatest.H264Track(1), GOP: 10}, "", 1, "[18:02 00 9:17 00 18:02 00 9:17 01 9:27 01]"},
		{"audio only", &mediatest.Source{Audio: mediatest.AACTrack(2)}, "", 4, "[18:02 00 8:af 00 18:02 00 8:af 01]"},
		{"H.265", &mediatest.Source{Video: mediatest.H265Track(1), GOP: 10}, "", 1, "[18:02 00 9:90 68 18:02 00 9:93 68 9:a3 68]"},
		{"H.265 for old players", &mediatest.Source{Video: mediatest.H265Track(1), GOP: 10}, "?hevc=legacy", 1, "[18:02 00 9:1c 00 18:02 00 9:1c 01 9:2c 01]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			s.write(c.source, 55)
			_, body := s.open(t, "/live/x.flv"+c.query)
			head, err := body.Peek(13)
			if err != nil || head[4] != c.flags {
				t.Fatalf("header % x, %v", head, err)
			}
			if got := fmt.Sprint(tags(t, flv.NewReader(body), strings.Count(c.want, ":"))); got != c.want {
				t.Errorf("tags %s, want %s", got, c.want)
			}
		})
	}
}

func TestFLVFramings(t *testing.T) {
	video := func() *mediatest.Source {
		return &mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2), GOP: 1000, FrameBytes: 70000}
	}
	read := map[string]func(*testing.T, *site) []byte{
		"HTTP/1.1": func(t *testing.T, s *site) []byte {
			r, body := s.open(t, "/live/x.flv")
			if len(r.TransferEncoding) != 1 || r.TransferEncoding[0] != "chunked" {
				t.Error(r.TransferEncoding)
			}
			return all(t, s, body)
		},
		"HTTP/1.0": func(t *testing.T, s *site) []byte {
			c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			fmt.Fprintf(c, "GET /live/x.flv HTTP/1.0\r\n\r\n")
			body := bufio.NewReader(c)
			for {
				line, err := body.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				if line == "\r\n" {
					return all(t, s, body)
				}
				if strings.Contains(strings.ToLower(line), "transfer-encoding") {
					t.Error(line)
				}
			}
		},
		"WebSocket": func(t *testing.T, s *site) []byte {
			got := &messages{}
			c, _, err := gws.NewClient(got, &gws.ClientOption{Addr: "ws" + strings.TrimPrefix(s.url, "http") + "/live/x.flv"})
			if err != nil {
				t.Fatal(err)
			}
			waitViewer(t, s)
			s.pub.Close()
			c.ReadLoop()
			if got.code != 1000 {
				t.Errorf("closed with %d", got.code)
			}
			return got.b.Bytes()
		},
	}
	var want []byte
	for _, name := range []string{"HTTP/1.1", "HTTP/1.0", "WebSocket"} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.write(video(), 30)
			got := read[name](t, s)
			if at := bytes.Index(got, []byte("broadcast\x00")); at > 0 { // each has one of its own
				clear(got[at+10 : at+18])
			}
			if want == nil {
				want = got
				r := flv.NewReader(bytes.NewReader(got))
				n := 0
				for {
					if _, _, _, err := r.ReadTag(); err != nil {
						break
					}
					n++
				}
				if n != 3+1+30 { // headers, one clock tag
					t.Errorf("%d tags", n)
				}
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%d bytes, others got %d", len(got), len(want))
			}
		})
	}
}

// all ends the stream once the viewer is there and returns what it got.
func all(t *testing.T, s *site, r io.Reader) []byte {
	t.Helper()
	waitViewer(t, s)
	s.pub.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Error(err)
	}
	return b
}

// waitViewer waits until a reader follows the stream.
func waitViewer(t *testing.T, s *site) {
	t.Helper()
	waitUntil(t, func() bool { return s.pub.Stream().Stats().Readers > 0 })
}

func waitUntil(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	for tick := time.NewTicker(5 * time.Millisecond); !done(); {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal("waited in vain")
		}
	}
}

type messages struct {
	gws.BuiltinEventHandler
	b    bytes.Buffer
	code uint16
}

func (m *messages) OnMessage(_ *gws.Conn, msg *gws.Message) {
	m.b.Write(msg.Bytes())
	msg.Close()
}

func (m *messages) OnClose(_ *gws.Conn, err error) {
	var e *gws.CloseError
	if errors.As(err, &e) {
		m.code = e.Code
	}
}

// TestWebSocketFrameOfNegativeLength: the highest bit of a length must be
// zero (RFC 6455, 5.2). Who sets it is let go, and nothing is left of it.
func TestWebSocketFrameOfNegativeLength(t *testing.T) {
	s := newSite(t)
	s.write(&mediatest.Source{Video: mediatest.H264Track(1)}, 1)
	c, _, err := gws.NewClient(&messages{}, &gws.ClientOption{Addr: "ws" + strings.TrimPrefix(s.url, "http") + "/live/x.flv"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.NetConn().Close()
	waitViewer(t, s)
	if _, err := c.NetConn().Write([]byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, func() bool {
		return s.Stats().WebSocketFLVViewers == 0 && s.Stats().Failures[http.StatusBadRequest] == 1
	})
}

func TestSequenceHeaderComesAgainOnlyWhenItChanged(t *testing.T) {
	s := newSite(t)
	first := &mediatest.Source{Video: mediatest.H264Track(1), GOP: 5}
	f := first.Next()
	s.pub.Write(f)
	_, body := s.open(t, "/live/x.flv")
	r := flv.NewReader(body)
	tags(t, r, 4)
	for i, record := range [][]byte{bytes.Clone(f.Track.Config), append(bytes.Clone(f.Track.Config), 0)} {
		again := *f.Track
		again.Config = record
		g := first.Next()
		g.Track, g.Set = &again, &media.TrackSet{Tracks: []*media.Track{&again}}
		s.pub.Write(g)
		want := []string{"[9:27 01]", "[9:17 00 9:27 01]"}[i]
		if got := fmt.Sprint(tags(t, r, strings.Count(want, ":"))); got != want {
			t.Errorf("tags %s, want %s", got, want)
		}
	}
}

// TestPromisedPicturesReachWhoWaits: a viewer of sound is told of the pictures
// that the encoder has announced, and gets them from where they can be decoded.
func TestPromisedPicturesReachWhoWaits(t *testing.T) {
	s := newSite(t)
	sound := &mediatest.Source{Audio: mediatest.AACTrack(2)}
	f := sound.Next()
	f.Set = &media.TrackSet{Tracks: f.Set.Tracks, Promised: []*media.Track{{ID: 1, Codec: media.H264}}}
	s.pub.Write(f)
	_, body := s.open(t, "/live/x.flv")
	if head, err := body.Peek(5); err != nil || head[4] != 5 {
		t.Fatalf("the header is % x (%v), want sound and pictures", head, err)
	}
	r := flv.NewReader(body)
	if got, want := fmt.Sprint(tags(t, r, 4)), "[18:02 00 8:af 00 18:02 00 8:af 01]"; got != want {
		t.Errorf("tags %s, want %s", got, want)
	}
	both := &mediatest.Source{Video: mediatest.H264Track(1), GOP: 3}
	both.Next()
	s.write(both, 3) // two that nothing comes before, one random access point
	if got, want := fmt.Sprint(tags(t, r, 2)), "[9:17 00 9:17 01]"; got != want {
		t.Errorf("tags %s, want %s", got, want)
	}
}

func TestStuckViewerIsDisconnected(t *testing.T) {
	s := newSite(t, func(c *Config) { c.WriteTimeout = time.Second })
	source := &mediatest.Source{Video: mediatest.H264Track(1), GOP: 10, FrameBytes: 1 << 20}
	s.write(source, 1)
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /live/x.flv HTTP/1.1\r\nHost: x\r\n\r\n")
	waitViewer(t, s)
	s.write(source, 60) // more than the sockets hold
	waitUntil(t, func() bool { return s.Stats().Slow == 1 && s.Stats().FLVViewers == 0 })
}

func TestStuckViewersDoNotHoldUpTheEnd(t *testing.T) {
	s := newSite(t, func(c *Config) { c.WriteTimeout = 5 * time.Minute })
	source := &mediatest.Source{Video: mediatest.H264Track(1), GOP: 10, FrameBytes: 1 << 20}
	s.write(source, 1)
	for range 20 {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "GET /live/x.flv HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	waitUntil(t, func() bool { return s.pub.Stream().Stats().Readers == 20 })
	s.write(source, 60) // more than the sockets hold
	begun := time.Now()
	s.stop()
	if d := time.Since(begun); d > time.Minute { // closeGrace, on a busy machine
		t.Errorf("it took %v", d)
	}
}

func TestHeadersOfHTTP(t *testing.T) {
	s := newSite(t, func(c *Config) { c.AllowOrigin = "https://a.example, https://B.example/" })
	s.write(&mediatest.Source{Video: mediatest.H264Track(1)}, 1)
	for _, c := range []struct {
		name, method, path, origin string
		status                     int
		header, want               string
	}{
		{"HEAD", "HEAD", "/live/x.flv", "", 200, "Content-Type", "video/x-flv"},
		{"HEAD of nothing", "HEAD", "/live/y.flv", "", 404, "Content-Type", "application/json"},
		{"an endless answer is no cache's", "HEAD", "/live/x.flv", "", 200, "Cache-Control", "no-store"},
		{"nor may an edge buffer it", "HEAD", "/live/x.flv", "", 200, "X-Accel-Buffering", "no"},
		{"a stream may come any moment", "GET", "/live/y.flv", "", 404, "Cache-Control", "max-age=1"},
		{"preflight", "OPTIONS", "/live/x.flv", "https://b.example", 204, "Access-Control-Allow-Methods", "GET, HEAD, OPTIONS"},
		{"allowed page", "HEAD", "/live/x.flv", "https://b.example", 200, "Access-Control-Allow-Origin", "https://b.example"},
		{"other page", "HEAD", "/live/x.flv", "https://c.example", 200, "Access-Control-Allow-Origin", ""},
		{"answers differ by page", "HEAD", "/live/x.flv", "", 200, "Vary", "Origin"},
		{"method", "DELETE", "/live/x.flv", "", 405, "Allow", "GET, HEAD, OPTIONS"},
		{"no guessing", "HEAD", "/live/x.flv", "", 200, "X-Content-Type-Options", "nosniff"},
		{"nor of errors", "HEAD", "/live/y.flv", "", 404, "X-Content-Type-Options", "nosniff"},
		{"what it is stays untold", "HEAD", "/live/x.flv", "", 200, "Server", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), c.method, s.url+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.origin != "" {
				req.Header.Set("Origin", c.origin)
			}
			r, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			r.Body.Close()
			if r.StatusCode != c.status || r.Header.Get(c.header) != c.want || r.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%d, %s: %q", r.StatusCode, c.header, r.Header.Get(c.header))
			}
		})
	}
}

// What is written in one piece to many is what is written in shared pieces to one.
func TestOnePieceIsAllPieces(t *testing.T) {
	for _, video := range []*media.Track{mediatest.H264Track(1), mediatest.H265Track(1)} {
		for fr := range framings {
			for _, p := range []flv.Packing{flv.Enhanced, flv.Legacy} {
				live := publishLive(t)
				source := &mediatest.Source{Video: video, Audio: mediatest.AACTrack(2), GOP: 10, FrameBytes: 3000}
				for range 60 {
					live.Write(source.Next())
				}
				reader := live.Stream().NewReader(stream.ReaderOptions{})
				batch, err := reader.NextBatch(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				pieces, whole := &flvMuxer{stream: live.Stream(), framing: fr, packing: p}, &flvMuxer{stream: live.Stream(), framing: fr, packing: p}
				for i, e := range batch {
					want := bytes.Join(pieces.Append(nil, e), nil)
					if got := whole.AppendBytes(nil, e); !bytes.Equal(got, want) {
						t.Errorf("%v, framing %d, packing %d: frame %d is %d bytes in one piece and %d in pieces", video.Codec, fr, p, i, len(got), len(want))
					}
				}
				if !pieces.Same(whole) || len(batch) < 2 {
					t.Errorf("%d frames, then they differ", len(batch))
				}
				reader.Close()
			}
		}
	}
}

// BenchmarkAppendTag is what a frame costs once, however many watch.
func BenchmarkAppendTag(b *testing.B) {
	source := &mediatest.Source{Video: mediatest.H264Track(1), FrameBytes: 10000}
	f := source.Next()
	b.ReportAllocs()
	for b.Loop() {
		makeTag(frameChunk, &f, flv.Enhanced)
	}
}
