package srt

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/ingest/srt/srttest"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/streamkey"
)

// TestThroughTheServer pushes a clip with one program and plays it with
// another, which joins in the middle of a GOP.
func TestThroughTheServer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ clip, publisher, player, passphrase string }{
		{"h264-aac.flv", "ffmpeg", "ffmpeg", ""},
		{"h264-bframes-aac.flv", "srt-live-transmit", "srt-live-transmit", passphrase},
		{"h265-aac.mp4", "ffmpeg", "srt-live-transmit", ""},
		{"video-only.flv", "ffmpeg", "ffmpeg", ""},
		{"audio-only.m4a", "ffmpeg", "srt-live-transmit", ""},
	} {
		t.Run(fmt.Sprintf("%s from %s to %s", c.clip, c.publisher, c.player), func(t *testing.T) {
			t.Parallel()
			file, want := muxed(t, c.clip, "8")
			s := newSite(t, func(config *Config, ic *ingest.Config) {
				config.Passphrase, ic.Probe, ic.PlayWait = c.passphrase, time.Second, time.Second
			})
			url := func(id string) string {
				if u := srtURL(s.listener, id); c.passphrase != "" {
					return u + "&passphrase=" + c.passphrase
				} else {
					return u
				}
			}
			if c.publisher == "ffmpeg" {
				client(t, "ffmpeg", "-v", "error", "-readrate", "1", "-i", file, "-c", "copy", "-f", "mpegts", url("publish:live/alice"))
			} else {
				transmit(t, file, "1", "11", url("publish:live/alice"))
			}
			key, err := streamkey.Parse("live/alice")
			if err != nil {
				t.Fatal(err)
			}
			await(t, "3 s of the stream", func() bool {
				live, err := s.hub.Lookup(key)
				return err == nil && live.Stats().Frames > uint64(len(want))*3/8
			})
			out := filepath.Join(t.TempDir(), "out.ts")
			play(t, c.player, url("#!::m=request,r=live/alice"), out)()
			got, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			checkRun(t, framesOf(t, got), want)
			for _, action := range []auth.Action{auth.Publish, auth.Play} {
				o := ingest.Outcome{Action: action, Protocol: "srt", Reason: ingest.ReasonEnded, Admitted: true}
				await(t, fmt.Sprintf("%+v", o), func() bool { return s.server.Stats().Ended[o] == 1 })
			}
		})
	}
}

// checkRun holds that the frames of each track are a run of what was sent
// that begins at a random access point, with sound and picture together, and
// goes on to the end.
func checkRun(t *testing.T, got, want []media.Frame) {
	t.Helper()
	var begin time.Duration
	for _, kind := range []media.Kind{media.KindVideo, media.KindAudio} {
		g, w := ofKind(got, kind), ofKind(want, kind)
		if len(w) == 0 {
			continue
		}
		if len(g) < len(w)/4 {
			t.Fatalf("%d frames of %v, %d were sent", len(g), kind, len(w))
		}
		// Many frames of sound are alike: the run is where all agree.
		at := -1
		for i := 0; i+len(g) <= len(w) && at < 0; i++ {
			if slices.EqualFunc(g, w[i:i+len(g)], func(a, b media.Frame) bool { return bytes.Equal(a.Data, b.Data) }) {
				at = i
			}
		}
		if at < 0 || at+len(g) < len(w)-40 {
			t.Fatalf("%d frames of %v are no run to the end of the %d that were sent (%d)", len(g), kind, len(w), at)
		}
		// Equal distances from the beginning: the player may count anew.
		if d := (g[len(g)-1].DTS - g[0].DTS) - (w[at+len(g)-1].DTS - w[at].DTS); d.Abs() > 2*time.Millisecond {
			t.Errorf("the times of %v are %v off", kind, d)
		}
		switch {
		case kind == media.KindVideo && !g[0].RandomAccess:
			t.Error("begins in the middle of a GOP")
		case kind == media.KindVideo:
			begin = w[at].DTS
		case begin != 0 && (w[at].DTS-begin).Abs() > 100*time.Millisecond:
			t.Errorf("sound begins %v from the picture", w[at].DTS-begin)
		}
	}
}

// TestPlayersStay has an encoder fall silent and come back: who plays the
// stream gets what both sent.
func TestPlayersStay(t *testing.T) {
	t.Parallel()
	file, want := muxed(t, "h264-aac.flv", "8")
	ts, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, func(_ *Config, ic *ingest.Config) { ic.PublishLinger = 20 * time.Second })
	first, err := srttest.Call(s.listener.Addr(), "publish:live/alice", 0)
	if err != nil {
		t.Fatal(err)
	}
	send := func(c *srttest.Caller, ts []byte) {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		begin := time.Now()
		for ; len(ts) > 0; <-tick.C {
			n := min(payloadSize, len(ts))
			c.Send(ts[:n], time.Since(begin))
			ts = ts[n:]
		}
	}
	send(first, ts[:len(ts)/2/188*188])
	out := filepath.Join(t.TempDir(), "out.ts")
	finish := play(t, "srt-live-transmit", srtURL(s.listener, "request:live/alice"), out)
	await(t, "the player", func() bool { return s.server.Stats().Players == 1 })
	first.Hang()
	await(t, "the end of the first", func() bool { return len(s.server.Recent()) == 1 })
	second, err := srttest.Call(s.listener.Addr(), "publish:live/alice", 0)
	if err != nil {
		t.Fatal(err)
	}
	send(second, ts)
	second.Leave()
	finish()
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	got := framesOf(t, b)
	for _, kind := range []media.Kind{media.KindVideo, media.KindAudio} {
		g, w := ofKind(got, kind), ofKind(want, kind)
		if len(g) < len(w)+20 || !bytes.Equal(g[len(g)-20].Data, w[len(w)-20].Data) && kind == media.KindVideo {
			t.Errorf("%d frames of %v", len(g), kind)
		}
		for i := 1; i < len(g); i++ {
			if g[i].DTS <= g[i-1].DTS {
				t.Errorf("%v: %v after %v", kind, g[i].DTS, g[i-1].DTS)
			}
		}
	}
}

// TestPlayersOfTheServer holds what the server tells players who cannot have
// what they want.
func TestPlayersOfTheServer(t *testing.T) {
	s := newSite(t, func(_ *Config, ic *ingest.Config) { ic.PlayWait = 0 })
	if _, err := dial(t, s.listener, "request:live/alice", "")(); err == nil || !bytes.Contains([]byte(err.Error()), []byte("(2b4)")) {
		t.Errorf("%v, want 2404", err) // 2b4 to base 32
	}
	o := ingest.Outcome{Action: auth.Play, Protocol: "srt", Reason: ingest.ReasonOffline}
	await(t, "the refusal", func() bool { return s.server.Stats().Ended[o] == 1 })
}
