package main

import (
	"context"
	"crypto/md5"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// answer is an HTTP answer with its whole body.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request as it is: nothing is unpacked, nothing asked twice.
func ask(t testing.TB, method, url string, header ...string) answer {
	t.Helper()
	a, err := request(t.Context(), method, url, header...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func request(ctx context.Context, method, url string, header ...string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if r.Header.Get("Accept-Encoding") == "" {
		r.Header.Set("Accept-Encoding", "identity")
	}
	return asking(r)
}

// asking sends a request and reads the whole answer.
func asking(r *http.Request) (answer, error) {
	w, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return answer{}, err
	}
	defer w.Body.Close()
	b, err := io.ReadAll(w.Body)
	return answer{w.StatusCode, w.Header, string(b)}, err
}

// video returns the media playlist of live/x as it is now at base.
func video(t testing.TB, base string) *llPlaylist {
	t.Helper()
	l, err := parsePlaylist(ask(t, "GET", base+"/live/x/video.m3u8").body)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// ahead returns the query and the name of a part of the segment after the one
// that grows.
func (l *llPlaylist) ahead() (query, name string) {
	var msn, part int64
	fmt.Sscanf(l.next, "?_HLS_msn=%d&_HLS_part=%d", &msn, &part)
	return fmt.Sprintf("?_HLS_msn=%d&_HLS_part=4", msn+1), fmt.Sprintf("video-%d-4.mp4", msn+1)
}

// TestEdgeAnswers holds that an edge answers as the origin would, and asks it
// once.
func TestEdgeAnswers(t *testing.T) {
	onEdges(t, func(t *testing.T, s *testServer, o *countedOrigin, e *edge) {
		push(t, "h264-aac.flv", "flv", s.rtmpURL("x"))
		s.waitLive(t, "x")
		mediaPlaylist(t, s.url(""), "/live/x.m3u8")
		for name, test := range map[string]func(*testing.T, *testServer, *countedOrigin, *edge){
			"queries": edgeQueries, "compression": edgeCompression, "ranges": edgeRanges,
			"parts to come": edgeToCome, "viewers that leave": edgeLeavers, "nobody live": edgeNobody,
		} {
			t.Run(name, func(t *testing.T) { test(t, s, o, e) })
		}
	})
}

// edgeQueries holds that what is no directive is no part of a key, nor is the
// order of directives.
func edgeQueries(t *testing.T, s *testServer, o *countedOrigin, e *edge) {
	next := video(t, s.url("")).next
	msn, part, _ := strings.Cut(next[1:], "&")
	before, _ := o.count("/live/x/video.m3u8?")
	var answers [4]answer
	var asking sync.WaitGroup
	for i, query := range []string{next, "?" + part + "&" + msn, "?token=a?b&" + msn + "&x&" + part + "&", next + "&utm=%20&_HLS_new=1"} {
		asking.Go(func() { answers[i], _ = request(t.Context(), "GET", e.base+"/live/x/video.m3u8"+query) })
	}
	asking.Wait()
	for _, a := range answers {
		if a.status != http.StatusOK || a.body != answers[0].body {
			t.Errorf("%d, not the same for all: %s", a.status, tail(a.body))
		}
	}
	if requests, _ := o.count("/live/x/video.m3u8" + next); requests != 1 {
		t.Errorf("the origin had %d requests for %s", requests, next)
	}
	if requests, _ := o.count("/live/x/video.m3u8?"); requests != before+1 {
		t.Errorf("the origin had %d requests for other queries", requests-before-1)
	}
	if a := ask(t, "GET", e.base+"/live/x/video.m3u8?_HLS_part=1"); a.status != http.StatusBadRequest {
		t.Errorf("%d for half of a position", a.status)
	}
}

// edgeCompression holds that one compressed answer serves all clients.
func edgeCompression(t *testing.T, s *testServer, o *countedOrigin, e *edge) {
	next := video(t, s.url("")).next
	url := e.base + "/live/x/video.m3u8" + next
	plain := ask(t, "GET", url)
	if !strings.HasPrefix(plain.body, "#EXTM3U") || plain.header.Get("Content-Encoding") != "" {
		t.Errorf("without Accept-Encoding: %v\n%.50q", plain.header, plain.body)
	}
	for _, accept := range []string{"gzip", "gzip, deflate, br, zstd", "br;q=1.0, gzip;q=0.5"} {
		a := ask(t, "GET", url, "Accept-Encoding", accept, "Via", "1.1 another")
		if text, err := unpack([]byte(a.body)); err != nil || a.header.Get("Content-Encoding") != "gzip" || text != plain.body {
			t.Errorf("%s: %v %v", accept, err, a.header)
		}
	}
	if requests, _ := o.count("/live/x/video.m3u8" + next); requests != 1 {
		t.Errorf("the origin had %d requests for %s", requests, next)
	}
}

// edgeRanges asks for heads and ranges of what the edge does and does not have.
func edgeRanges(t *testing.T, s *testServer, o *countedOrigin, e *edge) {
	l := video(t, s.url(""))
	for _, p := range l.parts[len(l.parts)-2:] {
		url := e.base + "/live/x/" + p.uri
		head := ask(t, "HEAD", url)
		middle := ask(t, "GET", url, "Range", "bytes=10-29")
		whole := ask(t, "GET", url)
		if head.status != 200 || head.body != "" || head.header.Get("Content-Length") != fmt.Sprint(len(whole.body)) {
			t.Errorf("HEAD: %d %v", head.status, head.header)
		}
		if middle.status != http.StatusPartialContent || middle.body != whole.body[10:30] {
			t.Errorf("Range: %d, %d bytes of %d", middle.status, len(middle.body), len(whole.body))
		}
		if cc := whole.header.Get("Cache-Control"); cc != "max-age=3600, immutable" {
			t.Errorf("Cache-Control: %s", cc)
		}
		if requests, _ := o.count("/live/x/" + p.uri); requests != 1 {
			t.Errorf("the origin had %d requests for %s", requests, p.uri)
		}
	}
}

// edgeToCome asks for a part long before its time. That it was not there must
// not be remembered when it is.
func edgeToCome(t *testing.T, s *testServer, _ *countedOrigin, e *edge) {
	query, name := video(t, s.url("")).ahead()
	if a := ask(t, "GET", e.base+"/live/x/"+name); a.status != http.StatusNotFound {
		t.Fatalf("%d for a part that is to come", a.status)
	}
	if a := ask(t, "GET", s.url("/live/x/video.m3u8"+query)); a.status != http.StatusOK || !strings.Contains(a.body, name) {
		t.Fatalf("%d for %s", a.status, query)
	}
	if a := ask(t, "GET", e.base+"/live/x/"+name); a.status != http.StatusOK {
		t.Errorf("%d for a part that is there: %s", a.status, a.body)
	}
	far := "?_HLS_msn=9999999999&_HLS_part=0"
	for range 2 {
		if a := ask(t, "GET", e.base+"/live/x/video.m3u8"+far); a.status != http.StatusBadRequest {
			t.Errorf("%d for a position far ahead", a.status)
		}
	}
}

// edgeLeavers holds that a viewer that does not wait takes nothing from those
// that do.
func edgeLeavers(t *testing.T, s *testServer, o *countedOrigin, e *edge) {
	query, _ := video(t, s.url("")).ahead()
	path := "/live/x/video.m3u8" + query
	ctx, leave := context.WithCancel(t.Context())
	var first sync.WaitGroup
	first.Go(func() {
		if _, err := request(ctx, "GET", e.base+path); err == nil {
			t.Error("the first viewer did not leave")
		}
	})
	waitFor(t, "the edge to ask", func() bool { n, _ := o.count(path); return n > 0 })
	leave()
	first.Wait()
	if a := ask(t, "GET", e.base+path); a.status != http.StatusOK {
		t.Errorf("%d for %s", a.status, path)
	}
	if requests, _ := o.count(path); requests != 1 {
		t.Errorf("the origin had %d requests for %s", requests, path)
	}
}

// edgeNobody holds that a stream that is not live costs the origin one request
// a second, whatever is asked for at the edge.
func edgeNobody(t *testing.T, _ *testServer, o *countedOrigin, e *edge) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	var asking sync.WaitGroup
	var asked [4]int
	for i := range asked {
		asking.Go(func() {
			for ctx.Err() == nil {
				if a, err := request(ctx, "GET", e.base+"/live/nothing.m3u8"); err == nil && a.status != http.StatusNotFound {
					t.Errorf("%d for a stream that is not live", a.status)
				}
				asked[i]++
			}
		})
	}
	asking.Wait()
	requests, _ := o.count("/live/nothing.m3u8")
	t.Logf("%v requests became %d", asked, requests)
	if most := 4 * len(asked); requests > most { // those that come while one is under way may all go through
		t.Errorf("%v requests became %d, want at most %d", asked, requests, most)
	}
}

// TestEdgeHTTP2 plays over HTTP/2, as Apple's players want LL-HLS: a playlist
// and a part are waited for on one connection.
func TestEdgeHTTP2(t *testing.T) {
	t.Parallel()
	s := start(t)
	push(t, "h264-aac.flv", "flv", s.rtmpURL("x"))
	s.waitLive(t, "x")
	mediaPlaylist(t, s.url(""), "/live/x.m3u8")
	files, pool := certificateFiles(t)
	secure := freeAddr(t)
	startNginxWith(t, s.http.Addr().String(), "#tls ", "", "listen 443 ", "listen "+secure+" ",
		"/etc/nginx/miju.crt", files.Cert, "/etc/nginx/miju.key", files.Key)
	client := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true, MaxConnsPerHost: 1}
	defer client.CloseIdleConnections()

	l := video(t, s.url(""))
	var asking sync.WaitGroup
	for _, file := range []string{l.hint, "video.m3u8" + l.next, "audio.m3u8"} {
		asking.Go(func() {
			r, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+secure+"/live/x/"+file, nil)
			if err != nil {
				t.Error(err)
				return
			}
			w, err := client.RoundTrip(r)
			if err != nil {
				t.Error(err)
				return
			}
			defer w.Body.Close()
			if _, err := io.Copy(io.Discard, w.Body); err != nil || w.StatusCode != http.StatusOK || w.ProtoMajor != 2 {
				t.Errorf("%s by %s: %s %v", file, w.Proto, w.Status, err)
			}
		})
	}
	asking.Wait()
}

// TestEdgeLinks plays with links that nginx checks: they are good for all files
// of one stream until a time, and the cache does not know them.
func TestEdgeLinks(t *testing.T) {
	t.Parallel()
	s := start(t)
	push(t, "h264-aac.flv", "flv", s.rtmpURL("x"))
	s.waitLive(t, "x")
	mediaPlaylist(t, s.url(""), "/live/x.m3u8")
	o := countOrigin(t, s)
	e := startNginxWith(t, o.Listener.Addr().String(), "#link ", "")
	sign := func(key string, expires time.Time) string {
		sum := md5.Sum(fmt.Appendf(nil, "%d %s SECRET", expires.Unix(), key))
		return fmt.Sprintf("/t/%d/%s", expires.Unix(), base64.RawURLEncoding.EncodeToString(sum[:]))
	}
	later, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	for _, c := range []struct {
		name, path string
		status     int
	}{
		{"multivariant playlist", sign("live/x", later) + "/live/x.m3u8", 200},
		{"media playlist", sign("live/x", later) + "/live/x/video.m3u8", 200},
		{"another viewer's", sign("live/x", later.Add(time.Second)) + "/live/x/video.m3u8", 200},
		{"too late", sign("live/x", past) + "/live/x.m3u8", 410},
		{"of another stream", sign("live/y", later) + "/live/x.m3u8", 403},
		{"a signature that is none", fmt.Sprintf("/t/%d/x/live/x.m3u8", later.Unix()), 403},
		{"chat", sign("live/x", later) + "/live/x/chat/index.json", 200},
		{"chat, no WebSocket", sign("live/x", later) + "/live/x/chat?token=a", 426},
		{"chat of another stream", sign("live/y", later) + "/live/x/chat/index.json", 403},
		{"no link, chat", "/live/x/chat", 404},
		{"no link, chat as files", "/live/x/chat/index.json", 404},
		{"no link, chat as events", "/live/x/chat/events", 404},
		{"no link", "/live/x.m3u8", 404},
		{"no link, a file", "/live/x/video.m3u8", 404},
		{"no link, FLV", "/live/x.flv", 404},
	} {
		if a := ask(t, "GET", e.base+c.path); a.status != c.status {
			t.Errorf("%s: %s: %d, want %d", c.name, c.path, a.status, c.status)
		}
	}
	if requests, _ := o.count("/live/x/video.m3u8"); requests != 1 {
		t.Errorf("two viewers' playlists cost %d requests", requests)
	}
	checkPackets(t, "h264-aac.flv", probePackets(t, e.base+sign("live/x", later)+"/live/x.m3u8", 6), true, true)
}
