package web

import (
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

func TestHandler(t *testing.T) {
	built := fstest.MapFS{
		"dist/index.html":          {Data: []byte("<!doctype html><title>page</title>")},
		"dist/assets/index-abc.js": {Data: []byte("let a")},
	}
	for _, c := range []struct {
		name, path string
		files      fstest.MapFS
		status     int
		body       string
		cache      string
	}{
		{"page", "/live/alice", built, 200, "<title>page", "no-cache"},
		{"asset", "/assets/index-abc.js", built, 200, "let a", "public, max-age=31536000, immutable"},
		{"no such asset", "/assets/index-def.js", built, 404, "no such file", "no-cache"},
		{"list of assets", "/assets/", built, 404, "no such file", "no-cache"},
		{"out of the assets", "/assets/../index.html", built, 404, "no such file", "no-cache"},
		{"root", "/", built, 200, "/live/alice", "no-cache"},
		{"one segment", "/favicon.ico", built, 404, "nothing here", "no-cache"},
		{"page without the build", "/live/alice", fstest.MapFS{}, 503, "make build", "no-cache"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			handler{c.files, policy + "'self'"}.ServeHTTP(w, httptest.NewRequest("GET", c.path, nil))
			h := w.Header()
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.body) || h.Get("Cache-Control") != c.cache || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" {
				t.Errorf("%d %q %v", w.Code, w.Body, h)
			}
			if page := strings.Contains(c.body, "<title>"); page != (h.Get("Content-Security-Policy") != "") {
				t.Errorf("%v", h)
			}
		})
	}
}

func TestAncestors(t *testing.T) {
	for list, want := range map[string]string{
		"":     "'none'",
		"none": "'none'",
		"self": "'self'",
		"*":    "*",
		"self, https://a.example/,https://*.b.example:8443, c.example:*": "'self' https://a.example https://*.b.example:8443 c.example:*",
	} {
		if got, err := Ancestors(list); err != nil || got != want {
			t.Errorf("%q: %q, %v", list, got, err)
		}
	}
	for _, list := range []string{"self,none", "'self'", "https://a.example; script-src *", "https://a.example/x", "a b", "javascript:", "data:", "https://a.example\r\nX: y", "ftp://a.example"} {
		if got, err := Ancestors(list); err == nil {
			t.Errorf("%q: %q", list, got)
		}
	}
}

func TestConnections(t *testing.T) {
	for h, want := range map[string]string{
		"a.example:8080": "connect-src 'self' ws://a.example:8080 wss://a.example:8080",
		"[::1]:80":       "connect-src 'self' ws://[::1]:80 wss://[::1]:80",
	} {
		if got := connections(h); got != want {
			t.Errorf("%s: %s", h, got)
		}
	}
	for _, h := range []string{"", "a;script-src *", "a b", "*", "a,b", "a\r\nb", strings.Repeat("a", 256)} {
		if got := connections(h); got != "connect-src 'self'" {
			t.Errorf("%q: %s", h, got)
		}
	}
}
