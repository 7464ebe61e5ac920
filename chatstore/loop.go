package chatstore

import (
	"context"
	"errors"
	"time"
)

// job is what the worker does next: write a batch, or one step of pruning if
// there is none.
type job struct{ batch []op }

// result is what came of a job.
type result struct {
	// written is how many ops at the front of the batch are in the database,
	// or will never be: then they say why.
	written int
	// chores is whether there is something to prune.
	chores bool
	err    error
}

// errHangs is what is wrong with a disk that does not answer.
var errHangs = errors.New("the database does not answer")

// loop hands batches to the worker and calls what waits for them. It never
// waits for the database itself: a disk that hangs holds up whoever calls it,
// and senders must hear that nothing is kept.
type loop struct {
	store   *Store
	jobs    chan<- job
	results <-chan result

	// busy is since when the worker has a job, zero if it has none; hanging
	// is whether that is too long ago.
	busy    time.Time
	hanging bool
	// batch is what the worker has; empty if it prunes.
	batch []op
	// wrote is when the last batch was begun, pruneAt when to prune.
	wrote, pruneAt time.Time
	// told is reused.
	told []op
	// closing is whether all that waits is to be written now, hopeless
	// whether that failed.
	closing, hopeless bool

	// While the database fails: since when, when to try again, how long to
	// wait after that, and when that was logged.
	failedAt, retryAt, loggedAt time.Time
	pause                       time.Duration
}

func (l *loop) run(ctx context.Context) {
	closing := l.store.closing
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wait, end := l.step(time.Now())
		if end {
			break
		}
		timer.Reset(wait)
		select {
		case <-l.store.queue.wake:
		case <-timer.C:
		case r := <-l.results:
			l.land(time.Now(), r)
		case <-closing:
			closing, l.closing, l.retryAt = nil, true, time.Time{}
		case <-ctx.Done():
			l.tell()
			return
		}
	}
	l.tell()
}

// step does what is due and returns how long nothing else will be, or whether
// everything has been done.
func (l *loop) step(now time.Time) (wait time.Duration, end bool) {
	t := &l.store.tuning
	if !l.busy.IsZero() {
		return l.watch(now), false
	}
	waiting, untold := l.store.queue.count()
	if l.closing && (waiting == 0 || l.hopeless) {
		return 0, true
	}
	failing := !l.failedAt.IsZero()
	if failing && untold > 0 {
		l.tell()
	}
	writeAt, pruneAt := l.wrote.Add(t.pace), l.pruneAt
	switch {
	case waiting == 0:
		writeAt = now.Add(t.pruneEvery)
	case failing:
		writeAt = l.retryAt
	case l.closing || waiting >= t.batch:
		writeAt = now
	}
	if failing || l.closing {
		pruneAt = now.Add(t.pruneEvery)
	}
	// When both are due they take turns.
	switch writeDue, pruneDue := !now.Before(writeAt), !now.Before(pruneAt); {
	case pruneDue && (!writeDue || len(l.batch) > 0):
		l.batch = l.batch[:0]
		l.begin(now)
	case writeDue:
		clear(l.batch)
		l.batch = l.store.queue.take(l.batch[:0], t.batch, t.batchSize)
		l.wrote = now
		l.begin(now)
	case writeAt.Before(pruneAt):
		return writeAt.Sub(now), false
	default:
		return pruneAt.Sub(now), false
	}
	return l.watch(now), false
}

func (l *loop) begin(now time.Time) {
	l.busy = now
	l.jobs <- job{l.batch} // at once: the worker has nothing else to do
}

// watch sees to it that nobody waits for a worker that takes too long. The
// worker itself gives up a little earlier, if what it calls lets it.
func (l *loop) watch(now time.Time) time.Duration {
	t := &l.store.tuning
	limit := t.timeout + t.timeout/4
	if !l.hanging && now.Sub(l.busy) < limit {
		return limit - now.Sub(l.busy)
	}
	if !l.hanging || now.Sub(l.loggedAt) >= t.logEvery {
		l.hanging = true
		l.fail(now, errHangs)
	}
	l.tell()
	return t.logEvery
}

// land takes what the worker has done.
func (l *loop) land(now time.Time, r result) {
	l.busy, l.hanging = time.Time{}, false
	if len(l.batch) == 0 {
		l.pruneAt = now.Add(l.store.tuning.pruneEvery)
	}
	if r.chores {
		l.pruneAt = now
	}
	if len(l.batch) == 0 {
		return
	}
	told := l.store.queue.landed(r.written)
	l.store.changes.Add(uint64(r.written))
	switch {
	case r.err != nil:
		l.fail(now, r.err)
		l.hopeless = l.closing
	case !l.failedAt.IsZero():
		l.store.log.Warn("the chat database works again", "database", l.store.db.name, "after", now.Sub(l.failedAt).Round(time.Millisecond), "forgotten", l.store.Stats().Dropped)
		l.failedAt = time.Time{}
		l.store.failing.Store(false)
	}
	for i := told; i < r.written; i++ {
		l.batch[i].tell()
	}
}

// fail notes that the database has failed, and says so, once a minute.
func (l *loop) fail(now time.Time, err error) {
	t, s := &l.store.tuning, l.store
	s.failures.Add(1)
	if l.failedAt.IsZero() {
		l.failedAt, l.pause, l.loggedAt = now, t.retryFirst, time.Time{}
		s.failing.Store(true)
	} else {
		l.pause = min(2*l.pause, t.retryLast)
	}
	l.retryAt = now.Add(l.pause)
	if l.loggedAt.IsZero() || now.Sub(l.loggedAt) >= t.logEvery {
		l.loggedAt = now
		stats := s.Stats()
		s.log.Error("the chat database fails: messages are delivered, and kept in memory only", "database", s.db.name,
			"since", l.failedAt.Format(time.RFC3339), "waiting", stats.Waiting, "forgotten", stats.Dropped, "err", err)
	}
}

// tell tells all that wait that they are not in the database.
func (l *loop) tell() {
	l.told = l.store.queue.untold(l.told[:0])
	for i := range l.told {
		o := &l.told[i]
		if o.err == nil {
			o.err = ErrNotDurable
		}
		if o.err == ErrNotDurable {
			l.store.undurable.Add(1)
		}
		o.tell()
	}
	clear(l.told)
}
