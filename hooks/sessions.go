package hooks

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miju-live/miju/auth"
)

const (
	// maxSessions bounds the players whose answers are remembered.
	maxSessions = 50000
	// sessionIdle is how long a player may ask for nothing and still be the same.
	sessionIdle = 30 * time.Second
	// denialKept is how long a refusal holds, and what was permitted without an
	// answer; failureKept how long nobody is asked after a failure that refuses.
	denialKept  = 5 * time.Second
	failureKept = time.Second
	sweepEvery  = 5 * time.Second
)

// sessionID is a hash of who asks for what, by its address and its credential.
type sessionID [sha256.Size]byte

// sessions remember answers to players that come with each request anew.
type sessions struct {
	remembered atomic.Uint64

	mu  sync.Mutex
	all map[sessionID]*session
}

// session is a player that was asked about. Before decided is closed the rest
// belongs to who asks; then grant and err stay as they are.
type session struct {
	decided chan struct{}
	grant   auth.Grant
	err     error
	end     func()
	until   time.Time // zero: as long as it goes on
	seen    time.Time // of it the lock is held
}

// continued decides about one of many requests: it asks at the first, and
// remembers the answer for the others.
func (h *Hooks) continued(ctx context.Context, name string, r auth.Request, g auth.Grant, alone bool) (auth.Grant, error) {
	credential := r.Token
	if credential == "" {
		credential = auth.Credentials(r.Query)
	}
	id := sessionID(sha256.Sum256([]byte(name + "\x00" + r.Key.String() + "\x00" + hostOf(r.RemoteAddr) + "\x00" + g.Subject + "\x00" + credential)))
	s, first := h.players.get(id, h.now())
	if !first {
		select {
		case <-s.decided:
			h.players.remembered.Add(1)
			return s.grant, s.err
		case <-ctx.Done():
			return auth.Grant{}, ctx.Err()
		}
	}
	// Others may wait for this answer, so it is not for the first to call off.
	var answered bool
	s.grant, answered, s.err = h.decide(context.WithoutCancel(ctx), name, &r, g, alone)
	now := h.now()
	switch {
	case errors.Is(s.err, auth.ErrDenied):
		s.until = now.Add(denialKept)
	case s.err != nil:
		s.until = now.Add(failureKept)
	case !answered:
		s.until = now.Add(denialKept)
	default:
		s.until = s.grant.Expires
	}
	s.end, s.grant.Ended = s.grant.Ended, nil // who holds it holds it for a moment
	close(s.decided)
	if s.end != nil && !h.players.has(id, s) { // it had to make room meanwhile
		s.end()
	}
	return s.grant, s.err
}

func (a *sessions) has(id sessionID, s *session) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.all[id] == s
}

// get returns the session of id, a new one if it is not known or over; first
// says that it is new.
func (a *sessions) get(id sessionID, now time.Time) (s *session, first bool) {
	a.mu.Lock()
	s = a.all[id]
	if s != nil && !s.over(now) {
		s.seen = now
		a.mu.Unlock()
		return s, false
	}
	gone := []*session{s}
	if s == nil && len(a.all) >= maxSessions {
		gone = append(gone, a.evict())
	}
	s = &session{decided: make(chan struct{}), seen: now}
	a.all[id] = s
	a.mu.Unlock()
	finish(gone)
	return s, true
}

// over reports whether s must not be gone by any more. The lock is held.
func (s *session) over(now time.Time) bool {
	select {
	case <-s.decided:
		return now.Sub(s.seen) > sessionIdle || !s.until.IsZero() && !now.Before(s.until)
	default:
		return false
	}
}

// evict makes room: of some that come to hand, the one that was not seen for the
// longest time goes. The lock is held.
func (a *sessions) evict() (oldest *session) {
	var its sessionID
	n := 0
	for id, s := range a.all {
		if oldest == nil || s.seen.Before(oldest.seen) {
			its, oldest = id, s
		}
		if n++; n == 8 {
			break
		}
	}
	delete(a.all, its)
	return oldest
}

// sweep forgets who is gone.
func (a *sessions) sweep(now time.Time) {
	var gone []*session
	a.mu.Lock()
	for id, s := range a.all {
		if s.over(now) {
			gone = append(gone, s)
			delete(a.all, id)
		}
	}
	a.mu.Unlock()
	finish(gone)
}

// endAll forgets everybody.
func (a *sessions) endAll() {
	var gone []*session
	a.mu.Lock()
	for id, s := range a.all {
		gone = append(gone, s)
		delete(a.all, id)
	}
	a.mu.Unlock()
	finish(gone)
}

// finish says of sessions that they are over.
func finish(gone []*session) {
	for _, s := range gone {
		if s == nil {
			continue
		}
		select {
		case <-s.decided:
			if s.end != nil {
				s.end()
			}
		default: // who asks ends it
		}
	}
}

func (a *sessions) len() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.all)
}
