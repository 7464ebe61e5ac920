package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// page runs one of the scripts that drive the watch page in Chromium and
// reads the JSON that it prints.
func page(t *testing.T, result any, script string, args ...string) {
	t.Helper()
	if err := runPage(t, result, script, args...); err != nil {
		t.Fatal(err)
	}
}

// runPage is page for any goroutine.
func runPage(t *testing.T, result any, script string, args ...string) error {
	t.Helper()
	web := filepath.Join("..", "..", "origin", "web")
	if _, err := os.Stat(filepath.Join(web, "dist", "index.html")); err != nil {
		return fmt.Errorf("run \"make web\": %w", err)
	}
	if _, err := exec.LookPath("chromium"); err != nil {
		return err
	}
	out := command(t, false, "node", append([]string{filepath.Join(web, "e2e", script)}, args...)...)
	if err := json.Unmarshal(out, result); err != nil {
		return fmt.Errorf("%s printed %s: %w", script, tail(string(out)), err)
	}
	return nil
}

type playback struct {
	Engine  string
	Started bool
	Samples []sample
	Stalls  int
	Errors  []string
	// Muted is how the browser lets a page begin that nobody has touched,
	// and then the page must offer the sound.
	Muted, OffersSound bool
}

// TestWatchPagePlays has hls.js and mpegts.js play in Chromium: at real speed
// for 15 s, without a stall once started.
func TestWatchPagePlays(t *testing.T) {
	s := start(t)
	// One engine for each clip in the gate, both when soaking.
	for clip, engines := range map[string][]string{"h264-aac.flv": {"hls"}, "h264-bframes-aac.flv": {"flv"}} {
		if os.Getenv("MIJU_SOAK") != "" {
			engines = []string{"hls", "flv"}
		}
		name := strings.TrimSuffix(clip, ".flv")
		push(t, clip, "flv", s.rtmpURL(name))
		s.waitLive(t, name)
		for _, engine := range engines {
			t.Run(engine+" "+name, func(t *testing.T) {
				t.Parallel()
				// A browser that the machine lets wait for half a second
				// stalls whatever the server does; three times in a row is ours.
				var problems []string
				for range 3 {
					var p playback
					page(t, &p, "play.mjs", s.url("/live/"+name+"?player="+engine), "15")
					problem := p.problem(engine)
					if problem == "" {
						return
					}
					t.Log(problem)
					problems = append(problems, problem)
				}
				t.Error(problems)
			})
		}
	}
}

type sample struct{ T, CurrentTime, Latency float64 }

// problem says what is wrong with a playback; empty if nothing is.
func (p playback) problem(engine string) string {
	if !p.Started || len(p.Samples) < 10 {
		return fmt.Sprintf("it did not start: %+v", p)
	}
	first, last := p.Samples[0], p.Samples[len(p.Samples)-1]
	played, passed := last.CurrentTime-first.CurrentTime, last.T-first.T
	switch {
	// Players speed up by a few percent to reach their target latency.
	case passed < 14 || played < 0.9*passed || played > 1.1*passed:
		return fmt.Sprintf("%.2f s were played in %.2f s", played, passed)
	case p.Muted != p.OffersSound:
		return fmt.Sprintf("muted %v, sound is offered %v", p.Muted, p.OffersSound)
	case p.Stalls > 0 || len(p.Errors) > 0:
		return fmt.Sprintf("%d stalls, errors %q", p.Stalls, p.Errors)
	case engine == "hls" && (last.Latency <= 0 || last.Latency >= 3):
		return fmt.Sprintf("hls.js reports a latency of %.2f s", last.Latency)
	}
	return ""
}

// TestWatchPageOutlivesItsEncoder cuts the encoder off in the middle: pages that
// play go on by themselves once it is back.
func TestWatchPageOutlivesItsEncoder(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, engine := range []string{"hls", "flv"} {
		t.Run(engine, func(t *testing.T) {
			name := "cut-" + engine
			first := push(t, "h264-aac.flv", "flv", s.rtmpURL(name))
			s.waitLive(t, name)
			live := s.stream(t, name)
			var p playback
			played := make(chan error, 1)
			go func() { played <- runPage(t, &p, "play.mjs", s.url("/live/"+name+"?player="+engine), "22") }()
			waitFor(t, "the page to play", func() bool { return live.Stats().Readers > 0 })
			before := live.Stats().Frames
			waitFor(t, "eight seconds of the stream", func() bool { return live.Stats().Frames > before+8*77 })
			first.kill()
			<-time.After(3 * time.Second) // that the encoder is away is what is tested
			push(t, "h264-aac.flv", "flv", s.rtmpURL(name))
			if err := <-played; err != nil {
				t.Fatal(err)
			}
			if !p.Started || len(p.Samples) < 15 || live.Stats().Resumed != 1 {
				t.Fatalf("resumed %d times, %+v", live.Stats().Resumed, p)
			}
			last := p.Samples[len(p.Samples)-1]
			at := slices.IndexFunc(p.Samples, func(s sample) bool { return s.T >= last.T-5 })
			if played := last.CurrentTime - p.Samples[at].CurrentTime; played < 3 {
				t.Errorf("of the last five seconds %.2f s were played: %+v", played, p)
			}
			t.Logf("%d stalls, errors %q, %.2f s played in %.2f s", p.Stalls, p.Errors, last.CurrentTime-p.Samples[0].CurrentTime, last.T-p.Samples[0].T)
		})
	}
}

// TestWatchPageChats has two tabs talk, with the operator joining in.
func TestWatchPageChats(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *config) { c.Files.Demo = true })
	s.waitLive(t, "demo")
	begun := time.Now()
	var got struct {
		Sent, Received []string
		Online         []int
		Errors         []string
	}
	page(t, &got, "chat.mjs", s.url("/live/demo"))
	t.Logf("two tabs chatted in %v: %+v", time.Since(begun), got)
	if len(got.Errors) > 0 || len(got.Sent) == 0 {
		t.Errorf("%+v", got)
	}
}
