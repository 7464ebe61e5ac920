package origin

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/hls/hlstest"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// hall is a server on a real socket with a stream of pictures, each of 10 kB.
type hall struct {
	server *Server
	addr   string
	pub    *stream.Publisher
	source *mediatest.Source
	next   media.Frame
	close  func() // ends everything and waits; tests need not call it

	front       *front
	open, ended atomic.Int64 // connections of net/http
}

func newHall(tb testing.TB, change ...func(*Config)) *hall {
	tb.Helper()
	c := DefaultConfig()
	for _, f := range change {
		f(&c)
	}
	hub := stream.NewHub(stream.DefaultConfig(), nil)
	s := NewServer(c, hub, auth.Open{}, http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	h := &hall{}
	ctx, cancel := context.WithCancel(context.Background())
	hs := &http.Server{Handler: s, BaseContext: func(net.Listener) context.Context { return ctx }, ConnContext: ConnContext}
	hs.Protocols = new(http.Protocols)
	hs.Protocols.SetHTTP1(true)
	hs.Protocols.SetUnencryptedHTTP2(true)
	hs.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			h.open.Add(1)
		case http.StateClosed:
			h.open.Add(-1)
			h.ended.Add(1)
		}
	}
	done := make(chan struct{}, 2)
	h.front = s.Front(ctx, l, s).(*front)
	go func() { hs.Serve(h.front); done <- struct{}{} }()
	go func() { s.Run(ctx); done <- struct{}{} }()
	key, err := streamkey.Join("live", "x")
	if err != nil {
		tb.Fatal(err)
	}
	h.server, h.addr, h.source = s, l.Addr().String(), &mediatest.Source{Video: mediatest.H264Track(1)}
	if h.pub, err = hub.Publish(key, stream.Source{}); err != nil {
		tb.Fatal(err)
	}
	h.close = sync.OnceFunc(func() {
		h.pub.Close()
		cancel()
		hs.Close()
		<-done
		<-done
		s.WaitViewers()
	})
	tb.Cleanup(h.close)
	return h
}

// play publishes a frame more than it has to, which closes the part before.
func (h *hall) play(until time.Duration) {
	for {
		if h.next.Track == nil {
			h.next = h.source.Next()
			h.next.Data = append(bytes.Clone(h.next.Data), make([]byte, 10<<10)...)
		}
		if h.next.DTS > until {
			return
		}
		h.pub.Write(h.next)
		h.next = media.Frame{}
	}
}

// start publishes ten seconds and returns the playlist of them.
func (h *hall) start(tb testing.TB) *hlstest.Playlist {
	tb.Helper()
	h.play(10 * time.Millisecond)
	asked := make(chan error, 1)
	go func() { // starts the packager
		r, err := http.Get("http://" + h.addr + "/live/x.m3u8")
		if err == nil {
			r.Body.Close()
		}
		asked <- err
	}()
	// Whoever reads from a stream begins at its newest random access point.
	h.until(tb, func() bool { return h.server.HLSStats().Packagers > 0 })
	for at := time.Second; h.server.HLSStats().Segments < 5; at += 200 * time.Millisecond {
		h.play(at)
		h.settle()
	}
	if err := <-asked; err != nil {
		tb.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	return h.playlist(tb)
}

// until waits for a condition.
func (h *hall) until(tb testing.TB, ok func() bool) {
	tb.Helper()
	for begun := time.Now(); !ok(); runtime.Gosched() {
		if time.Since(begun) > 20*time.Second {
			tb.Fatalf("it does not come: %+v", h.server.HLSStats())
		}
	}
}

// settle gives the packager a moment to take what is published.
func (h *hall) settle() {
	for begun := time.Now(); time.Since(begun) < time.Millisecond; runtime.Gosched() {
	}
}

func (h *hall) playlist(tb testing.TB) *hlstest.Playlist {
	tb.Helper()
	c := h.dial(tb)
	defer c.Close()
	size := c.get(tb, "/live/x/video.m3u8")
	l, err := hlstest.Parse(c.body[:size])
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// fetched is an answer with its body.
type fetched struct {
	*http.Response
	body []byte
}

// fetch makes a request, "GET /path", with headers one a line, on a connection
// of its own.
func (h *hall) fetch(tb testing.TB, request, header string) fetched {
	tb.Helper()
	c := h.dial(tb)
	defer c.Close()
	if header != "" {
		header = strings.ReplaceAll(header, "\n", "\r\n") + "\r\n"
	}
	fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: x\r\n%s\r\n", request, header)
	method, _, _ := strings.Cut(request, " ")
	return read(tb, c, method)
}

// read reads the answer to a request of a method.
func read(tb testing.TB, c *player, method string) fetched {
	tb.Helper()
	a, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		tb.Fatal(err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return fetched{a, b}
}

// player is a client that allocates nothing.
type player struct {
	net.Conn
	in   *bufio.Reader
	out  []byte
	body []byte
}

func (h *hall) dial(tb testing.TB) *player {
	tb.Helper()
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		tb.Fatal(err)
	}
	return &player{Conn: c, in: bufio.NewReader(c), body: make([]byte, 4<<20)}
}

func (p *player) ask(tb testing.TB, path string) {
	p.out = append(append(append(p.out[:0], "GET "...), path...), " HTTP/1.1\r\nHost: x\r\nAccept-Encoding: identity\r\n\r\n"...)
	if _, err := p.Write(p.out); err != nil {
		tb.Fatal(err)
	}
}

// answer reads an answer, which must be 200, and returns the body's size.
func (p *player) answer(tb testing.TB) int {
	size := 0
	for first := true; ; first = false {
		line, err := p.in.ReadSlice('\n')
		if err != nil || first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
			tb.Fatalf("%q %v", line, err)
		}
		if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			for _, c := range bytes.TrimSpace(v) {
				size = 10*size + int(c-'0')
			}
		}
		if len(line) == 2 {
			break
		}
	}
	if _, err := io.ReadFull(p.in, p.body[:size]); err != nil {
		tb.Fatal(err)
	}
	return size
}

func (p *player) get(tb testing.TB, path string) int {
	p.ask(tb, path)
	return p.answer(tb)
}

// BenchmarkHLSAnswer is what is there already; it counts the client too, which
// allocates nothing.
func BenchmarkHLSAnswer(b *testing.B) {
	h := newHall(b)
	l := h.start(b)
	segment := l.Segments[len(l.Segments)-2]
	for _, c := range []struct{ name, path string }{
		{"playlist", "/live/x/video.m3u8"},
		{"delta", "/live/x/video.m3u8?_HLS_skip=YES"},
		{"reload", fmt.Sprintf("/live/x/video.m3u8?_HLS_msn=%d&_HLS_part=0", segment.Number)},
		{"part", "/live/x/" + segment.Parts[0].URI},
		{"segment", "/live/x/" + segment.URI},
		{"init", "/live/x/" + segment.Map},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := h.dial(b)
			defer p.Close()
			size := p.get(b, c.path)
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				p.get(b, c.path)
			}
		})
	}
}

// BenchmarkHLSBlockedReload is a player that waits for a part and gets its
// playlist, one of a hundred.
func BenchmarkHLSBlockedReload(b *testing.B) {
	const players = 100
	h := newHall(b)
	l := h.start(b)
	var all [players]*player
	for i := range all {
		all[i] = h.dial(b)
		defer all[i].Close()
	}
	msn, part := l.Segments[len(l.Segments)-1].Number, 0
	at := h.next.DTS
	packager := h.server.hls.packager(h.pub.Stream().Key())
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += players {
		for r := packager.state.Load().rendition("video"); r.Has(msn, part); part++ {
			if r.Has(msn, -1) {
				msn, part = msn+1, -1
			}
		}
		path := "/live/x/video.m3u8?_HLS_msn=" + strconv.FormatInt(msn, 10) + "&_HLS_part=" + strconv.Itoa(part)
		for _, p := range all {
			p.ask(b, path)
		}
		h.until(b, func() bool { return h.server.hls.waiting.Load() == players })
		h.until(b, func() bool {
			at += 10 * time.Millisecond
			h.play(at)
			h.settle()
			return h.server.hls.waiting.Load() == 0
		})
		for _, p := range all {
			p.answer(b)
		}
	}
}
