package hls_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gohlslib/v2/pkg/playlist"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/hls"
	"github.com/miju-live/miju/remux/hls/hlstest"
)

// several interleaves the frames of sources into those of one stream.
func several(until time.Duration, sources ...*mediatest.Source) []media.Frame {
	set := &media.TrackSet{}
	var all []media.Frame
	for _, s := range sources {
		for _, t := range []*media.Track{s.Video, s.Audio} {
			if t != nil {
				set.Tracks = append(set.Tracks, t)
			}
		}
		all = append(all, frames(s, until)...)
	}
	slices.SortFunc(set.Tracks, func(a, b *media.Track) int { return a.ID - b.ID })
	set.Anchor = all[0].Set.Anchor
	for i := range all {
		all[i].Set = set
	}
	slices.SortStableFunc(all, func(a, b media.Frame) int { return int(a.DTS - b.DTS) })
	return all
}

func multivariant(t *testing.T, w *hls.Window) *playlist.Multivariant {
	t.Helper()
	var p playlist.Multivariant
	if err := p.Unmarshal(w.Multivariant()); err != nil {
		t.Fatalf("%v\n%s", err, w.Multivariant())
	}
	return &p
}

// TestSeveralTracks packages three pictures and three sounds: variants with the
// same segments and parts, and one group of sounds.
func TestSeveralTracks(t *testing.T) {
	label := func(track *media.Track, name, language string) *media.Track {
		track.Name, track.Language = name, language
		return track
	}
	h264, small := mediatest.H265Track(1), mediatest.H264Track(21)
	hdr := *mediatest.H265Track(11)
	hdr.Color = &media.Color{BitDepth: 10, Primaries: 9, Transfer: media.TransferPQ, Matrix: 9}
	all := milliseconds(several(40*time.Second,
		&mediatest.Source{Video: h264, Audio: label(mediatest.AACTrack(2), "", "zh"), FrameBytes: 5000},
		&mediatest.Source{Video: &hdr, Audio: label(mediatest.AACTrack(12), "", "en")},
		&mediatest.Source{Video: small, Audio: label(mediatest.AACTrack(22), "Comment\"ary", "en"), FrameBytes: 300},
	))
	// One encoder's times are a millisecond before those of the others.
	for i := range all {
		if f := &all[i]; f.Track == small && f.DTS > 0 {
			f.DTS, f.PTS = f.DTS-time.Millisecond, f.PTS-time.Millisecond
		}
	}
	m := hls.NewMuxer(config)
	w := play(t, m, all, false)
	if s := m.Stats(); s.ShortParts+s.LongParts+s.Gaps+s.Dropped+s.Forced > 0 {
		t.Errorf("stats %+v", s)
	}
	p := multivariant(t, w)
	var variants, sounds []string
	for _, v := range p.Variants {
		variants = append(variants, fmt.Sprint(v.URI, " ", strings.Join(v.Codecs, "+"), " ", v.Audio))
	}
	for _, r := range p.Renditions {
		sounds = append(sounds, fmt.Sprint(*r.URI, " ", r.Name, " ", r.Language, " ", r.Default, " ", r.Autoselect))
	}
	if want := []string{"alice/video.m3u8 hvc1.1.6.L120.90+mp4a.40.2 audio", "alice/video2.m3u8 hvc1.1.6.L120.90+mp4a.40.2 audio", "alice/video3.m3u8 avc1.64001f+mp4a.40.2 audio"}; !slices.Equal(variants, want) {
		t.Errorf("variants %q", variants)
	}
	if want := []string{"alice/audio.m3u8 zh zh true true", "alice/audio2.m3u8 en en false true", "alice/audio3.m3u8 Commentary en false false"}; !slices.Equal(sounds, want) {
		t.Errorf("sounds %q", sounds)
	}
	if n := strings.Count(string(w.Multivariant()), ",VIDEO-RANGE=PQ,"); n != 1 {
		t.Errorf("%d variants are PQ in\n%s", n, w.Multivariant())
	}
	if b := p.Variants; b[0].Bandwidth < 1_200_000 || b[2].Bandwidth > b[1].Bandwidth || b[2].Bandwidth < 150_000 {
		t.Errorf("bandwidths %d, %d, %d", b[0].Bandwidth, b[1].Bandwidth, b[2].Bandwidth)
	}
	lead := parsed(t, w, "video")
	for _, name := range []string{"video2", "video3"} {
		l := parsed(t, w, name)
		if !slices.EqualFunc(l.Segments, lead.Segments, func(a, b hlstest.Segment) bool {
			return a.Number == b.Number && len(a.Parts) == len(b.Parts)
		}) || len(l.Segments) != len(lead.Segments) {
			t.Errorf("%s is not aligned with video:\n%s%s", name, w.Rendition(name).Playlist(), w.Rendition("video").Playlist())
		}
		samples(t, w, name)
	}
}

func parsed(t *testing.T, w *hls.Window, name string) *hlstest.Playlist {
	t.Helper()
	l, err := hlstest.Parse(w.Rendition(name).Playlist())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestSeveralSounds: without pictures the first sound is the variant.
func TestSeveralSounds(t *testing.T) {
	all := several(20*time.Second, &mediatest.Source{Audio: mediatest.AACTrack(2)}, &mediatest.Source{Audio: mediatest.AACTrack(12)})
	w := play(t, hls.NewMuxer(config), all, false)
	p := multivariant(t, w)
	if len(p.Variants) != 1 || p.Variants[0].URI != "alice/audio.m3u8" || len(p.Renditions) != 2 || p.Renditions[0].URI != nil || p.Renditions[1].Name != "Audio 2" || *p.Renditions[1].URI != "alice/audio2.m3u8" {
		t.Errorf("%s", w.Multivariant())
	}
}

// TestPlacesKeepTheirNames: who comes back with other track IDs goes on in the
// same renditions, and a second picture that goes away leaves gaps.
func TestPlacesKeepTheirNames(t *testing.T) {
	all := several(20*time.Second, &mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2)}, &mediatest.Source{Video: mediatest.H265Track(11)})
	next := &media.TrackSet{Epoch: 1, Tracks: []*media.Track{mediatest.H264Track(256), mediatest.AACTrack(257)}, Anchor: all[0].Set.Anchor}
	var kept []media.Frame
	for _, f := range all {
		if f.DTS >= 10*time.Second {
			if f.Track.ID == 11 {
				continue
			}
			f.Set, f.Track = next, next.First(f.Track.Kind())
		}
		kept = append(kept, f)
	}
	m := hls.NewMuxer(config)
	w := play(t, m, kept, true)
	for name, gaps := range map[string]bool{"video": false, "audio": false, "video2": true} {
		l := parsed(t, w, name)
		if last := l.Segments[len(l.Segments)-1]; last.Gap != gaps || last.Number < config.First.Segment+7 {
			t.Errorf("%s ends with %+v", name, last)
		}
	}
	if s := m.Stats(); s.Dropped > 0 {
		t.Errorf("%+v", s)
	}
}

// TestWithoutParts: what is left is HLS as RFC 8216 has it.
func TestWithoutParts(t *testing.T) {
	c := config
	c.Part = 0
	m := hls.NewMuxer(c)
	changes := 0
	all := milliseconds(frames(both(), 30*time.Second))
	for i := range all {
		if m.Write(&all[i]) {
			changes++
			m.Window()
		}
	}
	w := m.Window()
	for _, r := range w.Renditions() {
		text := string(r.Playlist())
		for _, tag := range []string{"EXT-X-PART", "PART-HOLD-BACK", "PRELOAD-HINT", "LAST-PART"} {
			if strings.Contains(text, tag) {
				t.Errorf("%s has %s:\n%s", r.Name(), tag, text)
			}
		}
		if n := strings.Count(text, "#EXTINF:"); n < 13 || r.Has(config.First.Segment+14, -1) || !r.Has(config.First.Segment+13, -1) {
			t.Errorf("%s lists %d segments of 2 s", r.Name(), n)
		}
		samples(t, w, r.Name())
	}
	if w.Hinted("") || changes > 40 {
		t.Errorf("%d changes for 28 segments", changes)
	}
}

// TestTargets: the target duration depends on the second random access point.
func TestTargets(t *testing.T) {
	for _, c := range []struct {
		segment, wait time.Duration
		gop           int // frames
		want          float64
	}{
		{2 * time.Second, 4 * time.Second, 60, 4},
		{2 * time.Second, 4 * time.Second, 120, 4},
		{2 * time.Second, 4 * time.Second, 121, 10},
		{2 * time.Second, 4 * time.Second, 250, 10},
		{2 * time.Second, 9 * time.Second, 250, 9},
		{2 * time.Second, 1 * time.Second, 60, 10},
		{6 * time.Second, 4 * time.Second, 60, 12},
		{6 * time.Second, 4 * time.Second, 150, 12},
	} {
		cfg := config
		cfg.Segment, cfg.StartWait = c.segment, c.wait
		m := hls.NewMuxer(cfg)
		s := both()
		s.GOP = c.gop
		w := play(t, m, frames(s, 60*time.Second), false)
		if got := parsed(t, w, "video").Target; got != c.want {
			t.Errorf("segments of %v, wait %v, GOP of %d: target %v, want %v", c.segment, c.wait, c.gop, got, c.want)
		}
	}
}

// TestPartsAreThereWithTheirLastPicture: no picture is waited for to know how
// long the one before lasts, but where a segment may end.
func TestPartsAreThereWithTheirLastPicture(t *testing.T) {
	m := hls.NewMuxer(config)
	var waits []time.Duration
	for _, f := range milliseconds(frames(&mediatest.Source{Video: mediatest.H264Track(1)}, 20*time.Second)) {
		if m.Write(&f) {
			l := parsed(t, m.Window(), "video")
			end := time.Duration(0)
			for _, s := range l.Segments {
				d := s.Duration
				if s.URI == "" {
					d = 0
					for _, p := range s.Parts {
						d += p.Duration
					}
				}
				end += time.Duration(d * float64(time.Second))
			}
			waits = append(waits, f.DTS-end)
		}
	}
	early, late := 0, 0
	for _, w := range waits[10:] {
		switch {
		case (w + time.Second/30).Abs() < 2*time.Millisecond: // the last picture begins a frame before the part's end
			early++
		case w.Abs() < 2*time.Millisecond:
			late++
		default:
			t.Errorf("a part comes %v after its end", w)
		}
	}
	if early < 8*late || late == 0 {
		t.Errorf("%d parts came with their last picture, %d a frame later", early, late)
	}
}
