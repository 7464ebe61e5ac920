package chatws

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/miju-live/miju/streamkey"
)

// loadTimeout is how long the store may take to say what it has of a room.
const loadTimeout = 5 * time.Second

var (
	errFull    = errors.New("the room is full")
	errCrowded = errors.New("the room has all the sockets that it may")
	errBanned  = errors.New("you are banned")
	errRemoved = errors.New("the room is gone")
)

// room is the chat of one key. Everything that happens in it happens under
// its lock, which is its order, and waits for nobody.
type room struct {
	server *Server
	key    streamkey.Key
	name   string

	// loaded is closed when what the store has of the room is there.
	loaded  chan struct{}
	mu      sync.Mutex
	removed bool      // nobody may join any more
	idle    time.Time // when a member left last

	offset uint64
	first  uint64 // what offset began with
	log    eventLog
	sent   sentLog
	out    outlet
	pace   bucket // of messages

	presence presence
	settings Settings
	pinned   json.RawMessage
	pinnedID string
	clock    Clock // what was told last; Broadcast is 0 if it is not live
	totals   map[string]uint64
	sums     reactionSums
	slowed   map[string]time.Time // when users spoke last, in slow mode
	chunks   *chunks              // nil while nobody asks for them
}

func newRoom(s *Server, key streamkey.Key, now time.Time) *room {
	r := &room{server: s, key: key, name: key.String(), loaded: make(chan struct{}), idle: now, first: s.numbered.Load()}
	r.offset = r.first
	r.log = eventLog{most: s.config.Log, mostBytes: min(s.config.LogKiB, s.config.QueueKiB/2) << 10, floor: r.position()}
	r.settings.Links = LinksAll
	r.out.init(&s.pumps, s.config.Batch, func() []*shard {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.out.release()
	})
	r.presence.users = map[string]*user{}
	return r
}

// kept is a room's settings as the store has them.
type kept struct {
	Settings Settings        `json:"settings"`
	Pinned   json.RawMessage `json:"pinned,omitempty"`
	PinnedID string          `json:"pinnedId,omitempty"`
}

// load takes over what the store has of the room. Nobody else uses it before.
func (r *room) load() {
	defer close(r.loaded)
	ctx, cancel := context.WithTimeout(context.Background(), loadTimeout)
	defer cancel()
	s := r.server
	settings, err := s.store.Settings(ctx, r.name)
	var k kept
	if err == nil && settings != nil {
		err = json.Unmarshal(settings, &k)
	}
	if err == nil && k.Settings.Links.valid() {
		r.settings, r.pinned, r.pinnedID = k.Settings, k.Pinned, k.PinnedID
	}
	events, err2 := s.store.History(ctx, r.name, min(s.config.Log, maxSent))
	for i, e := range events {
		if i == 0 { // what was before is not known
			r.log.floor = Position{Epoch: e.Epoch, Offset: e.Offset - 1}
		}
		r.log.append(entry{Position: e.Position, json: e.Body, id: e.ID, user: e.User, shown: isShown(e.Type)})
	}
	sent, err3 := s.store.Sent(ctx, r.name, maxSent)
	for i := len(sent) - 1; i >= 0; i-- {
		r.sent.add(sentKey{sent[i].User, sent[i].ClientID}, &sentMessage{id: sent[i].ID, position: sent[i].Position, kept: true, done: true}, time.Now())
	}
	if err := errors.Join(err, err2, err3); err != nil {
		s.log.Error("cannot load a chat room, it begins empty", "stream", r.key, "err", err)
	}
}

// isLoaded reports whether load is over.
func (r *room) isLoaded() bool {
	select {
	case <-r.loaded:
		return true
	default:
		return false
	}
}

// keepSettings has the store keep the settings.
func (r *room) keepSettings() {
	b, err := json.Marshal(kept{r.settings, r.pinned, r.pinnedID})
	if err != nil {
		r.server.log.Error("cannot keep the settings of a chat room", "stream", r.key, "err", err)
		return
	}
	r.server.store.PutSettings(r.name, b)
}

// position is that of the newest event.
func (r *room) position() Position { return Position{r.server.epoch, r.offset} }

// fact says of an event what members need not know.
type fact struct {
	id, clientID, user, address string
	exportOnly                  bool
	done                        func(error)
}

// isShown reports whether events of a type belong to the history.
func isShown(kind string) bool {
	return kind == "message" || kind == "announcement" || kind == "system"
}

// publish numbers an event, stamps it, keeps it and has everybody get it.
func (r *room) publish(e stamped, media *int64, f fact, now time.Time) {
	r.offset++
	wall := r.server.wall()
	s := e.stamp()
	s.Offset, s.At, s.MediaTime = r.offset, wall.UnixMilli(), media
	b := encode(e)
	r.log.append(entry{Position: r.position(), json: b, id: f.id, user: f.user, shown: isShown(e.kind())})
	r.emit(b, now)
	at := int64(-1)
	if media != nil {
		at = *media
	}
	r.server.store.Append(StoredEvent{
		Room: r.name, Position: r.position(), Broadcast: r.clock.Broadcast, ID: f.id, ClientID: f.clientID, Type: e.kind(),
		User: f.user, Address: f.address, At: wall, MediaTime: at, Body: b, ExportOnly: f.exportOnly,
	}, f.done)
}

// tell has everybody get an event of the moment.
func (r *room) tell(e Event, now time.Time) {
	if r.heard() {
		r.emit(encode(e), now)
	}
}

// heard reports whether anybody gets what is emitted now.
func (r *room) heard() bool { return r.out.members > 0 || r.chunks != nil }

// emit has everybody get an event's JSON.
func (r *room) emit(b []byte, now time.Time) {
	r.out.emit(b, now)
	r.server.delivered.Add(uint64(r.out.members))
	if r.chunks != nil {
		r.chunks.advance(r.server.chunkNumber(now))
		r.chunks.add(b, r.position())
	}
}

// newID names what is published next.
func (r *room) newID() string { return Position{r.server.epoch, r.offset + 1}.id() }

// id names what is published at p.
func (p Position) id() string {
	return strconv.FormatInt(p.Epoch, 36) + "-" + strconv.FormatUint(p.Offset, 36)
}

// positionOf returns where what has this id was published.
func positionOf(id string) (p Position, ok bool) {
	epoch, offset, _ := strings.Cut(id, "-")
	var err, err2 error
	p.Epoch, err = strconv.ParseInt(epoch, 36, 64)
	p.Offset, err2 = strconv.ParseUint(offset, 36, 64)
	return p, err == nil && err2 == nil && p.id() == id
}

// locked calls f under the room's lock. The error is f's, or errRemoved: nothing
// may happen in a room that is over.
func (r *room) locked(f func(*room) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.removed {
		return errRemoved
	}
	return f(r)
}

// join puts m in and queues its welcome and what it missed. The error is errFull
// or errCrowded.
func (r *room) join(m *member, c *Join, id string, now time.Time) error {
	switch limit := r.server.config.SocketLimit; {
	case r.out.members >= r.server.config.MaxMembers:
		return errFull
	case limit > 0 && r.out.members >= limit && !m.role.Moderates():
		return errCrowded
	}
	edge := r.look(now)
	r.arrive(m, now)
	m.room.Store(r)
	w := &Welcome{ID: id, Version: ProtocolVersion, Position: r.position(), You: m.user.User, State: r.state(edge)}
	events, gap := r.replay(c)
	w.Replay, w.Resumed = len(events), c.Resume != nil && gap == ""
	w.Muted = m.muted()
	// All in one: what waits for a member is bounded, but for one frame.
	first := textFrame(w)
	if gap != "" {
		first = append(first, textFrame(&Gap{gap})...)
	}
	m.out.add(appendFrames(first, events))
	r.out.add(m)
	r.server.joined.Add(1)
	return nil
}

// appendFrames appends the frames of many events.
func appendFrames(b []byte, events [][]byte) []byte {
	size := 0
	for _, e := range events {
		size += maxHead + len(e)
	}
	b = slices.Grow(b, size)
	for _, e := range events {
		b = appendFrame(b, opText, e)
	}
	return b
}

// replay returns what a newcomer gets of before, and why it is not what it
// missed.
func (r *room) replay(c *Join) ([][]byte, GapReason) {
	n := r.server.config.History
	if c.History != nil {
		n = min(n, max(0, *c.History))
	}
	if c.Resume == nil {
		return r.log.newest(n), ""
	}
	if r.position().before(*c.Resume) {
		return r.log.newest(n), GapUnknown
	}
	events, ok := r.log.since(*c.Resume)
	if !ok {
		return r.log.newest(n), GapOld
	}
	return events, ""
}

// state says how the room is now; edge is look's.
func (r *room) state(edge *int64) State {
	s := State{
		Users: r.presence.count(), Connections: r.presence.connections, Settings: r.settings, Limits: r.server.limits,
		Pinned: r.pinned, Live: edge != nil, MediaTime: edge, At: r.server.wall().UnixMilli(),
	}
	if edge != nil {
		m := r.clock.mapping()
		s.Broadcast, s.Mapping = r.clock.Broadcast, &m
	}
	if len(r.totals) > 0 {
		s.Reactions = make(map[string]uint64, len(r.totals))
		for k, v := range r.totals {
			s.Reactions[k] = v
		}
	}
	return s
}

// leave takes m out.
func (r *room) leave(m *member, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out.remove(m)
	r.depart(m, now)
	r.idle = now
}

// sweep does what is due, once a second. It reports whether the room is over.
func (r *room) sweep(now time.Time) (over bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.heard() && r.clock.Broadcast != 0 {
		r.look(now)
	}
	r.presenceDue(now)
	r.forgetSlowed(now)
	r.sent.forget(now)
	if r.chunks != nil && now.Sub(r.chunks.asked) > chunksKept {
		r.chunks = nil
	}
	linger := r.server.config.Linger
	if r.offset == r.first {
		linger = min(linger, grace) // nothing happened that would be forgotten
	}
	if r.heard() || r.presence.count() > 0 || now.Sub(r.idle) < linger {
		return false
	}
	r.removed = true
	for n := r.server.numbered.Load(); n < r.offset && !r.server.numbered.CompareAndSwap(n, r.offset); n = r.server.numbered.Load() {
	}
	return true
}

// streamChanged looks at the stream. A room that is over has nobody to tell.
func (r *room) streamChanged(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.removed {
		r.look(now)
	}
}
