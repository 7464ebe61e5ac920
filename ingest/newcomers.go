package ingest

import (
	"context"
	"sync"
	"time"
)

// maxFrameRate bounds the frames of one publisher, in a second: sixteen tracks
// of the shortest frames that codecs have are less. Who sends more is not read
// on, for packagers must keep up with every frame.
const maxFrameRate = 16384

// newcomers counts by address the connections that have not brought a frame
// yet, or been let in as a player: what costs a peer nothing must not use up
// what all share.
type newcomers struct {
	mu    sync.Mutex
	count map[string]int
}

func (n *newcomers) add(host string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.count == nil {
		n.count = map[string]int{}
	}
	n.count[host]++
	return n.count[host]
}

func (n *newcomers) remove(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.count[host]--; n.count[host] == 0 {
		delete(n.count, host)
	}
}

// arrived counts a session as none of the newcomers any more.
func (s *Server) arrived(x *session) {
	if x.newcomer {
		x.newcomer = false
		s.newcomers.remove(x.customer)
	}
}

// pacer holds a publisher to maxFrameRate.
type pacer struct {
	since  time.Time
	frames int
}

// wait returns when the publisher may be read on.
func (p *pacer) wait(ctx context.Context, now time.Time) {
	if passed := now.Sub(p.since); passed >= time.Second || passed < 0 {
		p.since, p.frames = now, 0
	}
	if p.frames++; p.frames == maxFrameRate {
		pause(ctx, time.Second-now.Sub(p.since))
	}
}
