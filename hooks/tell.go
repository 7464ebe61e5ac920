package hooks

import (
	"encoding/json"
	"time"

	"github.com/miju-live/miju/streamkey"
)

// What the application is told.
const (
	streamStarted   = "stream.started"
	streamSuspended = "stream.suspended"
	streamResumed   = "stream.resumed"
	streamEnded     = "stream.ended"
	streamViewers   = "stream.viewers"
)

// Reasons of stream.ended that no publisher's connection ended for.
const (
	// ReasonNotResumed: nobody came back in time.
	ReasonNotResumed = "not_resumed"
	// ReasonServerLost: the server was gone without having told.
	ReasonServerLost = "server_lost"
)

// Event is what the application is told.
type Event struct {
	// ID is the same whenever it is sent: who has seen it need not do it again.
	ID     string `json:"id"`
	Type   string `json:"type"`
	Time   string `json:"time"`
	Server string `json:"server"`
	Stream string `json:"stream"`
	// Session is the stream's life from started to ended. Sequence counts the
	// events of the stream, over all its sessions.
	Session   string     `json:"session"`
	Sequence  uint64     `json:"sequence"`
	Publisher *Publisher `json:"publisher,omitempty"`
	// Started is when the session began, in events that say how it goes on.
	Started string `json:"started,omitempty"`
	// Reason is why it was suspended or has ended.
	Reason  string `json:"reason,omitempty"`
	Viewers *int64 `json:"viewers,omitempty"`
}

// Publisher is the connection that publishes a stream.
type Publisher struct {
	Session  string `json:"session"`
	Protocol string `json:"protocol"`
	Address  string `json:"address"`
	Subject  string `json:"subject,omitempty"`
}

// life is a stream from its start to its end, as the application knows it.
type life struct {
	session   string
	suspended bool
	started   time.Time
	publisher Publisher
	// viewers is what was told last.
	viewers int64
}

// Live says that the stream of key has its frames from p, from now on. The order
// of what is said of a key is the order in which it is told.
func (h *Hooks) Live(key streamkey.Key, session string, p Publisher) {
	p.Address = hostOf(p.Address)
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.lives[key]
	if l != nil && l.session == session {
		if l.suspended {
			l.suspended, l.publisher = false, p
			h.tellOf(key, l, streamResumed, "")
		}
		return
	}
	if l != nil { // its end is still on the way
		h.tellOf(key, l, streamEnded, ReasonNotResumed)
	}
	l = &life{session: session, started: h.now(), publisher: p}
	h.lives[key] = l
	h.tellOf(key, l, streamStarted, "")
}

// Suspended says that the publisher is gone, why, and that the stream waits for
// another.
func (h *Hooks) Suspended(key streamkey.Key, session, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l := h.lives[key]; l != nil && l.session == session && !l.suspended {
		l.suspended = true
		h.tellOf(key, l, streamSuspended, reason)
	}
}

// Ended says that the stream is gone, and why.
func (h *Hooks) Ended(key streamkey.Key, session, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l := h.lives[key]; l != nil && l.session == session {
		delete(h.lives, key)
		h.tellOf(key, l, streamEnded, reason)
	}
}

// Found says which session of key is live, or none. A suspended one that is not
// live has ended.
func (h *Hooks) Found(key streamkey.Key, session string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l := h.lives[key]; l != nil && l.suspended && l.session != session {
		delete(h.lives, key)
		h.tellOf(key, l, streamEnded, ReasonNotResumed)
	}
}

// Watched says how many watch a stream now. That nobody does is told once.
func (h *Hooks) Watched(key streamkey.Key, session string, viewers int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.lives[key]
	if l == nil || l.session != session || viewers == 0 && l.viewers == 0 {
		return
	}
	l.viewers = viewers
	h.tellOf(key, l, streamViewers, "")
}

// tellOf tells an event of a life. The lock is held, so that none overtakes
// another.
func (h *Hooks) tellOf(key streamkey.Key, l *life, kind, reason string) {
	if h.config.Style != StyleMiju || h.urls.of(events) == "" || !h.config.tells(tellOf[kind]) {
		return
	}
	e := Event{ID: newID("e"), Type: kind, Time: stamp(h.now()), Server: h.queue.server, Stream: key.String(), Session: l.session, Reason: reason}
	if kind != streamStarted {
		e.Started = stamp(l.started)
	}
	switch kind {
	case streamViewers:
		n := l.viewers
		e.Viewers = &n
	default:
		p := l.publisher
		e.Publisher = &p
	}
	x := entry{stream: e.Stream, kind: kind, seal: e.seal}
	switch kind {
	case streamViewers:
		x.rank = rankViewers
	case streamStarted:
		closing := e
		closing.Reason, closing.Started = ReasonServerLost, e.Time
		x.opens = &opened{id: l.session, kind: streamEnded, body: closing.seal(0)}
	case streamEnded:
		x.closes = l.session
	}
	h.queue.add(x)
}

// tellOf is by which word of Config.Tells an event is told.
var tellOf = map[string]string{
	streamStarted: tellStreams, streamSuspended: tellStreams, streamResumed: tellStreams, streamEnded: tellStreams, streamViewers: tellViewers,
}

// seal is the event with its number.
func (e Event) seal(sequence uint64) []byte {
	e.Sequence = sequence
	b, err := json.Marshal(e)
	if err != nil { // of texts and numbers none comes
		return nil
	}
	return b
}

// lost makes an event of the end of what nobody told the end of.
func lost(kind string, body []byte, now time.Time) func(uint64) []byte {
	var e Event
	if kind != streamEnded || json.Unmarshal(body, &e) != nil {
		return func(uint64) []byte { return body }
	}
	e.ID, e.Type, e.Time = newID("e"), streamEnded, stamp(now)
	return e.seal
}
