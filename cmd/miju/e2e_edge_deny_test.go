package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// deniedByEdge are the lines of docs/cdn.md by which edges deny addresses, before
// what they stand in their file.
var deniedByEdge = map[string]struct{ lines, before string }{
	"nginx":   {"    deny 198.51.100.0/24;\n", "  upstream origin {"},
	"varnish": {"    acl denied { \"198.51.100.0\"/24; }\n    sub vcl_recv { if (client.ip ~ denied) { return (synth(403)); } }\n", "sub vcl_recv {\n    if (req.restarts"},
}

// TestDeniedBehindEdges holds what docs/cdn.md says of addresses that may not play:
// the origin goes by who is behind an edge, the answers of an open door may be kept all the
// same, and an edge denies by itself.
func TestDeniedBehindEdges(t *testing.T) {
	t.Parallel()
	const denied = "127.0.0.9"
	doc, err := os.ReadFile("../../docs/cdn.md")
	if err != nil {
		t.Fatal(err)
	}
	s := startWith(t, nil, func(c *config) { c.Peers.Trusted, c.Auth.Deny = "127.0.0.1", "play="+denied })
	s.publishPictures(t, 1000)
	file := s.url("/live/x.m3u8")
	waitFor(t, "the playlist", func() bool { return ask(t, "GET", file).status == http.StatusOK })
	for _, path := range []string{"/live/x.m3u8", "/api/check/live/x.m3u8", "/api/check/live/x/any.m3u8"} {
		if a := ask(t, "GET", s.url(path), "X-Forwarded-For", denied); a.status != http.StatusForbidden || strings.Contains(a.header.Get("Cache-Control"), "max-age=10") {
			t.Errorf("%s for who is denied: %d %v", path, a.status, a.header)
		}
		if a := ask(t, "GET", s.url(path), "X-Forwarded-For", "127.0.0.8"); a.status != http.StatusOK || strings.Contains(a.header.Get("Cache-Control"), "private") {
			t.Errorf("%s for another: %d %v", path, a.status, a.header)
		}
	}
	for name, d := range deniedByEdge {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(string(doc), d.lines) {
				t.Errorf("docs/cdn.md has no %q", d.lines)
			}
			lines := strings.NewReplacer("198.51.100.0/24", denied, `"198.51.100.0"/24`, `"`+denied+`"`).Replace(d.lines)
			launch := map[string]func(testing.TB, string, ...string) *edge{"nginx": startNginxWith, "varnish": startVarnishWith}[name]
			e := launch(t, s.http.Addr().String(), d.before, lines+d.before)
			for address, want := range map[string]int{denied: http.StatusForbidden, "127.0.0.8": http.StatusOK} {
				c := from(t, address, e.addr)
				fmt.Fprint(c, "GET /live/x.m3u8 HTTP/1.1\r\nHost: a\r\n\r\n")
				c.SetReadDeadline(time.Now().Add(patience))
				if a, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || a.StatusCode != want {
					t.Errorf("from %s: %v, %v, want %d", address, a, err, want)
				}
			}
		})
	}
}
