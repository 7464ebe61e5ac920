package ingest

import (
	"testing"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/stream"
)

// stops leaves out the frames of a kind from one time to another.
func stops(all []media.Frame, k media.Kind, from, to time.Duration) (kept []media.Frame) {
	for _, f := range all {
		if f.Track.Kind() != k || f.DTS < from || f.DTS >= to {
			kept = append(kept, f)
		}
	}
	return kept
}

// paused makes all that comes from a time on come and be later.
func paused(all []media.Frame, from, by time.Duration) []media.Frame {
	for i := range all {
		if f := &all[i]; f.DTS >= from {
			f.DTS, f.PTS, f.Arrival = f.DTS+by, f.PTS+by, f.Arrival.Add(by)
		}
	}
	return all
}

// TestTracksThatBringNothing says which tracks the set has while one of them
// stops: new viewers would wait for it.
func TestTracksThatBringNothing(t *testing.T) {
	const v, a = media.KindVideo, media.KindAudio
	mp3 := &media.Track{ID: 2, Codec: media.MP3, SampleRate: 48000, Channels: 2}
	for _, c := range []struct {
		name   string
		frames []media.Frame
		sets   []string // one behind the other
	}{
		{"both go on", clip(60, 0, 0, 0), []string{"H.264 AAC"}},
		{"pictures stop", stops(clip(60, 0, 0, 0), v, 10*time.Second, time.Hour), []string{"H.264 AAC", "AAC"}},
		{"pictures stop for 10 s", stops(clip(60, 0, 0, 0), v, 10*time.Second, 20*time.Second), []string{"H.264 AAC"}},
		{"pictures stop for 20 s", stops(clip(60, 0, 0, 0), v, 10*time.Second, 31*time.Second), []string{"H.264 AAC", "AAC", "H.264 AAC"}},
		{"sound stops", stops(clip(60, 0, 0, 0), a, 10*time.Second, time.Hour), []string{"H.264 AAC"}},
		{"sound without silence for it stops", retracked(stops(clip(60, 0, 0, 0), a, 10*time.Second, time.Hour), mp3), []string{"H.264 MP3", "H.264"}},
		{"sound 8 s late", clip(60, 8*time.Second, 0, 0), []string{"H.264", "H.264 AAC"}},
		{"the encoder pauses", paused(clip(60, 0, 0, 0), 30*time.Second, time.Minute), []string{"H.264 AAC"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRun(t)
			r.play(c.frames...)
			var sets []string
			for i := range r.frames {
				f := &r.frames[i]
				if got := codecsOf(f.Set); len(sets) == 0 && f.DTS > time.Second || len(sets) > 0 && got != sets[len(sets)-1] {
					if sets = append(sets, got); len(sets) > 2 && f.Track.Kind() == v && !f.RandomAccess {
						t.Errorf("pictures come back at %v inside a GOP", f.DTS)
					}
				}
			}
			if len(sets) != len(c.sets) {
				t.Fatalf("sets %q, want %q", sets, c.sets)
			}
			for i := range sets {
				if sets[i] != c.sets[i] {
					t.Errorf("sets %q, want %q", sets, c.sets)
				}
			}
			if i := len(r.frames) - 1; r.frames[i].Track.Config != nil && c.sets[0] == codecsOf(r.frames[i].Set) && r.frames[i].Set.First(a) != nil && r.frames[i].Set.First(a) != r.frames[i/2].Set.First(a) && c.name != "sound 8 s late" {
				t.Error("the same track is told anew")
			}
		})
	}
}

func codecsOf(set *media.TrackSet) string {
	text := ""
	for i, c := range describe(set.Tracks) {
		if i > 0 {
			text += " "
		}
		text += c
	}
	return text
}

// TestNewViewerOfAStreamWhosePicturesStopped hears it.
func TestNewViewerOfAStreamWhosePicturesStopped(t *testing.T) {
	hub := stream.NewHub(stream.DefaultConfig(), nil)
	defer hub.Close()
	p, err := hub.Publish(newScripted("live/x").request.Key, stream.Source{})
	if err != nil {
		t.Fatal(err)
	}
	l := newTimeline(func(f media.Frame) { p.Write(f) }, func(Repair) {})
	all := stops(clip(60, 0, 0, 0), media.KindVideo, 10*time.Second, time.Hour)
	l.begin(all[:1], []*media.Track{video, audio}, nil, 0)
	for _, f := range all {
		l.write(f)
	}
	r := p.Stream().NewReader(stream.ReaderOptions{})
	defer r.Close()
	batch, err := r.NextBatch(t.Context(), nil)
	if err != nil || batch[0].Frame.Track.Kind() != media.KindAudio || batch[0].Frame.DTS < 58*time.Second {
		t.Errorf("%v, %+v", err, batch)
	}
}

// TestSoundOfThePublisherBefore: who resumes a stream without its sound leaves
// silence in its place, until it brings sound after all, if under another ID.
func TestSoundOfThePublisherBefore(t *testing.T) {
	later := *audio
	later.ID = 7
	for _, c := range []struct {
		name   string
		tracks []*media.Track // of the second publisher
		frames []media.Frame
		prev   []*media.Track
		first  string
		last   string
	}{
		{"pictures", []*media.Track{video}, clip(10, 0, 0, time.Hour), []*media.Track{video, audio}, "H.264 AAC", "H.264 AAC"},
		{"pictures, sound comes later", []*media.Track{video}, retracked(clip(10, 0, 0, 5*time.Second), &later), []*media.Track{video, audio}, "H.264 AAC", "H.264 AAC"},
		{"pictures, in place of MP3", []*media.Track{video}, clip(10, 0, 0, time.Hour), []*media.Track{video, {ID: 2, Codec: media.MP3}}, "H.264", "H.264"},
		{"pictures, in place of pictures", []*media.Track{video}, clip(10, 0, 0, time.Hour), []*media.Track{video}, "H.264", "H.264"},
		{"sound only", []*media.Track{audio}, stops(clip(10, 0, 0, 0), media.KindVideo, 0, time.Hour), []*media.Track{video, audio}, "AAC", "AAC"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRun(t)
			if !r.begin(c.frames[:1], c.tracks, &media.TrackSet{Tracks: c.prev}, 0) {
				t.Fatal("nothing of use")
			}
			for _, f := range c.frames {
				r.write(f)
			}
			first, last := r.frames[0].Set, r.frames[len(r.frames)-1].Set
			if codecsOf(first) != c.first || codecsOf(last) != c.last {
				t.Errorf("%s, then %s", codecsOf(first), codecsOf(last))
			}
			sound := map[int]time.Duration{}
			for i := range r.frames {
				if f := &r.frames[i]; f.Track.Kind() == media.KindAudio {
					if at, seen := sound[0]; seen && f.DTS-at > time.Second {
						t.Errorf("no sound from %v to %v", at, f.DTS)
					}
					sound[0], sound[f.Track.ID] = f.DTS, f.DTS
				}
			}
			if (sound[0] > 9*time.Second) != (first.First(media.KindAudio) != nil) {
				t.Errorf("sound up to %v", sound[0])
			}
			if _, comes := sound[7]; comes && last.Lookup(2) != nil {
				t.Error("the silent track stays")
			}
		})
	}
}
