package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/lxzan/gws"

	"github.com/miju-live/miju/auth"
)

// demo plays live/demo from this process.
func demo(c *config) { c.Files.Demo = true }

// ofDemo makes a token for live/demo.
func ofDemo(c *auth.Claims) { c.Keys = auth.Patterns{"live/demo"} }

const edgeSecret = "0123456789abcdef0123456789abcdef"

// trusting gives a server the secrets of edges; it returns how to change them.
func trusting(t *testing.T) (change func(*config), rewrite func(secrets string)) {
	path := filepath.Join(t.TempDir(), "cdn.secret")
	writePrivate(t, path, edgeSecret+"\n")
	return func(c *config) { c.Auth.EdgeSecrets = path }, func(secrets string) {
		// A new file, as from an editor: its time may be the old one's.
		writePrivate(t, path+".new", secrets)
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
}

func writePrivate(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestPathTokens plays by URLs that have the token before the stream.
func TestPathTokens(t *testing.T) {
	t.Parallel()
	s := startWith(t, nil, closed, demo)
	s.waitLive(t, "demo")
	token, other := s.mint(t, auth.ActionsOf(auth.Play), ofDemo), s.mint(t, auth.ActionsOf(auth.Play, auth.Chat), ofDemo)
	expired := s.mint(t, auth.ActionsOf(auth.Play), ofDemo, func(c *auth.Claims) { c.Expires = jwt.NewNumericDate(time.Now().Add(-time.Second)) })
	for _, c := range []struct {
		path   string
		status int
	}{
		{"/live/demo.m3u8", 401},
		{"/live/demo/video.m3u8", 401},
		{"/live/demo/video-1-0.mp4", 401},
		{"/live/demo.flv", 401},
		{"/live/demo.ts", 401},
		{"/t/" + expired + "/live/demo.m3u8", 401},
		{"/t/x/live/demo.m3u8", 401},
		{"/t/" + token + "/live/bob.m3u8", 403},
		{"/t//live/demo.m3u8", 404},
		{"/t/" + token, 404},
		{"/t/" + token + "/t/" + token + "/live/demo.m3u8", 404},
		{"/t/" + token + "/live/demo.m3u8", 200},
		{"/t/" + token + "/live/demo/video.m3u8", 200},
		{"/t/" + token + "/live/demo", 200},
		{"/t/" + token + "/live/demo/chat/index.json", 403},
		{"/t/" + other + "/live/demo/chat/index.json", 200},
	} {
		if a := ask(t, "GET", s.url(c.path)); a.status != c.status || strings.Contains(a.body, token) {
			t.Errorf("%s: %d, want %d: %s", c.path, a.status, c.status, tail(a.body))
		}
	}
	for _, x := range []string{".flv", ".ts"} {
		if a := ask(t, "HEAD", s.url("/t/"+token+"/live/demo"+x)); a.status != http.StatusOK {
			t.Errorf("%s: %d", x, a.status)
		}
	}
	socket, _, err := gws.NewClient(&gws.BuiltinEventHandler{}, &gws.ClientOption{Addr: "ws" + strings.TrimPrefix(s.url("/t/"+token+"/live/demo.flv"), "http")})
	if err != nil {
		t.Errorf("WebSocket-FLV: %v", err)
	} else {
		socket.NetConn().Close()
	}

	// All tokens get the same bytes, and no signature is checked twice.
	checked := s.doors.Checked()
	base := s.url("/t/" + token + "/live/demo/")
	l, err := parsePlaylist(ask(t, "GET", base+"video.m3u8").body)
	if err != nil {
		t.Fatal(err)
	}
	mine, theirs := ask(t, "GET", base+"video.m3u8"+l.next), ask(t, "GET", s.url("/t/"+other+"/live/demo/video.m3u8")+l.next)
	if mine.body != theirs.body || !strings.HasPrefix(mine.header.Get("Cache-Control"), "private, ") {
		t.Errorf("two tokens, two playlists, Cache-Control: %s", mine.header.Get("Cache-Control"))
	}
	for _, p := range l.parts {
		if a := ask(t, "GET", base+p.uri); a.status != http.StatusOK || a.header.Get("Cache-Control") != "private, max-age=3600, immutable" {
			t.Errorf("%s: %d %v", p.uri, a.status, a.header)
		}
	}
	if n := s.doors.Checked() - checked; n != 0 {
		t.Errorf("%d parts and playlists cost %d checks of a signature", len(l.parts)+3, n)
	}
	if checked > 6 { // of three good tokens and two others
		t.Errorf("%d checks", checked)
	}
	s.tellsNothing(t)
}

// TestChunksAskForTokens: the chunks of a closed chat are for those who may read it,
// and for no cache.
func TestChunksAskForTokens(t *testing.T) {
	t.Parallel()
	trust, _ := trusting(t)
	s := startWith(t, nil, closed, trust)
	token, other := s.mint(t, auth.ActionsOf(auth.Chat)), s.mint(t, auth.ActionsOf(auth.Play))
	var index struct{ Next int64 }
	if err := json.Unmarshal([]byte(ask(t, "GET", s.url("/live/alice/chat/index.json?token="+token)).body), &index); err != nil || index.Next == 0 {
		t.Fatal(index, err)
	}
	file := fmt.Sprintf("/live/alice/chat/%d.json", index.Next)
	for _, c := range []struct {
		path   string
		status int
		cache  string
		header []string
	}{
		{"/t/" + token + file, 200, "private, max-age=3600, immutable", nil},
		{file + "?token=" + token, 200, "private, max-age=3600, immutable", nil},
		{file, 200, "private, max-age=3600, immutable", []string{"Authorization", "Bearer " + token}},
		{file, 200, "max-age=3600, immutable", []string{"Miju-CDN-Secret", edgeSecret}},
		{file, 403, "no-store", nil},
		{"/t/" + other + file, 403, "no-store", nil},
		{file, 403, "no-store", []string{"Miju-CDN-Secret", edgeSecret + "0"}},
		{"/live/alice/chat/1.json", 403, "no-store", nil},
	} {
		if a := ask(t, "GET", s.url(c.path), c.header...); a.status != c.status || a.header.Get("Cache-Control") != c.cache {
			t.Errorf("%s %q: %d, Cache-Control %q, want %d, %q", c.path, c.header, a.status, a.header.Get("Cache-Control"), c.status, c.cache)
		}
	}
	s.tellsNothing(t)
}

// TestTrustedEdge holds what is answered to an edge that has checked already.
func TestTrustedEdge(t *testing.T) {
	t.Parallel()
	trust, rewrite := trusting(t)
	s := startWith(t, nil, closed, demo, trust)
	s.waitLive(t, "demo")
	token := s.mint(t, auth.ActionsOf(auth.Play), ofDemo)
	l, err := parsePlaylist(ask(t, "GET", s.url("/t/"+token+"/live/demo/video.m3u8")).body)
	if err != nil {
		t.Fatal(err)
	}
	part, next := "/live/demo/"+l.parts[0].uri, "/live/demo/video.m3u8"+l.next
	for path, cache := range map[string]string{
		"/live/demo.m3u8": "max-age=2", "/live/demo.m3u8?token=" + token: "max-age=2", next: "max-age=24",
		part: "max-age=3600, immutable", "/live/demo/chat/index.json": "max-age=1",
	} {
		a := ask(t, "GET", s.url(path), "Miju-CDN-Secret", edgeSecret)
		if a.status != http.StatusOK || a.header.Get("Cache-Control") != cache || strings.Contains(a.body, "token=") {
			t.Errorf("%s: %d, Cache-Control %q, want %q", path, a.status, a.header.Get("Cache-Control"), cache)
		}
		for _, wrong := range []string{"", edgeSecret[1:], edgeSecret + "0", strings.ToUpper(edgeSecret)} {
			if path, _, _ := strings.Cut(path, "?"); ask(t, "GET", s.url(path), "Miju-CDN-Secret", wrong).status < 401 {
				t.Errorf("%s for another secret", path)
			}
		}
	}
	// It is good for nothing else.
	f := &firstWord{told: make(chan map[string]any, 1)}
	socket, _, err := gws.NewClient(f, &gws.ClientOption{
		Addr: "ws" + strings.TrimPrefix(s.url("/live/demo/chat"), "http"), RequestHeader: http.Header{auth.EdgeHeader: {edgeSecret}},
	})
	if err != nil {
		t.Fatal(err)
	}
	go socket.ReadLoop()
	if err := socket.WriteMessage(gws.OpcodeText, []byte(`{"type":"join"}`)); err != nil {
		t.Fatal(err)
	}
	if event := <-f.told; event["close"] != 4101 {
		t.Errorf("to chat: %v", event)
	}
	if a := ask(t, "GET", s.url("/api/check/live/demo.m3u8"), "Miju-CDN-Secret", edgeSecret); a.status != http.StatusUnauthorized {
		t.Errorf("to check: %d", a.status)
	}

	const newSecret = "fedcba9876543210fedcba9876543210"
	s.secrets = append(s.secrets, edgeSecret, newSecret)
	good := func(secret string) func() bool {
		return func() bool {
			return ask(t, "GET", s.url("/live/demo.m3u8"), "Miju-CDN-Secret", secret).status == http.StatusOK
		}
	}
	rewrite(edgeSecret + "\n" + newSecret + "\n")
	waitFor(t, "the new secret to be good", good(newSecret))
	if !good(edgeSecret)() {
		t.Error("the old secret is no good before its time")
	}
	rewrite("short\n")
	waitFor(t, "a bad file to be told of", func() bool { return s.log.count("secrets of edges") > 0 })
	rewrite(newSecret + "\n")
	waitFor(t, "the old secret to be over", func() bool { return !good(edgeSecret)() })
	if !good(newSecret)() {
		t.Error("the new secret is no good")
	}
	s.tellsNothing(t)
}

// TestEdgeQuestions asks as an edge does whether a viewer may have a file.
func TestEdgeQuestions(t *testing.T) {
	t.Parallel()
	s := startWith(t, nil, closed, func(c *config) { c.Auth.EnforceExpiry = true })
	token := s.mint(t, auth.ActionsOf(auth.Play), ofDemo)
	both := s.mint(t, auth.ActionsOf(auth.Play, auth.Chat), ofDemo)
	brief := s.mint(t, auth.ActionsOf(auth.Play), ofDemo, func(c *auth.Claims) { c.Expires = jwt.NewNumericDate(time.Now().Add(6 * time.Second)) })
	for _, c := range []struct {
		path   string
		status int
		cache  string
	}{
		{"/t/" + token + "/live/demo.m3u8", 200, "max-age=10"},
		{"/t/" + token + "/live/demo/video-1-0.mp4", 200, "max-age=10"},
		{"/t/" + token + "/live/demo.flv", 200, "max-age=10"},
		{"/live/demo.ts?token=" + token, 200, "max-age=10"},
		{"/t/" + both + "/live/demo/chat/1.json", 200, "max-age=10"},
		{"/t/" + token + "/live/demo/chat/1.json", 403, "max-age=1"},
		{"/t/" + token + "/live/bob.m3u8", 403, "max-age=1"},
		{"/t/x/live/demo.m3u8", 401, "max-age=1"},
		{"/live/demo.m3u8", 401, "max-age=1"},
		{"/t/" + token + "/live/demo", 404, "max-age=1"},
		{"/t/" + token + "/live/demo.x/video.m3u8", 404, "max-age=1"},
		{"/t/" + token + "/api/check/live/demo.m3u8", 404, "max-age=1"},
		{"", 404, "max-age=1"},
	} {
		if a := ask(t, "GET", s.url("/api/check"+c.path)); a.status != c.status || a.header.Get("Cache-Control") != c.cache || strings.Contains(a.body, token) {
			t.Errorf("%s: %d, Cache-Control %q, want %d, %q: %s", c.path, a.status, a.header.Get("Cache-Control"), c.status, c.cache, a.body)
		}
	}
	a := ask(t, "GET", s.url("/api/check/t/"+brief+"/live/demo.m3u8"))
	if cache := a.header.Get("Cache-Control"); a.status != http.StatusOK || len(cache) != len("max-age=5") || cache > "max-age=6" {
		t.Errorf("shortly before the end: %d, %s", a.status, cache)
	}
	waitFor(t, "the end", func() bool {
		return ask(t, "GET", s.url("/api/check/t/"+brief+"/live/demo/video-1-0.mp4")).status == http.StatusUnauthorized
	})
	s.tellsNothing(t)
}
