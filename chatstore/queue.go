package chatstore

import (
	"sync"
)

const (
	// opOverhead and eventOverhead are what an op and an event take beside
	// their texts, in bytes.
	opOverhead    = 96
	eventOverhead = 256
)

// op is a change on its way to the database.
type op struct {
	// n numbers the changes of this epoch, from 1.
	n    uint64
	size int
	// what is nil if the change was refused or had to be dropped: then the op
	// only waits for done to be called with err.
	what change
	done func(error)
	err  error
}

// tell calls done, once.
func (o *op) tell() {
	if done := o.done; done != nil {
		o.done = nil
		done(o.err)
	}
}

// queue holds what is not in the database yet, oldest first: first what is
// being written (flying), then what waits. It is bounded in bytes.
type queue struct {
	mu    sync.Mutex
	ops   []op
	last  uint64
	bytes int
	bound int
	// flying is how many ops at the front are being written, told how many
	// have had their done called already, with ErrNotDurable.
	flying, told int
	dropped      uint64
	closed       bool
	// wake tells the loop that there is something to plan for: the first op
	// that it does not know of, or a full batch.
	wake  chan struct{}
	batch int
}

// push appends a change, or one that was refused with err. It reports whether
// the queue is open: if not, nothing was done.
func (q *queue) push(what change, size int, done func(error), err error) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.last++
	o := op{n: q.last, size: size + opOverhead, what: what, done: done, err: err}
	if err != nil {
		o.what, o.size = nil, 0
	}
	q.ops = append(q.ops, o)
	q.bytes += o.size
	if q.bytes > q.bound {
		q.shed()
	}
	if news := len(q.ops) - max(q.told, q.flying); news == 1 || news == q.batch {
		q.signal()
	}
	return true
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// shed drops the oldest events and audit lines until a quarter of the bound is
// free, so that it is not called for every op. Sanctions, settings and
// deletions stay: they are small, few, and what a room must not forget. What
// was dropped is not counted any more; its op goes when it has been told.
func (q *queue) shed() {
	for _, whatever := range []bool{false, true} {
		kept := q.ops[:q.flying]
		told := q.told
		for i := q.flying; i < len(q.ops); i++ {
			o := q.ops[i]
			if q.bytes > q.bound/4*3 && o.what != nil && (whatever || o.what.light()) {
				q.dropped++
				q.bytes -= o.size
				if i < q.told {
					told--
					continue
				}
				o.what, o.size, o.err = nil, 0, ErrNotDurable
			}
			kept = append(kept, o)
		}
		clear(q.ops[len(kept):])
		q.ops, q.told = kept, told
		if q.bytes <= q.bound {
			return
		}
	}
}

// take copies the oldest ops into dst to be written: at most n, and of at most
// size bytes if there is more than one. landed must follow.
func (q *queue) take(dst []op, n, size int) []op {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := 0; i < len(q.ops) && i < n && (i == 0 || size >= q.ops[i].size); i++ {
		size -= q.ops[i].size
		dst = append(dst, q.ops[i])
	}
	q.flying = len(dst)
	return dst
}

// landed says that of what was taken the first n are in the database. It
// removes them and returns how many of them have been told otherwise.
func (q *queue) landed(n int) (told int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	told = min(n, q.told)
	for i := range n {
		q.bytes -= q.ops[i].size
	}
	clear(q.ops[:n])
	q.ops = q.ops[n:]
	if len(q.ops) == 0 {
		q.ops = nil // what a long failure made of it
	}
	q.flying, q.told = 0, q.told-told
	return told
}

// untold copies into dst the ops whose done has not been called, and takes
// them for told. Those that only waited for that are removed.
func (q *queue) untold(dst []op) []op {
	q.mu.Lock()
	defer q.mu.Unlock()
	kept := q.ops[:q.told]
	for i := q.told; i < len(q.ops); i++ {
		o := q.ops[i]
		dst = append(dst, o)
		if o.what == nil && i >= q.flying {
			continue
		}
		o.done = nil
		kept = append(kept, o)
	}
	clear(q.ops[len(kept):])
	q.ops, q.told = kept, len(kept)
	return dst
}

// count returns how many ops wait to be taken, and how many of all have not
// been told.
func (q *queue) count() (waiting, untold int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.ops) - q.flying, len(q.ops) - q.told
}

// pending returns the ops that match, oldest first, those in the air too.
func (q *queue) pending(match func(change) bool) []op {
	q.mu.Lock()
	defer q.mu.Unlock()
	var found []op
	for i := range q.ops {
		if w := q.ops[i].what; w != nil && match(w) {
			found = append(found, q.ops[i])
		}
	}
	return found
}

// close refuses all that comes from now on. It reports whether the queue was
// open.
func (q *queue) close() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	was := !q.closed
	q.closed = true
	return was
}
