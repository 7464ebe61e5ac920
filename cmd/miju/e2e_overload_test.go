package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miju-live/miju/ingest/rtmp/client"
	"github.com/miju-live/miju/ingest/srt/srttest"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// What has a place in the audience, by its name.
var counted = []string{"HTTP-FLV", "HEAD", "HTTP-TS", "WebSocket-FLV", "RTMP", "SRT"}

// admitted asks for live/x as a viewer would who leaves at once, and holds a
// refusal to the words of the protocol.
func (s *testServer) admitted(t *testing.T, protocol, reason string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	overHTTP := func(method, path string, header ...string) bool {
		r, err := http.NewRequestWithContext(ctx, method, s.url(path), nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Body.Close()
		if w.StatusCode != http.StatusServiceUnavailable {
			return w.StatusCode == http.StatusOK || w.StatusCode == http.StatusSwitchingProtocols
		}
		var body struct{ Error, Message string }
		if err := json.NewDecoder(w.Body).Decode(&body); method != http.MethodHead && (err != nil || body.Error != reason || !strings.HasPrefix(body.Message, "overloaded: ")) {
			t.Errorf("%s: %v %+v, want %s", protocol, err, body, reason)
		}
		if w.Header.Get("Retry-After") != "5" || w.Header.Get("Cache-Control") != "no-store" || w.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %v", protocol, w.Header)
		}
		return false
	}
	switch protocol {
	case "HTTP-FLV":
		return overHTTP("GET", "/live/x.flv")
	case "HEAD":
		return overHTTP("HEAD", "/live/x.flv")
	case "HTTP-TS":
		return overHTTP("GET", "/live/x.ts")
	case "WebSocket-FLV":
		return overHTTP("GET", "/live/x.flv", "Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	case "HLS":
		return overHTTP("GET", "/live/x.m3u8")
	case "RTMP":
		c, err := client.Dial(ctx, s.rtmpURL("x"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		err = c.Play(ctx)
		if status, ok := errors.AsType[*client.StatusError](err); ok && (status.Code != "NetStream.Play.Failed" || !strings.HasPrefix(status.Description, "overloaded: ")) {
			t.Error(err)
		}
		return err == nil
	case "SRT":
		c, err := srttest.Call(s.srt.Addr(), "request:live/x", 0)
		if err == nil {
			c.Leave()
		} else if !strings.HasSuffix(err.Error(), " 2402") { // 1000 and the code for "overload"
			t.Error(err)
		}
		return err == nil
	}
	t.Fatal(protocol)
	return false
}

// overloadable is a server with live/x, at 2 Mbit/s, that a test may overload.
func overloadable(t *testing.T, change func(*config)) *testServer {
	t.Helper()
	s := start(t, change)
	s.publishPictures(t, 8000)
	return s
}

// publishPictures publishes live/x in real time, with 30 pictures a second of so
// many bytes and a GOP of a second.
func (s *testServer) publishPictures(t *testing.T, bytes int) *stream.Stream {
	t.Helper()
	key, err := streamkey.Join("live", "x")
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.hub.Publish(key, stream.Source{})
	if err != nil {
		t.Fatal(err)
	}
	source := &mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2), GOP: 30, FrameBytes: bytes}
	p.Write(source.Next())
	var writing sync.WaitGroup
	stop := make(chan struct{})
	writing.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for begun := time.Now(); ; {
			select {
			case <-tick.C:
			case <-stop:
				return
			}
			for p.Stream().Newest() < time.Since(begun) {
				p.Write(source.Next())
			}
		}
	})
	t.Cleanup(func() {
		close(stop)
		writing.Wait()
		p.Close()
	})
	return p.Stream()
}

func (s *testServer) waitNobody(t *testing.T) {
	t.Helper()
	waitFor(t, "all viewers to leave", func() bool { return s.hub.Stats().Viewers == 0 })
}

// Who comes when all places are taken is told so in the words of the protocol,
// and has a place when one is free.
func TestPlacesAreForAllProtocols(t *testing.T) {
	for _, c := range []struct {
		reason string
		change func(*config)
	}{
		{"max_viewers", func(c *config) { c.Stream.MaxViewers = 1 }},
		{"max_viewers_per_stream", func(c *config) { c.Stream.MaxViewersPerStream = 1 }},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			s := overloadable(t, c.change)
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			r, err := http.NewRequestWithContext(ctx, "GET", s.url("/live/x.flv"), nil)
			if err != nil {
				t.Fatal(err)
			}
			w, err := http.DefaultClient.Do(r)
			if err != nil || w.StatusCode != http.StatusOK {
				t.Fatal(err, w)
			}
			defer w.Body.Close()
			for _, p := range counted {
				if s.admitted(t, p, c.reason) {
					t.Errorf("%s has the place of another", p)
				}
			}
			if !s.admitted(t, "HLS", c.reason) {
				t.Error("players of HLS are counted")
			}
			refused := s.metric(t, `miju_viewers_refused_total{reason="`+c.reason+`"}`)
			// SRT callers that wait ask again, and may be refused twice.
			if refused < float64(len(counted)) || s.metric(t, "miju_viewers_admitted") != 1 || s.metric(t, `miju_viewers{protocol="http-flv"}`) != 1 {
				t.Errorf("%v are counted as refused", refused)
			}
			for _, protocol := range []string{"rtmp", "srt"} {
				series := fmt.Sprintf(`miju_players_ended_total{admitted="false",protocol=%q,reason="overloaded"}`, protocol)
				waitFor(t, series, func() bool { return s.metric(t, series) >= 1 })
			}
			_, body := get(t, s.adminURL("/api/v1/streams"))
			if strings.Count(body, `"viewers": 1`) != 2 || !strings.Contains(body, `"egressMbps": `) {
				t.Error(body)
			}
			leave()
			s.waitNobody(t)
			for _, p := range counted {
				if !s.admitted(t, p, c.reason) {
					t.Errorf("%s has no place", p)
				}
				s.waitNobody(t)
			}
		})
	}
}

// A line that is full takes no viewer of any protocol. Who plays HLS already
// goes on, for refusing a part would only make a player ask again.
func TestFullLine(t *testing.T) {
	t.Parallel()
	s := overloadable(t, func(c *config) { c.Stream.MaxEgress = 8 })
	for _, p := range append(counted, "HLS") {
		if !s.admitted(t, p, "max_egress") {
			t.Errorf("%s has no place on an empty line", p)
		}
		s.waitNobody(t)
	}
	list := video(t, s.url(""))
	begun := time.Now()
	s.hub.CountEgress(func() uint64 { return uint64(10e6 / 8 * time.Since(begun).Seconds()) })
	waitFor(t, "the line to be full", func() bool { return s.metric(t, "miju_egress_bits_per_second") > 8.1e6 })
	for _, p := range append(counted, "HLS") {
		if s.admitted(t, p, "max_egress") {
			t.Errorf("%s comes in over the limit", p)
		}
	}
	if n := s.metric(t, `miju_viewers_refused_total{reason="max_egress"}`); n < float64(len(counted)+1) {
		t.Errorf("%v are counted as refused", n)
	}
	if n := s.log.count("viewers are refused", "reason=max_egress"); n != 1 {
		t.Errorf("the log speaks of that %d times", n)
	}
	for _, path := range []string{"video.m3u8", list.parts[0].uri} {
		if a := ask(t, "GET", s.url("/live/x/"+path)); a.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if status, body := get(t, s.url("/live/nobody.m3u8")); status != http.StatusNotFound {
		t.Errorf("what is not live: %d %s", status, body)
	}
}
