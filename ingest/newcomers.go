package ingest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// maxFrameRate bounds the frames of one publisher, in a second: sixteen tracks
// of the shortest frames that codecs have are less. Who sends more is not read
// on, for packagers must keep up with every frame.
const maxFrameRate = 16384

// lookedAt bounds the addresses of which one is chosen that must give way: whoever has
// many places has few addresses, or all are alike.
const lookedAt = 256

// newcomers are the connections that have not brought a frame yet, or been let in
// as a player: what costs a peer nothing must not use up what all share.
type newcomers struct {
	mu sync.Mutex
	of map[string]*crowd // by whom they are counted for
	// strangers are how many of all nobody has decided about yet.
	strangers int
}

// crowd are the newcomers of one address.
type crowd struct {
	count     int
	strangers []*session // the oldest first
}

// add counts x as a newcomer and a stranger, unless its address has most newcomers
// already.
func (n *newcomers) add(x *session, most int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.of[x.customer]
	if c == nil {
		c = &crowd{}
		if n.of == nil {
			n.of = map[string]*crowd{}
		}
		n.of[x.customer] = c
	}
	if c.count >= most {
		return false
	}
	x.newcomer = true
	c.count++
	c.strangers = append(c.strangers, x)
	n.strangers++
	return true
}

// remove counts x no more.
func (n *newcomers) remove(x *session) {
	n.know(x)
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.of[x.customer]
	if c.count--; c.count == 0 {
		delete(n.of, x.customer)
	}
}

// know counts x as no stranger any more.
func (n *newcomers) know(x *session) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.of[x.customer]
	if i := slices.Index(c.strangers, x); i >= 0 {
		c.strangers = slices.Delete(c.strangers, i, i+1)
		n.strangers--
	}
}

// crowded returns who must go because there are more strangers than may be: the
// oldest of the address that has the most of them, and of addresses that have as
// many, the oldest of all. So who has many keeps out nobody who has few, and a crowd
// from everywhere only those that take long to say what they want. Who must go is
// counted as no stranger any more.
func (n *newcomers) crowded(most int) *session {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.strangers <= most {
		return nil
	}
	var its *crowd
	looked := 0
	for _, c := range n.of {
		if len(c.strangers) == 0 {
			continue
		}
		if looked++; looked > lookedAt {
			break
		}
		if its == nil || len(c.strangers) > len(its.strangers) ||
			len(c.strangers) == len(its.strangers) && c.strangers[0].since.Before(its.strangers[0].since) {
			its = c
		}
	}
	x := its.strangers[0]
	its.strangers = slices.Delete(its.strangers, 0, 1)
	n.strangers--
	return x
}

// meet counts a session as a newcomer, and has another one go if that is one too
// many.
func (s *Server) meet(x *session) error {
	if !s.newcomers.add(x, s.config.MaxNewcomers) {
		return fmt.Errorf("%w: %d connections of this address have brought no frame yet", ErrTooLarge, s.config.MaxNewcomers)
	}
	if crowded := s.newcomers.crowded(s.config.MaxPublishers + s.config.MaxPlayers); crowded != nil {
		crowded.end(fmt.Errorf("%w: too many connections have not said what they want", ErrTooLarge))
	}
	return nil
}

// arrived counts a session as none of the newcomers any more.
func (s *Server) arrived(x *session) {
	if x.newcomer {
		x.newcomer = false
		s.newcomers.remove(x)
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
