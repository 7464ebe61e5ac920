package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/lxzan/gws"
)

// askRaw sends bytes to an HTTP listener and returns the answers until the server
// closes, or until enough of them are there. Bodies are read whole.
func askRaw(t testing.TB, addr, request string, enough int) (answers []*http.Response, bodies []string) {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	go io.WriteString(c, request) // the server may answer before it has read all
	for b := bufio.NewReader(c); len(answers) < enough; {
		r, err := http.ReadResponse(b, nil)
		if err != nil {
			return answers, bodies
		}
		body, _ := io.ReadAll(r.Body) // a connection that is reset in the middle has said enough
		answers, bodies = append(answers, r), append(bodies, string(body))
	}
	return answers, bodies
}

func rawGet(target string, headers ...string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n" + strings.Join(append(headers, ""), "\r\n") + "\r\n"
}

const atHome = "what nobody outside may read"

// hostileSite is a server with a stream, and with files that nobody may have.
func hostileSite(t *testing.T, change ...func(*config)) *testServer {
	s := start(t, append(change, func(c *config) { c.Files.Demo, c.Origin.HLS.Always = true, true })...)
	s.waitLive(t, "demo")
	for _, name := range []string{"auth.secret", "secret.mp4", "hls/secret.mp4", "hls/secret.m3u8", "acme/secret.json"} {
		path := filepath.Join(s.config.Data.Dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		writeFile(t, path, atHome)
	}
	waitFor(t, "the playlist", func() bool {
		a, _ := askRaw(t, s.http.Addr().String(), rawGet("/live/demo/video.m3u8"), 1)
		return len(a) == 1 && a[0].StatusCode == http.StatusOK
	})
	return s
}

// No path leads out of what is served, however it is written.
func TestPathsThatClimb(t *testing.T) {
	t.Parallel()
	s := hostileSite(t)
	var climbs []string
	for _, up := range []string{"..", "%2e%2e", ".%2e", "%252e%252e", "..;", "%c0%ae%c0%ae", "....", "..%00"} {
		for _, slash := range []string{"/", "//", "%2f", "%5c", `\`, "%252f"} {
			for _, file := range []string{"auth.secret", "hls/secret.mp4", "secret.m3u8", "etc/passwd"} {
				climbs = append(climbs, strings.Repeat(up+slash, 3)+file, up+slash+file, up+slash+"hls"+slash+file)
			}
		}
	}
	climbs = append(climbs, "secret.mp4", "secret.mp4%00.mp4", "auth.secret%00", "/etc/passwd", "%2fetc%2fpasswd", "file:///etc/passwd", "C:%5csecret.mp4", "con.mp4", "~/x.mp4")
	for _, listener := range []net.Listener{s.http, s.admin} {
		for _, base := range []string{"/", "/live/", "/live/demo/", "/live/demo/chat/", "/assets/", "/t/x/live/demo/", "/api/v1/streams/", "/api/v1/rooms/live/"} {
			var all strings.Builder // many to a connection, which a bad one of them may end
			for _, climb := range climbs {
				all.WriteString("GET " + base + climb + " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
			}
			rest, asked := all.String(), 0
			for rest != "" && asked <= len(climbs) {
				answers, bodies := askRaw(t, listener.Addr().String(), rest, strings.Count(rest, "GET "))
				if len(answers) == 0 {
					t.Fatalf("%s%s: no answer", base, climbs[asked])
				}
				for i, a := range answers {
					if strings.Contains(bodies[i], atHome) || strings.Contains(bodies[i], "root:") {
						t.Errorf("%s%s: %d %.200s", base, climbs[asked+i], a.StatusCode, bodies[i])
					}
					if a.StatusCode < 400 && a.StatusCode != http.StatusMovedPermanently && a.StatusCode != http.StatusTemporaryRedirect || a.StatusCode >= 500 {
						t.Errorf("%s%s: %d %.200s", base, climbs[asked+i], a.StatusCode, bodies[i])
					}
					if to := a.Header.Get("Location"); to != "" && (listener == s.http || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.HasPrefix(to, `/\`)) {
						t.Errorf("%s%s leads to %s", base, climbs[asked+i], to)
					}
				}
				for asked += len(answers); strings.Count(rest, "GET ") > len(climbs)-asked; {
					_, rest, _ = strings.Cut(rest, "\r\n\r\n")
				}
			}
			if asked != len(climbs) {
				t.Errorf("%s: %d of %d answers", base, asked, len(climbs))
			}
		}
	}
}

// Nothing that a client says becomes a header, or a line of a playlist.
func TestNothingIsInjected(t *testing.T) {
	t.Parallel()
	s := hostileSite(t, func(c *config) { c.Origin.HLS.TokenInPlaylist, c.Origin.AllowOrigin = true, "https://a.example" })
	const evil = "X-Evil"
	for _, request := range []string{
		rawGet("/live/demo%0d%0aX-Evil:%201"),
		rawGet("/live/demo.m3u8?token=a%0d%0aX-Evil:%201"),
		rawGet("/live/demo/video.m3u8?token=a%0aX-Evil"),
		rawGet(`/live/demo/video.m3u8?token=a"X-Evil`),
		rawGet(`/live/demo/video.m3u8?token=a%22,X-Evil`),
		rawGet("/live/demo.m3u8?token=a\rX-Evil:1"),
		rawGet("/live/demo\r\nX-Evil: 1"),
		rawGet("/t/a%0d%0aX-Evil/live/demo.m3u8"),
		rawGet(`/t/a"X-Evil/live/demo/video.m3u8`),
		rawGet("/live/demo.flv?hevc=%0d%0aX-Evil:1"),
		rawGet("/live/nosuch%0aX-Evil.m3u8"),
		rawGet("/live/demo.m3u8", "Origin: https://a.example%0d%0aX-Evil: 1"),
		rawGet("/live/demo.m3u8", "Origin: https://a.example\rX-Evil: 1"),
		rawGet("/live/demo.m3u8", "Origin: https://a.example, X-Evil"),
		rawGet("/live/demo.m3u8", "X-Forwarded-For: 1.2.3.4%0aX-Evil", "X-Forwarded-Host: X-Evil", "X-Forwarded-Proto: X-Evil", "Forwarded: host=X-Evil"),
		rawGet("/", "X-Forwarded-Host: X-Evil"),
		strings.Replace(rawGet("/live/demo/chat"), "127.0.0.1", "X-Evil.example", 1),
		strings.Replace(rawGet("/live/demo"), "127.0.0.1", "a;X-Evil", 1),
		strings.Replace(rawGet("/live/demo"), "127.0.0.1", "a *.X-Evil", 1),
		strings.Replace(rawGet("/live/demo.flv", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: a%0aX-Evil"), "GET", "OPTIONS", 1),
		strings.Replace(rawGet("/live/demo/chat/index.json", "Access-Control-Request-Headers: <X-Evil>"), "GET", "OPTIONS", 1),
	} {
		answers, bodies := askRaw(t, s.http.Addr().String(), request, 1)
		for i, a := range answers {
			for name, values := range a.Header {
				if strings.Contains(name+strings.Join(values, ""), evil) {
					t.Errorf("%q: %s: %q", request, name, values)
				}
			}
			for line := range strings.Lines(bodies[i]) {
				playlist := strings.HasPrefix(bodies[i], "#EXTM3U")
				if strings.HasPrefix(line, evil) || playlist && strings.ContainsAny(line, `"`) && strings.Contains(line, `"X-Evil`) {
					t.Errorf("%q: a line of its own: %q", request, line)
				}
			}
		}
	}
}

// What is too large is refused with a word for it, and without being read.
func TestRequestsThatAreTooLarge(t *testing.T) {
	t.Parallel()
	s := hostileSite(t)
	const mebi = 1 << 20
	body := strings.Repeat("x", mebi+mebi/2)
	post := func(method, path string) string {
		return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%q", method, path, len(body)+2, body)
	}
	for _, c := range []struct {
		name    string
		at      net.Listener
		request string
		want    []int
	}{
		{"a path", s.http, rawGet("/live/" + strings.Repeat("x", mebi)), []int{431}},
		{"a path of HLS", s.http, rawGet("/live/" + strings.Repeat("x", mebi) + ".m3u8"), []int{431}},
		{"a query", s.http, rawGet("/live/demo.m3u8?token=" + strings.Repeat("x", mebi)), []int{431}},
		{"a header", s.http, rawGet("/live/demo.m3u8", "Authorization: Bearer "+strings.Repeat("x", mebi)), []int{431}},
		{"many headers", s.http, rawGet("/live/demo.m3u8", strings.Repeat("X-A: b\r\n", 10_000)+"X-B: c"), []int{431}},
		{"a header of an operator", s.admin, rawGet("/api/v1/streams", "Authorization: Bearer "+strings.Repeat("x", mebi)), []int{431}},
		{"a token that fits", s.http, rawGet("/live/demo.m3u8?token=" + strings.Repeat("x", 8000)), []int{200}},
		{"a body for the page", s.http, post("POST", "/live/demo"), []int{405, 413}},
		{"a body for a stream", s.http, post("PUT", "/live/demo.flv"), []int{405, 413}},
		{"a body for a chat", s.http, post("POST", "/live/demo/chat/index.json"), []int{405, 413}},
		{"a body for an announcement", s.admin, post("POST", "/api/v1/announcements"), []int{413}},
		{"a body for a ban", s.admin, post("POST", "/api/v1/bans"), []int{413}},
		{"a body for a message", s.admin, post("POST", "/api/v1/rooms/live/demo/events"), []int{413}},
		{"a body for a kick", s.admin, post("DELETE", "/api/v1/streams/live/nosuch"), []int{404, 413}},
	} {
		answers, bodies := askRaw(t, c.at.Addr().String(), c.request, 1)
		if len(answers) == 0 {
			t.Errorf("%s: no answer", c.name)
			continue
		}
		found := false
		for _, want := range c.want {
			found = found || answers[0].StatusCode == want
		}
		if !found {
			t.Errorf("%s: %d %.200s", c.name, answers[0].StatusCode, bodies[0])
		}
	}
}

// A request that can be read in two ways is refused, or read as net/http and RFC
// 9112 do, and never leaves a second one behind that nobody sent.
func TestRequestsAreNotSmuggled(t *testing.T) {
	t.Parallel()
	s := hostileSite(t)
	const hidden = "GET /live/hidden.m3u8 HTTP/1.1\r\nHost: a\r\n\r\n"
	head := "GET /live/demo.m3u8 HTTP/1.1\r\nHost: a\r\n"
	for _, c := range []struct {
		name, request string
		answers       int // the most that there may be
	}{
		{"a length", head + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(hidden)) + hidden, 1},
		{"two lengths", head + fmt.Sprintf("Content-Length: 0\r\nContent-Length: %d\r\n\r\n", len(hidden)) + hidden, 1},
		{"two lengths in one", head + fmt.Sprintf("Content-Length: 0, %d\r\n\r\n", len(hidden)) + hidden, 1},
		{"a length with a sign", head + fmt.Sprintf("Content-Length: +%d\r\n\r\n", len(hidden)) + hidden, 1},
		{"chunks that are odd", head + "Transfer-Encoding: xchunked\r\n\r\n" + hidden, 1},
		{"chunks twice", head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + hidden, 1},
		{"chunks behind a tab", head + "Transfer-Encoding:\tchunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden), 1},
		{"a space before the colon", head + fmt.Sprintf("Content-Length : %d\r\n\r\n", len(hidden)) + hidden, 1},
		{"a folded length", head + fmt.Sprintf("X: y\r\n Content-Length: %d\r\n\r\n", len(hidden)) + hidden, 2},
		{"a bare line feed", head + fmt.Sprintf("X: y\nContent-Length: %d\r\n\r\n", len(hidden)) + hidden, 1},
		{"a bare carriage return", head + fmt.Sprintf("X: y\rContent-Length: %d\r\n\r\n", len(hidden)) + hidden, 1},
		{"a size of chunks that is none", head + "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n" + hidden, 1},
		{"two hosts", strings.Replace(head, "Host: a", "Host: a\r\nHost: b", 1) + "\r\n" + hidden, 1},
		{"no host", strings.Replace(head, "Host: a\r\n", "", 1) + "\r\n" + hidden, 1},
		{"a NUL", head + "X: \x00\r\n\r\n" + hidden, 1},
		// Chunks win over a length (RFC 9112, 6.1): what comes behind them was sent.
		{"a length and chunks", head + fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", len(hidden)+5) + hidden, 2},
	} {
		answers, _ := askRaw(t, s.http.Addr().String(), c.request+strings.Replace(rawGet("/live/last.m3u8"), "GET", "QUIT", 1), 4)
		n := 0
		for _, a := range answers {
			if a.StatusCode != http.StatusBadRequest && a.StatusCode != http.StatusNotImplemented && a.StatusCode != http.StatusMethodNotAllowed {
				n++
			}
		}
		if len(answers) == 0 || n > c.answers {
			t.Errorf("%s: %d answers that are no refusal, of %d", c.name, n, len(answers))
		}
	}
}

// The headers that protect are in every answer, the ones that tell in none.
func TestHeadersOfEveryAnswer(t *testing.T) {
	t.Parallel()
	files, _ := certificateFiles(t)
	s := hostileSite(t, func(c *config) {
		c.HTTP.ListenTLS, c.TLS.Cert, c.TLS.Key = "127.0.0.1:0", files.Cert, files.Key
		c.Origin.AllowOrigin, c.Origin.FrameAncestors = "https://a.example", "self,https://site.example"
	})
	page := []string{"Origin: https://a.example"}
	public := []string{
		"/", "/live/demo", "/assets/nosuch.js", "/favicon.ico", "/nosuch", "/live/a.b.c", "/live/demo.m3u8", "/live/demo/video.m3u8", "/live/demo/nosuch.mp4",
		"/live/nosuch.m3u8", "/live/nosuch.flv", "/live/nosuch.ts", "/live/demo.xyz", "/live/demo/chat", "/live/demo/chat/index.json", "/live/demo/chat/1.json",
		"/live/demo/chat/nosuch", "/a/b/c/chat", "/t/x/live/demo.m3u8", "/.well-known/acme-challenge/x",
	}
	for _, target := range append(public, "/healthz", "/metrics", "/api/v1/streams", "/api/v1/nosuch", "/api/v1/rooms", "/debug/pprof/") {
		at := s.http
		if i := len(public); strings.HasPrefix(target, "/api") || strings.HasPrefix(target, "/debug") || target == "/metrics" || target == "/healthz" || i == 0 {
			at, page = s.admin, nil
		}
		answers, bodies := askRaw(t, at.Addr().String(), rawGet(target, page...), 1)
		if len(answers) != 1 {
			t.Fatalf("%s: no answer", target)
		}
		a := answers[0]
		if a.Header.Get("X-Content-Type-Options") != "nosniff" || a.Header.Get("Content-Type") == "" {
			t.Errorf("%s: %v", target, a.Header)
		}
		told := fmt.Sprint(a.Header)
		if at == s.http {
			told += bodies[0]
		}
		for _, what := range []string{"Server:", "Powered", runtime.Version(), "net/http", "goroutine", version + " ", s.config.Data.Dir, "Access-Control-Allow-Credentials"} {
			if strings.Contains(told, what) {
				t.Errorf("%s tells %q", target, what)
			}
		}
		if at == s.http && a.StatusCode != http.StatusNotFound && a.Header.Get("Access-Control-Allow-Origin") != "https://a.example" {
			t.Errorf("%s: no page may read it: %v", target, a.Header)
		}
	}
	for _, target := range public {
		request := strings.Replace(rawGet(target, "Origin: https://a.example", "Access-Control-Request-Method: GET", "Access-Control-Request-Private-Network: true"), "GET", "OPTIONS", 1)
		answers, _ := askRaw(t, s.http.Addr().String(), request, 1)
		if h := answers[0].Header; answers[0].StatusCode != http.StatusNoContent ||
			h.Get("Access-Control-Allow-Private-Network") != "true" || h.Get("Access-Control-Allow-Origin") != "https://a.example" {
			t.Errorf("OPTIONS %s: %d %v", target, answers[0].StatusCode, h)
		}
	}
	answers, _ := askRaw(t, s.http.Addr().String(), rawGet("/live/demo"), 1)
	h := answers[0].Header
	if policy := h.Get("Content-Security-Policy"); !strings.HasSuffix(policy, "frame-ancestors 'self' https://site.example") ||
		strings.Contains(policy, "unsafe") || h.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("the page: %v", h)
	}
}

// A page of somebody else opens no WebSocket here unless it is listed.
func TestWebSocketsOfForeignPages(t *testing.T) {
	t.Parallel()
	s := hostileSite(t, func(c *config) { c.Origin.AllowOrigin = "https://a.example" })
	for _, path := range []string{"/live/demo.flv", "/live/demo/chat"} {
		for origin, want := range map[string]bool{
			"":                                 true,
			"https://a.example":                true,
			"http://" + s.http.Addr().String(): true,
			"https://evil.example":             false,
			"null":                             false,
			"https://a.example.evil.example":   false,
		} {
			header := http.Header{}
			if origin != "" {
				header.Set("Origin", origin)
			}
			c, resp, err := gws.NewClient(gws.BuiltinEventHandler{}, &gws.ClientOption{Addr: "ws://" + s.http.Addr().String() + path, RequestHeader: header})
			if err == nil {
				c.NetConn().Close()
			}
			if (err == nil) != want || !want && (resp == nil || resp.StatusCode != http.StatusForbidden) {
				t.Errorf("%s from %q: %v", path, origin, err)
			}
		}
	}
}
