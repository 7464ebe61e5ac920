package chatws

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// task is something to write for a pump.
type task interface{ run(p *pumps, w *tryWriter) }

// pumps are a few goroutines that write what rooms say to the sockets of their
// members, without ever waiting for one. Tasks are done in their order; each is
// in the queue once at most, so that the queue is no longer than there are
// rooms and shards.
type pumps struct {
	mu     sync.Mutex
	wake   sync.Cond
	queue  []task
	head   int
	closed bool
}

func (p *pumps) init() { p.wake.L = &p.mu }

// start starts the goroutines.
func (p *pumps) start(running *sync.WaitGroup) {
	for range runtime.GOMAXPROCS(0) {
		running.Go(p.work)
	}
}

func (p *pumps) work() {
	w := newTryWriter()
	for {
		t := p.next()
		if t == nil {
			return
		}
		t.run(p, w)
		runtime.Gosched() // writes do not let anybody else have the processor
	}
}

func (p *pumps) next() task {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.head == len(p.queue) {
		if p.closed {
			return nil
		}
		p.queue, p.head = p.queue[:0], 0
		p.wake.Wait()
	}
	t := p.queue[p.head]
	p.queue[p.head] = nil
	p.head++
	return t
}

func (p *pumps) push(tasks ...task) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	if p.head > len(p.queue)/2 && p.head > 64 {
		n := copy(p.queue, p.queue[p.head:])
		clear(p.queue[n:])
		p.queue, p.head = p.queue[:n], 0
	}
	p.queue = append(p.queue, tasks...)
	if len(tasks) == 1 {
		p.wake.Signal()
	} else {
		p.wake.Broadcast()
	}
}

// close ends the goroutines once the queue is empty.
func (p *pumps) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.wake.Broadcast()
}

// shardSize is how many members a pump serves in one go: half a millisecond,
// after which another room has its turn.
const shardSize = 64

// shard is some members of a room.
type shard struct {
	out    *outlet
	queued atomic.Bool
	// members is replaced, never changed: a pump goes through it without a lock.
	members atomic.Pointer[[]*member]
}

func (s *shard) run(_ *pumps, w *tryWriter) {
	s.queued.Store(false)
	tail := s.out.tail.Load()
	for _, m := range *s.members.Load() {
		m.out.flush(w, tail)
	}
}

func (s *shard) list() []*member {
	if l := s.members.Load(); l != nil {
		return *l
	}
	return nil
}
