package ingest

import (
	"testing"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
)

// TestHeldFramesAreBounded: an encoder whose sound claims to be seconds ahead
// has no more of it held back than the bounds say, however much it sends.
func TestHeldFramesAreBounded(t *testing.T) {
	for _, c := range []struct {
		name   string
		frames int
		size   int
	}{
		{"many", 3 * maxHeldFrames, 1},
		{"large", 100, maxHeldBytes / 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRun(t)
			r.play(in{video, 0, 0, 0}.frame(), in{audio, 9000, 9000, 0}.frame())
			for i := range c.frames {
				f := in{audio, 9000 + i, 9000 + i, 1}.frame()
				f.Data = make([]byte, c.size)
				r.play(f)
				if w := &r.waiting; len(w.queue) > maxHeldFrames || w.bytes > maxHeldBytes {
					t.Fatalf("%d frames of %d bytes are held", len(w.queue), w.bytes)
				}
			}
			if r.repairs[RepairSkew] != 1 {
				t.Error(r.repairs)
			}
			r.flush()
			if len(r.frames) != 2+c.frames || r.waiting.bytes != 0 {
				t.Errorf("%d frames came out", len(r.frames))
			}
		})
	}
}

// TestHeldFramesGoOnWhenTheSkewIsOver: sound that was ahead and is not any more
// stays in its order, and is held no longer than it was.
func TestHeldFramesGoOnWhenTheSkewIsOver(t *testing.T) {
	r := newRun(t)
	latest := time.Duration(0)
	for at := time.Duration(0); at < 120*time.Second; at += 40 * time.Millisecond {
		behind := 3 * time.Second
		if at > 40*time.Second { // the encoder looks ahead no more
			behind = 0
		}
		v := at - behind
		if at > 40*time.Second && at < 43*time.Second { // it sends what it has
			v = at - 3*time.Second + (at - 40*time.Second)
		}
		r.play(media.Frame{Track: audio, DTS: at, PTS: at, RandomAccess: true, Arrival: epoch.Add(at)})
		if v > latest || v == 0 {
			latest = v
			r.play(media.Frame{Track: video, DTS: v, PTS: v, RandomAccess: true, Arrival: epoch.Add(at)})
		}
	}
	if n := len(r.waiting.queue); n != 0 {
		t.Errorf("%d frames are still held", n)
	}
	if r.repairs[RepairSkew] != 1 || len(r.repairs) != 1 {
		t.Error(r.repairs)
	}
	for i := 1; i < len(r.frames); i++ {
		if r.frames[i].Arrival.Before(r.frames[i-1].Arrival) {
			t.Fatal("arrivals go back")
		}
	}
}

// Pictures wait no longer for sound that has ended.
func TestNothingIsHeldForATrackThatIsGone(t *testing.T) {
	r := newRun(t)
	sound := mediatest.AACTrack(2)
	sound.Codec = media.MP3 // no silence takes its place
	for at := time.Duration(0); at < 60*time.Second; at += 40 * time.Millisecond {
		r.play(media.Frame{Track: video, DTS: at, PTS: at, RandomAccess: true, Arrival: epoch.Add(at)})
		if v := at - 5*time.Second; v >= 0 && at < 20*time.Second { // it comes late, and ends
			r.play(media.Frame{Track: sound, DTS: v, PTS: v, RandomAccess: true, Arrival: epoch.Add(at)})
		}
	}
	if r.repairs[RepairSkew] != 1 || r.set.Lookup(sound.ID) != nil {
		t.Fatalf("repairs %v, tracks %v", r.repairs, r.set.Tracks)
	}
	if n := len(r.waiting.queue); n != 0 {
		t.Errorf("%d pictures are still held", n)
	}
}
