package hlstest

import (
	"fmt"
	"math"
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

	last  *Playlist
	known map[int64]Segment
	names map[string]int64
}

const epsilon = 1e-9

func (w *Walker) find(format string, args ...any) {
	w.Findings = append(w.Findings, fmt.Sprintf(format, args...))
}

// Look takes the playlist's next state.
func (w *Walker) Look(b []byte) *Playlist {
	p, err := Parse(b)
	if err != nil {
		w.find("%v", err)
		return nil
	}
	if w.known == nil {
		w.known, w.names = map[int64]Segment{}, map[string]int64{}
	}
	w.promises(p)
	w.window(p)
	for i := range p.Segments {
		w.segment(p, &p.Segments[i])
	}
	if w.last != nil {
		w.update(w.last, p)
	}
	w.last = p
	return p
}

// promises checks the header (4.4.3).
func (w *Walker) promises(p *Playlist) {
	if p.Version < 9 {
		w.find("version %d", p.Version)
	}
	if !p.CanBlock || !(p.SkipUntil >= 6*p.Target-epsilon) || !(p.HoldBack >= 3*p.Target-epsilon) || !(p.PartHoldBack >= 3*p.PartTarget-epsilon) {
		w.find("server control: block %v, skip until %v, hold back %v, part hold back %v with targets %v and %v",
			p.CanBlock, p.SkipUntil, p.HoldBack, p.PartHoldBack, p.Target, p.PartTarget)
	}
	if p.Ended == (p.Hint != "") {
		w.find("ended %v with preload hint %q", p.Ended, p.Hint)
	}
}

func (w *Walker) segment(p *Playlist, s *Segment) {
	if math.Round(s.Duration) > p.Target {
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
	sum := 0.0
	for i, part := range s.Parts {
		sum += part.Duration
		if part.Duration > p.PartTarget+epsilon {
			w.find("part %s of %v s, target %v", part.URI, part.Duration, p.PartTarget)
		}
		final := s.URI != "" && i == len(s.Parts)-1 || p.Ended
		newest := s.URI == "" && i == len(s.Parts)-1 // may turn out to be the final one
		if !w.Irregular && part.Duration < 0.85*p.PartTarget-epsilon && !part.Independent && !part.Gap && !final && !newest {
			w.find("part %s of %v s is under 85%% of %v", part.URI, part.Duration, p.PartTarget)
		}
	}
	if s.URI != "" && len(s.Parts) > 0 && !w.Irregular && math.Abs(sum-s.Duration) > 0.001 {
		w.find("segment %d of %v s has parts of %v s", s.Number, s.Duration, sum)
	}
	w.identity(s)
}

// identity checks that nothing said of a segment changes and no name comes twice.
func (w *Walker) identity(s *Segment) {
	names := []string{s.URI}
	for _, part := range s.Parts {
		names = append(names, part.URI)
	}
	for _, name := range names {
		if n, ok := w.names[name]; ok && n != s.Number && name != "" {
			w.find("name %s in segments %d and %d", name, n, s.Number)
		}
		w.names[name] = s.Number
	}
	if old, ok := w.known[s.Number]; ok {
		// In a delta update the map in force may have been skipped.
		sameMap := old.Map == s.Map || s.Map == "skipped"
		if old.Discontinuity != s.Discontinuity || !sameMap || !old.Time.Equal(s.Time) ||
			old.URI != "" && (old.URI != s.URI || old.Duration != s.Duration || old.Gap != s.Gap) {
			w.find("segment %d changed from %+v to %+v", s.Number, old, s)
		}
		for i := range min(len(old.Parts), len(s.Parts)) {
			if old.Parts[i] != s.Parts[i] {
				w.find("part %d of segment %d changed", i, s.Number)
			}
		}
		if len(s.Parts) > 0 && len(s.Parts) < len(old.Parts) {
			w.find("segment %d lost parts", s.Number)
		}
	}
	known := *s
	if old := w.known[s.Number]; s.Map == "skipped" {
		known.Map = old.Map
	}
	w.known[s.Number] = known
}

// window checks how much is listed: 3 targets at least, parts of the last
// three targets only.
func (w *Walker) window(p *Playlist) {
	whole := 0
	age := 0.0
	for i := len(p.Segments) - 1; i >= 0; i-- {
		s := &p.Segments[i]
		length := s.Duration
		if s.URI == "" {
			for _, part := range s.Parts {
				length += part.Duration
			}
		} else {
			whole++
		}
		if age += length; age > 3*p.Target+0.01 && len(s.Parts) > 0 {
			w.find("parts of segment %d are %v s old", s.Number, age)
		}
	}
	if whole == 0 {
		w.find("no whole segment")
	}
}

// update checks one state against the one before.
func (w *Walker) update(old, p *Playlist) {
	if old.Target != p.Target || old.PartTarget != p.PartTarget || old.HoldBack != p.HoldBack || old.PartHoldBack != p.PartHoldBack || old.SkipUntil != p.SkipUntil {
		w.find("a promise changed: %+v to %+v", old, p)
	}
	if p.MediaSequence < old.MediaSequence || p.DiscontinuitySequence < old.DiscontinuitySequence {
		w.find("numbers went back: %d/%d to %d/%d", old.MediaSequence, old.DiscontinuitySequence, p.MediaSequence, p.DiscontinuitySequence)
	}
	removed := int64(0)
	for n := old.MediaSequence; n < p.MediaSequence; n++ {
		if w.known[n].Discontinuity {
			removed++
		}
	}
	if p.DiscontinuitySequence-old.DiscontinuitySequence != removed {
		w.find("discontinuity sequence %d to %d with %d tags removed", old.DiscontinuitySequence, p.DiscontinuitySequence, removed)
	}
	oldMSN, oldPart := end(old)
	msn, part := end(p)
	if msn < oldMSN || msn == oldMSN && part < oldPart {
		w.find("the end went back from %d/%d to %d/%d", oldMSN, oldPart, msn, part)
	}
	if (msn > oldMSN || part > oldPart) && old.Hint != "" {
		if _, ok := w.names[old.Hint]; !ok && !p.Ended && !w.known[msn].Gap {
			w.find("hinted part %s did not come next", old.Hint)
		}
	}
}

// end returns the last segment and its number of parts.
func end(p *Playlist) (msn int64, parts int) {
	if len(p.Segments) == 0 {
		return p.MediaSequence - 1, 0
	}
	s := &p.Segments[len(p.Segments)-1]
	return s.Number, len(s.Parts)
}
