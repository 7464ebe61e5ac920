package chatws

import (
	"slices"
	"sync/atomic"
	"time"
)

// outlet is where a room's frames leave. All but tail and what has its own
// lock is under the room's lock.
type outlet struct {
	pumps *pumps
	batch time.Duration
	// tail is the newest node.
	tail atomic.Pointer[node]

	pending []byte // frames that are not in a node yet

	shards  []*shard
	roomy   []*shard // those that are not full
	members int

	scheduled bool // what is pending will be written
	inline    bool // whoever has the lock writes to a small room by itself
	due       bool // and has to now
	queued    atomic.Bool
	timer     *time.Timer
	pace      pace
	// cutting is called, if it is set, by whoever runs a scheduled write, to
	// cut what is pending under the room's lock.
	cutting func() (shards []*shard)
}

func (o *outlet) init(p *pumps, batch time.Duration, cutting func() []*shard) {
	o.pumps, o.batch, o.cutting = p, batch, cutting
	o.tail.Store(new(node))
}

// emit has everybody get a frame with a payload.
func (o *outlet) emit(payload []byte, now time.Time) {
	if o.members == 0 {
		return
	}
	if len(o.pending) > 0 && len(o.pending)+maxHead+len(payload) > writeAtOnce {
		o.cut()
	}
	if o.pending == nil {
		o.pending = make([]byte, 0, maxHead+len(payload))
	}
	o.pending = appendFrame(o.pending, opText, payload)
	wait := o.pace.next(now, o.members, o.batch)
	if o.scheduled {
		return
	}
	o.scheduled = true
	switch {
	case wait <= 0 && o.inline && len(o.shards) == 1:
		o.due = true
	case wait <= 0:
		o.enqueue()
	case o.timer == nil:
		o.timer = time.AfterFunc(wait, o.enqueue)
	default:
		o.timer.Reset(wait)
	}
}

// begin says that whoever has the lock will call end, and then write.
func (o *outlet) begin() { o.inline, o.due = true, false }

// end reports whether there is something to write when the lock is released.
// To wake a pump takes longer than to write to a few.
func (o *outlet) end() bool {
	due := o.due
	o.inline, o.due = false, false
	return due
}

// write does what a pump would.
func (o *outlet) write() {
	w := tryWriters.Get().(*tryWriter)
	defer tryWriters.Put(w)
	o.run(o.pumps, w)
}

func (o *outlet) enqueue() {
	if !o.queued.Swap(true) {
		o.pumps.push(o)
	}
}

// run implements task: it hands what is pending to the shards.
func (o *outlet) run(p *pumps, w *tryWriter) {
	o.queued.Store(false)
	shards := o.cutting()
	if len(shards) == 1 {
		shards[0].run(p, w)
		return
	}
	tasks := make([]task, 0, len(shards))
	for _, s := range shards {
		if !s.queued.Swap(true) {
			tasks = append(tasks, s)
		}
	}
	p.push(tasks...)
}

// release makes a node of what is pending and returns who is to get it.
func (o *outlet) release() []*shard {
	o.scheduled = false
	o.cut()
	return o.shards
}

// cut makes a node of what is pending.
func (o *outlet) cut() {
	if len(o.pending) == 0 {
		return
	}
	tail := o.tail.Load()
	n := &node{end: tail.end + uint64(len(o.pending)), data: o.pending}
	o.pending = nil
	tail.next.Store(n)
	o.tail.Store(n)
}

// add has m get what is emitted from here on.
func (o *outlet) add(m *member) {
	o.cut()
	m.out.follow(o.tail.Load())
	if len(o.roomy) == 0 {
		s := &shard{out: o}
		s.members.Store(new([]*member))
		// A pump may be going through the list.
		o.shards = append(slices.Clip(o.shards), s)
		o.roomy = append(o.roomy, s)
	}
	s := o.roomy[len(o.roomy)-1]
	list := append(slices.Clip(s.list()), m)
	s.members.Store(&list)
	if len(list) == shardSize {
		o.roomy = o.roomy[:len(o.roomy)-1]
	}
	m.shard = s
	o.members++
}

// remove ends that.
func (o *outlet) remove(m *member) {
	s := m.shard
	list := s.list()
	i := slices.Index(list, m)
	if i < 0 {
		return
	}
	if len(list) == shardSize {
		o.roomy = append(o.roomy, s)
	}
	list = slices.Delete(slices.Clone(list), i, i+1)
	s.members.Store(&list)
	m.shard = nil
	o.members--
	if len(list) == 0 && len(o.shards) > 1 {
		is := func(other *shard) bool { return other == s }
		o.shards = slices.DeleteFunc(slices.Clone(o.shards), is) // a pump may be going through it
		o.roomy = slices.DeleteFunc(o.roomy, is)
	}
}

// each calls f for every member.
func (o *outlet) each(f func(*member)) {
	for _, s := range o.shards {
		for _, m := range s.list() {
			f(m)
		}
	}
}

// pace decides how long a room gathers before it writes.
type pace struct {
	last time.Time
	rate float64 // frames a second, lately
}

// idle and busy are the frames a second to all members together up to which a
// room does not gather, and from which on it does so for as long as it may.
// Between, two cores are at a quarter of what they can: a message that waits
// saves less than its reader would notice.
const (
	idle = 100_000
	busy = 200_000
)

// next is told of a frame and returns how long it may wait.
func (p *pace) next(now time.Time, members int, most time.Duration) time.Duration {
	const memory = 0.5 // seconds
	if !p.last.IsZero() {
		gap := now.Sub(p.last).Seconds()
		p.rate *= max(0, 1-gap/memory)
	}
	p.rate += 1 / memory
	p.last = now
	load := p.rate * float64(members)
	if load <= idle {
		return 0
	}
	return time.Duration(min(1, (load-idle)/(busy-idle)) * float64(most))
}
