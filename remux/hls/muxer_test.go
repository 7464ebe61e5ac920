package hls_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gohlslib/v2/pkg/playlist"
	mcfmp4 "github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/fmp4"
	"github.com/miju-live/miju/remux/hls"
	"github.com/miju-live/miju/remux/hls/hlstest"
)

var update = flag.Bool("update", false, "rewrite the golden playlists")

var config = hls.Config{Segment: 2 * time.Second, StartWait: 4 * time.Second, Part: 200 * time.Millisecond, Window: 30 * time.Second, First: hls.Numbers{Segment: 1000, Discontinuity: 7}, Prefix: "alice/"}

// frames takes frames of a source up to a DTS.
func frames(s *mediatest.Source, until time.Duration) []media.Frame {
	var all []media.Frame
	for {
		f := s.Next()
		if f.DTS >= until {
			return all
		}
		all = append(all, f)
	}
}

// play writes frames and lets a walker look at every state of every playlist,
// whole and delta. It returns the last window.
func play(t *testing.T, m *hls.Muxer, all []media.Frame, irregular bool) *hls.Window {
	t.Helper()
	p := player{t: t, walkers: map[string]*hlstest.Walker{}, irregular: irregular}
	for i := range all {
		if m.Write(&all[i]) {
			p.look(m.Window())
		}
	}
	if m.Close() {
		p.look(m.Window())
	}
	for name, w := range p.walkers {
		for i, f := range w.Findings {
			if i == 10 {
				t.Errorf("%s: %d findings more", name, len(w.Findings)-i)
				break
			}
			t.Errorf("%s: %s", name, f)
		}
	}
	return m.Window()
}

type player struct {
	t         *testing.T
	walkers   map[string]*hlstest.Walker
	irregular bool
	looks     int
}

func (p *player) look(w *hls.Window) {
	p.t.Helper()
	for _, r := range w.Renditions() {
		name := r.Name()
		if p.walkers[name] == nil {
			p.walkers[name] = &hlstest.Walker{Irregular: p.irregular}
		}
		l := p.walkers[name].Look(r.Playlist())
		p.walkers[name].Look(r.Delta())
		if l == nil {
			continue
		}
		for _, s := range l.Segments[max(0, len(l.Segments)-2):] {
			for _, part := range s.Parts {
				if f, ok := w.File(part.URI); !ok || f.Size == 0 {
					p.t.Fatalf("listed part %s has no file", part.URI)
				}
			}
			if s.URI != "" && !s.Gap {
				if f, ok := w.File(s.URI); !ok || f.Size != len(bytes.Join(f.Chunks, nil)) {
					p.t.Fatalf("listed segment %s has no file", s.URI)
				}
				if _, ok := w.File(s.Map); !ok {
					p.t.Fatalf("listed initialization section %s has no file", s.Map)
				}
			}
		}
		if p.looks++; p.looks%10 == 1 { // it takes its time
			var second playlist.Media
			if err := second.Unmarshal(r.Playlist()); err != nil {
				p.t.Fatalf("gohlslib reads %s: %v\n%s", name, err, r.Playlist())
			}
		}
	}
}

// samples reads back what a rendition's listed segments hold.
func samples(t *testing.T, w *hls.Window, name string) (n int, from, to int64) {
	t.Helper()
	pts, from, to := read(t, w, name)
	return len(pts), from, to
}

// read returns the presentation time of every sample, and where the first
// begins and the last ends.
func read(t *testing.T, w *hls.Window, name string) (pts []int64, from, to int64) {
	t.Helper()
	l, err := hlstest.Parse(w.Rendition(name).Playlist())
	if err != nil {
		t.Fatal(err)
	}
	from = -1
	for _, s := range l.Segments {
		f, ok := w.File(s.URI)
		if !ok {
			continue
		}
		var parts mcfmp4.Parts
		if err := parts.Unmarshal(bytes.Join(f.Chunks, nil)); err != nil {
			t.Fatal(err)
		}
		for _, p := range parts {
			tr := p.Tracks[0]
			if from < 0 {
				from, to = int64(tr.BaseTime), int64(tr.BaseTime)
			}
			if int64(tr.BaseTime) < to {
				t.Errorf("part at %d overlaps the one that ends at %d", tr.BaseTime, to)
			}
			to = int64(tr.BaseTime)
			for _, s := range tr.Samples {
				pts = append(pts, to+int64(s.PTSOffset))
				to += int64(s.Duration)
			}
		}
	}
	return pts, from, to
}

func both() *mediatest.Source {
	return &mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2)}
}

// milliseconds rounds all times as RTMP does.
func milliseconds(all []media.Frame) []media.Frame {
	for i := range all {
		all[i].DTS, all[i].PTS = all[i].DTS.Truncate(time.Millisecond), all[i].PTS.Truncate(time.Millisecond)
	}
	return all
}

// late gives the sound of an interval at once, at the interval's end and later.
func late(all []media.Frame, burst, delay time.Duration) []media.Frame {
	var out, held []media.Frame
	next := burst
	for _, f := range all {
		if f.Track.Kind() == media.KindAudio {
			held = append(held, f)
			continue
		}
		if f.DTS >= next+delay {
			for len(held) > 0 && held[0].DTS < next {
				out, held = append(out, held[0]), held[1:]
			}
			next += burst
		}
		out = append(out, f)
	}
	return append(out, held...)
}

// slipping makes all times a millisecond later from every seventh second on.
func slipping(all []media.Frame) []media.Frame {
	for i := range all {
		slip := all[i].DTS / (7 * time.Second) * time.Millisecond
		all[i].DTS, all[i].PTS = all[i].DTS+slip, all[i].PTS+slip
	}
	return all
}

// reordered gives every frame a composition time as two B-frames make it.
func reordered(all []media.Frame) []media.Frame {
	frame := time.Second / 30
	n := 0
	for i := range all {
		if f := &all[i]; f.Track.Kind() == media.KindVideo {
			f.PTS += [...]time.Duration{frame, 3 * frame, 0}[n%3]
			n++
		}
	}
	return all
}

func TestPlaylistsObeyTheRules(t *testing.T) {
	source := func(rate, gop int) *mediatest.Source {
		s := both()
		s.FrameRate, s.GOP = rate, gop
		return s
	}
	for _, c := range []struct {
		name               string
		frames             []media.Frame
		target, partTarget float64
		irregular          bool
	}{
		{"30 fps, GOP of 2 s", frames(both(), 70*time.Second), 4, 0.2, false},
		{"times of RTMP", milliseconds(frames(both(), 70*time.Second)), 4, 0.2, false},
		{"times that slip by a millisecond", slipping(milliseconds(frames(both(), 40*time.Second))), 4, 0.2, false},
		{"B-frames", milliseconds(reordered(frames(both(), 20*time.Second))), 4, 0.2, false},
		{"60 fps, GOP of 1 s", milliseconds(frames(source(60, 60), 20*time.Second)), 4, 0.2, false},
		{"25 fps, GOP of 3 s", frames(source(25, 75), 30*time.Second), 4, 0.2, false},
		{"24 fps in milliseconds", milliseconds(frames(source(24, 48), 30*time.Second)), 4, 0.209, false},
		{"10 fps", frames(source(10, 20), 30*time.Second), 4, 0.2, false},
		{"1 fps", frames(source(1, 2), 30*time.Second), 4, 1, false},
		{"7 fps, GOP of 1.5 s", milliseconds(frames(source(7, 10), 30*time.Second)), 4, 0.286, false},
		{"OBS's default GOP of 250 frames", milliseconds(frames(source(30, 250), 120*time.Second)), 10, 0.2, false},
		{"no second random access point", milliseconds(frames(source(30, 1e6), 60*time.Second)), 10, 0.2, false},
		{"late sound in bursts", late(frames(both(), 40*time.Second), 350*time.Millisecond, 50*time.Millisecond), 4, 0.2, false},
		{"video only", frames(&mediatest.Source{Video: mediatest.H265Track(1)}, 30*time.Second), 4, 0.2, false},
		{"sound only", milliseconds(frames(&mediatest.Source{Audio: mediatest.AACTrack(1)}, 70*time.Second)), 4, 0.214, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := hls.NewMuxer(config)
			w := play(t, m, c.frames, c.irregular)
			if w == nil {
				t.Fatal("no window")
			}
			for _, name := range []string{"video", "audio"} {
				r := w.Rendition(name)
				if r == nil {
					continue
				}
				l, err := hlstest.Parse(r.Playlist())
				if err != nil {
					t.Fatal(err)
				}
				if l.Target != c.target || l.PartTarget != c.partTarget {
					t.Errorf("targets of %s are %v and %v, want %v and %v", name, l.Target, l.PartTarget, c.target, c.partTarget)
				}
				if !l.Ended {
					t.Errorf("%s has no end", name)
				}
				samples(t, w, name)
			}
			if s := m.Stats(); s.ShortParts+s.LongParts+s.Gaps+s.Dropped > 0 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

// TestEveryFrameOnce holds the samples against the frames.
func TestEveryFrameOnce(t *testing.T) {
	all := late(slipping(milliseconds(reordered(frames(both(), 20*time.Second)))), 350*time.Millisecond, 50*time.Millisecond)
	w := play(t, hls.NewMuxer(config), all, false)
	for _, name := range []string{"video", "audio"} {
		pts, from, _ := read(t, w, name)
		var want []int64
		tolerance := int64(0)
		for i := range all {
			tr := all[i].Track
			if tr.Kind().String() == name {
				want = append(want, fmp4.Ticks(all[i].PTS, fmp4.Timescale(tr)))
			}
			if name == "audio" {
				tolerance = 48 * 5 // sound is put back on its grid
			}
		}
		if len(pts) != len(want) || from != 0 {
			t.Errorf("%s has %d samples of %d, from %d", name, len(pts), len(want), from)
			continue
		}
		for i := range pts {
			if d := pts[i] - want[i]; d > tolerance || d < -tolerance {
				t.Fatalf("sample %d of %s is shown at %d, want %d", i, name, pts[i], want[i])
			}
		}
	}
}

func TestGoldenPlaylists(t *testing.T) {
	second := func(all []media.Frame, change func(*media.Frame)) []media.Frame {
		for i := range all {
			if all[i].DTS >= 6*time.Second {
				change(&all[i])
			}
		}
		return all
	}
	takeover := &media.TrackSet{
		Epoch: 1, Tracks: []*media.Track{mediatest.H264Track(1), mediatest.AACTrack(2)},
		Anchor: media.Anchor{Wall: time.Date(2026, 1, 1, 0, 0, 30, 0, time.UTC)},
	}
	codec := &media.TrackSet{Tracks: []*media.Track{mediatest.H265Track(1), mediatest.AACTrack(2)}, Anchor: media.Anchor{Wall: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}}
	move := func(set *media.TrackSet) func(*media.Frame) {
		return func(f *media.Frame) { f.Set, f.Track = set, set.Lookup(f.Track.ID) }
	}
	for _, c := range []struct {
		name   string
		frames []media.Frame
		end    bool
	}{
		{"live", frames(both(), 43*time.Second+150*time.Millisecond), false},
		{"ended", frames(both(), 5*time.Second), true},
		{"takeover", second(frames(both(), 9*time.Second), move(takeover)), false},
		{"codec-change", second(frames(both(), 9*time.Second), move(codec)), false},
		{"sound-only", frames(&mediatest.Source{Audio: mediatest.AACTrack(1)}, 5*time.Second), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := hls.NewMuxer(config)
			for i := range c.frames {
				m.Write(&c.frames[i])
			}
			if c.end {
				m.Close()
			}
			w := m.Window()
			var got strings.Builder
			got.WriteString("-- multivariant --\n")
			got.Write(w.Multivariant())
			for _, name := range []string{"video", "audio"} {
				if r := w.Rendition(name); r != nil {
					got.WriteString("-- " + name + " --\n")
					got.Write(r.Playlist())
					if !bytes.Equal(r.Delta(), r.Playlist()) {
						got.WriteString("-- " + name + " delta --\n")
						got.Write(r.Delta())
					}
				}
			}
			golden(t, c.name+".txt", got.String())
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("differs from %s; if it should, run with -update. Got:\n%s", path, got)
	}
}
