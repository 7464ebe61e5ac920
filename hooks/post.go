package hooks

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

const (
	// deliveriesAtOnce is how many streams are told about at once.
	deliveriesAtOnce = 16
	// deliveryTimeout is how long the application may take to hear an event.
	deliveryTimeout = 10 * time.Second
	// The pause after a failure doubles from the first to the longest.
	firstPause, maxPause = time.Second, 30 * time.Second
	// lastMoment is how long what is left is told at the end.
	lastMoment = time.Second
)

// postOffice tells the application, of each stream one event after the other, of
// many streams at once. One whose event is not taken waits, the others go on.
type postOffice struct {
	queue *queue

	mu    sync.Mutex
	lanes map[string]*lane // of streams with something to tell
	// ready are those that wait; what is of players is told when nothing of streams is due.
	ready, players lanes
	active         int
	idle           chan struct{} // signalled when a delivery ends
	wake           chan struct{}
}

// lane is a stream's place in the post office.
type lane struct {
	stream string
	due    time.Time
	fails  int
	// busy is set while something of it is told, more if something was added
	// meanwhile.
	busy, more bool
}

func (p *postOffice) init(q *queue) {
	p.queue, p.lanes = q, map[string]*lane{}
	p.idle, p.wake = make(chan struct{}, 1), make(chan struct{}, 1)
}

// add says that there is something to tell of a stream.
func (p *postOffice) add(stream string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.lanes[stream]
	switch {
	case l == nil:
		l = &lane{stream: stream, due: p.queue.now()}
		p.lanes[stream] = l
		p.put(l)
		signal(p.wake)
	case l.busy:
		l.more = true
	}
}

// put has a lane wait until it is due. The lock is held.
func (p *postOffice) put(l *lane) {
	if strings.HasPrefix(l.stream, ofPlayers) {
		heap.Push(&p.players, l)
		return
	}
	heap.Push(&p.ready, l)
}

// first returns those of which the next is due, or how long none is. The lock is
// held.
func (p *postOffice) first() (*lanes, time.Duration) {
	now, wait := p.queue.now(), maxPause
	for _, all := range []*lanes{&p.ready, &p.players} {
		if len(*all) == 0 {
			continue
		}
		until := (*all)[0].due.Sub(now)
		if until <= 0 {
			return all, 0
		}
		wait = min(wait, until)
	}
	return nil, wait
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run tells what is due until ctx ends.
func (p *postOffice) run(ctx context.Context) {
	var telling sync.WaitGroup
	defer telling.Wait()
	for ctx.Err() == nil {
		l, wait := p.pick()
		if l != nil {
			telling.Go(func() { p.finish(l, p.deliver(ctx, l)) })
			continue
		}
		due := time.NewTimer(wait)
		select {
		case <-p.wake:
		case <-due.C:
		case <-ctx.Done():
		}
		due.Stop()
	}
}

// pick takes a lane that is due, or returns how long there is none: until
// something ends or is added, at most.
func (p *postOffice) pick() (*lane, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.active == deliveriesAtOnce {
		return nil, maxPause
	}
	due, wait := p.first()
	if due == nil {
		return nil, wait
	}
	l := heap.Pop(due).(*lane)
	l.busy, l.more = true, false
	p.active++
	return l, 0
}

// errNothing says that there is nothing to tell of a stream.
var errNothing = errors.New("nothing is left")

// finish puts a lane back into its place.
func (p *postOffice) finish(l *lane, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active--
	l.busy = false
	now := p.queue.now()
	switch {
	case err == nil:
		l.fails, l.due = 0, now
		p.put(l)
	case errors.Is(err, errNothing) && l.more:
		l.due = now
		p.put(l)
	case errors.Is(err, errNothing):
		delete(p.lanes, l.stream)
	default:
		pause := min(p.queue.pause<<min(l.fails, 16), maxPause)
		l.fails++
		l.due = now.Add(pause/2 + rand.N(pause))
		p.put(l)
	}
	signal(p.wake)
	signal(p.idle)
}

// drain waits until nothing is on its way and nothing due, or ctx ends.
func (p *postOffice) drain(ctx context.Context) {
	for {
		p.mu.Lock()
		due, _ := p.first()
		done := p.active == 0 && due == nil
		p.mu.Unlock()
		if done {
			return
		}
		select {
		case <-p.idle:
		case <-ctx.Done():
			return
		}
	}
}

// deliver tells the next event of a stream. Without an error there may be more.
func (p *postOffice) deliver(ctx context.Context, l *lane) error {
	q := p.queue
	x, ok, err := q.next(ctx, l.stream)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		q.complain("what the hook is to be told cannot be read", err)
		return err
	case !ok:
		return errNothing
	}
	if q.now().Sub(x.made) >= q.giveUp || q.srs != isSRS(x.kind) { // of before --hook-style was changed
		q.expired.Add(1)
		return q.remove(ctx, x.n)
	}
	if err := p.tell(ctx, x); err != nil {
		if ctx.Err() == nil {
			q.retried.Add(1)
			q.complain("the hook does not take what it is told", err)
		}
		return err
	}
	q.told.Add(1)
	// Even if it must end now: else it is told once more.
	return q.remove(context.WithoutCancel(ctx), x.n)
}

// tell posts an event.
func (p *postOffice) tell(ctx context.Context, x letter) error {
	q := p.queue
	name := events
	if q.srs {
		name = x.kind
	}
	at := q.urls.of(name)
	if at == "" {
		return fmt.Errorf("%w: there is no URL for %s", errFailed, x.kind)
	}
	ctx, cancel := context.WithTimeout(ctx, deliveryTimeout)
	defer cancel()
	status, answer, err := q.client.post(ctx, at, x.kind, x.body)
	switch {
	case err != nil:
		return err
	case q.srs:
		return parseSRS(status, answer)
	case status/100 != 2:
		return fmt.Errorf("%w: status %d", errFailed, status)
	}
	return nil
}

// lanes is a heap by when they are due.
type lanes []*lane

func (l lanes) Len() int           { return len(l) }
func (l lanes) Less(i, j int) bool { return l[i].due.Before(l[j].due) }
func (l lanes) Swap(i, j int)      { l[i], l[j] = l[j], l[i] }
func (l *lanes) Push(x any)        { *l = append(*l, x.(*lane)) }
func (l *lanes) Pop() any {
	x := (*l)[len(*l)-1]
	(*l)[len(*l)-1] = nil
	*l = (*l)[:len(*l)-1]
	return x
}
