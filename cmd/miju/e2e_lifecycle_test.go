package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"github.com/miju-live/miju/remux/flv"
)

// watcher is a player that notes every packet until its stream ends.
type watcher struct {
	name    string
	packets func() []packet
}

// probeToEnd has ffprobe read a URL until it ends.
func probeToEnd(t *testing.T, name, url string) watcher {
	t.Helper()
	// ffprobe 5.1 prints broken JSON for packets with side data.
	p := spawn(t, "ffprobe", "-v", "error", "-show_entries", "packet=codec_type,pts_time,dts_time,flags", "-of", "csv=p=0", url)
	return watcher{name, func() []packet {
		p.wait(t)
		var all []packet
		for line := range strings.Lines(p.output.String()) {
			if f := strings.Split(strings.TrimSpace(line), ","); len(f) >= 4 && (f[0] == "video" || f[0] == "audio") {
				all = append(all, packet{Type: f[0], PTS: f[1], DTS: f[2], Flags: f[3]})
			}
		}
		return all
	}}
}

// webSocketToEnd reads WebSocket-FLV until it ends.
func webSocketToEnd(t *testing.T, s *testServer, path string) watcher {
	t.Helper()
	body := dialWebSocketFLV(t, fmt.Sprintf("ws://%s%s", s.http.Addr(), path))
	got := make(chan []packet, 1)
	go func() {
		var all []packet
		r := flv.NewReader(body)
		for {
			typ, ts, tag, err := r.ReadTag()
			if err != nil {
				got <- all
				return
			}
			kind := map[byte]string{flv.TypeVideo: "video", flv.TypeAudio: "audio"}[typ]
			if kind == "" || len(tag) < 2 || tag[1] == 0 { // script data and sequence headers
				continue
			}
			all = append(all, packet{Type: kind, DTS: fmt.Sprint(ts.Seconds()), PTS: fmt.Sprint(ts.Seconds()), Flags: "K"})
		}
	}()
	return watcher{"WebSocket-FLV", func() []packet {
		select {
		case all := <-got:
			return all
		case <-time.After(patience):
			t.Fatal("the WebSocket stays open")
			return nil
		}
	}}
}

// webSocketBody is what a WebSocket's binary messages hold, as a stream.
type webSocketBody struct {
	gws.BuiltinEventHandler
	w *io.PipeWriter
}

func (b webSocketBody) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer m.Close()
	b.w.Write(m.Bytes()) // fails once the reader is gone
}

func (b webSocketBody) OnClose(*gws.Conn, error) { b.w.Close() }

func dialWebSocketFLV(t *testing.T, url string) io.Reader {
	t.Helper()
	r, w := io.Pipe()
	c, _, err := gws.NewClient(webSocketBody{w: w}, &gws.ClientOption{Addr: url})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); c.ReadLoop() }()
	t.Cleanup(func() {
		r.Close()
		c.NetConn().Close()
		<-done
	})
	return r
}

// check holds a watcher's packets against two publishers of some seconds each:
// DTS rising on every track, none of the two missing.
func (w watcher) check(t *testing.T, kinds string, least int) {
	t.Helper()
	last, count := map[string]time.Duration{}, map[string]int{}
	for _, p := range w.packets() {
		dts := p.seconds(t, p.DTS)
		if before, seen := last[p.Type]; seen && dts <= before {
			t.Errorf("%s: %s packet %d has DTS %v after %v", w.name, p.Type, count[p.Type], dts, before)
		}
		last[p.Type] = dts
		count[p.Type]++
	}
	for kind := range strings.FieldsSeq(kinds) {
		if count[kind] < least {
			t.Errorf("%s: %d %s packets, %d at least were sent", w.name, count[kind], kind, least)
		}
	}
	t.Logf("%s: %v, to %v", w.name, count, last)
}

// TestPublisherComesBack cuts an encoder off and has it, or another one, come
// back three seconds later: viewers of every kind stay and go on.
func TestPublisherComesBack(t *testing.T) {
	s := start(t)
	const rtmp, srt = "flv", "mpegts"
	for i, c := range []struct {
		name          string
		first, second string // clips
		from, to      string // protocols
		kinds         string
	}{
		{"RTMP and RTMP again", "h264-aac.flv", "h264-aac.flv", rtmp, rtmp, "video audio"},
		{"RTMP gone, SRT returns", "h264-aac.flv", "h264-aac.flv", rtmp, srt, "video audio"},
		{"SRT gone, RTMP returns", "h264-aac.flv", "h264-aac.flv", srt, rtmp, "video audio"},
		{"other parameter sets", "h264-aac.flv", "h264-bframes-aac.flv", rtmp, rtmp, "video audio"},
		{"without its sound", "h264-aac.flv", "video-only.flv", rtmp, rtmp, "video"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			name := fmt.Sprintf("back-%d", i)
			publish := func(clip, protocol string) *program {
				if protocol == rtmp {
					return push(t, clip, rtmp, s.rtmpURL(name))
				}
				return push(t, clip, srt, s.srtURL("publish:live/"+name))
			}
			first := publish(c.first, c.from)
			s.waitLive(t, name)
			watchers := []watcher{
				probeToEnd(t, "HTTP-FLV", s.url("/live/"+name+".flv")),
				webSocketToEnd(t, s, "/live/"+name+".flv"),
				probeToEnd(t, "RTMP", s.rtmpURL(name)),
				probeToEnd(t, "SRT", s.srtURL("read:live/"+name)),
				probeToEnd(t, "HTTP-TS", s.url("/live/"+name+".ts")),
			}
			live := s.stream(t, name)
			waitFor(t, "the viewers", func() bool { return live.Stats().Readers == int64(len(watchers)) })
			_, body := get(t, s.url("/live/"+name+"/video.m3u8")) // HLS is watched, too
			before := live.Stats().Frames
			waitFor(t, "five seconds of the stream", func() bool { return live.Stats().Frames > before+5*70 })
			first.kill()
			<-time.After(3 * time.Second) // that the encoder is away is what is tested
			second := publish(c.second, c.to)
			waitFor(t, "the stream to be resumed", func() bool { return live.Stats().Resumed == 1 })
			before = live.Stats().Frames
			waitFor(t, "five more seconds", func() bool { return live.Stats().Frames > before+5*30 })
			if n := live.Stats().Readers; n < int64(len(watchers)) {
				t.Errorf("%d of %d viewers are left", n, len(watchers))
			}
			_, after := get(t, s.url("/live/"+name+"/video.m3u8"))
			if n := strings.Count(after, "#EXT-X-DISCONTINUITY\n"); n != 1 {
				t.Errorf("%d discontinuities in the playlist:\n%s\nbefore:\n%s", n, after, body)
			}
			if err := second.cmd.Process.Signal(os.Interrupt); err != nil {
				t.Error(err)
			}
			second.wait(t)
			for _, w := range watchers {
				w.check(t, c.kinds, 250)
			}
		})
	}
}

// TestEncoderDoesNotComeBack: its viewers get an end once the time is over.
func TestEncoderDoesNotComeBack(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *config) { c.Ingest.PublishLinger = 2 * time.Second })
	p := push(t, "h264-aac.flv", "flv", s.rtmpURL("x"))
	s.waitLive(t, "x")
	w := probeToEnd(t, "HTTP-FLV", s.url("/live/x.flv"))
	live := s.stream(t, "x")
	waitFor(t, "the viewer", func() bool { return live.Stats().Readers == 1 })
	p.kill()
	waitFor(t, "the stream to wait", func() bool { return !live.Publishing() })
	_, api := get(t, s.adminURL("/api/v1/streams"))
	if !strings.Contains(api, `"publisher": null`) {
		t.Error(api)
	}
	if len(w.packets()) == 0 {
		t.Error("no packet")
	}
	if status, _ := get(t, s.url("/live/x.flv")); status != http.StatusNotFound {
		t.Error(status)
	}
}

// TestOperatorEndsAStream kicks an encoder, which is refused for a while.
func TestOperatorEndsAStream(t *testing.T) {
	t.Parallel()
	s := start(t)
	p := push(t, "h264-aac.flv", "flv", s.rtmpURL("x"))
	s.waitLive(t, "x")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, s.adminURL("/api/v1/streams/live/x?hold=1h"), nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusOK {
		t.Fatal(r.Status)
	}
	if p.wait(t) == nil {
		t.Error("ffmpeg ends as if all were well")
	}
	waitFor(t, "the log line", func() bool { return s.log.count("reason=kicked", "publisher ended") == 1 })
	if push(t, "h264-aac.flv", "flv", s.rtmpURL("x")).wait(t) == nil {
		t.Error("it publishes again")
	}
	waitFor(t, "the log line", func() bool { return s.log.count("reason=kicked", "publisher refused") == 1 })
	if push(t, "h264-aac.flv", "mpegts", s.srtURL("publish:live/x")).wait(t) == nil {
		t.Error("it publishes again, by SRT")
	}
}

// TestTakeoverByTheSameEncoder: an encoder that starts anew while its old
// connection hangs takes its stream over, and the old one stays out.
func TestTakeoverByTheSameEncoder(t *testing.T) {
	t.Parallel()
	s := start(t)
	first := push(t, "h264-aac.flv", "flv", s.rtmpURL("x"))
	s.waitLive(t, "x")
	w := probeToEnd(t, "HTTP-FLV", s.url("/live/x.flv"))
	live := s.stream(t, "x")
	waitFor(t, "the viewer", func() bool { return live.Stats().Readers == 1 })
	second := push(t, "h264-bframes-aac.flv", "flv", s.rtmpURL("x"))
	waitFor(t, "the takeover", func() bool { return live.Stats().Resumed == 1 })
	first.wait(t)
	waitFor(t, "the log line", func() bool { return s.log.count("reason=replaced", "publisher ended") == 1 })
	if push(t, "h264-aac.flv", "flv", s.rtmpURL("x")).wait(t) == nil {
		t.Error("the one replaced is back at once")
	}
	before := live.Stats().Frames
	waitFor(t, "more of the stream", func() bool { return live.Stats().Frames > before+200 })
	if err := second.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	w.check(t, "video audio", 60)
}
