package ingest

import (
	"testing"
	"time"

	"github.com/miju-live/miju/media"
)

// TestAnchorIsSlewed: an anchor that is wrong, or a clock that drifts, is
// followed by a millisecond a second, and the media stays as it is.
func TestAnchorIsSlewed(t *testing.T) {
	for _, c := range []struct {
		name  string
		delay func(at time.Duration) time.Duration // of frames, by the encoder's time
		after time.Duration
		want  time.Duration // how far the anchor has moved
	}{
		{"no drift", func(time.Duration) time.Duration { return 0 }, time.Hour, 0},
		{"50 ppm slow", func(at time.Duration) time.Duration { return at * 50 / 1e6 }, time.Hour, 180 * time.Millisecond},
		{"50 ppm fast", func(at time.Duration) time.Duration { return -at * 50 / 1e6 }, time.Hour, -180 * time.Millisecond},
		{"2 % slow is more than it follows", func(at time.Duration) time.Duration { return at / 50 }, 1000 * time.Second, time.Second},
		{"began with a burst of old frames", func(at time.Duration) time.Duration {
			return max(0, 600*time.Millisecond-at)
		}, 300 * time.Second, -300 * time.Millisecond},
		{"a stall now and then", func(at time.Duration) time.Duration {
			if at%(60*time.Second) > 57*time.Second {
				return 60*time.Second - at%(60*time.Second)
			}
			return 0
		}, time.Hour, 0},
		{"delay that stays", func(at time.Duration) time.Duration {
			if at > time.Minute {
				return 400 * time.Millisecond
			}
			return 0
		}, 20 * time.Minute, 400 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRun(t)
			var sets []*media.TrackSet
			var when []time.Duration
			for at := time.Duration(0); at < c.after; at += 40 * time.Millisecond {
				r.frames = r.frames[:0]
				r.play(media.Frame{Track: video, DTS: at, PTS: at, RandomAccess: true, Arrival: epoch.Add(at + c.delay(at))})
				if f := r.frames[0]; f.DTS != at {
					t.Fatalf("%v became %v", at, f.DTS)
				}
				if n := len(sets); n == 0 || sets[n-1] != r.set {
					sets, when = append(sets, r.set), append(when, at)
				}
			}
			moved := r.set.Anchor.Wall.Sub(sets[0].Anchor.Wall)
			if (moved-c.want).Abs() > 20*time.Millisecond || len(r.repairs) > 0 || r.set.Epoch != 0 {
				t.Errorf("moved by %v, not %v; %v", moved, c.want, r.repairs)
			}
			for i := 1; i < len(sets); i++ {
				step := sets[i].Anchor.Wall.Sub(sets[i-1].Anchor.Wall).Abs()
				if step < anchorStep || step > 2*anchorStep || sets[i].Tracks[0] != video {
					t.Fatalf("a step of %v at %v", step, when[i])
				}
				if i > 10 && sets[i].Anchor.Wall.Sub(sets[i-10].Anchor.Wall).Abs() > (when[i]-when[i-10])/slew*11/10+2*anchorStep {
					t.Fatalf("faster than a millisecond a second at %v", when[i])
				}
			}
		})
	}
}
