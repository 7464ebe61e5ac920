package main

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

// seen is what player.mjs saw of a player. Latencies are in seconds, from when
// the stream's clock says a picture came to when it is shown.
type seen struct {
	Started                  bool
	Samples                  []sample
	Waits                    []struct{ At, Lasted float64 } // stalls, in seconds
	Still                    float64                        // seconds without progress
	Errors, Failures, Minor  []string
	Variants, Width, Dropped int
}

// latency returns the median and the highest of the last part of the samples.
func (p seen) latency() (median, highest float64) {
	var all []float64
	for _, s := range p.Samples[len(p.Samples)/3:] {
		all = append(all, s.Latency)
	}
	slices.Sort(all)
	return all[len(all)/2], all[len(all)-1]
}

// problem says what is wrong with playing a stream that did not break; empty
// if nothing is.
func (p seen) problem(engine string, d time.Duration, latency float64) string {
	if !p.Started || len(p.Samples) < int(d.Seconds()) {
		return fmt.Sprintf("it did not start: %+v", p)
	}
	first, last := p.Samples[0], p.Samples[len(p.Samples)-1]
	median, _ := p.latency()
	switch played, passed := last.CurrentTime-first.CurrentTime, last.T-first.T; {
	case played < 0.9*passed || played > 1.1*passed:
		return fmt.Sprintf("%.2f s were played in %.2f s: %+v", played, passed, p)
	case len(p.Waits) > 0 || p.Still > 1 || len(p.Failures) > 0:
		return fmt.Sprintf("stalls %v, still for %.2f s, failures %q, %q", p.Waits, p.Still, p.Failures, p.Minor)
	// shaka-player takes its date from a first listed segment, and renditions
	// may begin a segment apart.
	case median <= 0 && engine != "shaka" || median <= -2 || median >= latency:
		return fmt.Sprintf("the latency is %.2f s", median)
	}
	return ""
}

// TestHLSPlayers has hls.js and shaka-player play in Chromium: without a stall
// once started, less than two seconds behind what the encoder sent.
func TestHLSPlayers(t *testing.T) {
	// The watch page plays with hls.js in the gate.
	d, engines := 20*time.Second, []string{"shaka"}
	if os.Getenv("MIJU_SOAK") != "" {
		d, engines = time.Minute, []string{"hls.js", "shaka"}
	}
	s := start(t)
	push(t, "h264-aac.flv", "flv", s.rtmpURL("x"))
	s.waitSegments(t, "x")
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			var problems []string
			for range 3 { // a browser that the machine lets wait stalls whatever the server does
				var p seen
				page(t, &p, "player.mjs", engine, s.url("/live/x.m3u8"), fmt.Sprint(d.Seconds()))
				problem := p.problem(engine, d, 2)
				if problem == "" {
					median, highest := p.latency()
					t.Logf("%v without a stall, %.2f s behind, %.2f s at most; minor events %q", d, median, highest, p.Minor)
					return
				}
				t.Log(problem)
				problems = append(problems, problem)
			}
			t.Error(problems)
		})
	}
}

// waitSegments waits until three segments are whole. shaka-player 5.2 probes a
// segment in the middle, and gives up if that is the one that grows.
func (s *testServer) waitSegments(t *testing.T, name string) {
	t.Helper()
	s.waitLive(t, name)
	waitFor(t, "three segments of "+name, func() bool { return len(s.playlist(t, name).Segments) > 3 })
}

// TestSoakHLSPlayersStay cuts the encoder off while they play, and has it come
// back with other parameter sets after three seconds.
func TestSoakHLSPlayersStay(t *testing.T) {
	if os.Getenv("MIJU_SOAK") == "" {
		t.Skip("make soak runs it")
	}
	t.Parallel()
	s := start(t)
	for _, engine := range []string{"hls.js", "shaka"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			name := "stay-" + engine[:3]
			first := push(t, "h264-aac.flv", "flv", s.rtmpURL(name))
			s.waitSegments(t, name)
			live := s.stream(t, name)
			var p seen
			played := make(chan error, 1)
			go func() { played <- runPage(t, &p, "player.mjs", engine, s.url("/live/"+name+".m3u8"), "26") }()
			waitFor(t, "the player", func() bool { return live.Stats().Readers > 0 })
			before := live.Stats().Frames
			waitFor(t, "eight seconds of the stream", func() bool { return live.Stats().Frames > before+8*77 })
			first.kill()
			<-time.After(3 * time.Second) // that the encoder is away is what is tested
			push(t, "h264-bframes-aac.flv", "flv", s.rtmpURL(name))
			if err := <-played; err != nil {
				t.Fatal(err)
			}
			if !p.Started || len(p.Samples) < 20 || live.Stats().Resumed != 1 {
				t.Fatalf("resumed %d times, %+v", live.Stats().Resumed, p)
			}
			last := p.Samples[len(p.Samples)-1]
			at := slices.IndexFunc(p.Samples, func(s sample) bool { return s.T >= last.T-5 })
			if played := last.CurrentTime - p.Samples[at].CurrentTime; played < 3 || len(p.Failures) > 0 {
				t.Errorf("of the last five seconds %.2f s were played: %+v", played, p)
			}
			t.Logf("stalls %v, still for %.2f s, %.2f s behind at the end; minor events %q", p.Waits, p.Still, last.Latency, p.Minor)
		})
	}
}
