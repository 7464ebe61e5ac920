package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"github.com/miju-live/miju/remux/hls/hlstest"
)

// httpClient returns a client of one version of HTTP; pool is nil without TLS.
func httpClient(t *testing.T, version int, pool *x509.CertPool) *http.Client {
	p := new(http.Protocols)
	switch {
	case version == 1:
		p.SetHTTP1(true)
	case pool == nil:
		p.SetUnencryptedHTTP2(true)
	default:
		p.SetHTTP2(true)
	}
	transport := &http.Transport{Protocols: p, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// TestHTTPVersions plays everything by HTTP/1.1 and HTTP/2, with and without
// TLS.
func TestHTTPVersions(t *testing.T) {
	t.Parallel()
	files, pool := certificateFiles(t)
	s := start(t, func(c *config) {
		c.HTTP.ListenTLS, c.TLS, c.Files.Demo, c.Origin.HLS.Always = "127.0.0.1:0", files, true, true
	})
	s.waitLive(t, "demo")
	if at := "https://" + s.https.Addr().String() + "/live"; !strings.Contains(s.banner(), at) {
		t.Errorf("no %s in the banner:\n%s", at, s.banner())
	}
	plain, secure := "http://"+s.http.Addr().String(), "https://"+s.https.Addr().String()
	for _, c := range []struct {
		name, at string
		version  int
		pool     *x509.CertPool
	}{
		{"HTTP 1.1", plain, 1, nil},
		{"HTTP 2 by prior knowledge", plain, 2, nil},
		{"HTTP 1.1 over TLS", secure, 1, pool},
		{"HTTP 2 over TLS", secure, 2, pool},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			playEverything(t, httpClient(t, c.version, c.pool), c.at, c.version)
		})
	}
	t.Run("chat over TLS", func(t *testing.T) {
		t.Parallel()
		joinChatOverTLS(t, s.https.Addr().String(), pool)
	})
}

func playEverything(t *testing.T, client *http.Client, at string, version int) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	get := func(path string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, at+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { answer.Body.Close() })
		if answer.StatusCode != http.StatusOK || answer.ProtoMajor != version {
			t.Fatalf("%s: %s by %s", path, answer.Status, answer.Proto)
		}
		return answer
	}
	body := func(path string) []byte {
		t.Helper()
		b, err := io.ReadAll(get(path).Body)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if b := body("/live/demo.m3u8"); !bytes.Contains(b, []byte("demo/video.m3u8")) {
		t.Fatalf("multivariant playlist: %s", b)
	}
	l, err := hlstest.Parse(body("/live/demo/video.m3u8"))
	if err != nil {
		t.Fatal(err)
	}
	if b := body("/live/demo/" + l.Hint); len(b) < 8 || string(b[4:8]) != "moof" {
		t.Errorf("the hinted part is no part: %.20q", b)
	}
	whole := l.Segments[0]
	if b := body("/live/demo/" + whole.URI); len(b) < 8 || !bytes.Contains(b[:64], []byte("moof")) {
		t.Errorf("the segment is none: %.20q", b)
	}
	next := l.Segments[len(l.Segments)-1].Number + 1
	if b := body(fmt.Sprintf("/live/demo/video.m3u8?_HLS_msn=%d&_HLS_part=0", next)); !bytes.Contains(b, fmt.Appendf(nil, "video-%d-0.mp4", next)) {
		t.Errorf("the playlist of segment %d: %s", next, b)
	}
	for path, magic := range map[string]string{"/live/demo.flv": "FLV", "/live/demo.ts": "G", "/live/demo": "<!"} {
		b := make([]byte, 100_000)
		if magic == "<!" {
			b = b[:100]
		}
		if _, err := io.ReadFull(get(path).Body, b); err != nil || !bytes.HasPrefix(bytes.ToUpper(b), []byte(magic)) {
			t.Errorf("%s begins with %.10q, %v", path, b, err)
		}
	}
}

// chatEar takes the first message of a chat connection.
type chatEar struct {
	gws.BuiltinEventHandler
	first func([]byte)
}

func (e *chatEar) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer m.Close()
	e.first(m.Bytes())
}

// joinChatOverTLS joins by the ALPN offer of browsers for WebSockets:
// HTTP/1.1 alone.
func joinChatOverTLS(t *testing.T, addr string, pool *x509.CertPool) {
	got := make(chan []byte, 1)
	once := new(sync.Once)
	ear := &chatEar{first: func(b []byte) { once.Do(func() { got <- bytes.Clone(b) }) }}
	c, _, err := gws.NewClient(ear, &gws.ClientOption{
		Addr: "wss://" + addr + "/live/demo/chat", TlsConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	go func() { c.ReadLoop(); close(closed) }()
	defer func() { c.NetConn().Close(); <-closed }()
	if err := c.WriteMessage(gws.OpcodeText, []byte(`{"type":"join"}`)); err != nil {
		t.Fatal(err)
	}
	select {
	case b := <-got:
		if !json.Valid(b) || !bytes.Contains(b, []byte(`"type"`)) {
			t.Errorf("the chat says %s", b)
		}
	case <-time.After(patience):
		t.Error("the chat says nothing")
	}
}

// TestHTTP2WaitingRequests is an edge with hundreds of requests that wait on
// one connection.
func TestHTTP2WaitingRequests(t *testing.T) {
	t.Parallel()
	const players = 600
	s := start(t, func(c *config) { c.Files.Demo, c.Origin.HLS.Always = true, true })
	s.waitLive(t, "demo")
	client := httpClient(t, 2, nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	get := func(path string) ([]byte, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url(path), nil)
		if err != nil {
			return nil, err
		}
		answer, err := client.Do(r)
		if err != nil {
			return nil, err
		}
		defer answer.Body.Close()
		b, err := io.ReadAll(answer.Body)
		if err == nil && answer.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", path, answer.Status)
		}
		return b, err
	}
	if _, err := get("/live/demo.m3u8"); err != nil {
		t.Fatal(err)
	}
	b, err := get("/live/demo/video.m3u8")
	if err != nil {
		t.Fatal(err)
	}
	l, err := hlstest.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	msn := l.Segments[len(l.Segments)-1].Number + 2
	var all sync.WaitGroup
	for i := range players {
		all.Go(func() {
			if b, err := get(fmt.Sprintf("/live/demo/video.m3u8?_HLS_msn=%d&_HLS_part=0&edge=%d", msn, i)); err != nil || !bytes.Contains(b, fmt.Appendf(nil, "video-%d-0.mp4", msn)) {
				t.Errorf("player %d: %v\n%s", i, err, b)
			}
		})
	}
	answered := make(chan struct{})
	go func() { all.Wait(); close(answered) }()
	// What can be answered is, while hundreds wait.
	most := int64(0)
	for waiting := true; waiting; {
		if _, err := get("/live/demo/" + l.Segments[0].URI); err != nil {
			t.Error(err)
			break
		}
		most = max(most, s.origin.HLSStats().Waiting)
		select {
		case <-answered:
			waiting = false
		default:
		}
	}
	<-answered
	if n := s.origin.HLSStats().Waiting; n != 0 || most <= 250 { // net/http allows that many by itself
		t.Errorf("%d requests waited at once, %d do yet", most, n)
	}
}
