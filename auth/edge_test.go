package auth

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// paths are paths of requests with what is behind their token, if they have one.
var paths = []struct{ path, token, rest string }{
	{"/t/ey.a-b_c/live/x.m3u8", "ey.a-b_c", "/live/x.m3u8"},
	{"/t/mk_1/live/x/video-1-2.mp4", "mk_1", "/live/x/video-1-2.mp4"},
	{"/t/x/", "x", "/"},
	{"/t/a/t/b/live/x", "a", "/t/b/live/x"},
	{"/t/x", "", ""},
	{"/t//live/x", "", ""},
	{"/t/", "", ""},
	{"/t", "", ""},
	{"/tt/x/live/x", "", ""},
	{"/live/t/x", "", ""},
	{"t/x/live/x", "", ""},
	{"", "", ""},
}

func TestTokensInPaths(t *testing.T) {
	for _, c := range paths {
		r := &http.Request{URL: &url.URL{Path: c.path, RawPath: c.path}, Header: http.Header{"Authorization": {"Bearer header"}}}
		CutToken(r)
		token, rest := c.token, c.rest
		if token == "" {
			token, rest = "header", c.path
		}
		if TokenOf(r) != token || r.URL.Path != rest {
			t.Errorf("%s: %q, %q", c.path, TokenOf(r), r.URL.Path)
		}
		if r.URL.RawQuery = "token=query"; TokenOf(r) != "query" {
			t.Errorf("%s: the query does not come first", c.path)
		}
	}
}

func FuzzTokensInPaths(f *testing.F) {
	for _, c := range paths {
		f.Add(c.path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		token, rest, ok := cutToken(path)
		if ok != (token != "") || ok && pathPrefix+token+rest != path || strings.Contains(token, "/") {
			t.Errorf("%q: %q, %q, %v", path, token, rest, ok)
		}
	})
}

func TestSecretsOfEdges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "edges")
	write := func(text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for want, c := range map[string]struct {
		text string
		mode os.FileMode
	}{
		"characters":    {"0123456789abcdef\nshort-one\n", 0o600},
		"has 0 secrets": {"\n", 0o600},
		"chmod 600":     {"0123456789abcdef\n", 0o644},
	} {
		write(c.text, c.mode)
		if _, err := newEdges(path); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "short-one") {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := newEdges(path + ".none"); err == nil {
		t.Error("there is no file")
	}
	write("0123456789abcdef\nfedcba9876543210\n", 0o600)
	e, err := newEdges(path)
	if err != nil {
		t.Fatal(err)
	}
	for secret, want := range map[string]bool{"0123456789abcdef": true, "fedcba9876543210": true, "": false, "0123456789abcde": false, "0123456789abcdef\nfedcba9876543210": false} {
		if e.knows(secret) != want {
			t.Errorf("%q: %v", secret, !want)
		}
	}
	nobody, err := newEdges("")
	if err != nil || nobody.knows("") || nobody.knows("0123456789abcdef") {
		t.Error("without a file somebody is an edge", err)
	}

	d := doorsWith(t, func(c *Config) { c.EdgeSecrets = path })
	for name, c := range map[string]struct {
		Request
		good bool
	}{
		"plays":               {Request{Action: Play, Key: alice}, true},
		"reads a chat":        {Request{Action: Chat, Key: alice, Reads: true}, true},
		"chats":               {Request{Action: Chat, Key: alice}, false},
		"publishes":           {Request{Action: Publish, Key: alice}, false},
		"moderates":           {Request{Action: Moderate, Key: alice}, false},
		"is an operator":      {Request{Action: Admin}, false},
		"plays with no token": {Request{Action: Play, Key: alice, Token: "x"}, true},
	} {
		c.Edge = "0123456789abcdef"
		if g, err := d.Authorize(t.Context(), c.Request); (err == nil) != c.good || g.Edge != c.good || g.Private {
			t.Errorf("who %s: %+v, %v", name, g, err)
		}
		c.Edge = "0123456789abcdeX"
		if _, err := d.Authorize(t.Context(), c.Request); err == nil {
			t.Errorf("who %s with another secret is let in", name)
		}
	}
}

// BenchmarkPathToken is what a player's request with a token in its path costs at the
// door, once the token is known.
func BenchmarkPathToken(b *testing.B) {
	d := doorsWith(b, func(c *Config) { c.Play = ByToken })
	token := sign(b, jwt.SigningMethodHS256, testSecret, nil, good(map[string]any{"act": "play"}))
	path := pathPrefix + token + "/live/alice/video-1-2.mp4"
	r := &http.Request{URL: &url.URL{}, Header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(r.Header)
		r.URL.Path = path
		CutToken(r)
		if _, err := d.Authorize(b.Context(), Request{Action: Play, Key: alice, Token: TokenOf(r), Edge: EdgeOf(r), Path: r.URL.Path, Continues: true}); err != nil {
			b.Fatal(err)
		}
	}
}
