package chatws

import (
	"sync"
	"time"
)

const (
	// maxSent is how many messages of a room are remembered by the IDs that
	// their senders gave them, and sentKept for how long at least there must be
	// room for new ones.
	maxSent = 1000
	// sentKept is how long a message is remembered: who repeats one later says
	// it again.
	sentKept = 10 * time.Minute
	// maxWaiters is how many repetitions of a message are answered when it is
	// kept.
	maxWaiters = 64
)

// sentKey is how a sender names a message.
type sentKey struct{ user, clientID string }

// sentMessage is a message that was said.
type sentMessage struct {
	id       string
	position Position
	at       time.Time

	mu      sync.Mutex
	done    bool // the store is done with it
	kept    bool
	waiters []waiter
}

// waiter is who is to be told when a message is kept.
type waiter struct {
	member    *member
	id        string
	duplicate bool
}

// sentLog remembers what was sent lately, so that a repetition is not
// delivered.
type sentLog struct {
	byKey map[sentKey]*sentMessage
	order []sentKey // the oldest first
}

func (l *sentLog) get(k sentKey) *sentMessage { return l.byKey[k] }

func (l *sentLog) add(k sentKey, m *sentMessage, now time.Time) {
	if l.byKey == nil {
		l.byKey = map[sentKey]*sentMessage{}
	}
	m.at = now
	_, known := l.byKey[k]
	l.byKey[k] = m
	if known { // the store has an ID twice that was used again when it was forgotten
		return
	}
	l.order = append(l.order, k)
	if len(l.order) > maxSent {
		l.dropFirst()
	}
}

func (l *sentLog) dropFirst() {
	delete(l.byKey, l.order[0])
	l.order = l.order[1:]
}

// forget drops what is old.
func (l *sentLog) forget(now time.Time) {
	for len(l.order) > 0 && now.Sub(l.byKey[l.order[0]].at) > sentKept {
		l.dropFirst()
	}
	if len(l.order) == 0 {
		l.byKey, l.order = nil, nil
	}
}

// finish is called when the store is done with the message.
func (m *sentMessage) finish(err error) {
	m.mu.Lock()
	m.done, m.kept = true, err == nil
	waiters := m.waiters
	m.waiters = nil
	m.mu.Unlock()
	for _, w := range waiters {
		m.acknowledge(w, false)
	}
}

// tell has w hear when the message is kept; with the message itself if it is
// already, and about to be written.
func (m *sentMessage) tell(w waiter, with bool) {
	m.mu.Lock()
	if !m.done {
		if len(m.waiters) < maxWaiters {
			m.waiters = append(m.waiters, w)
		}
		m.mu.Unlock()
		return
	}
	m.mu.Unlock()
	m.acknowledge(w, with)
}

func (m *sentMessage) acknowledge(w waiter, with bool) {
	if w.id == "" {
		return
	}
	a := &Ack{ID: w.id, Message: m.id, Duplicate: w.duplicate}
	a.Offset = m.position.Offset
	if !m.kept {
		a.Kept = new(bool)
	}
	if with {
		w.member.out.add(textFrame(a))
	} else {
		w.member.out.send(textFrame(a))
	}
}
