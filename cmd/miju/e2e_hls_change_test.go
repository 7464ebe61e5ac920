package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miju-live/miju/remux/hls/hlstest"
)

// TestHLSRulesOverChanges follows a stream whose encoder is cut off and comes
// back three seconds later, as it was or another, then ends and begins anew
// under its key: all rules hold throughout.
func TestHLSRulesOverChanges(t *testing.T) {
	t.Parallel()
	const rtmp, srt = "flv", "mpegts"
	soak := os.Getenv("MIJU_SOAK") != ""
	for i, c := range []struct {
		name          string
		first, second string // clips
		from, to      string // protocols
		gate          bool
		window        time.Duration
	}{
		{name: "as it was", first: "h264-aac.flv", second: "h264-aac.flv", from: rtmp, to: rtmp, gate: true, window: 10 * time.Second},
		{name: "B-frames", first: "h264-aac.flv", second: "h264-bframes-aac.flv", from: rtmp, to: rtmp},
		{name: "another codec", first: "h264-bframes-aac.flv", second: "h265-aac.mp4", from: rtmp, to: srt, gate: true},
		{name: "codec back", first: "h265-aac.mp4", second: "h264-aac.flv", from: srt, to: rtmp},
		{name: "by SRT again", first: "h264-aac.flv", second: "h264-aac.flv", from: srt, to: srt},
		{name: "without its sound", first: "h264-aac.flv", second: "video-only.flv", from: rtmp, to: rtmp},
	} {
		if !c.gate && !soak {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, func(config *config) {
				// A target of 2 s makes delta updates after 12 s, and with a
				// window as short as that the discontinuity leaves it.
				config.Origin.HLS.Segment, config.Origin.HLS.StartWait = time.Second, 2*time.Second
				if c.window > 0 {
					config.Origin.HLS.Window = c.window
				}
			})
			name := fmt.Sprintf("change-%d", i)
			publish := func(clip, protocol string) *program {
				if protocol == rtmp {
					return push(t, clip, rtmp, s.rtmpURL(name))
				}
				return push(t, clip, srt, s.srtURL("publish:live/"+name))
			}
			first := publish(c.first, c.from)
			s.waitLive(t, name)
			live := s.stream(t, name)
			f := newFollower(s, name, false)
			f.keep = true
			found := make(chan []string, 1)
			go func() { found <- f.follow(t.Context(), 5*patience) }()
			waitFor(t, "six segments", func() bool { return f.count() >= 6 })
			first.kill()
			<-time.After(3 * time.Second) // that the encoder is away is what is tested
			second := publish(c.second, c.to)
			waitFor(t, "the stream to be resumed", func() bool { return live.Stats().Resumed == 1 })
			before := f.count()
			waitFor(t, "more segments", func() bool { return f.count() >= before+16 })
			last := s.endHLS(t, name, second)
			f.report(t, <-found)
			skips, removed := secondOpinions(t, f.texts)
			if c.window == 0 && skips == 0 || c.window > 0 && !removed {
				t.Errorf("%d delta updates, the discontinuity left the window: %v", skips, removed)
			}
			publish(c.first, c.from)
			s.waitLive(t, name)
			waitFor(t, "the next stream", func() bool {
				text, err := f.get(t.Context(), "/video.m3u8", "application/vnd.apple.mpegurl")
				return err == nil && !strings.Contains(string(text), "ENDLIST")
			})
			next := s.playlist(t, name)
			if next.MediaSequence <= last.End().MSN || next.DiscontinuitySequence <= last.DiscontinuitySequence {
				t.Errorf("after segment %d with discontinuity sequence number %d the next stream begins with %d and %d",
					last.End().MSN, last.DiscontinuitySequence, next.MediaSequence, next.DiscontinuitySequence)
			}
		})
	}
}

// count is how many segments were fetched.
func (f *follower) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.segments
}

// endHLS ends a stream and returns the playlist that says so.
func (s *testServer) endHLS(t *testing.T, name string, p *program) *hlstest.Playlist {
	t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	p.wait(t)
	var last *hlstest.Playlist
	waitFor(t, "the end of "+name, func() bool {
		last = s.playlist(t, name)
		return last.Ended
	})
	return last
}

// playlist returns the media playlist of a stream's pictures.
func (s *testServer) playlist(t *testing.T, name string) *hlstest.Playlist {
	t.Helper()
	f := newFollower(s, name, false)
	defer f.client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b, err := f.get(ctx, "/video.m3u8", "application/vnd.apple.mpegurl")
	if err != nil {
		t.Fatal(err)
	}
	l, err := hlstest.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
