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
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/stream"
)

// open counts the connections that are not net/http's.
func (f *front) open() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.conns)
}

// requestHeads are heads of requests; plain says that front answers them.
var requestHeads = []struct {
	name, head string
	plain      bool
}{
	{"a playlist", "GET /live/x/video.m3u8?_HLS_msn=1&_HLS_part=2 HTTP/1.1\r\nHost: a:80\r\nAccept: */*\r\n\r\n", true},
	{"a part", "GET /live/x/video-1-2.mp4 HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", true},
	{"headers in small letters, twice, and empty", "GET /live/x.m3u8 HTTP/1.1\r\nhost:a\r\naccept-encoding: gzip\r\nACCEPT-ENCODING:  br \r\nX-Empty:\r\n\r\n", true},
	{"kept alive", "GET /live/x.m3u8 HTTP/1.1\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n", true},
	{"a token before it", "GET /t/ey.J-_.x/live/x/video-1-2.mp4 HTTP/1.1\r\nHost: a\r\n\r\n", true},
	{"an odd query", "GET /live/x.m3u8?%zz&=;\"<'?/ HTTP/1.1\r\nHost: a\r\n\r\n", true},
	{"HEAD", "HEAD /live/x.m3u8 HTTP/1.1\r\nHost: a\r\n\r\n", false},
	{"HTTP/1.0", "GET /live/x.m3u8 HTTP/1.0\r\nHost: a\r\n\r\n", false},
	{"to be closed", "GET /live/x.m3u8 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false},
	{"another protocol", "GET /live/x.m3u8 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", false},
	{"a range", "GET /live/x/video-1.mp4 HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\n\r\n", false},
	{"a body", "GET /live/x.m3u8 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", false},
	{"a body of chunks", "GET /live/x.m3u8 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", false},
	{"a body of two lengths", "GET /live/x.m3u8 HTTP/1.1\r\nHost: a\r\ntransfer-encoding : chunked\r\nContent-Length: 3\r\n\r\n", false},
	{"no host", "GET /live/x.m3u8 HTTP/1.1\r\nAccept: */*\r\n\r\n", false},
	{"two hosts", "GET /live/x.m3u8 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", false},
	{"a folded header", "GET /live/x.m3u8 HTTP/1.1\r\nHost: a\r\nAccept: a\r\n b\r\n\r\n", false},
	{"a space before the colon", "GET /live/x.m3u8 HTTP/1.1\r\nHost : a\r\n\r\n", false},
	{"a bare line feed", "GET /live/x.m3u8 HTTP/1.1\nHost: a\r\n\r\n", false},
	{"a bare line feed in a header", "GET /live/x.m3u8 HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", false},
	{"a NUL", "GET /live/x.m3u8 HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", false},
	{"an escaped path", "GET /live/%78.m3u8 HTTP/1.1\r\nHost: a\r\n\r\n", false},
	{"a path with dots", "GET /live/../x.m3u8 HTTP/1.1\r\nHost: a\r\n\r\n", false},
	{"a whole URL", "GET http://a/live/x.m3u8 HTTP/1.1\r\nHost: a\r\n\r\n", false},
	{"two spaces", "GET  /live/x.m3u8 HTTP/1.1\r\nHost: a\r\n\r\n", false},
	{"the page", "GET /live/x HTTP/1.1\r\nHost: a\r\n\r\n", false},
	{"FLV", "GET /live/x.flv HTTP/1.1\r\nHost: a\r\n\r\n", false},
	{"HTTP/2", "PRI * HTTP/2.0\r\n\r\n", false},
}

// checkHead holds what front makes of a head against what net/http does.
func checkHead(t *testing.T, head string) (plain bool) {
	t.Helper()
	c := &frontConn{request: &http.Request{Method: "GET", Header: http.Header{}}}
	if !c.parse(head) {
		return false
	}
	want, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head)))
	if err != nil {
		t.Fatalf("net/http refuses %q: %v", head, err)
	}
	got := c.request
	if want.Method != "GET" || got.URL.Path != want.URL.Path || got.URL.RawQuery != want.URL.RawQuery || got.Host != want.Host ||
		got.RequestURI != want.RequestURI || want.ContentLength != 0 || len(want.TransferEncoding) > 0 || want.Close || !want.ProtoAtLeast(1, 1) {
		t.Fatalf("%q: %+v, want %+v", head, got, want)
	}
	want.Header.Del("Cache-Control") // net/http adds one for Pragma
	got.Header.Del("Cache-Control")
	if !reflect.DeepEqual(got.Header, want.Header) {
		t.Fatalf("%q: header %v, want %v", head, got.Header, want.Header)
	}
	return true
}

func TestHeadsOfRequests(t *testing.T) {
	for _, c := range requestHeads {
		t.Run(c.name, func(t *testing.T) {
			if got := checkHead(t, c.head); got != c.plain {
				t.Errorf("plain is %v, want %v", got, c.plain)
			}
		})
	}
}

func FuzzHeadsOfRequests(f *testing.F) {
	for _, c := range requestHeads {
		f.Add(c.head)
	}
	f.Fuzz(func(t *testing.T, head string) {
		if i := endOfHead([]byte(head)); i > 0 && i <= maxFrontHead {
			checkHead(t, head[:i])
		}
	})
}

// lobby is front before a handler that answers with what it was asked.
func lobby(t *testing.T, h http.HandlerFunc) (addr string, f *front) {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	s := NewServer(DefaultConfig(), stream.NewHub(stream.DefaultConfig(), nil), auth.Open{}, http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f = s.Front(ctx, l, h).(*front)
	hs := &http.Server{Handler: h, ConnContext: ConnContext}
	served := make(chan error, 1)
	go func() { served <- hs.Serve(f) }()
	t.Cleanup(func() {
		if err := hs.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		s.WaitViewers()
		cancel()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		goleak.VerifyNone(t, ignore)
	})
	return l.Addr().String(), f
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s %q %s", r.Method, r.RequestURI, body, r.Header.Get("X-Test"))
}

// TestFrontAndNetHTTPShareConnections sends requests of both kinds, whole, in
// pieces and one behind the other, on one connection.
func TestFrontAndNetHTTPShareConnections(t *testing.T) {
	const plain = "GET /a/b.m3u8?q HTTP/1.1\r\nHost: a\r\nX-Test: 1\r\n\r\n"
	const post = "POST /a/b.m3u8 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
	const page = "GET /a/b HTTP/1.1\r\nHost: a\r\nX-Test: 2\r\n\r\n"
	long := "GET /a/b.m3u8 HTTP/1.1\r\nHost: a\r\nX-Long: " + strings.Repeat("x", 5000) + "\r\nX-Test: 3\r\n\r\n"
	answers := map[string]string{
		plain: `GET /a/b.m3u8?q "" 1`, post: `POST /a/b.m3u8 "hi" `, page: `GET /a/b "" 2`, long: `GET /a/b.m3u8 "" 3`,
	}
	for _, requests := range [][]string{
		{plain, plain, plain}, {plain, page, plain}, {page, plain}, {plain, plain, post, plain}, {post, plain}, {plain, long, plain}, {long},
	} {
		for _, piece := range []int{1 << 20, 7, 1} {
			addr, _ := lobby(t, echo)
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				for b := []byte(strings.Join(requests, "")); len(b) > 0; {
					n, err := c.Write(b[:min(piece, len(b))])
					if err != nil {
						return
					}
					b = b[n:]
				}
			}()
			c.SetReadDeadline(time.Now().Add(20 * time.Second))
			r := bufio.NewReader(c)
			for i, request := range requests {
				a, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatalf("request %d of %q: %v", i, requests, err)
				}
				body, err := io.ReadAll(a.Body)
				if err != nil || string(body) != answers[request] || a.StatusCode != 200 || a.Header.Get("Date") == "" {
					t.Errorf("request %d of %q: %v, %q", i, requests, err, body)
				}
			}
			<-sent
			c.Close()
		}
	}
}

// TestFrontAnswers looks at answers byte by byte.
func TestFrontAnswers(t *testing.T) {
	addr, f := lobby(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/status.mp4":
			w.WriteHeader(404)
			w.WriteHeader(200) // too late
			io.WriteString(w, "gone")
		case "/inject.mp4":
			w.Header().Set("X", "a\r\nSet-Cookie: b")
			w.Header()["Y"] = []string{"1", "2"}
		case "/order.mp4":
			w.Header()["cache-control"] = []string{"no-store"}
			w.Header().Set("X-Accel-Expires", "1")
		case "/short.mp4":
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "four")
		case "/over.mp4":
			w.Header().Set("Content-Length", "2")
			if _, err := io.WriteString(w, "four"); err == nil {
				t.Error("more than was promised is written")
			}
		case "/panic.mp4":
			panic("of a test")
		}
	})
	for _, c := range []struct{ path, want string }{
		{"status", "HTTP/1.1 404 Not Found|Content-Length: 4||gone"},
		{"inject", "HTTP/1.1 200 OK|Content-Length: 0|X: a  Set-Cookie: b|Y: 1|Y: 2||"},
		{"order", "HTTP/1.1 200 OK|X-Accel-Expires: 1|cache-control: no-store||"},
		{"short", "HTTP/1.1 200 OK|Content-Length: 10||four"},
		{"over", ""},
		{"panic", ""},
	} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET /%s.mp4 HTTP/1.1\r\nHost: a\r\n\r\n", c.path)
		conn.(*net.TCPConn).CloseWrite()
		b, err := io.ReadAll(conn)
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
		}
		conn.Close()
		got := strings.ReplaceAll(string(b), "\r\n", "|")
		at := 0
		for part := range strings.SplitSeq(c.want, "|") {
			i := strings.Index(got, part)
			if i < 0 || part == "cache-control: no-store" && i < at {
				t.Errorf("%s: no %q in %q", c.path, part, got)
			}
			if at = i; c.want == "" && got != "" {
				t.Errorf("%s: %q", c.path, got)
			}
		}
	}
	for deadline := time.Now().Add(20 * time.Second); f.open() > 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("connections are left")
		}
	}
}

// TestFrontShutdown: connections without a request end at once, one with a
// request behind its answer.
func TestFrontShutdown(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	ignore := goleak.IgnoreCurrent()
	s := NewServer(DefaultConfig(), stream.NewHub(stream.DefaultConfig(), nil), auth.Open{}, http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := s.Front(t.Context(), l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-release
		io.WriteString(w, "done")
	}))
	var conns []net.Conn
	for _, sent := range []string{"", "GET /a.m3", "GET /a.m3u8 HTTP/1.1\r\nHost: a\r\n\r\n"} {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, sent)
		conns = append(conns, c)
	}
	<-begun
	f.Close()
	for _, c := range conns[:2] {
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Error("a connection without a request goes on", err)
		}
	}
	close(release)
	b, err := io.ReadAll(conns[2])
	if err != nil || !bytes.Contains(b, []byte("Connection: close\r\n")) || !bytes.HasSuffix(b, []byte("done")) {
		t.Errorf("%q, %v", b, err)
	}
	s.WaitViewers()
	if _, err := f.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	goleak.VerifyNone(t, ignore)
}

// TestFrontSlowHead: a head that comes a byte at a time has the time of one head.
func TestFrontSlowHead(t *testing.T) {
	addr, f := lobby(t, echo)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	io.WriteString(c, "GET /a.m3u8?")
	for begun := time.Now(); ; <-tick.C {
		if _, err := io.WriteString(c, "x"); err != nil {
			break // it is closed
		}
		if time.Since(begun) > 3*frontHead {
			t.Fatalf("it goes on after %v, %d connections", time.Since(begun), f.open())
		}
	}
}
