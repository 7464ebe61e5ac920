package ingest

import (
	"testing"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/hls"
	"github.com/miju-live/miju/remux/hls/hlstest"
)

// TestHLSOfTracksThatAreMissing hands what the timeline makes of encoders with
// sound that is late, early or away to the HLS muxer: playlists obey the rules
// of regular streams, and both renditions go on without a gap to the end. What
// is dropped is sound from before the first picture.
func TestHLSOfTracksThatAreMissing(t *testing.T) {
	promised := []*media.Track{{ID: 2, Codec: media.AAC, SampleRate: 48000, Channels: 2}}
	both := []*media.Track{video, audio}
	const never = time.Hour
	for _, c := range []struct {
		name            string
		frames          []media.Frame
		tracks, promise []*media.Track
		discontinuities int
		irregular       bool
	}{
		{"sound 0.4 s late", clip(40, 400*time.Millisecond, 0, 0), both, nil, 0, false},
		{"sound 3 s late", clip(40, 3*time.Second, 0, 0), both, nil, 0, false},
		{"sound 8 s late", clip(40, 8*time.Second, 0, 0), both, nil, 0, false},
		{"sound 3 s early", clip(40, -3*time.Second, 0, 0), both, nil, 0, false},
		{"sound 8 s early", clip(40, -8*time.Second, 0, 0), both, nil, 0, false},
		{"sound was promised and comes after 5 s", clip(40, 0, 0, 5*time.Second), both[:1], promised, 0, false},
		{"sound was promised and never comes", clip(40, 0, 0, never), both[:1], promised, 0, false},
		{"sound stops", clip(40, 0, 20*time.Second, never), both, nil, 0, false},
		{"sound stops for 5 s", clip(40, 0, 20*time.Second, 25*time.Second), both, nil, 0, false},
		{"sound comes unannounced after 20 s", clip(40, 0, 0, 20*time.Second), both[:1], nil, 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := hls.NewMuxer(hls.Config{Segment: 2 * time.Second, StartWait: 4 * time.Second, Part: 200 * time.Millisecond, Window: time.Hour})
			walkers := map[string]*hlstest.Walker{}
			look := func() {
				for _, r := range m.Window().Renditions() {
					if walkers[r.Name()] == nil {
						walkers[r.Name()] = &hlstest.Walker{Irregular: c.irregular}
					}
					walkers[r.Name()].Look(r.Playlist())
				}
			}
			l := newTimeline(func(f media.Frame) {
				if m.Write(&f) {
					look()
				}
			}, func(Repair) {})
			l.begin(c.frames[:1], c.tracks, nil, 0)
			// Both had frames while the tracks were probed.
			for _, l := range l.lanes {
				l.sound.promised = false
			}
			l.promise(c.promise)
			for _, f := range c.frames {
				l.write(f)
			}
			l.flush()
			if m.Close() {
				look()
			}
			if st := m.Stats(); st.Gaps+st.Forced+st.LongParts > 0 || !c.irregular && st.Dropped > 400 {
				t.Errorf("%+v", st)
			}
			ends := map[string]time.Duration{}
			for name, w := range walkers {
				for i, f := range w.Findings {
					if i < 5 {
						t.Errorf("%s: %s", name, f)
					}
				}
				list, err := hlstest.Parse(m.Window().Rendition(name).Playlist())
				if err != nil {
					t.Fatal(err)
				}
				n := 0
				for _, s := range list.Segments {
					if s.Discontinuity {
						n++
					}
					ends[name] += time.Duration(s.Duration * float64(time.Second))
				}
				if n != c.discontinuities && name == "video" {
					t.Errorf("%d discontinuities", n)
				}
			}
			t.Log(ends, m.Stats())
		})
	}
}
