package ingest

import (
	"cmp"
	"slices"
	"time"

	"github.com/miju-live/miju/media"
)

const (
	// tick is the least that two frames of a track are apart: FLV and RTMP
	// know nothing finer.
	tick = time.Millisecond
	// maxSeek bounds how long pictures of a resumed stream are left out for
	// want of a random access point: some encoders never send one.
	maxSeek = 10 * time.Second
	// maxPromise is how long a promised track is announced to viewers: some
	// encoders announce what they never send, and players may wait for it.
	maxPromise = 10 * time.Second
	// maxAway is for how long a track may bring nothing while others go on.
	// Then it leaves the set: who comes would wait for it for ever. It is more
	// than maxSkew, and than encoders of still screens wait with a picture.
	maxAway = 15 * time.Second
)

// timeline turns a publisher's time into stream time: from zero on, or on from
// where the last publisher of the stream went; DTS of each track strictly
// rising, one offset for all tracks so that sound and picture stay together.
// It makes the track sets. It has no clock but the arrival of frames.
type timeline struct {
	// out takes the frames in stream time.
	out func(media.Frame)
	// count takes what had to be repaired.
	count func(Repair)

	set   *media.TrackSet
	lanes map[int]*lane
	// offsets are those from the encoder's time to stream time that tracks
	// had lately, the newest last.
	offsets []time.Duration
	// jumped is when the newest offset came up.
	jumped time.Time
	// floor is the stream time that all frames must be above.
	floor time.Duration
	// newest is the highest DTS of all tracks, which came at arrival; picture
	// is the highest of video that was handed on.
	newest, picture time.Duration
	arrival         time.Time
	clock           clock
	waiting         interleaver
	// front is the highest DTS that was handed on.
	front time.Duration
	// seekUntil is when pictures need no random access point any more.
	seekUntil time.Time
}

// lane is one track on the timeline.
type lane struct {
	// source is the newest track as the connection has it, track as the
	// stream has it.
	source, track *media.Track
	// in and arrival are of the newest frame, in the encoder's time; step is
	// how far it was from the one before; at is its DTS in stream time.
	seen     bool
	in, step time.Duration
	arrival  time.Time
	offset   time.Duration
	at       time.Duration
	// out is the newest DTS that was handed on, written that there was one.
	out     time.Duration
	written bool
	// delay is how late the track's frames are at least, by the clock. due is
	// until when the newest is held back, held that it is.
	delay least
	due   time.Time
	held  bool
	// seeking is set until a video track has a random access point whose stream
	// was live before it came.
	seeking bool
	// away is how much of the others has come since the newest frame, gone that
	// it was too much.
	away  time.Duration
	gone  bool
	sound sound
}

func newTimeline(out func(media.Frame), count func(Repair)) *timeline {
	return &timeline{out: out, count: count, lanes: map[int]*lane{}}
}

// begin starts the timeline with the first frames, which write then takes, and
// the tracks known by now. prev is what the stream was when its last publisher
// went, newest the highest DTS of it; nil is a stream that begins. It returns
// false if none of the frames is of use, so that others must be waited for.
//
// A resumed stream goes on behind newest, however long nobody published: media
// time has stood still like the encoder, and a new epoch with an anchor of its
// own tells the difference.
func (t *timeline) begin(frames []media.Frame, tracks []*media.Track, prev *media.TrackSet, newest time.Duration) bool {
	set := &media.TrackSet{Tracks: make([]*media.Track, 0, len(tracks))}
	t.floor = -1
	if prev != nil {
		set.Epoch = prev.Epoch + 1
		t.floor = newest + tick - 1
		if t.seekUntil.IsZero() {
			t.seekUntil = frames[0].Arrival.Add(maxSeek)
		}
	}
	frames = t.playable(frames)
	if len(frames) == 0 {
		return false
	}
	first, start := earliest(frames)
	offset := -first.DTS
	if prev != nil {
		offset += newest + max(tick, usualStep(first.Track))
	}
	t.offsets = []time.Duration{offset}
	tracks = t.keepSound(tracks, prev)
	for _, track := range tracks {
		l := t.lane(track)
		l.sound.promised = !brings(frames, track.ID)
		l.source, l.track = track, same(prev.Lookup(track.ID), track)
		set.Tracks = append(set.Tracks, l.track)
	}
	slices.SortFunc(set.Tracks, byID)
	t.newest, t.picture, t.front, t.arrival = t.floor, t.floor, t.floor, frames[0].Arrival
	t.clock = clock{start: start.Add(-offset), seen: frames[0].Arrival}
	set.Anchor = t.clock.anchor()
	t.set = set
	return true
}

// playable returns the frames that will not be left out.
func (t *timeline) playable(frames []media.Frame) []media.Frame {
	kept, begun := make([]media.Frame, 0, len(frames)), map[int]bool{}
	for _, f := range frames {
		l := lane{seeking: t.seeks(f.Track) && !begun[f.Track.ID]}
		if !t.skips(&l, &f) {
			begun[f.Track.ID] = true
			kept = append(kept, f)
		}
	}
	return kept
}

// earliest returns the frame with the lowest DTS of those that share the first
// one's time, and the wall-clock time of DTS zero by the frame that came with
// the least delay.
func earliest(frames []media.Frame) (*media.Frame, time.Time) {
	zero := func(f *media.Frame) time.Time { return f.Arrival.Add(-f.DTS) }
	ref := &frames[0]
	for i := range frames {
		if frames[i].Track.Kind() != media.KindData {
			ref = &frames[i]
			break
		}
	}
	first, start := ref, zero(ref)
	for i := range frames {
		f := &frames[i]
		if f.Track.Kind() == media.KindData || zero(f).Sub(zero(ref)).Abs() > maxSkew {
			continue
		}
		if f.DTS < first.DTS {
			first = f
		}
		if z := zero(f); z.Before(start) {
			start = z
		}
	}
	return first, start
}

// usualStep is how far the frames of a track are apart, 0 if it does not say.
func usualStep(t *media.Track) time.Duration {
	switch {
	case t.FrameRate > 0:
		return time.Duration(float64(time.Second) / t.FrameRate)
	case t.Codec == media.AAC:
		return media.AACFrameDuration(t)
	}
	return 0
}

func (t *timeline) lane(track *media.Track) *lane {
	l := t.lanes[track.ID]
	if l == nil {
		l = &lane{out: t.floor, offset: t.offsets[len(t.offsets)-1], seeking: t.seeks(track)}
		t.lanes[track.ID] = l
	}
	return l
}

// seeks reports whether a track waits for a random access point: in a resumed
// stream, whose viewers have no picture that the next ones refer to.
func (t *timeline) seeks(track *media.Track) bool {
	return track.Kind() == media.KindVideo && !t.seekUntil.IsZero()
}

// skips reports whether f is a picture that nobody could decode.
func (t *timeline) skips(l *lane, f *media.Frame) bool {
	return l.seeking && !f.RandomAccess && f.Arrival.Before(t.seekUntil)
}

// write places f in stream time and hands it on, at once or when the other
// tracks have come as far.
func (t *timeline) write(f media.Frame) {
	if l := t.lanes[f.Track.ID]; (l == nil || l.gone) && f.Track.Kind() == media.KindVideo {
		// It joins others: who plays those cannot decode it from anywhere.
		t.seekUntil = f.Arrival.Add(maxSeek)
		t.lane(f.Track).seeking = true
	}
	l := t.lane(f.Track)
	l.gone = false
	if t.skips(l, &f) {
		return
	}
	l.seeking = false
	if f.Track.Kind() == media.KindData {
		t.placeData(&f)
		t.emit(l, &f)
		return
	}
	t.place(l, &f)
	if len(t.set.Promised) > 0 && f.DTS-t.floor > maxPromise {
		set := *t.set
		set.Promised = nil
		t.set = &set
	}
	if t.clock.observe(f.DTS, f.Arrival) {
		set := *t.set
		set.Anchor = t.clock.anchor()
		t.set = &set
	}
	t.interleave(l, &f)
}

// emit gives f its final times and a track set and hands it on.
func (t *timeline) emit(l *lane, f *media.Frame) {
	kind := f.Track.Kind()
	if kind == media.KindAudio && t.tooLate(l, f) {
		return
	}
	t.raise(l, f)
	l.out, l.written = f.DTS, true
	t.adopt(l, f.Track)
	t.awaits(l, f)
	f.Track, f.Set = l.track, t.set
	t.out(*f)
	if kind == media.KindVideo && f.DTS > t.picture {
		step := f.DTS - t.picture
		t.picture = f.DTS
		t.fill(f, step)
	}
}

// raise keeps DTS rising and PTS no less. A frame that is to be shown before
// it is decoded is decoded sooner if that can be, so that its PTS is kept.
func (t *timeline) raise(l *lane, f *media.Frame) {
	low := t.floor + 1
	if l.written {
		low = l.out + tick
	}
	switch {
	case f.DTS < low:
		t.count(RepairNotRising)
		f.DTS = low
	case f.PTS < f.DTS:
		t.count(RepairNegative)
		f.DTS = max(f.PTS, low)
	}
	f.PTS = max(f.PTS, f.DTS)
}

// adopt puts the connection's track into the set if it is news.
func (t *timeline) adopt(l *lane, track *media.Track) {
	if l.source == track && l.track != nil && t.set.Lookup(track.ID) == l.track {
		return
	}
	l.source = track
	t.replaceKept(track)
	if l.track = same(cmp.Or(t.set.Lookup(track.ID), l.track), track); t.set.Lookup(track.ID) != l.track {
		t.set = withTrack(t.set, l.track)
	}
}

// awaits takes note of how long the other tracks have brought nothing, counted
// in what others brought: a pause of the whole encoder is none of theirs.
func (t *timeline) awaits(l *lane, f *media.Frame) {
	l.away = 0
	step := min(f.DTS-t.front, time.Second)
	if step <= 0 || f.Track.Kind() == media.KindData {
		return
	}
	t.front = f.DTS
	for _, track := range t.set.Tracks {
		other := t.lanes[track.ID]
		if other == l || track.Kind() == media.KindData {
			continue
		}
		if other.away += step; other.away > maxAway {
			other.away, other.gone = 0, true
			t.set = withoutTrack(t.set, track)
		}
	}
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
	slices.SortFunc(set.Tracks, byID)
	set.Promised = slices.DeleteFunc(slices.Clone(s.Promised), func(t *media.Track) bool { return t.Kind() == track.Kind() })
	return &set
}

func withoutTrack(s *media.TrackSet, track *media.Track) *media.TrackSet {
	set := *s
	set.Tracks = slices.DeleteFunc(slices.Clone(s.Tracks), func(t *media.Track) bool { return t == track })
	return &set
}

func byID(a, b *media.Track) int { return a.ID - b.ID }
