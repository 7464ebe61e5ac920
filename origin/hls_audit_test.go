package origin

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestHLSOverHTTP asks a real server by raw requests, so that nothing of a
// client is between.
func TestHLSOverHTTP(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	h := newHall(t)
	defer h.close()
	l := h.start(t)
	segment := "/live/x/" + l.Segments[0].URI
	last := l.Segments[len(l.Segments)-1].Number
	size := len(h.fetch(t, "GET "+segment, "").body)
	const preflight = "Origin: https://page.example\nAccess-Control-Request-Method: GET\nAccess-Control-Request-Headers: "
	for _, c := range []struct {
		name, request, header string
		status                int
		want                  string // headers, one a line; "-Name" must not be there
		body                  int    // its size; -1 is any above 0
	}{
		{"multivariant playlist", "GET /live/x.m3u8", "", 200, "Content-Type: application/vnd.apple.mpegurl\nCache-Control: max-age=2\nVary: Accept-Encoding\n-Content-Encoding\nAccess-Control-Allow-Origin: *", -1},
		{"media playlist", "GET /live/x/video.m3u8", "", 200, "Content-Type: application/vnd.apple.mpegurl\nCache-Control: max-age=2\nVary: Accept-Encoding\n-Content-Encoding", -1},
		{"HEAD of a playlist", "HEAD /live/x/video.m3u8", "", 200, "Cache-Control: max-age=2\nContent-Type: application/vnd.apple.mpegurl", 0},
		{"blocking reload that has passed", fmt.Sprintf("GET /live/x/video.m3u8?_HLS_msn=%d", last-1), "", 200, "Cache-Control: max-age=24", -1},
		{"delta update", "GET /live/x/video.m3u8?_HLS_skip=v2", "", 200, "Cache-Control: max-age=2", -1},
		{"gzip", "GET /live/x/video.m3u8", "Accept-Encoding: deflate, gzip", 200, "Content-Encoding: gzip\nVary: Accept-Encoding", -1},
		{"gzip refused", "GET /live/x/video.m3u8", "Accept-Encoding: gzip;q=0, *", 200, "-Content-Encoding\nVary: Accept-Encoding", -1},
		{"a playlist is never a range", "GET /live/x/video.m3u8", "Range: bytes=0-9", 200, "-Content-Range", -1},
		{"no validator, no 304", "GET /live/x/video.m3u8", "If-None-Match: *", 200, "-ETag", -1},
		{"segment", "GET " + segment, "Accept-Encoding: gzip", 200, "Content-Type: video/mp4\nCache-Control: max-age=3600, immutable\nAccept-Ranges: bytes\n-Content-Encoding", size},
		{"HEAD of a segment", "HEAD " + segment, "", 200, fmt.Sprintf("Content-Length: %d\nCache-Control: max-age=3600, immutable", size), 0},
		{"part", "GET /live/x/" + l.Segments[len(l.Segments)-2].Parts[1].URI, "", 200, "Cache-Control: max-age=3600, immutable", -1},
		{"initialization section", "GET /live/x/" + l.Segments[0].Map, "", 200, "Cache-Control: max-age=3600, immutable", -1},
		{"range", "GET " + segment, "Range: bytes=100-299", 206, fmt.Sprintf("Content-Range: bytes 100-299/%d\nContent-Length: 200\nCache-Control: max-age=3600, immutable", size), 200},
		{"range of HEAD", "HEAD " + segment, "Range: bytes=100-299", 206, "Content-Length: 200", 0},
		{"range up to beyond the end", "GET " + segment, fmt.Sprintf("Range: bytes=%d-99999999", size-10), 206, fmt.Sprintf("Content-Range: bytes %d-%d/%d", size-10, size-1, size), 10},
		{"range of the last bytes", "GET " + segment, "Range: bytes=-7", 206, "Content-Length: 7", 7},
		{"several ranges", "GET " + segment, "Range: bytes=0-9,500-599", 206, "-Content-Range", -1},
		{"ranges that are more than all", "GET " + segment, "Range: bytes=0-,0-,0-", 200, "-Content-Range", size},
		{"range beyond the end", "GET " + segment, "Range: bytes=99999999-", 416, fmt.Sprintf("Content-Range: bytes */%d\nCache-Control: no-store", size), -1},
		{"range that is none", "GET " + segment, "Range: bytes=9-1", 416, "Cache-Control: no-store", -1},
		{"range of another unit", "GET " + segment, "Range: lines=0-9", 416, "Cache-Control: no-store", -1},
		{"range of another version", "GET " + segment, "Range: bytes=0-9\nIf-Range: \"abc\"", 200, "-Content-Range", size},
		{"preflight", "OPTIONS /live/x/video.m3u8", preflight + "range", 204, "Access-Control-Allow-Origin: *\nAccess-Control-Allow-Methods: GET, HEAD, OPTIONS\nAccess-Control-Allow-Headers: range\nAccess-Control-Max-Age: 86400\n-Access-Control-Allow-Credentials", 0},
		{"preflight with headers of a player", "OPTIONS " + segment, preflight + "cmcd-session,cmcd-request, x-token", 204, "Access-Control-Allow-Headers: cmcd-session,cmcd-request, x-token", 0},
		{"preflight with no names", "OPTIONS " + segment, preflight + "<script>", 204, "Access-Control-Allow-Headers: Range, If-None-Match, Authorization", 0},
		{"preflight of what is not there", "OPTIONS /live/nobody.m3u8", preflight + "range", 204, "Allow: GET, HEAD, OPTIONS", 0},
		{"POST", "POST /live/x/video.m3u8", "Content-Length: 0", 405, "Allow: GET, HEAD, OPTIONS\nCache-Control: no-store", -1},
		{"DELETE", "DELETE " + segment, "", 405, "Allow: GET, HEAD, OPTIONS", -1},
		{"a part of nowhere", "GET /live/x/video-1-1.mp4", "", 404, "Cache-Control: max-age=4\nContent-Type: application/json\nAccess-Control-Allow-Origin: *", -1},
		{"a part after the hinted one", fmt.Sprintf("GET /live/x/video-%d-30.mp4", last+1), "", 404, "Cache-Control: no-store", -1},
		{"HEAD of nothing", "HEAD /live/x/video-1-1.mp4", "", 404, "Cache-Control: max-age=4", 0},
		{"an unknown rendition", "GET /live/x/text.m3u8?_HLS_msn=1", "", 404, "Cache-Control: max-age=16", -1},
		{"not live", "GET /live/nobody/video.m3u8?_HLS_msn=1", "", 404, "Cache-Control: max-age=1", -1},
		{"too far ahead", fmt.Sprintf("GET /live/x/video.m3u8?_HLS_msn=%d", last+5), "", 400, "Cache-Control: no-store", -1},
		{"a directive that is none", "GET /live/x/video.m3u8?_HLS_msn=-1", "", 400, "Cache-Control: no-store", -1},
		{"a directive too many", "GET /live/x/video.m3u8?_HLS_msn=1&_HLS_msn=2", "", 400, "Cache-Control: no-store", -1},
		{"a skip that nobody knows", "GET /live/x/video.m3u8?_HLS_skip=v9", "", 400, "Cache-Control: no-store", -1},
		{"an unknown egress", "GET /live/x.mpd", "", 404, "Cache-Control: max-age=1", -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := h.fetch(t, c.request, c.header)
			if a.StatusCode != c.status {
				t.Fatalf("%s: %.200s", a.Status, a.body)
			}
			for line := range strings.SplitSeq(c.want+"\nDate: "+a.Header.Get("Date"), "\n") {
				name, value, _ := strings.Cut(line, ": ")
				if absent, ok := strings.CutPrefix(line, "-"); ok {
					name, value = absent, ""
				}
				if a.Header.Get(name) != value {
					t.Errorf("%s is %q, want %q", name, a.Header.Values(name), value)
				}
			}
			if c.body >= 0 && len(a.body) != c.body || c.body < 0 && len(a.body) == 0 {
				t.Errorf("the body has %d bytes, want %d", len(a.body), c.body)
			}
			if date, err := http.ParseTime(a.Header.Get("Date")); err != nil || time.Since(date).Abs() > 10*time.Second {
				t.Errorf("Date is %q", a.Header.Get("Date"))
			}
		})
	}
}

func TestHLSRanges(t *testing.T) {
	h := newHall(t)
	l := h.start(t)
	segment := "GET /live/x/" + l.Segments[0].URI
	whole := h.fetch(t, segment, "").body
	a := h.fetch(t, segment, "Range: bytes=0-9,60000-130000,-5")
	_, params, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if err != nil || a.StatusCode != http.StatusPartialContent {
		t.Fatal(a.Status, err)
	}
	parts := multipart.NewReader(bytes.NewReader(a.body), params["boundary"])
	for _, want := range [][]byte{whole[:10], whole[60000:130001], whole[len(whole)-5:]} {
		p, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(p); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v: %d bytes, want %d", p.Header, len(got), len(want))
		}
	}
}

// TestHLSAnswersWhole reads answers of all sizes by all kinds of connections:
// the head of those over a few kilobytes is held back for the body.
func TestHLSAnswersWhole(t *testing.T) {
	h := newHall(t)
	l := h.start(t)
	paths := []string{
		"/live/x.m3u8", "/live/x/video.m3u8", "/live/x/" + l.Segments[0].Map, "/live/x/" + l.Segments[0].URI,
		"/live/x/" + l.Segments[len(l.Segments)-2].Parts[0].URI, "/live/x/nothing", "/live/nobody.m3u8",
	}
	want := map[string][]byte{}
	for _, path := range paths {
		a := h.fetch(t, "GET "+path, "Connection: close")
		if want[path] = a.body; int(a.ContentLength) != len(a.body) {
			t.Fatalf("%s: %d of %d bytes", path, len(a.body), a.ContentLength)
		}
	}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	two := &http.Transport{Protocols: &protocols}
	defer two.CloseIdleConnections()
	kept := h.dial(t)
	defer kept.Close()
	for range 3 {
		for _, path := range paths {
			fmt.Fprintf(kept, "GET %s HTTP/1.1\r\nHost: x\r\n\r\nHEAD %[1]s HTTP/1.1\r\nHost: x\r\n\r\n", path) // the next one in line
			for _, method := range []string{"GET", "HEAD"} {
				a := read(t, kept, method)
				if method == "GET" && !bytes.Equal(a.body, want[path]) || int(a.ContentLength) != len(want[path]) {
					t.Errorf("%s %s on a kept connection: %s, %d of %d bytes", method, path, a.Status, len(a.body), len(want[path]))
				}
			}
			r, err := (&http.Client{Transport: two}).Get("http://" + h.addr + path)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(r.Body); err != nil || !bytes.Equal(b, want[path]) {
				t.Errorf("%s by %s: %v, %d of %d bytes", path, r.Proto, err, len(b), len(want[path]))
			}
			r.Body.Close()
			c := h.dial(t)
			fmt.Fprintf(c, "GET %s HTTP/1.0\r\n\r\n", path)
			if a := read(t, c, "GET"); !bytes.Equal(a.body, want[path]) {
				t.Errorf("%s by HTTP/1.0: %s, %d of %d bytes", path, a.Status, len(a.body), len(want[path]))
			}
			c.Close()
		}
	}
	a := h.fetch(t, "GET /live/x/video.m3u8", "Accept-Encoding: gzip")
	z, err := gzip.NewReader(bytes.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(z); err != nil || !bytes.Equal(b, want["/live/x/video.m3u8"]) {
		t.Errorf("gzip: %v, %d of %d bytes", err, len(b), len(want["/live/x/video.m3u8"]))
	}
}

// TestHLSWaitingClientGoes has requests that wait end with their clients, by
// HTTP/1.1 and HTTP/2.
func TestHLSWaitingClientGoes(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	h := newHall(t)
	defer h.close()
	l := h.start(t)
	var all []net.Conn
	for _, path := range []string{fmt.Sprintf("/live/x/video.m3u8?_HLS_msn=%d", l.Segments[len(l.Segments)-1].Number+1), "/live/x/" + l.Hint} {
		for range 20 {
			c := h.dial(t)
			fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
			all = append(all, c)
		}
	}
	h.until(t, func() bool { return h.server.HLSStats().Waiting == int64(len(all)) })
	for _, c := range all {
		c.Close()
	}
	h.until(t, func() bool { return h.server.HLSStats().Waiting == 0 })
}

// TestHLSClientTakesNothing has a client that asks for more and more, and
// reads none of it, be disconnected.
func TestHLSClientTakesNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	h := newHall(t, func(c *Config) { c.WriteTimeout = 100 * time.Millisecond })
	defer h.close()
	l := h.start(t)
	c := h.dial(t)
	defer c.Close()
	const requests = 200
	io.WriteString(c, strings.Repeat("GET /live/x/"+l.Segments[0].URI+" HTTP/1.1\r\nHost: x\r\n\r\n", requests))
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil { // before that, front may not have it yet
		t.Fatal(err)
	}
	h.until(t, func() bool { return h.front.open() == 0 })
	n, _ := io.Copy(io.Discard, c) // what was on its way
	if size := int64(len(h.fetch(t, "GET /live/x/"+l.Segments[0].URI, "").body)); n >= requests*size {
		t.Errorf("%d bytes came after all", n)
	}
}
