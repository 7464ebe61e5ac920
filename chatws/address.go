package chatws

import (
	"net/netip"
	"sync"
	"time"

	"github.com/miju-live/miju/peer"
)

const (
	// newRooms is how many rooms one address may begin at once, and
	// newRoomsPerSecond for long.
	newRooms          = 20
	newRoomsPerSecond = 1
	// addressKept is for how long an address without connections is
	// remembered.
	addressKept = time.Minute
)

// addresses bounds what one address may do.
type addresses struct {
	most    int // connections; 0: any number
	proxies peer.Networks

	mu  sync.Mutex
	all map[netip.Prefix]*address
}

type address struct {
	connections int
	rooms       bucket
	seen        time.Time
}

// bounded reports whether bounds go for a: not on this machine, where proxies
// and tests are, nor for a proxy that does not say who is behind it, like a
// cache that asks for all who read.
func (l *addresses) bounded(a netip.Addr) bool {
	return a.IsValid() && !a.IsLoopback() && !l.proxies.Contain(a)
}

func (l *addresses) get(a netip.Addr, now time.Time) *address {
	p := peer.Customer(a)
	x := l.all[p]
	if x == nil {
		x = new(address)
		l.all[p] = x
	}
	x.seen = now
	return x
}

// enter counts a connection in, if a may have another.
func (l *addresses) enter(a netip.Addr, now time.Time) bool {
	if !l.bounded(a) {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.get(a, now)
	if l.most > 0 && x.connections >= l.most {
		return false
	}
	x.connections++
	return true
}

// leave counts a connection out.
func (l *addresses) leave(a netip.Addr, now time.Time) {
	if !l.bounded(a) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.get(a, now).connections--
}

// newRoom returns 0 if a may begin a room now, or after how long it may.
func (l *addresses) newRoom(a netip.Addr, now time.Time) time.Duration {
	if !l.bounded(a) {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.get(a, now).rooms.take(now, 1, newRoomsPerSecond, newRooms)
}

// forget drops addresses that nobody has come from lately.
func (l *addresses) forget(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p, x := range l.all {
		if x.connections == 0 && now.Sub(x.seen) > addressKept {
			delete(l.all, p)
		}
	}
}
