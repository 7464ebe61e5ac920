package hlstest

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Walker follows one media playlist of a live stream over its updates and
// gathers what breaks a rule.
type Walker struct {
	// Findings are broken rules, in words.
	Findings []string
	// Irregular permits parts under 85 % of the part target, and parts that
	// do not add up to their segment: no remuxer can do better when frames
	// come at no steady rate.
	Irregular bool
	// Holes counts segments that begin later than the one before ends, which
	// Irregular permits: no frame came for longer than a segment may last.
	Holes int

	first int64 // media sequence number that was looked at first
	last  *Playlist
	known map[int64]Segment
	names map[string]int64
	// sequences are the discontinuity sequence numbers of segments.
	sequences map[int64]int64
	holes     map[int64]bool
	media
}

const epsilon = 1e-9

func (w *Walker) find(format string, args ...any) {
	if f := fmt.Sprintf(format, args...); !slices.Contains(w.Findings, f) {
		w.Findings = append(w.Findings, f)
	}
}

// Look takes the playlist's next state, whole or a delta update.
func (w *Walker) Look(b []byte) *Playlist {
	p, err := Parse(b)
	if err != nil {
		w.find("%v", err)
		return nil
	}
	if w.known == nil {
		w.known, w.names, w.sequences = map[int64]Segment{}, map[string]int64{}, map[int64]int64{}
		w.holes = map[int64]bool{}
		w.first = p.MediaSequence
	}
	w.promises(p)
	w.window(p)
	w.skips(p)
	for i := range p.Segments {
		w.segment(p, &p.Segments[i])
	}
	w.order(p)
	if w.last != nil {
		w.update(w.last, p)
	}
	w.last = p
	return p
}

// promises checks the header (4.4.3). A playlist without EXT-X-PART-INF must
// do without the other tags of parts.
func (w *Walker) promises(p *Playlist) {
	if p.Version < 9 {
		w.find("version %d", p.Version)
	}
	parts := p.PartTarget != 0
	if !p.CanBlock || !(p.SkipUntil >= 6*p.Target-epsilon) || !(p.HoldBack >= 3*p.Target-epsilon) ||
		parts && !(p.PartHoldBack >= 3*p.PartTarget-epsilon) {
		w.find("server control: %s with targets %v and %v", p.Control, p.Target, p.PartTarget)
	}
	if p.Target < 1 || parts && !(p.PartTarget > 0 && p.PartTarget <= p.Target) {
		w.find("target %v, part target %v", p.Target, p.PartTarget)
	}
	if hint := p.Hint != ""; p.Ended && hint || !p.Ended && hint != parts {
		w.find("ended %v with part target %v and preload hint %q", p.Ended, p.PartTarget, p.Hint)
	}
}

func (w *Walker) segment(p *Playlist, s *Segment) {
	if s.URI != "" && (math.Round(s.Duration) > p.Target || !(s.Duration > 0)) {
		w.find("segment %d of %v s, target %v", s.Number, s.Duration, p.Target)
	}
	if s.Time.IsZero() {
		w.find("segment %d has no program date time", s.Number)
	}
	if s.Map == "" && !s.Gap {
		w.find("segment %d has no initialization section", s.Number)
	}
	if len(s.Parts) > 0 && p.Independent && !s.Parts[0].Independent {
		w.find("segment %d begins with a dependent part", s.Number)
	}
	if len(s.Parts) > 0 && p.PartTarget == 0 {
		w.find("segment %d has parts without a part target", s.Number)
	}
	w.parts(p, s)
	w.identity(s)
}

// parts checks the durations of a segment's parts (4.4.4.9).
func (w *Walker) parts(p *Playlist, s *Segment) {
	sum := 0.0
	for i, part := range s.Parts {
		sum += part.Duration
		if part.Duration > p.PartTarget+epsilon || !(part.Duration > 0) {
			w.find("part %s of %v s, target %v", part.URI, part.Duration, p.PartTarget)
		}
		final := s.URI != "" && i == len(s.Parts)-1 || p.Ended
		newest := s.URI == "" && i == len(s.Parts)-1 // may turn out to be the final one
		beforeGap := i+1 < len(s.Parts) && s.Parts[i+1].Gap
		if !w.Irregular && part.Duration < 0.85*p.PartTarget-epsilon && !part.Independent && !part.Gap && !final && !newest && !beforeGap {
			w.find("part %s of %v s is under 85%% of %v", part.URI, part.Duration, p.PartTarget)
		}
	}
	if s.URI != "" && len(s.Parts) > 0 && !w.Irregular && math.Abs(sum-s.Duration) > printed*float64(len(s.Parts)+1) {
		w.find("segment %d of %v s has parts of %v s", s.Number, s.Duration, sum)
	}
}

// printed is half of the last decimal that durations are printed with.
const printed = 0.5e-5 + epsilon

// identity checks that nothing said of a segment changes and no name comes twice.
func (w *Walker) identity(s *Segment) {
	names := []string{s.URI}
	for _, part := range s.Parts {
		names = append(names, part.URI)
	}
	listed := map[string]bool{}
	for _, name := range names {
		if n, ok := w.names[name]; name != "" && (ok && n != s.Number || listed[name]) {
			w.find("name %s in segments %d and %d", name, n, s.Number)
		}
		w.names[name], listed[name] = s.Number, true
	}
	old, seen := w.known[s.Number]
	known := *s
	if seen {
		w.changed(&old, s)
		if s.Map == "skipped" {
			known.Map = old.Map
		}
		if len(s.Parts) == 0 {
			known.Parts = old.Parts
		}
	}
	w.known[s.Number] = known
}

// changed checks a segment against what was known of it.
func (w *Walker) changed(old, s *Segment) {
	// In a delta update the map in force may have been skipped; a gap needs none.
	sameMap := old.Map == s.Map || s.Gap || s.Map == "skipped" || old.Map == "skipped"
	if old.Discontinuity != s.Discontinuity || !sameMap || !old.Time.Equal(s.Time) ||
		old.URI != "" && (old.URI != s.URI || old.Duration != s.Duration || old.Gap != s.Gap) {
		w.find("segment %d changed from %+v to %+v", s.Number, *old, *s)
	}
	for i := range min(len(old.Parts), len(s.Parts)) {
		if old.Parts[i] != s.Parts[i] {
			w.find("part %d of segment %d changed", i, s.Number)
		}
	}
	if len(s.Parts) > 0 && len(s.Parts) < len(old.Parts) || old.URI != "" && len(old.Parts) > 0 && len(s.Parts) > len(old.Parts) {
		w.find("segment %d had %d parts and has %d", s.Number, len(old.Parts), len(s.Parts))
	}
}

// drift is how far program date time may be from the sum of durations: its own
// rounding, sound that is put on its grid, and a clock that is slewed.
const drift = 15 * time.Millisecond

// order checks what neighbours say: their times, and discontinuity sequence
// numbers, which belong to a segment for good.
func (w *Walker) order(p *Playlist) {
	sequence := p.DiscontinuitySequence
	for i := range p.Segments {
		s := &p.Segments[i]
		if p.Skipped > 0 && i == 0 {
			sequence = w.sequences[s.Number-1]
		}
		if s.Discontinuity {
			sequence++
		}
		if old, ok := w.sequences[s.Number]; ok && old != sequence {
			w.find("discontinuity sequence number of segment %d was %d and is %d", s.Number, old, sequence)
		}
		w.sequences[s.Number] = sequence
		if i == 0 || s.Discontinuity {
			continue
		}
		before := &p.Segments[i-1]
		next := before.Time.Add(time.Duration(before.Duration * float64(time.Second)))
		switch off := s.Time.Sub(next); {
		case off.Abs() <= drift || before.Gap || s.Gap:
		case off > 0 && w.Irregular:
			w.holes[s.Number] = true
			w.Holes = len(w.holes)
		default:
			w.find("segment %d begins %v beside the end of the one before", s.Number, off)
		}
	}
}

// window checks how much is listed: three targets and six segments at least
// once one was removed, parts of the last three targets, and of no more.
func (w *Walker) window(p *Playlist) {
	whole := p.Skipped
	age := 0.0
	for i := len(p.Segments) - 1; i >= 0; i-- {
		s := &p.Segments[i]
		if s.URI == "" {
			for _, part := range s.Parts {
				age += part.Duration
			}
			continue
		}
		whole++
		switch age += s.Duration; {
		case age > 3*p.Target+0.01 && len(s.Parts) > 0:
			w.find("parts of segment %d are %v s old", s.Number, age)
		case age < 3*p.Target-w.slack(p) && len(s.Parts) == 0 && p.PartTarget > 0 && !s.Gap:
			w.find("segment %d is %v s old and lists no parts", s.Number, age)
		}
	}
	if whole == 0 {
		w.find("no whole segment")
	}
	if p.MediaSequence > w.first && p.Skipped == 0 && (whole < 6 || age < 3*p.Target) {
		w.find("%d segments of %v s are left of the window", whole, age)
	}
}

// slack is how wrong the age of a segment may be that is reckoned from what is
// printed. The true duration of long parts is known when their segment is whole.
func (w *Walker) slack(p *Playlist) float64 {
	if w.Irregular {
		return p.Target
	}
	return 0.01
}

// skips checks that a delta update skips nothing younger than the skip
// boundary, and no map that it needs (4.4.5.2).
func (w *Walker) skips(p *Playlist) {
	if p.Skipped == 0 {
		return
	}
	if len(p.Segments) > 0 && p.Segments[0].Map == "skipped" && !p.Segments[0].Gap {
		w.find("a delta update does not say again which initialization section segment %d needs", p.Segments[0].Number)
	}
	age := 0.0
	for _, s := range p.Segments {
		if age += s.Duration; s.URI == "" {
			for _, part := range s.Parts {
				age += part.Duration
			}
		}
	}
	if age < p.SkipUntil-w.slack(p) {
		w.find("a delta update lists %v s, skip boundary %v", age, p.SkipUntil)
	}
}

// update checks one state against the one before.
func (w *Walker) update(old, p *Playlist) {
	if old.Target != p.Target || old.PartTarget != p.PartTarget || old.Control != p.Control || old.Version != p.Version {
		w.find("a promise changed: %s with targets %v and %v to %s with %v and %v", old.Control, old.Target, old.PartTarget, p.Control, p.Target, p.PartTarget)
	}
	if p.Independent && !old.Independent {
		w.find("segments are independent again")
	}
	if old.Ended && (!p.Ended || len(p.Segments) != len(old.Segments) && p.Skipped == old.Skipped) {
		w.find("the playlist goes on after its end")
	}
	if p.MediaSequence < old.MediaSequence || p.DiscontinuitySequence < old.DiscontinuitySequence {
		w.find("numbers went back: %d/%d to %d/%d", old.MediaSequence, old.DiscontinuitySequence, p.MediaSequence, p.DiscontinuitySequence)
	}
	removed := int64(0)
	for n, s := range w.known {
		if s.Discontinuity && n >= old.MediaSequence && n < p.MediaSequence {
			removed++
		}
	}
	if p.DiscontinuitySequence-old.DiscontinuitySequence != removed {
		w.find("discontinuity sequence %d to %d with %d tags removed", old.DiscontinuitySequence, p.DiscontinuitySequence, removed)
	}
	before, now := old.End(), p.End()
	if now.Before(before) {
		w.find("the end went back from %v to %v", before, now)
	}
	if before.Before(now) && old.Hint != "" {
		// An encoder that goes ends a segment where nobody could foresee it.
		cut := w.known[before.MSN+1].Discontinuity && before.MSN < now.MSN
		if _, ok := w.names[old.Hint]; !ok && !p.Ended && !w.known[now.MSN].Gap && !cut {
			w.find("hinted part %s did not come next", old.Hint)
		}
	}
}

// Position is a segment and how many parts of it there are.
type Position struct {
	MSN   int64
	Parts int
}

// Before reports whether p comes before q.
func (p Position) Before(q Position) bool {
	return p.MSN < q.MSN || p.MSN == q.MSN && p.Parts < q.Parts
}

// End returns the last segment and its number of parts.
func (p *Playlist) End() Position {
	if len(p.Segments) == 0 {
		return Position{MSN: p.MediaSequence - 1}
	}
	s := &p.Segments[len(p.Segments)-1]
	return Position{s.Number, len(s.Parts)}
}
