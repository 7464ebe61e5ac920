package bench

import (
	"context"
	"net"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	// A shard looks at its sockets so often: the more comes at once, the more
	// often, so that no receive buffer is full in between.
	minPass, maxPass = 10 * time.Millisecond, 100 * time.Millisecond
	// A socket had much at once, or little, in bytes.
	muchAtOnce, littleAtOnce = 128 << 10, 64 << 10
	// shardSockets is how many sockets make another shard worth it.
	shardSockets = 1000
)

// shard is a goroutine that looks at many sockets in turn. The sockets are in
// no poller: with a stream of 30 frames a second each would wake the process
// as often, which costs far more than to look at all of them ten times.
type shard struct {
	mu      sync.Mutex
	fresh   []*drained
	ended   bool // nobody looks at fresh any more
	sockets []*drained
	scratch []byte
}

type drained struct {
	silence
	fd        int
	webSocket bool
	pong      time.Time
}

// start starts as many shards as n viewers need; they end with ctx.
func (d *drain) start(ctx context.Context, n int) {
	d.shards = make([]shard, min(runtime.NumCPU(), 1+n/shardSockets))
	for i := range d.shards {
		d.readers.Go(func() { d.run(ctx, &d.shards[i]) })
	}
}

// take takes a TCP connection away from Go's poller.
func (d *drain) take(c net.Conn, webSocket bool) bool {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return false
	}
	fd := -1
	if raw.Control(func(f uintptr) { fd, err = syscall.Dup(int(f)) }) != nil || err != nil {
		return false
	}
	tcp.Close() // and the duplicate goes on
	now := time.Now()
	s := &d.shards[fd%len(d.shards)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		syscall.Close(fd)
		return true
	}
	s.fresh = append(s.fresh, &drained{silence: silence{last: now}, fd: fd, webSocket: webSocket, pong: now})
	return true
}

// run looks at the sockets of a shard until ctx ends.
func (d *drain) run(ctx context.Context, s *shard) {
	s.scratch = make([]byte, 1<<20) // the most that is thrown away at once; nothing is written to it
	pass := maxPass
	for due := time.Now().Add(pass); sleep(ctx, time.Until(due)); due = time.Now().Add(pass) {
		s.mu.Lock()
		s.sockets = append(s.sockets, s.fresh...)
		s.fresh = nil
		s.mu.Unlock()
		late := max(time.Since(due), 0)
		most := 0
		s.sockets = slices.DeleteFunc(s.sockets, func(v *drained) bool {
			n, alive := d.empty(s, v, late)
			most = max(most, n)
			if !alive {
				syscall.Close(v.fd)
				d.dead.Add(1)
				d.alive.Add(-1)
			}
			return !alive
		})
		switch {
		case most > muchAtOnce:
			pass = max(pass/2, minPass)
		case most < littleAtOnce:
			pass = min(pass*2, maxPass)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for _, v := range append(s.sockets, s.fresh...) {
		d.empty(s, v, 0)
		syscall.Close(v.fd)
	}
}

// empty throws away what has come: with MSG_TRUNC the kernel copies nothing
// (tcp(7)).
func (d *drain) empty(s *shard, v *drained, late time.Duration) (n int, alive bool) {
	n, _, err := syscall.Recvfrom(v.fd, s.scratch, syscall.MSG_TRUNC|syscall.MSG_DONTWAIT)
	now := time.Now()
	waits := err == syscall.EAGAIN || err == syscall.EINTR
	if n <= 0 && !waits {
		return 0, false
	}
	n = max(n, 0)
	d.bytes.Add(int64(n))
	v.look(d.silences, now, n > 0, late)
	if v.webSocket && now.Sub(v.pong) > pongEvery {
		v.pong = now
		// A socket that takes nothing is not waited for.
		_ = syscall.Sendto(v.fd, appendFrame(nil, opPong, nil), syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, nil)
	}
	return n, true
}
