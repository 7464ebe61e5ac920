package ingest

import (
	"reflect"
	"slices"
	"time"

	"github.com/miju-live/miju/media"
)

const (
	// jump is the step of a track's time that is believed, back or beyond the
	// time that really passed. Below it a frame is a straggler, or early.
	jump = time.Second
	// maxSkew is how far apart tracks may be that share one time: sound is
	// seconds ahead of pictures that an encoder looks ahead in.
	maxSkew = 10 * time.Second
	// maxOffsets bounds how many offsets are remembered for tracks to follow,
	// or to return to.
	maxOffsets = 4
)

// wraps are the counters that encoders are known to wrap at: 24, 31 and 32
// bits of milliseconds, 32 and 33 bits of 90 kHz. What a track has lost is then
// known exactly.
var wraps = []time.Duration{
	1 << 24 * time.Millisecond,
	1 << 31 * time.Millisecond,
	1 << 32 * time.Millisecond,
	1 << 32 * time.Second / 90000,
	1 << 33 * time.Second / 90000,
}

// place turns f's times into stream time. A track's time may jump, with the
// others or alone.
func (t *timeline) place(l *lane, f *media.Frame) {
	step, passed := f.DTS-l.in, f.Arrival.Sub(l.arrival)
	late := t.clock.late(f.DTS+l.offset, f.Arrival)
	switch {
	case !l.seen:
		if t.clock.delay.known && (late-t.clock.delay.value).Abs() > maxSkew {
			t.rebase(l, f, RepairBase)
		}
	case t.follow(l, f):
	case step < -jump:
		t.rebase(l, f, RepairBack)
	case step-passed > jump && l.delay.value-late > jump:
		// Not only by more than the time that passed, which is so of every
		// gap within frames that catch up after the network stalled, but also
		// earlier than any frame of late.
		t.rebase(l, f, RepairForward)
	case step > 0 && step <= jump:
		l.step = step
	}
	l.seen, l.in, l.arrival = true, f.DTS, f.Arrival
	f.DTS += l.offset
	f.PTS += l.offset
	l.delay.add(t.clock.late(f.DTS, f.Arrival), f.Arrival)
	if l.at = f.DTS; f.DTS > t.newest {
		t.newest, t.arrival = f.DTS, f.Arrival
	}
}

// follow gives a track the offset of one that jumped before it, if with that
// its frame is where it should be. So those that jump together stay together,
// by however little the one jumped more than the other.
func (t *timeline) follow(l *lane, f *media.Frame) bool {
	last := t.offsets[len(t.offsets)-1]
	if l.offset == last || f.Arrival.Sub(t.jumped) > maxSkew {
		return false
	}
	want := t.expect(l, f.Arrival)
	miss := func(offset time.Duration) time.Duration { return (f.DTS + offset - want).Abs() }
	if miss(last) > jump/2 || miss(last) >= miss(l.offset) {
		return false
	}
	why := RepairForward
	if last > l.offset {
		why = RepairBack
	}
	t.count(why)
	l.offset = last
	return true
}

// placeData gives a data message, whose time many encoders leave at zero, the
// time of the newest frame if its own is not near that.
func (t *timeline) placeData(f *media.Frame) {
	f.DTS += t.offsets[len(t.offsets)-1]
	if (f.DTS - t.newest).Abs() > jump {
		f.DTS = max(t.newest, t.floor+1)
	}
	f.PTS = f.DTS
}

// rebase gives a track that jumped another offset: one that others have, or
// that it had; that of a wrap; or the one by which f follows what was there.
func (t *timeline) rebase(l *lane, f *media.Frame, why Repair) {
	t.count(why)
	from, want := l.at, t.expect(l, f.Arrival)
	if !l.seen {
		from = t.newest - maxSkew
	}
	defer func() { l.step = 0 }()
	best, found := time.Duration(0), false
	try := func(offset time.Duration) {
		at := f.DTS + offset
		if at <= from-jump || at >= want+jump {
			return
		}
		if !found || (at-want).Abs() < (f.DTS+best-want).Abs() {
			best, found = offset, true
		}
	}
	for _, o := range t.offsets {
		try(o)
	}
	if found {
		l.offset = best
		return
	}
	if why == RepairBack {
		for _, w := range wraps {
			try(l.offset + w)
		}
	}
	if !found {
		best = want - f.DTS
	}
	l.offset = best
	if len(t.offsets) == maxOffsets {
		t.offsets = slices.Delete(t.offsets, 0, 1)
	}
	t.offsets, t.jumped = append(t.offsets, best), f.Arrival
}

// expect returns the stream time of a track's next frame that comes at a
// moment: behind its last frame, but if that was long ago behind the newest of
// all, by the time that really passed.
func (t *timeline) expect(l *lane, arrival time.Time) time.Duration {
	if passed := arrival.Sub(l.arrival); l.seen && passed < jump {
		step := l.step
		if step == 0 { // it has jumped ever since, so that only real time tells
			step = passed
		}
		return l.at + max(step, tick)
	}
	return t.newest + max(arrival.Sub(t.arrival), tick)
}

// same returns old if track is nothing else, so that what compares tracks
// sees that nothing changed.
func same(old, track *media.Track) *media.Track {
	if old != nil && reflect.DeepEqual(old, track) {
		return old
	}
	return track
}
