package hls_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/hls"
	"github.com/miju-live/miju/remux/hls/hlstest"
)

// without leaves out the frames of a kind from one DTS to another.
func without(all []media.Frame, k media.Kind, from, to time.Duration) []media.Frame {
	return slices.DeleteFunc(all, func(f media.Frame) bool { return f.Track.Kind() == k && f.DTS >= from && f.DTS < to })
}

// retrack gives the frames from a DTS on another set, and the tracks of it
// with the same IDs; frames of tracks that are not in it are left out.
func retrack(all []media.Frame, from time.Duration, set *media.TrackSet) []media.Frame {
	for i := range all {
		if all[i].DTS >= from {
			all[i].Set, all[i].Track = set, set.Lookup(all[i].Track.ID)
		}
	}
	return slices.DeleteFunc(all, func(f media.Frame) bool { return f.Track == nil })
}

func set(epoch uint64, tracks ...*media.Track) *media.TrackSet {
	return &media.TrackSet{Epoch: epoch, Tracks: tracks, Anchor: media.Anchor{Wall: time.Date(2026, 1, 1, 0, 0, int(epoch), 0, time.UTC)}}
}

// TestPlaylistsOfIrregularStreams plays streams in which something is missing
// or changes. All rules hold but those that hlstest.Walker.Irregular names.
// After a change of tracks or epoch inside a GOP, frames are dropped up to the
// next random access point.
func TestPlaylistsOfIrregularStreams(t *testing.T) {
	h264, h265, aac := mediatest.H264Track(1), mediatest.H265Track(1), mediatest.AACTrack(2)
	aac44, err := media.NewAACTrack(2, []byte{0x12, 0x10})
	if err != nil {
		t.Fatal(err)
	}
	base := func() []media.Frame { return milliseconds(frames(both(), 40*time.Second)) }
	for _, c := range []struct {
		name            string
		frames          []media.Frame
		discontinuities int
		independent     bool
		stats           hls.Stats // but segments and parts
	}{
		{"a frozen screen", without(base(), media.KindVideo, 9*time.Second, 10900*time.Millisecond), 0, true, hls.Stats{LongParts: 1}},
		{"a screen frozen for more than a segment", without(base(), media.KindVideo, 9*time.Second, 15*time.Second), 0, false, hls.Stats{Forced: 1}},
		{"no sound for a while", without(base(), media.KindAudio, 10*time.Second, 17*time.Second), 0, true, hls.Stats{Gaps: 3}},
		{"sound ends", without(base(), media.KindAudio, 10*time.Second, time.Hour), 0, true, hls.Stats{Gaps: 13}},
		{"takeover", retrack(base(), 10*time.Second, set(1, h264, aac)), 1, true, hls.Stats{}},
		{"takeover inside a GOP", retrack(base(), 11*time.Second, set(1, h264, aac)), 1, true, hls.Stats{Dropped: 77}},
		{"two takeovers", retrack(retrack(base(), 10*time.Second, set(1, h264, aac)), 12*time.Second, set(2, h264, aac)), 2, true, hls.Stats{}},
		{"takeover with late sound", late(retrack(base(), 10*time.Second, set(1, h264, aac)), 350*time.Millisecond, 50*time.Millisecond), 1, true, hls.Stats{}},
		{"another codec", retrack(base(), 10*time.Second, set(0, h265, aac)), 1, true, hls.Stats{}},
		{"another sample rate", retrack(base(), 11*time.Second, set(0, h264, aac44)), 1, true, hls.Stats{Dropped: 47}},
		{"sound comes later", retrack(without(base(), media.KindAudio, 0, 11*time.Second), 0, set(0, h264, aac)), 0, true, hls.Stats{}},
		{"a sound track comes later", lateTrack(base(), 11*time.Second, set(0, h264), set(0, h264, aac)), 1, true, hls.Stats{Dropped: 47}},
		{"pictures end", retrack(base(), 10*time.Second, set(1, aac)), 1, true, hls.Stats{Gaps: 13, Dropped: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := hls.NewMuxer(config)
			w := play(t, m, c.frames, true)
			if w == nil {
				t.Fatal("no window")
			}
			for _, r := range w.Renditions() {
				l, err := hlstest.Parse(r.Playlist())
				if err != nil {
					t.Fatal(err)
				}
				n := int(l.DiscontinuitySequence - config.First.Discontinuity)
				for _, s := range l.Segments {
					if s.Discontinuity {
						n++
					}
				}
				if r.Name() == "video" && (n != c.discontinuities || l.Independent != c.independent) || r.Name() == "audio" && !l.Independent {
					t.Errorf("%s has %d discontinuities, independent segments %v", r.Name(), n, l.Independent)
				}
				if first, last := l.Segments[0].Number, l.Segments[len(l.Segments)-1].Number; last-first != int64(len(l.Segments)-1) {
					t.Errorf("%s lists %d to %d in %d segments", r.Name(), first, last, len(l.Segments))
				}
				samples(t, w, r.Name())
			}
			got := m.Stats()
			got.Segments, got.Parts = 0, 0
			if got != c.stats {
				t.Errorf("stats %+v, want %+v", got, c.stats)
			}
		})
	}
}

// lateTrack gives frames before a DTS a set without sound.
func lateTrack(all []media.Frame, from time.Duration, before, after *media.TrackSet) []media.Frame {
	for i := range all {
		all[i].Set = after
		if all[i].DTS < from {
			all[i].Set = before
		}
		all[i].Track = all[i].Set.Lookup(all[i].Track.ID)
	}
	return slices.DeleteFunc(all, func(f media.Frame) bool { return f.Track == nil })
}

// TestBothRecordsChangeAtOnce: an encoder that writes its new picture first and
// its new sound right behind makes one discontinuity and loses no sound.
func TestBothRecordsChangeAtOnce(t *testing.T) {
	anchor := media.Anchor{Wall: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	sound, err := media.NewAACTrack(2, []byte{0x11, 0x90, 0x56, 0xe5, 0x00})
	if err != nil {
		t.Fatal(err)
	}
	pictures := mediatest.H265Track(1)
	first := &media.TrackSet{Tracks: []*media.Track{pictures, mediatest.AACTrack(2)}, Anchor: anchor}
	then := &media.TrackSet{Tracks: []*media.Track{pictures, sound}, Anchor: anchor}
	all := frames(both(), 12*time.Second)
	changed := false
	for i := range all {
		f := &all[i]
		if f.DTS < 6*time.Second {
			continue
		}
		changed = changed || f.Track.Kind() == media.KindAudio
		if f.Set = first; changed {
			f.Set = then
		}
		f.Track = f.Set.Lookup(f.Track.ID)
	}
	m := hls.NewMuxer(config)
	for i := range all {
		m.Write(&all[i])
	}
	m.Close()
	w := m.Window()
	for _, name := range []string{"video", "audio"} {
		list := string(w.Rendition(name).Playlist())
		if n := strings.Count(list, "#EXT-X-DISCONTINUITY\n"); n != 1 || strings.Contains(list, "GAP") {
			t.Errorf("%s: %d discontinuities, %d gaps", name, n, strings.Count(list, "#EXT-X-GAP"))
		}
	}
	n, _, _ := samples(t, w, "audio")
	sent := 0
	for i := range all {
		if all[i].Track.Kind() == media.KindAudio {
			sent++
		}
	}
	if n != sent {
		t.Errorf("%d of %d sound frames are in the segments", n, sent)
	}
}

// TestMultivariantForgetsWhatIsGone: a rendition that has gaps only is not
// offered to players that begin.
func TestMultivariantForgetsWhatIsGone(t *testing.T) {
	for name, keeps := range map[string]media.Kind{"video": media.KindVideo, "audio": media.KindAudio} {
		all := frames(both(), 30*time.Second)
		rest := set(1, all[0].Set.First(keeps))
		m := hls.NewMuxer(config)
		for i := range all {
			f := &all[i]
			if f.DTS >= 10*time.Second {
				if f.Track.Kind() != keeps {
					continue
				}
				f.Set = rest
			}
			m.Write(f)
		}
		if got := string(m.Window().Multivariant()); strings.Count(got, ".m3u8") != 1 || !strings.Contains(got, "alice/"+name+".m3u8") {
			t.Errorf("only %s is left:\n%s", name, got)
		}
		if len(m.Window().Renditions()) != 2 {
			t.Error("who plays the other cannot finish it")
		}
	}
}

// TestRecordsThatChangeAtEveryFrame make no more segments than there are numbers
// for, and what stays of the stream obeys the rules.
func TestRecordsThatChangeAtEveryFrame(t *testing.T) {
	sets := []*media.TrackSet{set(0, mediatest.H264Track(1)), set(0, mediatest.H265Track(1))}
	m := hls.NewMuxer(config)
	segments := 0
	for n := range 20000 {
		at := time.Duration(n) * time.Millisecond
		f := media.Frame{Track: sets[n%2].Tracks[0], Set: sets[n%2], DTS: at, PTS: at, RandomAccess: true, Data: []byte{0, 0, 0, 1, 0x65}}
		if m.Write(&f) && n%1000 == 0 {
			if l, err := hlstest.Parse(m.Window().Rendition("video").Playlist()); err != nil {
				t.Fatal(err)
			} else {
				segments = len(l.Segments)
			}
		}
	}
	if s := m.Stats(); s.Segments > 20*4+8 || segments > 20*4+8 || s.Segments < 20 {
		t.Errorf("%+v, %d listed", s, segments)
	}
}
