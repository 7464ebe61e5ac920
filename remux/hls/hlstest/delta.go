package hlstest

import (
	"math"
	"slices"
)

// Delta takes a delta update of the state that Look took last, and checks that
// with what a player knows it makes up the whole (6.2.5.1).
func (w *Walker) Delta(b []byte) {
	d, err := Parse(b)
	if err != nil {
		w.find("delta update: %v", err)
		return
	}
	p := w.last
	if p == nil || d.End() != p.End() || d.Ended != p.Ended {
		w.find("the delta update is of another state")
		return
	}
	w.skips(d)
	// At its end a playlist may be answered whole (6.2.5.2).
	least, most := skippable(p, p.SkipUntil+w.slack(p)), skippable(p, p.SkipUntil-w.slack(p))
	if d.Skipped < least && !p.Ended || d.Skipped > most {
		w.find("a delta update skips %d segments, not %d", d.Skipped, most)
		return
	}
	merged := *d
	merged.Skipped, merged.Segments = 0, nil
	for n := d.MediaSequence; n < d.MediaSequence+int64(d.Skipped); n++ {
		s, ok := w.known[n]
		if !ok {
			w.find("a delta update skips segment %d, which no playlist listed", n)
		}
		s.Parts = nil
		merged.Segments = append(merged.Segments, s)
	}
	for _, s := range d.Segments {
		if n := len(merged.Segments); s.Map == "skipped" && n > 0 {
			s.Map = merged.Segments[n-1].Map
		}
		merged.Segments = append(merged.Segments, s)
	}
	if !same(p, &merged) {
		w.find("a delta update makes up %+v, the whole is %+v", merged, *p)
	}
}

// skippable is how many segments end so many seconds before the playlist's end.
func skippable(p *Playlist, boundary float64) int {
	age := 0.0
	for i := len(p.Segments) - 1; i >= 0; i-- {
		s := &p.Segments[i]
		if age >= boundary {
			return i + 1
		}
		if s.URI != "" {
			age += s.Duration
			continue
		}
		for _, part := range s.Parts {
			age += part.Duration
		}
	}
	return 0
}

func same(a, b *Playlist) bool {
	sameSegment := func(a, b Segment) bool {
		return a.Number == b.Number && a.URI == b.URI && a.Duration == b.Duration && a.Discontinuity == b.Discontinuity &&
			a.Gap == b.Gap && a.Map == b.Map && a.Time.Equal(b.Time) && slices.Equal(a.Parts, b.Parts)
	}
	sameNumber := func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
	return a.Version == b.Version && a.Target == b.Target && sameNumber(a.PartTarget, b.PartTarget) && a.Control == b.Control &&
		a.Independent == b.Independent && a.MediaSequence == b.MediaSequence && a.DiscontinuitySequence == b.DiscontinuitySequence &&
		a.Hint == b.Hint && a.Ended == b.Ended && slices.Equal(a.Reports, b.Reports) && slices.EqualFunc(a.Segments, b.Segments, sameSegment)
}
