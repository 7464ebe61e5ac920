package hls

import (
	"bytes"
	"slices"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/fmp4"
)

// cut is where all renditions begin a segment of the same number.
type cut struct {
	// number is the media sequence number of the segment that begins here.
	number int64
	// at is the first DTS of that segment.
	at time.Duration
	// layout is of what its frames decode with.
	layout *layout
	// discontinuity says that layout does not continue that of the cut before.
	discontinuity bool
	// sequence is the discontinuity sequence number of the segment.
	sequence int64
}

// carries reports whether a frame may stand in a segment that begins here: it
// is of the same epoch and decodes with the same record.
func (m *Muxer) carries(c *cut, f *media.Frame) bool {
	if f.Set == c.layout.set {
		return true
	}
	p := m.layout(f.Set).of(f.Track.ID)
	return f.Set.Epoch == c.layout.set.Epoch && p != nil && sameCoding(f.Track, c.layout.named(p.name))
}

// sameCoding reports whether one initialization section serves both tracks.
// VP9's record does not tell the size.
func sameCoding(a, b *media.Track) bool {
	return a == b || a != nil && b != nil && a.Codec == b.Codec && bytes.Equal(a.Config, b.Config) &&
		a.Width == b.Width && a.Height == b.Height && a.Color.Equal(b.Color)
}

// continues reports whether all tracks of b go on where those of a end.
func continues(a, b *layout) bool {
	return a == b || a.set.Epoch == b.set.Epoch &&
		slices.EqualFunc(a.places, b.places, func(a, b place) bool { return a.name == b.name && sameCoding(a.track, b.track) })
}

// lead looks at a frame of the lead before it is put: it makes a cut where one
// is due and returns false if the frame cannot be decoded from here.
func (m *Muxer) lead(f *media.Frame) bool {
	if !f.RandomAccess {
		return len(m.cuts) > 0 && m.carries(&m.cuts[len(m.cuts)-1], f)
	}
	set := m.layout(f.Set)
	if len(m.cuts) == 0 {
		m.lastAccess = f.DTS
		m.cut(f.DTS, set)
		return true
	}
	last := &m.cuts[len(m.cuts)-1]
	if m.carries(last, f) {
		gop := f.DTS - m.lastAccess
		m.longestGOP = max(m.longestGOP, gop)
		if m.evenGOP = 0; (gop - m.lastGOP).Abs() <= m.frame/2 {
			m.evenGOP = gop
		}
		m.lastGOP = gop
	}
	m.lastAccess = f.DTS
	elapsed := f.DTS - last.at
	// Do not wait for a later random access point that may come too late.
	due := elapsed >= m.config.Segment || elapsed > 0 && elapsed+m.longestGOP > m.target
	if !continues(last.layout, set) || due {
		if !m.mayCutNow(elapsed) {
			return m.carries(last, f)
		}
		m.cut(f.DTS, set)
	}
	return true
}

const (
	// quickCut is what a segment should last at least. There are numbers for
	// four a second, and each costs in all playlists for as long as a window.
	quickCut = 250 * time.Millisecond
	// maxQuickCuts is how many may be shorter before one is longer than a
	// second: an encoder that comes back, or changes all its tracks, is not made
	// to wait.
	maxQuickCuts = 4
)

// mayCutNow bounds how many segments an encoder can make that changes its record
// at every frame.
func (m *Muxer) mayCutNow(elapsed time.Duration) bool {
	switch {
	case elapsed >= time.Second:
		m.quickCuts = 0
	case elapsed < quickCut:
		if m.quickCuts == maxQuickCuts {
			return false
		}
		m.quickCuts++
	}
	return true
}

// amend lets the newest cut, if it is a discontinuity, take a track that changed
// right behind the one that made it, as when an encoder that begins anew sends
// its pictures first. It would have to wait for the next cut, and make one more
// discontinuity there.
func (m *Muxer) amend(f *media.Frame) {
	if len(m.cuts) == 0 {
		return
	}
	c, set := &m.cuts[len(m.cuts)-1], m.layout(f.Set)
	name := set.of(f.Track.ID).name
	if !c.discontinuity || m.carries(c, f) || f.Set.Epoch != c.layout.set.Epoch || len(set.places) != len(c.layout.places) {
		return
	}
	for _, p := range set.places {
		if p.name != name && !sameCoding(p.track, c.layout.named(p.name)) {
			return
		}
	}
	for _, s := range m.segmenters {
		if s.name == name && s.reached(c.number) {
			return
		}
	}
	c.layout = set
}

// reached reports whether the segment number has begun.
func (s *segmenter) reached(number int64) bool {
	return s.open != nil && s.open.number >= number || len(s.done) > 0 && s.done[len(s.done)-1].number >= number
}

// mayCut reports whether a cut may come at a DTS: if there is a random access
// point, which encoders with even GOPs have at the next multiple only.
func (m *Muxer) mayCut(at time.Duration) bool {
	if m.evenGOP > 0 && at < m.lastAccess+m.evenGOP-m.frame/2 {
		return false
	}
	elapsed := at - m.cuts[len(m.cuts)-1].at
	return elapsed >= m.config.Segment-m.frame/2 || elapsed+m.longestGOP > m.target
}

// cut begins a new segment at a DTS.
func (m *Muxer) cut(at time.Duration, set *layout) {
	c := cut{number: m.config.First.Segment, at: at, layout: set, sequence: m.config.First.Discontinuity}
	if n := len(m.cuts); n > 0 {
		last := &m.cuts[n-1]
		c.number = last.number + 1
		c.discontinuity = !continues(last.layout, set)
		c.sequence = last.sequence
		if c.discontinuity {
			c.sequence++
		}
	}
	m.cuts = append(m.cuts, c)
	// A rendition that has had nothing for a whole segment has gaps instead,
	// or its players would wait for it forever.
	for _, s := range m.segmenters {
		if next := s.number() + 1; next < c.number && at-m.cutOf(next).at >= m.config.Segment {
			s.reach(next, 0)
		}
	}
}

// cutOf returns the cut that a segment begins at.
func (m *Muxer) cutOf(number int64) *cut { return &m.cuts[number-m.cuts[0].number] }

// find returns the index of the cut that begins a frame's segment, -1 if none
// carries it.
func (m *Muxer) find(f *media.Frame) int {
	for i := len(m.cuts) - 1; i >= 0; i-- {
		c := &m.cuts[i]
		if m.carries(c, f) && (f.DTS >= c.at-m.early(f) || i == 0 || !m.carries(&m.cuts[i-1], f)) {
			return i
		}
	}
	return -1
}

// early is how long before a cut a frame may be and still stand behind it.
// Encoders of several pictures begin their GOPs at once, but the times of each
// may be rounded otherwise.
func (m *Muxer) early(f *media.Frame) time.Duration {
	if f.Track.Kind() == media.KindVideo && f.RandomAccess {
		return m.frame / 2
	}
	return 0
}

// trim forgets the cuts that every rendition has passed.
func (m *Muxer) trim() {
	passed := len(m.cuts) - 1
	for _, s := range m.segmenters {
		passed = min(passed, int(s.number()-m.cuts[0].number))
	}
	if passed > 0 {
		m.cuts = slices.Delete(m.cuts, 0, passed)
	}
}

// measure fixes the target duration and the part target from what came up to
// the end of the first segment.
func (m *Muxer) measure() {
	last := &m.start[len(m.start)-1]
	var times []time.Duration
	var access, longest time.Duration
	for i := range m.start {
		if f := &m.start[i]; f.Track.ID == last.Track.ID {
			if f.RandomAccess || f == last {
				if len(times) > 0 {
					longest = max(longest, f.DTS-access)
				}
				access = f.DTS
			}
			times = append(times, f.DTS)
		}
	}
	m.target = roundUp(max(2*m.config.Segment, m.config.StartWait), time.Second)
	if longest > m.config.StartWait {
		m.target = max(m.target, longTarget)
	}
	m.leadAtStart, m.frame = last.Track.Kind(), usualStep(times)
	if last.Track.Kind() == media.KindAudio {
		m.frame = media.SoundDuration(last.Track, last.Data)
	}
	if m.partTarget = m.target + time.Second; m.config.Part > 0 {
		m.partTarget = min(m.partTargetFor(last.Track.Kind(), times), m.config.Segment)
	}
}

// usualFrame returns how long a frame of f's track lasts, 0 if that is not known.
func (m *Muxer) usualFrame(f *media.Frame) time.Duration {
	t := f.Track
	switch {
	case t.Kind() == media.KindAudio:
		return media.SoundDuration(t, f.Data)
	case m.leadAtStart == media.KindVideo:
		return m.frame
	case t.FrameRate > 0:
		return time.Duration(float64(time.Second) / t.FrameRate)
	}
	return 0
}

// partTargetFor returns the least whole number of frames that lasts as long as
// configured, in milliseconds rounded up, which covers timestamps of whole
// milliseconds: five frames of 23.976 fps are 208 or 209 ms apart.
func (m *Muxer) partTargetFor(k media.Kind, times []time.Duration) time.Duration {
	frame := m.frame
	if frame <= 0 {
		return m.config.Part
	}
	// A measured frame is off by a thousandth where timestamps are in ms.
	n := max(1, (m.config.Part-frame/50+frame-1)/frame)
	target := roundUp(n*frame-time.Millisecond/5, time.Millisecond)
	if k == media.KindVideo {
		for i := int(n); i < len(times); i++ {
			// A longer span than that is a frame that did not come.
			if span := times[i] - times[i-int(n)]; span < n*frame+frame/2 {
				target = max(target, roundUp(span, time.Millisecond))
			}
		}
	}
	return target
}

// usualStep returns the time between two frames: the mean of those that are
// near the median, so that rounded timestamps average out and a missing frame
// does not count.
func usualStep(times []time.Duration) time.Duration {
	steps := make([]time.Duration, 0, len(times))
	for i := 1; i < len(times); i++ {
		steps = append(steps, times[i]-times[i-1])
	}
	if len(steps) == 0 {
		return 0
	}
	slices.Sort(steps)
	median := steps[len(steps)/2]
	var sum, n time.Duration
	for _, s := range steps {
		if (s - median).Abs() <= median/4 {
			sum += s
			n++
		}
	}
	return sum / n
}

func roundUp(d, unit time.Duration) time.Duration { return (d + unit - 1) / unit * unit }

// ticksOf is fmp4.Ticks rounded down: what must not be exceeded.
func ticksOf(d time.Duration, timescale uint32) int64 {
	t := fmp4.Ticks(d, timescale)
	if fmp4.Duration(t, timescale) > d {
		t--
	}
	return t
}
