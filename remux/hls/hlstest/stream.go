package hlstest

import (
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strings"
)

// Stream holds all playlists and files of a live stream against each other. It
// belongs to one goroutine at a time.
type Stream struct {
	// Irregular is that of every Walker.
	Irregular bool

	walkers map[string]*Walker // by the URI of the media playlist
	found   []string
	// reports are what renditions said of others, each once.
	reports map[Report]bool
	uris    []string
}

func (s *Stream) find(format string, args ...any) {
	s.found = append(s.found, fmt.Sprintf(format, args...))
}

// Multivariant takes the multivariant playlist at the beginning.
func (s *Stream) Multivariant(b []byte) *Multivariant {
	m, err := ParseMultivariant(b)
	if err != nil {
		s.find("multivariant playlist: %v", err)
		return nil
	}
	s.found = append(s.found, m.check()...)
	for _, uri := range m.URIs() {
		s.Rendition(uri)
	}
	s.uris = m.URIs()
	return m
}

// Rendition returns the Walker of a media playlist.
func (s *Stream) Rendition(uri string) *Walker {
	w := s.walkers[uri]
	if w == nil {
		w = &Walker{Irregular: s.Irregular}
		if s.walkers == nil {
			s.walkers, s.reports = map[string]*Walker{}, map[Report]bool{}
		}
		s.walkers[uri] = w
	}
	return w
}

// Holes is the sum of those of all renditions.
func (s *Stream) Holes() int {
	n := 0
	for _, w := range s.walkers {
		n += w.Holes
	}
	return n
}

// Ends returns where each rendition is, as far as it was looked at.
func (s *Stream) Ends() map[string]Position {
	ends := map[string]Position{}
	for uri, w := range s.walkers {
		if w.last != nil {
			ends[uri] = w.last.End()
		}
	}
	return ends
}

// Look takes the next whole state of a rendition. before is what Ends said
// when it was asked for, if the answer was then made newly: what others have had
// by then must be in the reports.
func (s *Stream) Look(uri string, b []byte, before map[string]Position) *Playlist {
	p := s.Rendition(uri).Look(b)
	if p == nil || p.Ended {
		return p
	}
	dir := path.Dir(uri)
	missing := slices.Clone(s.uris)
	for _, r := range p.Reports {
		r.URI = path.Join(dir, r.URI)
		missing = slices.DeleteFunc(missing, func(u string) bool { return u == r.URI })
		if r.URI == uri || s.walkers[r.URI] == nil {
			s.find("%s reports of %s", uri, r.URI)
			continue
		}
		s.reports[r] = true
		if end, ok := before[r.URI]; ok && (Position{r.LastMSN, int(r.LastPrt) + 1}).Before(end) {
			s.find("%s reports %d/%d of %s, which had %v before", uri, r.LastMSN, r.LastPrt, r.URI, end)
		}
	}
	if missing = slices.DeleteFunc(missing, func(u string) bool { return u == uri }); len(missing) > 0 {
		s.find("%s does not report of %v", uri, missing)
	}
	return p
}

// Close takes the multivariant playlist at the end, checks what can be checked
// only then, and returns all findings.
func (s *Stream) Close(multivariant []byte) []string {
	m := s.Multivariant(multivariant)
	for _, r := range slices.SortedFunc(maps.Keys(s.reports), func(a, b Report) int { return strings.Compare(a.URI, b.URI) }) {
		w := s.walkers[r.URI]
		known, ok := w.known[r.LastMSN]
		if w.last != nil && (!ok && r.LastMSN <= w.last.End().MSN && r.LastMSN >= w.first || ok && known.URI != "" && len(known.Parts) > 0 && int(r.LastPrt) >= len(known.Parts)) {
			s.find("segment %d with part %d of %s was reported and is not there", r.LastMSN, r.LastPrt, r.URI)
		}
	}
	uris := slices.Sorted(maps.Keys(s.walkers))
	for i, uri := range uris {
		for _, other := range uris[i+1:] {
			s.compare(uri, other)
		}
	}
	if m != nil {
		for i := range m.Variants {
			s.variant(m, &m.Variants[i])
		}
	}
	all := s.found
	for _, uri := range uris {
		for _, f := range s.walkers[uri].Findings {
			all = append(all, uri+": "+f)
		}
	}
	return all
}

// apart is how far the beginnings of a segment may lie apart in two
// renditions, in seconds: a frame of sound, and how long a picture may be
// decoded before it is shown. beside is that of what is played at once.
const (
	apart  = 0.25
	beside = 0.02
)

// compare holds two renditions against each other (6.2.4).
func (s *Stream) compare(uri, other string) {
	a, b := s.walkers[uri], s.walkers[other]
	if a.last == nil || b.last == nil {
		s.find("%s or %s was never there", uri, other)
		return
	}
	if a.last.Control != b.last.Control || a.last.Target != b.last.Target || a.last.PartTarget != b.last.PartTarget {
		s.find("%s says %s with targets %v and %v, %s says %s with %v and %v", uri, a.last.Control, a.last.Target, a.last.PartTarget,
			other, b.last.Control, b.last.Target, b.last.PartTarget)
	}
	for _, n := range slices.Sorted(maps.Keys(a.known)) {
		x := a.known[n]
		y, ok := b.known[n]
		if !ok {
			continue
		}
		if a.sequences[n] != b.sequences[n] {
			s.find("segment %d has discontinuity sequence number %d in %s, %d in %s", n, a.sequences[n], uri, b.sequences[n], other)
		}
		if off := x.Time.Sub(y.Time).Seconds(); math.Abs(off) > apart && !x.Gap && !y.Gap && !s.Irregular {
			s.find("segment %d of %s begins %v s after that of %s", n, uri, off, other)
		}
		v, ok1 := a.offsets[n]
		w, ok2 := b.offsets[n]
		if ok1 && ok2 && math.Abs(v-w) > beside {
			s.find("segment %d of %s is %v s beside that of %s", n, uri, v-w, other)
		}
	}
}

// tolerance is how far BANDWIDTH may be under the peak. Runs of segments count
// in it, so the short one that ends a stream adds to those before; Apple's
// authoring specification lets live streams be off by 25 %.
const tolerance = 0.02

// variant holds a variant against what was measured.
func (s *Stream) variant(m *Multivariant, v *Variant) {
	w := s.walkers[v.URI]
	sum := w.sum()
	if sum.seconds == 0 {
		return
	}
	if !w.says(v.Codecs) || w.width > 0 && (v.Width != w.width || v.Height != w.height) {
		s.find("%s says %v and %dx%d, its pictures are %s of %dx%d", v.URI, v.Codecs, v.Width, v.Height, w.codec, w.width, w.height)
	}
	rate := float64(sum.frames) / sum.seconds
	if w.video && !s.Irregular && math.Abs(v.FrameRate-rate) > 0.02*rate {
		s.find("%s says %v frames a second, there are %v", v.URI, v.FrameRate, rate)
	}
	peak, average := w.peak(), sum.bits/sum.seconds
	var soundPeak, soundAverage float64
	for _, sound := range m.Sounds {
		a := s.walkers[sound.URI]
		if sound.Group != v.Audio || a == nil || a == w || a.sum().seconds == 0 {
			continue
		}
		if !a.says(v.Codecs) {
			s.find("%s says %v, its sound is %s", v.URI, v.Codecs, a.codec)
		}
		soundPeak, soundAverage = max(soundPeak, a.peak()), max(soundAverage, a.sum().bits/a.sum().seconds)
	}
	peak, average = peak+soundPeak, average+soundAverage
	if float64(v.Bandwidth) < peak*(1-tolerance) {
		s.find("%s says a bandwidth of %d, the peak was %.0f", v.URI, v.Bandwidth, peak)
	}
	// What was fetched is the whole stream or the newest of it. Apple allows
	// 110 % of the average in a long live stream.
	if average > 1.1*float64(v.Average) {
		s.find("%s says an average bandwidth of %d, it was %.0f", v.URI, v.Average, average)
	}
}
