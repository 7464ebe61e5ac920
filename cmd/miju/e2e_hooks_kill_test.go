package main

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/hooks"
	"github.com/miju-live/miju/ingest/srt/srttest"
)

// TestEventsOutliveKills kills the server and the backend at any moment, while
// publishers come and go: no event is lost, none is done twice, and each stream's
// come in their order.
func TestEventsOutliveKills(t *testing.T) {
	t.Parallel()
	path, _ := secretFile(t)
	b := runBackend(t, "hookbackend", "-secret", path)
	rtmp := freeAddr(t)
	p := &chatProcess{http: freeAddr(t), admin: freeAddr(t)}
	p.args = []string{
		"--rtmp=" + rtmp, "--srt=", "--http=" + p.http, "--admin=" + p.admin, "--data-dir=" + filepath.Join(t.TempDir(), "data"), "--probe=0s",
		"--publish-linger=200ms", "--hook=http://" + b.addr, "--hook-secret=" + path, "--hook-viewers=1s",
	}
	p.begin(t)
	ctx, stop := context.WithCancel(t.Context())
	var publishing sync.WaitGroup
	defer publishing.Wait()
	defer stop()
	for _, name := range []string{"a", "b", "c"} {
		publishing.Go(func() { comeAndGo(ctx, "rtmp://"+rtmp+"/live/"+name) })
	}
	count := func() (n int) {
		for _, events := range b.events(t) {
			n += len(events)
		}
		return n
	}
	for round := range 6 {
		enough := count() + 20
		waitFor(t, "events", func() bool { return count() >= enough })
		<-time.After(rand.N(50 * time.Millisecond)) // at any moment of what is written
		if round%2 == 0 {
			p.kill()
			p.begin(t)
		} else {
			b.kill()
			b.begin(t)
		}
	}
	stop()
	publishing.Wait()
	waitFor(t, "all streams to end", func() bool {
		_, metrics := get(t, "http://"+p.admin+"/metrics")
		if !strings.Contains(metrics, "\nmiju_streams 0\n") || !strings.Contains(metrics, "\nmiju_hook_waiting 0\n") {
			return false
		}
		for _, events := range b.events(t) {
			if events[len(events)-1].Type != "stream.ended" {
				return false
			}
		}
		return true
	})
	all := b.events(t)
	checkJournal(t, all)
	lost := 0
	for _, events := range all {
		for _, e := range events {
			if e.Reason == "server_lost" {
				lost++
			}
		}
	}
	if len(all) != 3 || lost == 0 {
		t.Errorf("%d streams, %d of them lost with the server", len(all), lost)
	}
	t.Logf("%d events, %d of streams that the server was killed under", count(), lost)
}

// comeAndGo publishes again and again for a moment, and leaves now properly, now
// not.
func comeAndGo(ctx context.Context, url string) {
	for ctx.Err() == nil {
		p, err := publishShortly(ctx, url)
		if err == nil {
			<-time.After(rand.N(40 * time.Millisecond))
			if err = p.write(ctx, 3); err == nil && rand.N(2) == 0 {
				p.Close()
				continue
			}
			p.cut()
		}
		select { // a server that is not there, or a cut that it has not noticed
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// TestSlowApplication: who it decides about too slowly waits alone, and an SRT
// caller is answered by --hook-fail before it gives up.
func TestSlowApplication(t *testing.T) {
	t.Parallel()
	asked := make(chan bool, 10)
	application := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil && strings.Contains(string(body), "live/slow") {
			asked <- true
			<-r.Context().Done()
		}
	}))
	t.Cleanup(application.Close)
	s := startWith(t, nil, func(c *config) {
		c.Auth.Publish, c.Auth.Play, c.Hooks.URL, c.Hooks.Fail, c.Hooks.Timeout, c.Hooks.Tells = auth.ByHook, auth.ByHook, application.URL, hooks.FailOpen, 30*time.Second, ""
		c.Ingest.Probe = 0
	})
	called := make(chan error, 1)
	go func() {
		c, err := srttest.Call(s.srt.Addr(), "#!::r=live/slow,m=publish", 0)
		if err == nil {
			c.Leave()
		}
		called <- err
	}()
	ctx, leave := context.WithCancel(t.Context())
	watched := make(chan bool, 1)
	go func() {
		defer close(watched)
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url("/live/slow.flv"), nil)
		if err != nil {
			t.Error(err)
			return
		}
		if resp, err := http.DefaultClient.Do(r); err == nil {
			resp.Body.Close()
			watched <- true
		}
	}()
	<-asked
	<-asked
	p, err := publishShortly(t.Context(), s.rtmpURL("quick"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	s.waitLive(t, "quick")
	leave()
	if <-watched {
		t.Error("the viewer did not wait")
	}
	if err := <-called; err != nil {
		t.Errorf("SRT: %v", err)
	}
}
