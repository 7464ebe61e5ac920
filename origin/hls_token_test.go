package origin

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/miju-live/miju/remux/hls/hlstest"
)

var tokens = []struct{ name, token string }{
	{"a plain one", "s3cret-token_~.A"},
	{"a quote and a tag", `"` + "\n#EXT-X-ENDLIST\n" + `,URI="http://evil.example/`},
	{"returns and line ends of all kinds", "a\r\nb\x85c\u2028d\x0b"},
	{"what means something in a URL", "a&_HLS_msn=5&b=%22#c?d/../e f+g;h"},
	{"no UTF-8", "\xff\xfe\x00"},
	{"Chinese", "直播"},
}

func TestHLSTokenInPlaylist(t *testing.T) {
	onStage(t, func(s *stage) {
		s.server.config.HLS.TokenInPlaylist = true
		s.play(time.Millisecond)
		started, _ := s.ask(s.t.Context(), "alice.m3u8")
		s.play(5 * time.Second)
		<-started
		for _, path := range []string{"alice.m3u8", "alice/video.m3u8", "alice/audio.m3u8"} {
			plain := s.get(path)
			if cache := plain.Header().Get("Cache-Control"); cache != "private, max-age=2" || bytes.Contains(plain.Body.Bytes(), []byte("token")) {
				t.Errorf("%s without a token: Cache-Control %q\n%s", path, cache, plain.Body)
			}
			for _, c := range tokens {
				escaped := url.QueryEscape(c.token)
				w := s.get(path + "?token=" + escaped)
				if cache := w.Header().Get("Cache-Control"); w.Code != 200 || cache != "private, max-age=2" {
					t.Errorf("%s, %s: %d, Cache-Control %q", path, c.name, w.Code, cache)
				}
				body := w.Body.String()
				if got := strings.ReplaceAll(body, "?token="+escaped, ""); got != plain.Body.String() {
					t.Errorf("%s, %s: not the playlist with the token in it:\n%s", path, c.name, body)
				}
				for line := range strings.Lines(body) {
					if lists(line) && strings.Count(line, "?token="+escaped) != 1 {
						t.Errorf("%s, %s: no token in %s", path, c.name, line)
					}
				}
			}
		}
		path := "alice/video.m3u8?token=" + url.QueryEscape(tokens[1].token)
		l := s.playlist(path)
		for _, uri := range []string{l.Segments[0].Map, l.Segments[0].URI, l.Segments[0].Parts[0].URI} {
			u, err := url.Parse(uri)
			if err != nil || u.Query().Get("token") != tokens[1].token || s.get("alice/"+uri).Code != 200 {
				t.Errorf("%s: %v, the token comes back as %q", uri, err, u.Query().Get("token"))
			}
		}
		small := s.get(path, "Accept-Encoding", "gzip")
		z, err := gzip.NewReader(small.Body)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(z); err != nil || !bytes.Equal(b, s.get(path).Body.Bytes()) {
			t.Errorf("gzip holds something else: %v", err)
		}
		if w := s.get("alice/video.m3u8?token=" + strings.Repeat("x", 10_000)); w.Code != 400 || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("a token of 10 kB: %d %v", w.Code, w.Header())
		}
		if w := s.get("alice/" + l.Segments[0].URI); w.Header().Get("Cache-Control") != "max-age=3600, immutable" {
			t.Errorf("a segment is the same for all: %v", w.Header())
		}
	})
}

// lists reports whether a line of a playlist has a URI.
func lists(line string) bool {
	return line[0] != '#' && line != "\n" || strings.Contains(line, `,URI="`) || strings.Contains(line, `:URI="`)
}

func TestHLSQueryChangesNothing(t *testing.T) {
	onStage(t, func(s *stage) {
		s.play(time.Millisecond)
		started, _ := s.ask(s.t.Context(), "alice.m3u8")
		s.play(5 * time.Second)
		<-started
		l := s.playlist("alice/video.m3u8")
		for _, path := range []string{"alice.m3u8", "alice/video.m3u8", "alice/" + l.Segments[0].URI, "alice/" + l.Segments[0].Map, "alice/nothing.mp4"} {
			plain := s.get(path)
			for _, query := range []string{"token=secret", "token=" + strings.Repeat("x", 10_000), "a=b&session=5", "%zz", "&&;"} {
				w := s.get(path + "?" + query)
				if !bytes.Equal(w.Body.Bytes(), plain.Body.Bytes()) || w.Header().Get("Cache-Control") != plain.Header().Get("Cache-Control") {
					t.Errorf("%s?%.20s is another answer than without the query: %d", path, query, w.Code)
				}
			}
		}
	})
}

var queried = []struct{ name, playlist, want string }{
	{"lines", "#EXTM3U\na.mp4\n\n# b.mp4\nc.mp4?d", "#EXTM3U\na.mp4?q\n\n# b.mp4\nc.mp4?d&q"},
	{"attributes", `#EXT-X-MAP:URI="i"` + "\n" + `#EXT-X-PART:DURATION=1,URI="p",X="URI"` + "\n", `#EXT-X-MAP:URI="i?q"` + "\n" + `#EXT-X-PART:DURATION=1,URI="p?q",X="URI"` + "\n"},
	{"a name that looks like an attribute", `#EXT-X-MEDIA:NAME="a,URI=",LANGUAGE="x",URI="m"`, `#EXT-X-MEDIA:NAME="a,URI=",LANGUAGE="x",URI="m?q"`},
	{"another attribute's end", `#EXT-X-MEDIA:STABLE-URI="a"`, `#EXT-X-MEDIA:STABLE-URI="a"`},
	{"a quote without its end", `#EXT-X-MAP:URI="i`, `#EXT-X-MAP:URI="i`},
}

func TestAppendWithQuery(t *testing.T) {
	for _, c := range queried {
		t.Run(c.name, func(t *testing.T) {
			if got := string(appendWithQuery(nil, []byte(c.playlist), "q")); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func FuzzAppendWithQuery(f *testing.F) {
	for _, c := range queried {
		f.Add([]byte(c.playlist), "t")
	}
	for _, c := range tokens {
		f.Add([]byte("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\na.mp4\n"), c.token)
	}
	f.Fuzz(func(t *testing.T, playlist []byte, token string) {
		query := "token=" + url.QueryEscape(token)
		got := appendWithQuery(nil, playlist, query)
		if bytes.Count(got, []byte("\n")) != bytes.Count(playlist, []byte("\n")) || bytes.Count(got, []byte(`"`)) != bytes.Count(playlist, []byte(`"`)) {
			t.Errorf("a token made other lines or quotes:\n%q\n%q", playlist, got)
		}
		if _, err := hlstest.Parse(playlist); err == nil {
			if _, err := hlstest.Parse(got); err != nil {
				t.Errorf("a token broke the playlist: %v\n%s", err, got)
			}
		}
		if !bytes.Contains(playlist, []byte(query)) {
			for _, mark := range []string{"?", "&"} {
				got = bytes.ReplaceAll(got, []byte(mark+query), nil)
			}
			if !bytes.Equal(got, playlist) {
				t.Errorf("more than the query was put in: %q", got)
			}
		}
	})
}
