package stream

import (
	"context"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/miju-live/miju/media"
)

// maxBatch bounds what NextBatch returns at once, in frames: about eight
// seconds of a usual stream, a third of what one writev takes.
const maxBatch = 256

// maxBatchBytes is when a batch ends, in bytes of frames: a reader that is
// behind looks after so many whether it should jump, and a viewer that takes
// nothing holds that much and a frame of its own.
const maxBatchBytes = 128 << 10

const (
	// WakeNow as ReaderOptions.Wake wakes a reader at every frame.
	WakeNow time.Duration = -1
	// WakeAuto wakes it as Hub.SetPace says.
	WakeAuto time.Duration = -2
)

// ReaderOptions choose what a reader follows and when it wakes. The zero value
// follows the default video and the default audio and wakes at video frames.
type ReaderOptions struct {
	// Tracks are the IDs of the tracks to follow; nil is the stream's first
	// video and first audio track, whichever these are.
	Tracks []int
	// Data adds the data tracks to the default choice.
	Data bool
	// All follows every track and is never skipped: for packagers and recorders.
	All bool
	// Wake is the least time between two wake-ups, which come at frames of
	// the followed video track (at any frame if there is none). 0 is every
	// video frame, WakeNow every frame of any track, WakeAuto what the hub says.
	Wake time.Duration
}

// Reader is a cursor into a stream's log. It belongs to one goroutine.
type Reader struct {
	stream  *Stream
	log     *log
	options ReaderOptions

	last *node // the node before the next one to look at
	wake *wake // of set
	set  *media.TrackSet
	seq  uint64 // up to here may be taken without waiting
	// seeking is set until the next random access point was found.
	seeking bool
	// floor is the DTS of the random access point that the reader began at:
	// sound from before it has no picture and is left out.
	floor   time.Duration
	skipped uint64
	closed  bool

	// parked holds last while the reader is parked, nil if its place was taken.
	// It is there since it was parked first, and the stream's parking knows it.
	parked *atomic.Pointer[node]
}

// NewReader returns a reader that begins at the newest random access point of
// what it follows, or waits for the next one if the log holds none. It must
// be closed.
func (s *Stream) NewReader(o ReaderOptions) *Reader {
	r := &Reader{stream: s, log: &s.log, options: o}
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	set := l.set.Load()
	r.seek(set)
	if set != nil {
		r.set, r.wake = set, l.wakeOf(r.pace(set))
		r.seq = r.wake.seq.Load()
	}
	// When its place is found: who sees it counted may write on.
	if o.Wake == WakeNow {
		s.hasty.Add(1)
	}
	s.readers.Add(1)
	return r
}

// Close ends the reader; others may still use the entries it returned.
func (r *Reader) Close() {
	if !r.closed {
		r.closed = true
		r.last, r.wake = nil, nil
		r.unregister()
		r.stream.readers.Add(-1)
		if r.options.Wake == WakeNow {
			r.stream.hasty.Add(-1)
		}
	}
}

// Ready reports whether NextBatch would return at once.
func (r *Reader) Ready() bool {
	return r.last.seq < r.seq || r.wake == nil || r.set != r.log.set.Load() || r.last.seq < r.wake.seq.Load() || r.log.closed.Load()
}

// Place tells where the reader is: readers of one stream with the same Place
// get the same frames from there on. It rises.
func (r *Reader) Place() uint64 { return r.last.seq }

// Begun reports whether the reader has returned a frame since it began or was
// skipped.
func (r *Reader) Begun() bool { return !r.seeking }

// Twin returns a reader at the same place, which counts for nobody and need not
// be closed.
func (r *Reader) Twin() *Reader {
	twin := &Reader{stream: r.stream, log: r.log, options: r.options, closed: true}
	twin.Follow(r)
	return twin
}

// Rest lets go of what is held in memory for the reader. Only Follow and Close may come next.
func (r *Reader) Rest() { r.last = nil }

// Follow puts the reader where another one of its stream is.
func (r *Reader) Follow(other *Reader) {
	r.last, r.wake, r.set, r.seq, r.seeking, r.floor = other.last, other.wake, other.set, other.seq, other.seeking, other.floor
}

// Skipped counts how often the reader lagged too far and jumped forward.
func (r *Reader) Skipped() uint64 { return r.skipped }

// Next returns the next frame. It is NextBatch for those who want one; wakes
// follow Wake all the same only if frames are taken as fast as they come.
func (r *Reader) Next(ctx context.Context) (*Entry, error) {
	var one [1]*Entry
	batch, err := r.next(ctx, one[:0])
	if err != nil {
		return nil, err
	}
	return batch[0], nil
}

// NextBatch waits until the reader wakes and returns the frames that came
// since, at least one, in the buffer of batch, which it overwrites. It
// returns io.EOF at the end of the stream and the context's error at the end
// of ctx.
func (r *Reader) NextBatch(ctx context.Context, batch []*Entry) ([]*Entry, error) {
	clear(batch[:cap(batch)]) // what is left there would pin the log
	if cap(batch) < maxBatch {
		batch = slices.Grow(batch[:0], maxBatch)
	}
	return r.next(ctx, batch[:0:maxBatch])
}

func (r *Reader) next(ctx context.Context, batch []*Entry) ([]*Entry, error) {
	for {
		if err := r.wait(ctx); err != nil {
			return batch, err
		}
		r.skipIfLagging()
		if batch = r.take(batch); len(batch) > 0 {
			return batch, nil
		}
	}
}

// wait returns when there are nodes that the reader's pace lets it take.
func (r *Reader) wait(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for r.last.seq >= r.seq {
		if r.wake != nil && r.set == r.log.set.Load() {
			if r.seq = r.wake.seq.Load(); r.last.seq < r.seq {
				return nil
			}
		}
		ch, err := r.sleep()
		if err != nil {
			return err
		}
		if ch == nil {
			continue
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// sleep returns the channel to sleep on, or nil if something came meanwhile.
func (r *Reader) sleep() (<-chan struct{}, error) {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if set := l.set.Load(); r.wake == nil || r.set != set {
		r.set, r.wake = set, l.wakeOf(r.pace(set))
	}
	if l.closed.Load() {
		if r.seq = l.tail.Load().seq; r.last.seq >= r.seq {
			return nil, io.EOF
		}
		return nil, nil
	}
	if r.seq = r.wake.seq.Load(); r.last.seq < r.seq {
		return nil, nil
	}
	if r.wake.ch == nil {
		r.wake.ch = make(chan struct{})
	}
	return r.wake.ch, nil
}

// take walks the nodes up to seq and returns those that are followed.
func (r *Reader) take(batch []*Entry) []*Entry {
	end := r.last.total + maxBatchBytes
	for r.last.seq < r.seq && len(batch) < cap(batch) && r.last.total < end {
		n := r.last.next.Load()
		r.last = n
		if r.wants(&n.Frame) {
			batch = append(batch, &n.Entry)
		}
	}
	return batch
}

func (r *Reader) wants(f *media.Frame) bool {
	if !r.follows(f.Set, f.Track) {
		return false
	}
	if r.seeking {
		if t := r.startTrack(f.Set); t != nil && (t.ID != f.Track.ID || !f.RandomAccess) {
			return false
		}
		r.seeking, r.floor = false, f.DTS
	}
	return r.options.All || f.DTS >= r.floor
}

func (r *Reader) follows(set *media.TrackSet, t *media.Track) bool {
	switch {
	case r.options.All:
		return true
	case r.options.Tracks != nil:
		return slices.Contains(r.options.Tracks, t.ID)
	case t.Kind() == media.KindData:
		return r.options.Data
	}
	return set.First(t.Kind()).ID == t.ID
}

// startTrack is the track at whose random access points the reader may begin:
// the followed video, else the followed audio.
func (r *Reader) startTrack(set *media.TrackSet) *media.Track {
	for _, k := range [...]media.Kind{media.KindVideo, media.KindAudio} {
		if t := r.followed(set, k); t != nil {
			return t
		}
	}
	return nil
}

func (r *Reader) followed(set *media.TrackSet, k media.Kind) *media.Track {
	if r.options.Tracks == nil {
		return set.First(k)
	}
	for _, t := range set.Tracks {
		if t.Kind() == k && slices.Contains(r.options.Tracks, t.ID) {
			return t
		}
	}
	return nil
}

func (r *Reader) pace(set *media.TrackSet) pace {
	if r.options.Wake == WakeNow {
		return pace{}
	}
	p := pace{interval: r.options.Wake}
	if t := r.followed(set, media.KindVideo); t != nil {
		p.track = t.ID
	}
	return p
}

// seek puts the reader before the newest random access point. The caller
// holds the log's lock.
func (r *Reader) seek(set *media.TrackSet) {
	r.last, r.seeking = r.newest(set), true
}

// newest is the node before the newest random access point, or the tail if the
// log holds none. The caller holds the log's lock.
func (r *Reader) newest(set *media.TrackSet) *node {
	if t := r.startTrack(set); t != nil {
		if s := r.log.start(t.ID); s != nil && s.before != nil {
			return s.before
		}
	}
	return r.log.tail.Load()
}

// skipIfLagging jumps to the newest random access point if the reader is
// further behind than allowed and that point is ahead of it. A reader inside
// the newest GOP stays there: the log holds these frames anyway.
func (r *Reader) skipIfLagging() {
	l := r.log
	if r.options.All || !l.lagging(r.last) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed.Load() { // what is left is all there ever will be
		return
	}
	at, seeking := r.last, r.seeking
	if r.seek(l.set.Load()); r.last.seq <= at.seq {
		r.last, r.seeking = at, seeking
		return
	}
	if seeking && r.last.seq > at.seq { // it waited for this; nothing was lost
		return
	}
	r.countSkip()
}

// lagging reports whether a reader behind last is further behind than it may be.
func (l *log) lagging(last *node) bool {
	tail, next := l.tail.Load(), last.next.Load()
	return next != nil &&
		(tail.Frame.Arrival.Sub(next.Frame.Arrival) > l.config.MaxLag || tail.since(last) > uint64(l.config.MaxLagMiB)<<20)
}

// countSkip counts a jump.
func (r *Reader) countSkip() {
	r.seq = max(r.seq, r.last.seq)
	r.skipped++
	r.log.skips.Add(1)
	r.log.totals.skips.Add(1)
}
