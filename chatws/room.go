package chatws

import (
	"sync"
	"time"

	"github.com/miju-live/miju/streamkey"
)

const (
	// maxNotices is up to how many members a room tells of each that joins or
	// leaves. In a larger one only the count is told, once in countEvery:
	// with n members coming and going each notice costs n frames.
	maxNotices = 100
	countEvery = time.Second
)

// room is the chat of one key. Everything that all members get is said under
// its lock, which is its order.
type room struct {
	server *Server
	key    streamkey.Key

	mu      sync.Mutex
	members map[*member]struct{}
	seq     uint64
	live    bool
	// counting is set while a count waits to be told.
	counting *time.Timer
}

func newRoom(s *Server, key streamkey.Key) *room {
	return &room{server: s, key: key, members: map[*member]struct{}{}}
}

func (r *room) online() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.members)
}

func (r *room) join(m *member) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.members) >= r.server.config.MaxMembers {
		return errFull
	}
	mediaTime := r.look()
	r.tell(EventJoined, m, len(r.members)+1)
	r.members[m] = struct{}{}
	live := r.live
	m.send((&Event{
		Type: EventWelcome, Version: ProtocolVersion, ID: m.author.ID, Name: m.author.Name, Seq: r.seq,
		Online: len(r.members), Live: &live, MediaTime: mediaTime, At: time.Now().UnixMilli(),
	}).frame())
	r.server.members.Add(1)
	return nil
}

// leave takes m out, if it is in, and returns how many are left.
func (r *room) leave(m *member) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, in := r.members[m]; in {
		delete(r.members, m)
		r.tell(EventLeft, m, len(r.members))
	}
	if len(r.members) == 0 && r.counting != nil {
		r.counting.Stop()
	}
	return len(r.members)
}

// tell tells that somebody joined or left, or how many there are now.
func (r *room) tell(event string, m *member, online int) {
	if online <= maxNotices {
		r.broadcast(&Event{Type: event, From: &m.author, Online: online})
		return
	}
	if r.counting == nil {
		r.counting = time.AfterFunc(countEvery, r.count)
	}
}

func (r *room) count() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counting = nil
	if len(r.members) > 0 {
		r.broadcast(&Event{Type: EventOnline, Online: len(r.members)})
	}
}

func (r *room) say(m *member, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	mediaTime := r.look()
	r.broadcast(&Event{Type: EventMessage, From: &m.author, Text: text, MediaTime: mediaTime})
	r.server.messages.Add(1)
}

func (r *room) announce(text string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	mediaTime := r.look()
	r.broadcast(&Event{Type: EventAnnouncement, Text: text, MediaTime: mediaTime})
	return len(r.members)
}

func (r *room) streamChanged() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.look()
}

// look asks whether the stream is live, tells members if that changed, and
// returns the stream's time if it is. Since the room asks under its own lock
// it cannot tell an old state after a new one, whoever made it look.
func (r *room) look() *int64 {
	mediaTime, live := r.server.streams.Live(r.key)
	var ms *int64
	if live {
		v := mediaTime.Milliseconds()
		ms = &v
	}
	if live != r.live {
		r.live = live
		r.broadcast(&Event{Type: EventLive, Live: &live, MediaTime: ms})
	}
	return ms
}

// broadcast numbers an event, stamps it, encodes it once and queues the same
// bytes for every member.
func (r *room) broadcast(e *Event) {
	r.seq++
	if len(r.members) == 0 {
		return
	}
	e.Seq, e.At = r.seq, time.Now().UnixMilli()
	b := e.frame()
	for m := range r.members {
		m.send(b)
	}
	r.server.delivered.Add(uint64(len(r.members)))
}
