package main

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/flv"
)

// TestWatchPagePlaysWithoutSound has hls.js and mpegts.js play encoders whose
// sound comes late or stops. Silence takes its place, so pictures go on: after
// at most one stall, when the sound stops, for silence begins a second later.
func TestWatchPagePlaysWithoutSound(t *testing.T) {
	s := start(t)
	clip := clipPath("h264-aac.flv")
	for _, c := range []struct {
		name  string
		sound []string // how ffmpeg reads it
		// engines are one each in the gate, all when soaking.
		engines []string
	}{
		{"late", []string{"-re", "-itsoffset", "8", "-stream_loop", "-1", "-i", clip}, []string{"hls"}},
		{"stops", []string{"-t", "10", "-stream_loop", "-1", "-i", clip}, []string{"flv"}},
	} {
		engines := c.engines
		if os.Getenv("MIJU_SOAK") != "" {
			engines = []string{"hls", "flv"}
		}
		for _, engine := range engines {
			t.Run(c.name+" "+engine, func(t *testing.T) {
				t.Parallel()
				var problems []string
				for try := range 3 { // the machine may be what stalls
					problem := s.playWithoutSound(t, fmt.Sprintf("%s-%s-%d", c.name, engine, try), engine, c.sound)
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

// playWithoutSound says what is wrong with how a page plays a clip's pictures
// with a sound of its own; empty if nothing is.
func (s *testServer) playWithoutSound(t *testing.T, name, engine string, sound []string) string {
	t.Helper()
	args := append([]string{"-v", "warning", "-re", "-stream_loop", "-1", "-i", clipPath("h264-aac.flv")}, sound...)
	// ffmpeg waits for sound to interleave for ten seconds otherwise.
	args = append(args, "-map", "0:v", "-map", "1:a", "-c", "copy", "-max_interleave_delta", "100000", "-f", "flv", s.rtmpURL(name))
	encoder := spawn(t, "ffmpeg", args...)
	defer encoder.kill()
	s.waitLive(t, name)
	var p playback
	page(t, &p, "play.mjs", s.url("/live/"+name+"?player="+engine), "15")
	if n := s.log.count("stream=live/"+name, "repair=silence"); n != 1 {
		t.Errorf("silence is logged %d times", n)
	}
	if _, api := get(t, s.adminURL("/api/v1/streams")); !strings.Contains(api, `"silence": 1`) {
		t.Errorf("the API says %s", api)
	}
	p.Stalls = max(0, p.Stalls-1)
	return p.problem(engine)
}

// TestPromisedPicturesComeLate: the viewers of an encoder that announces
// pictures and begins with sound get the pictures when they come.
func TestPromisedPicturesComeLate(t *testing.T) {
	t.Parallel()
	s := start(t)
	for try := range 3 { // the promise lapses after ten seconds, which a busy machine may take for the viewers
		if s.playLatePictures(t, fmt.Sprintf("late-%d", try)) {
			return
		}
	}
	t.Error("the viewers never came in time")
}

// playLatePictures returns false if the viewers came after the pictures.
func (s *testServer) playLatePictures(t *testing.T, name string) bool {
	var header tag
	var pictures atomic.Bool
	stop := s.publishTags(t, name, clipTags(t, "h264-aac.flv"), func(g tag) []tag {
		switch {
		case g.typ == flv.TypeVideo && g.header():
			header = g
			return nil
		case g.typ == flv.TypeVideo && !pictures.Load():
			return nil
		case g.typ == flv.TypeVideo && header.body != nil:
			first := header
			first.ts = g.ts
			header.body = nil
			return []tag{first, g}
		}
		return []tag{g}
	})
	s.waitLive(t, name)
	watchers := []watcher{
		probeToEnd(t, "HTTP-FLV", s.url("/live/"+name+".flv")),
		probeToEnd(t, "RTMP", s.rtmpURL(name)),
		probeToEnd(t, "HTTP-TS", s.url("/live/"+name+".ts")),
		webSocketToEnd(t, s, "/live/"+name+".flv"),
	}
	live := s.stream(t, name)
	waitFor(t, "the viewers", func() bool { return live.Stats().Readers == int64(len(watchers)) })
	before := live.Stats().Frames
	waitFor(t, "a second of sound", func() bool { return live.Stats().Frames > before+47 })
	inTime := len(live.Tracks().Promised) > 0
	pictures.Store(true)
	waitFor(t, "the pictures", func() bool { return live.Tracks().First(media.KindVideo) != nil })
	before = live.Stats().Frames
	waitFor(t, "five seconds of both", func() bool { return live.Stats().Frames > before+5*77 })
	stop()
	if inTime {
		for _, w := range watchers {
			w.check(t, "video audio", 60)
		}
	}
	return inTime
}
