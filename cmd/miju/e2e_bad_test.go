package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"github.com/miju-live/miju/ingest"
)

// TestBadInput sends what no encoder, player or member should. Each is told,
// logged on one line and counted, and a stream that is watched meanwhile goes
// on without a gap.
func TestBadInput(t *testing.T) {
	s := start(t, func(c *config) { c.Ingest.Takeover = ingest.TakeoverReject })
	push(t, "h264-aac.flv", "flv", s.rtmpURL("healthy"))
	s.waitLive(t, "healthy")
	watching := make(chan probed, 1)
	go func() { watching <- probePackets(t, s.url("/live/healthy.flv"), 15) }()

	t.Run("random bytes on the RTMP port", func(t *testing.T) {
		noise := bytes.Repeat([]byte("GET / HTTP/1.1\r\n\r\n"), 300)
		s.refusedRTMP(t, "bad_request", noise)
	})
	t.Run("a message length of 16 MiB", func(t *testing.T) {
		s.refusedRTMP(t, "too_large", handshaken([]byte{0x03, 0, 0, 0, 0xff, 0xff, 0xff, 0x14, 0, 0, 0, 0}))
	})
	t.Run("AMF0 nested 100,000 deep", func(t *testing.T) {
		body := append([]byte{2, 0, 7, 'c', 'o', 'n', 'n', 'e', 'c', 't', 0, 0, 0, 0, 0, 0, 0, 0, 0}, bytes.Repeat([]byte{3, 0, 1, 'a'}, 14000)...)
		s.refusedRTMP(t, "", handshaken(rtmpCommand(body)))
		body = append([]byte{2, 0, 7, 'c', 'o', 'n', 'n', 'e', 'c', 't', 0, 0, 0, 0, 0, 0, 0, 0, 0}, bytes.Repeat([]byte{3, 0, 1, 'a'}, 100000)...)
		s.refusedRTMP(t, "", handshaken(rtmpCommand(body)))
	})
	t.Run("a strict array that claims 2^31 elements", func(t *testing.T) {
		body := []byte{2, 0, 7, 'c', 'o', 'n', 'n', 'e', 'c', 't', 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0x80, 0, 0, 0, 5}
		s.refusedRTMP(t, "bad_request", handshaken(rtmpCommand(body)))
	})
	for name, url := range map[string]string{
		"a stream name with ../":      s.rtmpURL("../x"),
		"a name with a dot":           s.rtmpURL("a.b"),
		"a reserved name":             s.rtmpURL("chat"),
		"three segments":              s.rtmpURL("sub/x"),
		"a name that is far too long": s.rtmpURL(strings.Repeat("a", 65)),
	} {
		t.Run(name, func(t *testing.T) {
			before := s.log.count("reason=invalid_key", "protocol=rtmp")
			p := push(t, "h264-aac.flv", "flv", url)
			if p.wait(t) == nil {
				t.Error("ffmpeg publishes")
			}
			waitFor(t, "the log line", func() bool { return s.log.count("reason=invalid_key", "protocol=rtmp") == before+1 })
		})
	}
	t.Run("a second publisher", func(t *testing.T) {
		if push(t, "h264-aac.flv", "flv", s.rtmpURL("healthy")).wait(t) == nil {
			t.Error("ffmpeg publishes")
		}
		waitFor(t, "the log line", func() bool { return s.log.count("reason=busy", "protocol=rtmp", "stream=live/healthy") == 1 })
	})
	t.Run("SRT without a stream ID", func(t *testing.T) {
		p := push(t, "h264-aac.flv", "mpegts", fmt.Sprintf("srt://%s?pkt_size=1316", s.srt.Addr()))
		if p.wait(t) == nil {
			t.Error("ffmpeg publishes")
		}
		waitFor(t, "the log line", func() bool { return s.log.count("reason=bad_request", "protocol=srt", "no stream ID") == 1 })
	})
	t.Run("SRT on a taken key", func(t *testing.T) {
		if push(t, "h264-aac.flv", "mpegts", s.srtURL("publish:live/healthy")).wait(t) == nil {
			t.Error("ffmpeg publishes")
		}
		waitFor(t, "the log line", func() bool { return s.log.count("reason=busy", "protocol=srt") == 1 })
	})
	t.Run("a TS with no known track", func(t *testing.T) {
		p := spawn(t, "ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-re", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=25",
			"-c:v", "mpeg2video", "-f", "mpegts", s.srtURL("publish:live/mpeg2"))
		waitFor(t, "the log line", func() bool { return s.log.count("reason=no_tracks", "stream=live/mpeg2") == 1 })
		p.kill()
		_, api := get(t, s.adminURL("/api/v1/streams"))
		if !strings.Contains(api, "MPEG-2") {
			t.Errorf("the API does not name the codec: %s", api)
		}
	})
	t.Run("an unsupported codec", func(t *testing.T) {
		p := spawn(t, "ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-re", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=25",
			"-c:v", "flv1", "-f", "flv", s.rtmpURL("sorenson"))
		waitFor(t, "the log line", func() bool { return s.log.count("reason=unsupported_codec", "stream=live/sorenson") == 1 })
		p.wait(t)
		_, api := get(t, s.adminURL("/api/v1/streams"))
		if !strings.Contains(api, "Sorenson") {
			t.Errorf("the API does not name the codec: %s", api)
		}
	})
	t.Run("a WebSocket frame over the bound", func(t *testing.T) { s.oversizeFrame(t) })
	t.Run("URLs that lead nowhere", func(t *testing.T) { s.deadURLs(t) })

	got := <-watching
	checkPackets(t, "h264-aac.flv", got, true, true)
	for reason, admitted := range map[string]string{"bad_request": "false", "invalid_key": "false", "busy": "false", "unsupported_codec": "true"} {
		if v := s.metric(t, fmt.Sprintf(`miju_publishers_ended_total{admitted=%q,protocol="rtmp",reason=%q}`, admitted, reason)); v == 0 {
			t.Errorf("no %s is counted in /metrics", reason)
		}
	}
}

// handshaken puts a whole client handshake (RTMP 1.0, 5.2) before bytes.
func handshaken(b []byte) []byte {
	c := make([]byte, 1+2*1536)
	c[0] = 3
	return append(c, b...)
}

// rtmpCommand frames an AMF0 command as chunks of 128 bytes.
func rtmpCommand(body []byte) []byte {
	out := []byte{0x03, 0, 0, 0, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body)), 20, 0, 0, 0, 0}
	for len(body) > 128 {
		out = append(append(out, body[:128]...), 0xc3)
		body = body[128:]
	}
	return append(out, body...)
}

// refusedRTMP sends bytes to the RTMP port and checks that the connection is
// closed, and that one line says so with the reason (any, if empty).
func (s *testServer) refusedRTMP(t *testing.T, reason string, b []byte) {
	t.Helper()
	c, err := net.Dial("tcp", s.rtmp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	remote := "remote=" + c.LocalAddr().String()
	c.SetDeadline(time.Now().Add(patience))
	read := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, c)
		read <- err
	}()
	c.Write(b) // it may be closed before all is out
	if err := <-read; err != nil && strings.Contains(err.Error(), "timeout") {
		t.Error("the connection stays open")
	}
	waitFor(t, "the log line", func() bool { return s.log.count(remote) == 1 })
	if reason != "" && s.log.count(remote, "reason="+reason) != 1 {
		t.Errorf("it was not logged as %s", reason)
	}
}

// oversizeFrame sends a chat frame over the bound and expects close code 1009.
func (s *testServer) oversizeFrame(t *testing.T) {
	closed := &closeCode{code: make(chan uint16, 1)}
	c, _, err := gws.NewClient(closed, &gws.ClientOption{Addr: fmt.Sprintf("ws://%s/live/healthy/chat", s.http.Addr())})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); c.ReadLoop() }()
	if err := c.WriteString(strings.Repeat("a", 1<<20)); err != nil {
		t.Log(err) // the server may hang up before it is all out
	}
	select {
	case code := <-closed.code:
		if code != 1009 {
			t.Errorf("closed with %d", code)
		}
	case <-time.After(patience):
		t.Error("not closed")
	}
	c.NetConn().Close()
	<-done
	waitFor(t, "the log line", func() bool { return s.log.count("chat connection ended", "stream=live/healthy", "code=1009") == 1 })
	if s.metric(t, "miju_chat_oversize_total") != 1 {
		t.Error("it is not counted in /metrics")
	}
}

type closeCode struct {
	gws.BuiltinEventHandler
	code chan uint16
}

func (c *closeCode) OnClose(_ *gws.Conn, err error) {
	code := uint16(0)
	if e, ok := err.(*gws.CloseError); ok {
		code = e.Code
	}
	c.code <- code
}

func (s *testServer) deadURLs(t *testing.T) {
	for _, c := range []struct {
		method, path string
		status       int
		code         string
	}{
		{"GET", "/live/none.flv", 404, "not_live"},
		{"GET", "/live/none.m3u8", 404, "not_live"},
		{"GET", "/live/none/video.m3u8", 404, "not_live"},
		{"GET", "/live/healthy/none.mp4", 404, "no_such_file"},
		{"GET", "/live/healthy.mkv", 404, "unknown_format"},
		{"GET", "/live/..flv", 404, "invalid_stream"},
		{"GET", "/live/chat.flv", 404, "invalid_stream"},
		{"GET", "/live/" + strings.Repeat("a", 65) + ".flv", 404, "invalid_stream"},
		{"GET", "/live/healthy.flv?hevc=av2", 400, "bad_request"},
		{"POST", "/live/healthy.flv", 405, "method_not_allowed"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, s.url(c.path), nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || r.StatusCode != c.status || !strings.Contains(string(b), `"error":"`+c.code+`"`) || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %d %s %s", c.method, c.path, r.StatusCode, r.Header.Get("Content-Type"), b)
		}
	}
}

// TestHalfAHandshake is closed after the time it has.
func TestHalfAHandshake(t *testing.T) {
	t.Parallel()
	s := start(t)
	c, err := net.Dial("tcp", s.rtmp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	begun := time.Now()
	if _, err := c.Write(binary.BigEndian.AppendUint64([]byte{3}, 0)); err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(begun); d < 9*time.Second {
		t.Errorf("closed after %v", d)
	}
	waitFor(t, "the log line", func() bool { return s.log.count("reason=timeout", "protocol=rtmp") == 1 })
}

// TestStreamEndsWhileItPlays: viewers get the end as an end.
func TestStreamEndsWhileItPlays(t *testing.T) {
	s := start(t, func(c *config) { c.Ingest.PublishLinger = time.Second })
	p := push(t, "h264-aac.flv", "flv", s.rtmpURL("x"))
	s.waitLive(t, "x")
	r, err := http.Get(s.url("/live/x.flv"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	head := make([]byte, 13)
	if _, err := io.ReadFull(r.Body, head); err != nil || string(head[:3]) != "FLV" || head[4] != 5 {
		t.Fatalf("% x, %v", head, err)
	}
	p.cmd.Process.Kill()
	if _, err := io.Copy(io.Discard, r.Body); err != nil { // a cut connection would be io.ErrUnexpectedEOF
		t.Error(err)
	}
	if status, body := get(t, s.url("/live/x.flv")); status != 404 || !strings.Contains(body, "not_live") {
		t.Error(status, body)
	}
}
