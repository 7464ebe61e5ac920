package main

import (
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lxzan/gws"
)

// TestEdgeLife holds that edges see streams and servers end and start anew, as
// soon as the caches' times allow.
func TestEdgeLife(t *testing.T) {
	onEdges(t, func(t *testing.T, s *testServer, o *countedOrigin, e *edge) {
		p := push(t, "h264-aac.flv", "flv", s.rtmpURL("x"))
		s.waitLive(t, "x")
		old := edgeStreamEnds(t, s, o, e, p)
		push(t, "h264-aac.flv", "flv", s.rtmpURL("x"))
		old = edgeSees(t, o, e, old)

		o.behind.Store(nil)
		o.CloseClientConnections()
		s.stop()
		for range 3 {
			if a := ask(t, "GET", e.base+"/live/x/video.m3u8"+old.next); a.status < 500 {
				t.Errorf("%d while there is no origin", a.status)
			}
		}
		s = start(t)
		o.behind.Store(s)
		waitFor(t, "the edge to find the origin again", func() bool {
			return ask(t, "GET", e.base+"/live/x.m3u8").status == http.StatusNotFound
		})
		push(t, "h264-aac.flv", "flv", s.rtmpURL("x"))
		renewed := edgeSees(t, o, e, old)
		a := ask(t, "GET", e.base+"/live/x/video.m3u8"+old.next+"&_HLS_skip=YES")
		if l, err := parsePlaylist(a.body); err != nil || l.first < renewed.first {
			t.Errorf("a viewer of before gets %d %v\n%s", a.status, err, tail(a.body))
		}

		e.restart()
		l := video(t, e.base)
		if a := ask(t, "GET", e.base+"/live/x/"+l.hint); a.status != http.StatusOK {
			t.Errorf("%d for the next part after the edge began anew", a.status)
		}
	})
}

// edgeStreamEnds ends the publisher of live/x while a viewer waits at the edge
// for a part that does not come any more.
func edgeStreamEnds(t *testing.T, s *testServer, o *countedOrigin, e *edge, p *program) *llPlaylist {
	t.Helper()
	mediaPlaylist(t, s.url(""), "/live/x.m3u8")
	l := video(t, e.base)
	query, _ := l.ahead()
	waiting := make(chan answer, 1)
	go func() {
		a, err := request(t.Context(), "GET", e.base+"/live/x/video.m3u8"+query)
		if err != nil {
			t.Error(err)
		}
		waiting <- a
	}()
	waitFor(t, "the edge to ask", func() bool { n, _ := o.count("/live/x/video.m3u8" + query); return n > 0 })
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	a := <-waiting
	if a.status == http.StatusOK && strings.Contains(a.body, "#EXT-X-ENDLIST") {
		if cc := a.header.Get("Cache-Control"); cc != "max-age=1" {
			t.Errorf("Cache-Control of the end: %s", cc)
		}
	} else if !strings.Contains(a.body, strings.TrimPrefix(query[:strings.Index(query, "&")], "?_HLS_msn=")+"-4.mp4") {
		t.Errorf("%d, neither the end nor what was asked for:\n%s", a.status, a.body)
	}
	waitFor(t, "the end to be seen", func() bool {
		return strings.Contains(ask(t, "GET", e.base+"/live/x/video.m3u8").body, "#EXT-X-ENDLIST")
	})
	return l
}

// edgeSees waits until live/x is there anew, first at the origin, then at the
// edge, and holds that the edge is not far behind.
func edgeSees(t *testing.T, o *countedOrigin, e *edge, old *llPlaylist) *llPlaylist {
	t.Helper()
	wait := func(base string) *llPlaylist {
		var l *llPlaylist
		waitFor(t, "a new stream at "+base, func() bool {
			a := ask(t, "GET", base+"/live/x/video.m3u8")
			if a.status != http.StatusOK || strings.Contains(a.body, "#EXT-X-ENDLIST") {
				return false
			}
			var err error
			if l, err = parsePlaylist(a.body); err != nil {
				t.Fatal(err)
			}
			return l.first > old.first
		})
		return l
	}
	wait("http://" + o.Listener.Addr().String())
	began := time.Now()
	l := wait(e.base)
	if late := time.Since(began); late > 6*time.Second { // two of nginx's seconds, and a busy machine
		t.Errorf("the edge was %v late", late)
	} else {
		t.Logf("the edge was %v late", late)
	}
	return l
}

// TestEdgeStandstill holds that viewers who wait for what an encoder does not
// send hear so together, at the cost of one request.
func TestEdgeStandstill(t *testing.T) {
	onEdges(t, func(t *testing.T, s *testServer, o *countedOrigin, e *edge) {
		p := push(t, "h264-aac.flv", "flv", s.rtmpURL("x"))
		s.waitLive(t, "x")
		mediaPlaylist(t, s.url(""), "/live/x.m3u8")
		p.kill() // the stream stays, for its encoder may come back
		live := s.stream(t, "x")
		waitFor(t, "the encoder to be missed", func() bool { return !live.Publishing() })
		path := "/live/x/video.m3u8" + video(t, s.url("")).next
		var waiting sync.WaitGroup
		began := time.Now()
		for range 20 {
			waiting.Go(func() {
				a, err := request(t.Context(), "GET", e.base+path)
				if err != nil || a.status != http.StatusServiceUnavailable {
					t.Errorf("%d %v %.200s", a.status, err, a.body)
				}
			})
		}
		waiting.Wait()
		requests, _ := o.count(path)
		t.Logf("after %v, at the cost of %d requests", time.Since(began), requests)
		if requests > 2 {
			t.Errorf("the origin had %d requests", requests)
		}
	}, func(c *config) { c.Ingest.PublishLinger = time.Minute })
}

// chatFrames gets what a room says.
type chatFrames struct {
	gws.BuiltinEventHandler
	frames chan string
}

func (c chatFrames) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer m.Close()
	c.frames <- m.Data.String()
}

// TestEdgeConnections holds that what lasts goes through an edge both ways, and
// ends at the origin when it ends at the edge.
func TestEdgeConnections(t *testing.T) {
	onEdges(t, func(t *testing.T, s *testServer, _ *countedOrigin, e *edge) {
		push(t, "h264-aac.flv", "flv", s.rtmpURL("x"))
		s.waitLive(t, "x")

		for _, path := range []string{"/live/x.flv?a=b", "/live/x.ts"} {
			w, err := http.Get(e.base + path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(w.Body, make([]byte, 10000)); err != nil {
				t.Error(err)
			}
			if st := s.origin.Stats(); st.FLVViewers+st.TSViewers != 1 {
				t.Errorf("%d viewers of FLV and %d of MPEG-TS", st.FLVViewers, st.TSViewers)
			}
			w.Body.Close()
			waitFor(t, "the viewer to leave the origin", func() bool {
				st := s.origin.Stats()
				return st.FLVViewers+st.TSViewers == 0
			})
		}
		if _, err := io.ReadFull(dialWebSocketFLV(t, "ws"+strings.TrimPrefix(e.base, "http")+"/live/x.flv"), make([]byte, 10000)); err != nil {
			t.Error(err)
		}

		// A browser says which page it comes from, and the chat wants its own.
		room := chatFrames{frames: make(chan string, 100)}
		c, _, err := gws.NewClient(room, &gws.ClientOption{
			Addr: "ws" + strings.TrimPrefix(e.base, "http") + "/live/x/chat", RequestHeader: http.Header{"Origin": {e.base}},
		})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { defer close(done); c.ReadLoop() }()
		if err := c.WriteString(`{"type":"join","name":"Ann"}`); err != nil {
			t.Error(err)
		}
		select {
		case frame := <-room.frames:
			if !strings.Contains(frame, `"welcome"`) || !strings.Contains(frame, `"live":true`) {
				t.Error(frame)
			}
		case <-time.After(patience):
			t.Error("no welcome")
		}
		c.NetConn().Close()
		<-done
	})
}
