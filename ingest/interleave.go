package ingest

import (
	"cmp"
	"slices"
	"time"

	"github.com/miju-live/miju/media"
)

const (
	// holdFrom is by how much one track must come before another to be held
	// back. Muxers bring sound up to half a second late, and egresses cope
	// with twice that.
	holdFrom = time.Second
	// maxHeldBytes and maxHeldFrames bound what is held back.
	maxHeldBytes  = 12 << 20
	maxHeldFrames = 2048
)

// interleaver holds back tracks that come well before the others of the same
// time, such as the sound of an encoder that looks ahead in its pictures. No
// viewer sees a picture later for it, since none can be shown without its
// sound, and each finds with a picture the sound that belongs to it. It has no
// timer: the frames that come let go of those that are due.
type interleaver struct {
	queue []held
	bytes int
}

// held is a frame that waits until due.
type held struct {
	frame media.Frame
	lane  *lane
	due   time.Time
}

// hold returns for how long the frames of a lane are held back: by how much
// sooner they come than those of the latest.
func (t *timeline) hold(l *lane) time.Duration {
	latest := l.delay.value
	for _, other := range t.lanes {
		if other.delay.known && !other.gone {
			latest = max(latest, other.delay.value)
		}
	}
	skew := latest - l.delay.value
	if skew < holdFrom {
		l.held = false
		return 0
	}
	if !l.held {
		l.held = true
		t.count(RepairSkew)
	}
	return min(skew, maxSkew)
}

// interleave takes a frame that was placed and lets go of those that are due.
func (t *timeline) interleave(l *lane, f *media.Frame) {
	hold := t.hold(l)
	if hold == 0 && len(t.waiting.queue) == 0 {
		t.emit(l, f)
		return
	}
	// A track's frames stay in their order when the hold becomes less.
	if due := f.Arrival.Add(hold); due.After(l.due) {
		l.due = due
	}
	w := &t.waiting
	at, _ := slices.BinarySearchFunc(w.queue, l.due, func(h held, due time.Time) int {
		return cmp.Or(h.due.Compare(due), -1) // behind its equals
	})
	w.queue = slices.Insert(w.queue, at, held{*f, l, l.due})
	w.bytes += len(f.Data)
	n := 0
	for ; n < len(w.queue); n++ {
		due := !w.queue[n].due.After(f.Arrival)
		if !due && w.bytes <= maxHeldBytes && len(w.queue)-n <= maxHeldFrames {
			break
		}
		t.letGo(&w.queue[n], f.Arrival)
	}
	w.queue = slices.Delete(w.queue, 0, n)
}

// flush lets go of all frames, for no more come.
func (t *timeline) flush() {
	for i := range t.waiting.queue {
		h := &t.waiting.queue[i]
		t.letGo(h, h.frame.Arrival)
	}
	t.waiting = interleaver{}
}

// letGo emits a frame as if it had come now, so that arrivals go on rising.
func (t *timeline) letGo(h *held, now time.Time) {
	t.waiting.bytes -= len(h.frame.Data)
	if now.After(h.frame.Arrival) {
		h.frame.Arrival = now
	}
	t.emit(h.lane, &h.frame)
}
