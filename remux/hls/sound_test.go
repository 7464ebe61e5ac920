package hls_test

import (
	"slices"
	"testing"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/hls"
	"github.com/miju-live/miju/remux/hls/hlstest"
)

// shifted has the sound come later than its time says, or if by is less than
// nothing the pictures.
func shifted(all []media.Frame, by time.Duration) []media.Frame {
	due := func(f *media.Frame) time.Duration {
		if (f.Track.Kind() == media.KindAudio) == (by > 0) {
			return f.DTS + by.Abs()
		}
		return f.DTS
	}
	slices.SortStableFunc(all, func(a, b media.Frame) int { return int(due(&a) - due(&b)) })
	return all
}

// TestSoundApartFromThePicture plays sound that comes before or after its
// pictures: each rendition keeps all frames from the first picture on, at their
// times, in parts and segments that obey the rules. Two seconds are too much, as
// a rendition that has had nothing for a whole segment has gaps instead;
// publishers' tracks are brought closer than that on their way in.
func TestSoundApartFromThePicture(t *testing.T) {
	for _, c := range []struct {
		name string
		by   time.Duration
	}{
		{"0.4 s late", 400 * time.Millisecond},
		{"1.5 s late", 1500 * time.Millisecond},
		{"1 s early", -time.Second},
		{"1.5 s early", -1500 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := shifted(milliseconds(frames(both(), 20*time.Second)), c.by)
			early := slices.IndexFunc(all, func(f media.Frame) bool { return f.Track.Kind() == media.KindVideo })
			m := hls.NewMuxer(config)
			w := play(t, m, all, false)
			if w == nil {
				t.Fatal("no window")
			}
			n := 0
			for _, r := range w.Renditions() {
				of, _, _ := samples(t, w, r.Name())
				n += of
			}
			if st := m.Stats(); n != len(all)-early || st.Dropped != uint64(early) || st.Gaps+st.Forced > 0 {
				t.Errorf("%d of %d frames, %+v", n, len(all), st)
			}
		})
	}
}

// TestPromisedPicturesAreWaitedFor: a stream that begins with sound alone has
// no playlist while its pictures are about to come.
func TestPromisedPicturesAreWaitedFor(t *testing.T) {
	waiting := &media.TrackSet{Tracks: []*media.Track{mediatest.AACTrack(2)}, Promised: []*media.Track{{ID: 1, Codec: media.H264}}}
	m := hls.NewMuxer(config)
	for _, f := range frames(both(), 30*time.Second) {
		if f.DTS < 8*time.Second {
			if f.Track.Kind() == media.KindVideo {
				continue
			}
			f.Set, f.Track = waiting, waiting.Tracks[0]
		}
		if m.Write(&f) && f.DTS < 8*time.Second {
			t.Fatal("sound alone")
		}
	}
	for _, name := range []string{"video", "audio"} {
		r := m.Window().Rendition(name)
		if r == nil {
			t.Fatal("no ", name)
		}
		if l, err := hlstest.Parse(r.Playlist()); err != nil || l.DiscontinuitySequence != config.First.Discontinuity || l.Segments[0].Number != config.First.Segment {
			t.Errorf("%v\n%s", err, r.Playlist())
		}
	}
}
