package chatws

import (
	"crypto/rand"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/miju-live/miju/streamkey"
)

const (
	// maxNotices is up to how many members a room tells of each that joins or
	// leaves. In a larger one only the count is told, by the next sweep: with
	// n members coming and going each notice costs n frames.
	maxNotices = 100
	// noticesPerSecond is how many it tells at most, in case the same few
	// come and go all the time.
	noticesPerSecond = 20
)

var (
	errFull    = errors.New("the room is full")
	errRemoved = errors.New("the room is gone")
)

// room is the chat of one key. Everything that all members get is said under
// its lock, which is its order. Saying it waits for nobody.
type room struct {
	server *Server
	key    streamkey.Key
	// epoch makes the names of this room's messages its own.
	epoch string

	removed atomic.Bool // set under mu when the last member has left
	recount atomic.Bool // the count changed and was not told

	mu      sync.Mutex
	members []*member // each knows its slot
	seq     uint64
	live    bool // what was told last
	notices *rate.Limiter
}

func newRoom(s *Server, key streamkey.Key) *room {
	return &room{
		server: s, key: key, epoch: strings.ToLower(rand.Text()[:12]),
		notices: rate.NewLimiter(noticesPerSecond, noticesPerSecond),
	}
}

func (r *room) online() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.members)
}

// join puts m in and welcomes it. The error is errFull or errRemoved.
func (r *room) join(m *member) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.removed.Load():
		return errRemoved
	case len(r.members) >= r.server.config.MaxMembers:
		return errFull
	}
	mediaTime := r.look()
	r.tell(EventJoined, m, len(r.members)+1)
	m.slot = len(r.members)
	r.members = append(r.members, m)
	live := r.live
	m.send((&Event{
		Type: EventWelcome, Version: ProtocolVersion, ID: m.author.ID, Name: m.author.Name, Seq: r.seq,
		Online: len(r.members), Live: &live, MediaTime: mediaTime, At: time.Now().UnixMilli(),
	}).frame())
	r.server.members.Add(1)
	return nil
}

// leave takes m out and reports whether it was the last: then nobody joins
// this room any more.
func (r *room) leave(m *member) (last bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	end := len(r.members) - 1
	r.members[m.slot] = r.members[end]
	r.members[m.slot].slot = m.slot
	r.members[end] = nil
	r.members = r.members[:end]
	if end == 0 {
		r.removed.Store(true)
		return true
	}
	r.tell(EventLeft, m, end)
	return false
}

// tell tells that somebody joined or left, or has the sweep tell how many
// there are.
func (r *room) tell(event string, m *member, online int) {
	switch {
	case online <= maxNotices && r.notices.Allow():
		r.broadcast(&Event{Type: event, From: &m.author, Online: online})
	case len(r.members) > 0:
		r.recount.Store(true)
	}
}

// count tells how many there are, if that is not known.
func (r *room) count() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.recount.Swap(false) && len(r.members) > 0 {
		r.broadcast(&Event{Type: EventOnline, Online: len(r.members)})
	}
}

func (r *room) say(m *member, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	mediaTime := r.look()
	r.broadcast(&Event{Type: EventMessage, ID: r.newID(), From: &m.author, Text: text, MediaTime: mediaTime})
	r.server.messages.Add(1)
}

func (r *room) announce(text string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	mediaTime := r.look()
	r.broadcast(&Event{Type: EventAnnouncement, ID: r.newID(), Text: text, MediaTime: mediaTime})
	return len(r.members)
}

// newID names what is broadcast next.
func (r *room) newID() string { return r.epoch + "-" + strconv.FormatUint(r.seq+1, 10) }

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
	for _, m := range r.members {
		m.send(b)
	}
	r.server.delivered.Add(uint64(len(r.members)))
}
