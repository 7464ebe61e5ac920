package hls

import (
	"math"
	"slices"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/fmp4"
)

// gridTolerance is how far a sound frame's time may be from the end of the one
// before and still be put there. RTMP and FLV round to milliseconds.
const gridTolerance = 5 * time.Millisecond

// partSlack is how much earlier a picture may be decoded, not shown, so that the
// part before it keeps its target without being one frame short: timestamps in
// milliseconds slip by one now and then. A part that begins at a random access
// point may be short: when it has slipped by more than a third of this, it is, and
// the times are true again.
const partSlack = 3 * time.Millisecond

// spareSegments are kept beyond those listed, for requests under way.
const spareSegments = 1

// segmenter packages the frames of one rendition.
type segmenter struct {
	muxer *Muxer
	kind  media.Kind
	name  string

	// done are the whole segments that are kept, oldest first, shared a copy of
	// it for windows if it has not changed since; open grows.
	done, shared []*segment
	open         *segment
	init         *initSection
	firstListed  int64 // media sequence number of the first segment in the playlist

	timescale  uint32
	partTarget int64 // in ticks
	frame      int64 // usual duration of a frame, in ticks
	// pending is the newest frame, at pendingAt ticks: the next one tells its
	// duration. Its Track is nil if there is none.
	pending   media.Frame
	pendingAt int64
	// samples are the part that grows: from partStart to partEnd ticks.
	samples []fmp4.Sample
	predictor
	partStart, partEnd int64
	sequence           uint32 // of the last part

	// Measured over whole segments: peak is the highest bit rate of one.
	peak      int
	bytes     int
	measured  time.Duration
	frames    int // of the open segment
	steady    int // of these, how many lasted no longer than twice the usual
	steadyFor int64
	frameRate float64

	// dependent is set for good once a segment began inside a GOP.
	dependent bool

	dirty bool // there is something that no window has
}

// number is the media sequence number of the open segment, or of the one to come.
func (s *segmenter) number() int64 {
	switch {
	case s.open != nil:
		return s.open.number
	case len(s.done) > 0:
		return s.done[len(s.done)-1].number + 1
	}
	return s.muxer.cuts[0].number
}

// write takes the rendition's next frame, which stands in the segment number.
func (s *segmenter) write(f *media.Frame, number int64) {
	if s.open != nil && number < s.open.number { // later than a whole segment
		s.muxer.stats.Dropped++
		return
	}
	at := s.ticks(f)
	switch {
	case s.open == nil || number > s.open.number:
		s.reach(number, at)
		at = s.enter(f, at)
	case s.predicted:
		at = s.follow(f, at)
	case s.pending.Track == nil: // the first frame after a gap was decided
		at = s.enter(f, at)
	default:
		s.push(at)
	}
	s.pending, s.pendingAt = *f, at
	if s.kind == media.KindVideo {
		s.look(f)
		s.predict()
	}
}

// ticks places a frame on the rendition's timescale: sound right behind the
// frame before if it is as near as rounded timestamps are, and never back.
func (s *segmenter) ticks(f *media.Frame) int64 {
	at := max(0, fmp4.Ticks(f.DTS, s.timescale))
	if s.pending.Track == nil || s.timescale == 0 {
		return at
	}
	next := s.pendingAt + s.frame
	if s.kind == media.KindAudio && fmp4.Duration(max(at-next, next-at), s.timescale) <= gridTolerance {
		return next
	}
	full := s.partStart + s.partTarget
	if s.kind == media.KindVideo && at > full && at <= full+s.slack() {
		at = full
	}
	return max(at, s.pendingAt+1)
}

// slack is partSlack for the part that grows, in ticks.
func (s *segmenter) slack() int64 {
	if independent := len(s.samples) > 0 && s.samples[0].Sync || len(s.samples) == 0 && s.pending.RandomAccess; independent {
		return fmp4.Ticks(partSlack/3, s.timescale)
	}
	return fmp4.Ticks(partSlack, s.timescale)
}

// reach closes segments up to the one before number and opens that. Those in
// between hold no frame and are gaps. at is where the next frame is, in ticks,
// 0 if none is known.
func (s *segmenter) reach(number, at int64) {
	for s.open == nil || s.open.number < number {
		c := s.muxer.cutOf(number)
		if s.open != nil {
			c = s.muxer.cutOf(s.open.number + 1)
			s.finish(c, at)
		}
		s.open = &segment{
			number: c.number, sequence: c.sequence, discontinuity: c.discontinuity && len(s.done) > 0,
			wall: c.layout.set.Anchor.At(c.at),
		}
	}
}

// enter begins the open segment with its first frame and returns the frame's
// ticks, on the timescale that this may have changed.
func (s *segmenter) enter(f *media.Frame, at int64) int64 {
	if s.init == nil || !sameCoding(s.init.track, f.Track) {
		data, err := fmp4.AppendInit(nil, f.Track)
		if err != nil { // carried lets no such track in
			s.muxer.stats.Dropped++
		}
		s.init = &initSection{name: initName(s.name, s.open.number), track: f.Track, data: data}
		s.timescale = fmp4.Timescale(f.Track)
		s.partTarget = ticksOf(s.muxer.partTarget, s.timescale)
		if usual := s.muxer.usualFrame(f); s.frame == 0 || s.kind == media.KindAudio {
			s.frame = fmp4.Ticks(usual, s.timescale)
		}
		at = max(0, fmp4.Ticks(f.DTS, s.timescale))
	} else {
		at = s.follow(f, at)
	}
	s.predicted = false
	s.open.init = s.init
	s.open.wall = f.Set.Anchor.At(f.PTS - s.shown)
	if !f.RandomAccess {
		s.dependent = true
		s.muxer.stats.Forced++
	}
	s.partStart, s.partEnd = at, at
	return at
}

// push makes the pending frame a sample that lasts up to next, and closes the
// part when it is full.
func (s *segmenter) push(next int64) {
	f := &s.pending
	composition := int64(0)
	if s.kind == media.KindVideo {
		composition = fmp4.Ticks(f.PTS-s.shown, s.timescale) - s.pendingAt
		s.shown = 0
	}
	if len(s.samples) > 0 && next-s.partStart > s.partTarget {
		s.closePart(false)
	}
	s.samples = append(s.samples, fmp4.Sample{
		Duration:        uint32(min(next-s.pendingAt, math.MaxUint32)),
		CompositionTime: int32(composition),
		Sync:            f.RandomAccess,
		Data:            f.Data,
	})
	s.frames++
	if d := next - s.pendingAt; s.frame == 0 || d <= 2*s.frame {
		s.steady++
		s.steadyFor += d
	}
	s.partEnd = next
	// Nine tenths: the next frame may come a little early.
	if s.partEnd-s.partStart+s.frame*9/10 > s.partTarget {
		s.closePart(false)
	}
}

// closePart makes a part of the samples. final says that its segment ends.
func (s *segmenter) closePart(final bool) {
	ticks := s.partEnd - s.partStart
	p := part{duration: fmp4.Duration(ticks, s.timescale)}
	for i := range s.samples {
		p.independent = p.independent || s.samples[i].Sync
	}
	stats := &s.muxer.stats
	if ticks > s.partTarget {
		stats.LongParts++
		p.duration = s.muxer.partTarget
	}
	if !final && !p.independent && ticks < s.partTarget*85/100 {
		stats.ShortParts++
	}
	s.sequence++
	p.data = fmp4.AppendPart(make([]byte, 0, fmp4.PartSize(s.samples)), s.sequence, uint64(s.partStart), s.samples)
	p.size = len(p.data)
	clear(s.samples)
	s.samples = s.samples[:0]

	o := s.open
	o.partLines = appendPart(o.partLines, s.name, o.number, len(o.parts), &p)
	o.parts = append(o.parts, p)
	o.duration += fmp4.Duration(s.partEnd, s.timescale) - fmp4.Duration(s.partStart, s.timescale)
	o.size += p.size
	s.muxer.bytes += p.size
	s.partStart = s.partEnd
	stats.Parts++
	s.dirty = true
}

// finish closes the open segment, whose time ends at next; nil is the end of
// the stream. at is where the next frame is, 0 if none is known.
func (s *segmenter) finish(next *cut, at int64) {
	o := s.open
	if s.pending.Track != nil {
		s.push(s.lastEnd(next, at))
		if len(s.samples) > 0 {
			s.closePart(true)
		}
		s.pending = media.Frame{}
	}
	if len(o.parts) == 0 {
		o.gap, s.predicted = true, false
		if next == nil {
			s.open = nil
			return
		}
		o.duration = next.at - s.muxer.cutOf(o.number).at
		s.muxer.stats.Gaps++
	}
	s.measure()
	o.chunks = make([][]byte, len(o.parts))
	for i := range o.parts {
		o.chunks[i] = o.parts[i].data
	}
	o.tail = appendSegment(nil, s.name, o)
	s.done, s.shared = append(s.done, o), nil
	s.open = nil
	s.muxer.stats.Segments++
	s.dirty = true
	s.expire()
}

// lastEnd returns where the pending frame, the last of its segment, ends: at
// the next frame, if that is where it should be, else after its usual time. A
// picture stays up to the cut.
func (s *segmenter) lastEnd(next *cut, at int64) int64 {
	usual := s.pendingAt + max(1, s.frame)
	if full := s.partStart + s.partTarget; usual > full && usual <= full+s.slack() {
		usual = full
	}
	switch {
	case next == nil || next.discontinuity:
		return usual
	case s.kind == media.KindVideo:
		end := fmp4.Ticks(next.at, s.timescale)
		if at > 0 { // the next frame is there or later, but for partSlack
			end = min(end, at)
		}
		return max(end, s.pendingAt+1)
	case at > s.pendingAt && at < usual+s.frame:
		return at
	}
	return usual
}

// measure takes the figures of the segment that has just become whole.
func (s *segmenter) measure() {
	o := s.open
	if o.gap || o.duration <= 0 {
		return
	}
	s.bytes += o.size
	s.measured += o.duration
	// The peak is that of any run of half a target to one and a half (RFC 8216bis,
	// 4.4.6.2): short segments count with the one before.
	switch n := len(s.done); {
	case o.duration >= s.muxer.target/2 || s.peak == 0:
		s.peak = max(s.peak, bitRate(o.size, o.duration))
	case n > 0 && !s.done[n-1].gap:
		s.peak = max(s.peak, bitRate(o.size+s.done[n-1].size, o.duration+s.done[n-1].duration))
	}
	if s.kind == media.KindVideo {
		s.frame = fmp4.Ticks(o.duration, s.timescale) / int64(s.frames)
		if s.steady > s.frames/2 { // a frame that did not come tells nothing of the others
			s.frame = s.steadyFor / int64(s.steady)
		}
		s.frameRate = float64(s.frames) / o.duration.Seconds()
	}
	s.frames, s.steady, s.steadyFor = 0, 0, 0
}

func bitRate(bytes int, d time.Duration) int {
	return int(math.Ceil(float64(bytes) * 8 / d.Seconds()))
}

// expire forgets what the playlist does not list any more, but for a spare. What
// is listed lasts as long as the window, by the segments of the first rendition
// if they are whole, so that all renditions list the same ones.
func (s *segmenter) expire() {
	window := max(s.muxer.config.Window, skipTargets*s.muxer.target)
	var sum time.Duration
	for _, seg := range slices.Backward(s.done) {
		if sum += s.muxer.lasts(seg); sum >= window {
			s.firstListed = max(s.firstListed, seg.number)
			break
		}
	}
	drop := max(0, s.listedFrom()-spareSegments)
	for _, seg := range s.done[:drop] {
		if !seg.stored {
			s.muxer.bytes -= seg.size
		}
	}
	s.done = slices.Delete(s.done, 0, drop)
}

// lasts returns how long a segment lasts in the first rendition, its own duration
// if it is not whole there.
func (m *Muxer) lasts(seg *segment) time.Duration {
	if first := m.segmenters[0].done; len(first) > 0 {
		if i := seg.number - first[0].number; i >= 0 && i < int64(len(first)) {
			return first[i].duration
		}
	}
	return seg.duration
}

// listedFrom returns the index in done of the first segment to list.
func (s *segmenter) listedFrom() int {
	if len(s.done) == 0 {
		return 0
	}
	return int(max(0, s.firstListed-s.done[0].number))
}

func (s *segmenter) close() {
	if s.open != nil {
		s.finish(nil, 0)
	}
	s.dirty = true
}
