package stream

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/miju-live/miju/media"
)

const (
	// audioStart is how often a start point is set on an audio track: a
	// reader without video starts this much in the past at most, enough for a
	// player to begin at once.
	audioStart = time.Second
	// maxPause is the longest that readers paced by video wait while other
	// frames come: an encoder may stop sending pictures and go on with sound.
	maxPause = 500 * time.Millisecond
	// early is how much before its time a wake-up may come: the frame that it is
	// for may be a little early, and the next one is much too late.
	early = 5 * time.Millisecond
	// frameCost is what a frame takes in memory beside its data, in bytes: its
	// node and what the allocator rounds up. The bounds count it, for frames of
	// a few bytes each could be millions.
	frameCost = 160
)

// log is the append-only list of a stream's frames. The publisher appends at
// the tail; readers follow the nodes' next pointers without a lock and take
// the lock only to start, to skip and to go to sleep. What no start point and
// no reader holds any more is the garbage collector's: that is the eviction.
type log struct {
	config Config
	totals *counters
	auto   *atomic.Int64 // the interval of WakeAuto, in nanoseconds
	counters

	set    atomic.Pointer[media.TrackSet]
	tail   atomic.Pointer[node]
	newest atomic.Int64 // the highest DTS, in nanoseconds

	mu     sync.Mutex
	starts []start
	wakes  []*wake
	closed atomic.Bool // set with mu held
}

// counters count for one stream, and for the hub once more.
type counters struct {
	frames, bytes, skips, overflows atomic.Uint64
}

// node is one frame in the list.
type node struct {
	Entry
	next atomic.Pointer[node]
	// seq numbers the nodes from 1; total is the bytes of all nodes up to
	// this one. Differences of both give distances without walking.
	seq, total uint64
}

// since returns what the frames behind before take in memory, up to n.
func (n *node) since(before *node) uint64 {
	return n.total - before.total + (n.seq-before.seq)*frameCost
}

// start is where a new reader of a track begins: behind the node before the
// track's newest random access point. A nil before means that the GOP grew
// too large to keep and readers wait for the next.
type start struct {
	track  int
	before *node
	dts    time.Duration
}

// wake is the channel that readers of one pace sleep on.
type wake struct {
	pace pace
	// seq is the newest node that readers of this pace may take.
	seq  atomic.Uint64
	last time.Time
	ch   chan struct{} // nil: nobody sleeps
}

// pace says at which frames a reader wakes: those of one track (0: any), at
// least interval apart.
type pace struct {
	track    int
	interval time.Duration
}

func (l *log) init(c Config, totals *counters, auto *atomic.Int64) {
	l.config, l.totals, l.auto = c, totals, auto
	l.tail.Store(&node{})
}

func (l *log) append(f media.Frame) {
	prev := l.tail.Load()
	n := &node{Entry: Entry{Frame: f}, seq: prev.seq + 1, total: prev.total + uint64(len(f.Data))}

	l.mu.Lock()
	if l.closed.Load() {
		l.mu.Unlock()
		return
	}
	set, tracksChanged := l.set.Load(), false
	if set != f.Set {
		l.set.Store(f.Set)
		if tracksChanged = !sameTracks(set, f.Set); tracksChanged {
			l.dropStarts(f.Set)
		}
	}
	if int64(f.DTS) > l.newest.Load() {
		l.newest.Store(int64(f.DTS))
	}
	l.mark(prev, n)
	prev.next.Store(n)
	l.tail.Store(n)
	for _, w := range l.wakes {
		if tracksChanged || w.due(&n.Frame, l.auto) {
			w.wake(n)
		}
	}
	l.mu.Unlock()

	for _, c := range [...]*counters{&l.counters, l.totals} {
		c.frames.Add(1)
		c.bytes.Add(uint64(len(f.Data)))
	}
}

// mark moves the start point of n's track to n if decoding may start there,
// and gives up the start points of GOPs that n made too large.
func (l *log) mark(prev, n *node) {
	f := &n.Frame
	if f.RandomAccess {
		s := l.start(f.Track.ID)
		switch {
		case s == nil:
			l.starts = append(l.starts, start{track: f.Track.ID, before: prev, dts: f.DTS})
		case f.Track.Kind() == media.KindVideo || s.before == nil || f.DTS-s.dts >= audioStart:
			s.before, s.dts = prev, f.DTS
		}
	}
	for i := range l.starts {
		s := &l.starts[i]
		if s.before == nil {
			continue
		}
		first := s.before.next.Load()
		if first == nil { // n itself
			continue
		}
		if n.since(s.before) > uint64(l.config.MaxGOPMiB)<<20 || f.Arrival.Sub(first.Frame.Arrival) > l.config.MaxGOPDuration {
			s.before = nil
			l.overflows.Add(1)
			l.totals.overflows.Add(1)
		}
	}
}

// dropStarts forgets the tracks that are gone, so that a start point never
// pins frames that nobody can ask for.
func (l *log) dropStarts(set *media.TrackSet) {
	kept := l.starts[:0]
	for _, s := range l.starts {
		if set.Lookup(s.track) != nil {
			kept = append(kept, s)
		}
	}
	clear(l.starts[len(kept):])
	l.starts = kept
}

func (l *log) start(track int) *start {
	for i := range l.starts {
		if l.starts[i].track == track {
			return &l.starts[i]
		}
	}
	return nil
}

// close ends the log: every reader wakes and finds the end behind the tail.
func (l *log) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed.Store(true)
	for _, w := range l.wakes {
		w.wake(l.tail.Load())
	}
	l.starts = nil
}

// wakeOf returns the wake of a pace. The caller holds the lock. A new one
// lets its readers take all that is there.
func (l *log) wakeOf(p pace) *wake {
	for _, w := range l.wakes {
		if w.pace == p {
			return w
		}
	}
	w := &wake{pace: p}
	tail := l.tail.Load()
	w.seq.Store(tail.seq)
	w.last = tail.Frame.Arrival
	l.wakes = append(l.wakes, w)
	return w
}

func (w *wake) due(f *media.Frame, auto *atomic.Int64) bool {
	interval := w.pace.interval
	if interval == WakeAuto {
		interval = time.Duration(auto.Load())
	}
	paced := w.pace.track == 0 || w.pace.track == f.Track.ID
	if paced && interval == 0 {
		return true
	}
	since := f.Arrival.Sub(w.last) + early
	return since >= max(interval, maxPause) || paced && since >= interval
}

func (w *wake) wake(n *node) {
	w.seq.Store(n.seq)
	w.last = n.Frame.Arrival
	if w.ch != nil {
		close(w.ch)
		w.ch = nil
	}
}

func (l *log) stats() Stats {
	st := Stats{
		Frames: l.frames.Load(), Bytes: l.bytes.Load(),
		Skips: l.skips.Load(), GOPOverflows: l.overflows.Load(),
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	video := l.set.Load().First(media.KindVideo)
	for _, s := range l.starts {
		if s.before == nil || video != nil && s.track != video.ID {
			continue
		}
		tail := l.tail.Load()
		st.CachedBytes = tail.total - s.before.total
		if first := s.before.next.Load(); first != nil {
			st.CachedDuration = tail.Frame.Arrival.Sub(first.Frame.Arrival)
		}
		break
	}
	return st
}
