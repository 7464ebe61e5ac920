package ingest

import (
	"slices"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/stream"
)

// maxProbeBytes bounds what a probe holds back: two seconds at 50 Mbit/s.
const maxProbeBytes = 12 << 20

// probe holds the first frames back until the tracks are known, so that a
// stream never is live with half of them.
type probe struct {
	wait   time.Duration
	frames []media.Frame
	bytes  int
}

// ready adds a frame and reports whether the wait is over: the encoder's
// promised tracks are all there, or the time or the bytes are used up.
func (p *probe) ready(f media.Frame, conn Conn) bool {
	p.frames = append(p.frames, f)
	p.bytes += len(f.Data)
	if f.Arrival.Sub(p.frames[0].Arrival) >= p.wait || p.bytes > maxProbeBytes {
		return true
	}
	_, complete := conn.Tracks()
	return complete
}

// dropUndecodable drops what comes before the first random access point of the
// pictures. Viewers of a stream that goes on do not wait for one.
func (p *probe) dropUndecodable(tracks []*media.Track) {
	video := (&media.TrackSet{Tracks: tracks}).First(media.KindVideo)
	if video == nil {
		return
	}
	at := slices.IndexFunc(p.frames, func(f media.Frame) bool { return f.Track.ID == video.ID && f.RandomAccess })
	if at < 0 {
		at = len(p.frames)
	}
	p.frames = slices.Delete(p.frames, 0, at)
}

// backwards is the step back in DTS up to which a frame is taken for a
// straggler; a larger one is an encoder that began to count anew.
const backwards = time.Second

// timeline turns a publisher's time into stream time: from zero on, DTS of
// each track strictly rising, one offset for all tracks so that sound and
// picture stay together. It makes the track sets.
type timeline struct {
	set    *media.TrackSet
	offset time.Duration
	// last is the newest DTS by track ID, in stream time; newest that of all.
	last   map[int]time.Duration
	newest time.Duration
	// floor is where this publisher began.
	floor   time.Duration
	arrival time.Time
	repairs uint64
}

// resumeStep is how far behind the last frame of a stream its next publisher
// goes on: about a frame, so that players that wait see no gap.
const resumeStep = 40 * time.Millisecond

// begin sets stream time at the earliest DTS of the first frames, which is
// zero, or for a stream that prev and newest are left of follows these in a new
// epoch. The media stood still with the encoder: the wall clock moves, not it.
func (t *timeline) begin(frames []media.Frame, tracks []*media.Track, prev *media.TrackSet, newest time.Duration) {
	first := frames[0].DTS
	for _, f := range frames {
		first = min(first, f.DTS)
	}
	start := time.Duration(0)
	t.set = &media.TrackSet{Tracks: slices.Clone(tracks)}
	if prev != nil {
		start = newest + resumeStep
		t.set.Epoch = prev.Epoch + 1
	}
	t.floor, t.offset = start, start-first
	t.set.Anchor.Wall = frames[0].Arrival.Add(-(frames[0].DTS + t.offset))
}

// write places f in stream time and in a track set and hands it to pub.
func (t *timeline) write(pub *stream.Publisher, f media.Frame) {
	f.DTS += t.offset
	f.PTS += t.offset
	last, seen := t.last[f.Track.ID]
	switch {
	case seen && f.DTS < last-backwards:
		t.restart(&f)
	case f.DTS < t.floor: // sound from before the first picture
		return
	case seen && f.DTS <= last:
		// A millisecond is the least that FLV can tell apart.
		t.move(&f, last+time.Millisecond-f.DTS)
	}
	f.PTS = max(f.PTS, f.DTS)
	t.last[f.Track.ID] = f.DTS
	t.newest, t.arrival = max(t.newest, f.DTS), f.Arrival
	if t.set.Lookup(f.Track.ID) != f.Track {
		t.set = withTrack(t.set, f.Track)
	}
	f.Set = t.set
	pub.Write(f)
}

// restart begins a new epoch in which f follows the newest frame by the time
// that really passed between the two.
func (t *timeline) restart(f *media.Frame) {
	passed := max(f.Arrival.Sub(t.arrival), time.Millisecond)
	shift := t.newest + passed - f.DTS
	t.offset += shift
	t.move(f, shift)
	set := *t.set
	set.Epoch++
	set.Anchor.Wall = f.Arrival.Add(-f.DTS)
	t.set = &set
}

func (t *timeline) move(f *media.Frame, by time.Duration) {
	f.DTS += by
	f.PTS += by
	t.repairs++
}

// withTrack returns a set in which track replaces the one of its ID, or is added.
func withTrack(s *media.TrackSet, track *media.Track) *media.TrackSet {
	set := *s
	set.Tracks = make([]*media.Track, 0, len(s.Tracks)+1)
	for _, t := range s.Tracks {
		if t.ID != track.ID {
			set.Tracks = append(set.Tracks, t)
		}
	}
	set.Tracks = append(set.Tracks, track)
	slices.SortFunc(set.Tracks, func(a, b *media.Track) int { return a.ID - b.ID })
	return &set
}
