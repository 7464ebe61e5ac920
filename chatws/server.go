// Package chatws is the chat beside each stream, over WebSocket.
package chatws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lxzan/gws"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/streamkey"
)

// Config rules every room.
type Config struct {
	MaxText        int    `flag:"chat-max-text" group:"chat" help:"longest chat message, in characters" min:"1" max:"10000"`
	MaxFrameKiB    int    `flag:"chat-max-frame-kib" group:"chat" help:"largest frame a chat member may send, in KiB; a larger one closes the connection" min:"1" max:"1024"`
	Rate           int    `flag:"chat-rate" group:"chat" help:"commands per second that a chat member may send for long" min:"1" max:"1000"`
	Burst          int    `flag:"chat-burst" group:"chat" help:"commands that a chat member may send at once" min:"1" max:"10000"`
	QueueKiB       int    `flag:"chat-queue-kib" group:"chat" help:"what may wait for a chat member, in KiB; a member that lets more gather is closed as slow" min:"4" max:"65536"`
	MaxMembers     int    `flag:"chat-max-members" group:"chat" help:"members of one room" min:"1" max:"1000000"`
	MaxRooms       int    `flag:"chat-max-rooms" group:"chat" help:"rooms that have members" min:"1" max:"1000000"`
	MaxConnections int    `flag:"chat-max-connections" group:"limits" help:"chat connections over all rooms" min:"1" max:"1000000"`
	Origins        string `flag:"chat-origins" group:"chat" help:"web pages that may chat here: * for all, or a list of hosts or origins like a.example,https://b.example; pages of this server always may"`
}

// DefaultConfig lets every page chat, two commands a second.
func DefaultConfig() Config {
	return Config{MaxText: 500, MaxFrameKiB: 4, Rate: 2, Burst: 8, QueueKiB: 256, MaxMembers: 20000, MaxRooms: 20000, MaxConnections: 50000, Origins: "*"}
}

// ErrNoRoom means that nobody is in the room.
var ErrNoRoom = errors.New("nobody is in the room")

// Streams tells what is live, and where it is in its own time. It is asked
// under a room's lock: it must return at once and not call the Server.
type Streams interface {
	Live(key streamkey.Key) (mediaTime time.Duration, live bool)
}

const (
	// handshakeTimeout bounds the write of the handshake's answer.
	handshakeTimeout = 5 * time.Second
	// joinTimeout is how long a connection may take to join.
	joinTimeout = 10 * time.Second
	// pingEvery is how often members are asked for a sign of life, and
	// silence how long they may be without one.
	pingEvery = 15 * time.Second
	silence   = 30 * time.Second
	// sweepEvery is how often members are looked after, and how often rooms
	// tell a count at most.
	sweepEvery = time.Second
)

// Server is the http.Handler of all rooms, at /app/name/chat. A room begins
// with its first member and ends with its last, whether or not its stream is
// live.
type Server struct {
	config  Config
	auth    auth.Authorizer
	streams Streams
	log     *slog.Logger
	origins []string

	upgrader *gws.Upgrader

	// running counts every goroutine; closing is closed when they shall end.
	running sync.WaitGroup
	closing chan struct{}

	// mu guards the lists of who is where. It is taken before a member's
	// lock, never with a room's, and not held while something is said.
	mu       sync.Mutex
	rooms    map[streamkey.Key]*room
	conns    map[*member]struct{}
	open     int // connections, those still in their handshake too
	down     bool
	sweeping bool

	nextID atomic.Uint64
	counters
}

type counters struct {
	members, messages, delivered, slow, oversize atomic.Uint64
	refused                                      [refusals]atomic.Uint64
}

// refusal classes what was refused, for metrics.
type refusal int

const (
	refusedCommand refusal = iota
	refusedName
	refusedText
	refusedRate
	refusedFlood
	refusedFull
	refusedNoJoin
	refusedSilent
	refusedDenied
	refusedUndecided
	refusedOrigin
	refusedFrame
	refusals
)

var refusalNames = [refusals]string{
	"bad_command", "bad_name", "bad_text", "rate", "flood", "full",
	"no_join", "silent", "denied", "undecided", "origin", "bad_frame",
}

var _ http.Handler = (*Server)(nil)

// New returns a server without rooms. It has no goroutine before its first
// connection.
func New(c Config, a auth.Authorizer, streams Streams, log *slog.Logger) *Server {
	s := &Server{
		config: c, auth: a, streams: streams, log: log, closing: make(chan struct{}),
		rooms: map[streamkey.Key]*room{}, conns: map[*member]struct{}{},
	}
	for o := range strings.SplitSeq(c.Origins, ",") {
		if o = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(o)), "/"); o != "" {
			s.origins = append(s.origins, o)
		}
	}
	s.upgrader = gws.NewUpgrader(events{}, &gws.ServerOption{
		ReadMaxPayloadSize: c.MaxFrameKiB << 10, CheckUtf8Enabled: true, HandshakeTimeout: handshakeTimeout,
	})
	return s
}

// ServeHTTP takes a WebSocket to /app/name/chat. It returns when the
// connection runs by itself.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, _ := strings.CutPrefix(r.URL.Path, "/")
	path, ok := strings.CutSuffix(path, "/chat")
	if !ok {
		fail(w, http.StatusNotFound, "not_found", "the chat of app/name is at /app/name/chat")
		return
	}
	key, err := streamkey.Parse(path)
	switch {
	case err != nil:
		fail(w, http.StatusNotFound, "invalid_room", err.Error())
	case r.Method != http.MethodGet || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket"):
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		fail(w, http.StatusUpgradeRequired, "no_websocket", "this is the chat of "+key.String()+", for WebSocket clients")
	case !s.allows(r.Header.Get("Origin"), r.Host):
		s.refused[refusedOrigin].Add(1)
		fail(w, http.StatusForbidden, "origin", "this page may not chat here")
	case !s.admit():
		s.refused[refusedFull].Add(1)
		w.Header().Set("Retry-After", "5")
		fail(w, http.StatusServiceUnavailable, "full", "too many are connected")
	default:
		s.accept(w, r, key)
	}
}

// allows reports whether a page of origin may chat at host. What is no
// browser sends no origin.
func (s *Server) allows(origin, host string) bool {
	if origin == "" || slices.Contains(s.origins, "*") {
		return true
	}
	origin = strings.ToLower(origin)
	_, page, _ := strings.Cut(origin, "://")
	return page == strings.ToLower(host) || slices.Contains(s.origins, origin) || slices.Contains(s.origins, page)
}

func fail(w http.ResponseWriter, status int, code, message string) {
	body, err := json.Marshal(map[string]string{"error": code, "message": message})
	if err != nil {
		body = []byte(`{}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(body, '\n')) // a client that is gone has its answer
}

// admit counts a connection in, if there is room for it.
func (s *Server) admit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down || s.open >= s.config.MaxConnections {
		return false
	}
	s.open++
	s.running.Add(1) // its reading goroutine, from here on
	return true
}

// accept makes a member of an admitted request.
func (s *Server) accept(w http.ResponseWriter, r *http.Request, key streamkey.Key) {
	m, err := s.upgrade(w, r, key)
	s.mu.Lock()
	if err != nil {
		s.open--
		s.mu.Unlock()
		s.running.Done()
		s.refused[refusedFrame].Add(1)
		s.log.Debug("chat handshake failed", "stream", key, "remote", r.RemoteAddr, "err", err)
		return
	}
	s.conns[m] = struct{}{}
	down := s.down
	if !s.sweeping && !down {
		s.sweeping = true
		s.running.Go(s.keepTime)
	}
	s.mu.Unlock()
	if down {
		m.close(CloseGoingAway)
	}
	go m.serve() // and let go of what net/http holds for the request
}

// dismiss forgets a connection that is closed.
func (s *Server) dismiss(m *member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, m)
	s.open--
}

// keepTime sweeps as long as there are connections.
func (s *Server) keepTime() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.closing:
			return
		case now := <-tick.C:
			if !s.sweep(now) {
				return
			}
		}
	}
}

// sweep looks after all members and has rooms tell a changed count. It
// reports whether to go on.
func (s *Server) sweep(now time.Time) bool {
	s.mu.Lock()
	if len(s.conns) == 0 {
		s.sweeping = false
		s.mu.Unlock()
		return false
	}
	for m := range s.conns {
		m.lookAfter(now)
	}
	var changed []*room
	for _, r := range s.rooms {
		if r.recount.Load() {
			changed = append(changed, r)
		}
	}
	s.mu.Unlock()
	for _, r := range changed {
		r.count()
	}
	return true
}

// enter puts a member into its room, which it makes if need be, and returns
// the room; or nil and the code to close the member with.
func (s *Server) enter(m *member) (*room, CloseCode) {
	for {
		s.mu.Lock()
		r := s.rooms[m.key]
		if r == nil || r.removed.Load() {
			if r == nil && len(s.rooms) >= s.config.MaxRooms {
				s.mu.Unlock()
				return nil, CloseFull
			}
			r = newRoom(s, m.key)
			s.rooms[m.key] = r
		}
		s.mu.Unlock()
		switch err := r.join(m); {
		case err == nil:
			return r, 0
		case errors.Is(err, errFull):
			return nil, CloseFull
		}
		// The last member left in between, and the room with it: another one.
	}
}

// leave takes a member out of its room, which ends with its last.
func (s *Server) leave(m *member) {
	if !m.room.leave(m) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rooms[m.key] == m.room {
		delete(s.rooms, m.key)
	}
}

func (s *Server) room(key streamkey.Key) *room {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rooms[key]
}

// StreamChanged has the room of key look whether its stream is live, and tell
// its members if that changed. It may be called at any time by anybody.
func (s *Server) StreamChanged(key streamkey.Key) {
	if r := s.room(key); r != nil {
		r.streamChanged()
	}
}

// Announce sends a system message to a room and returns how many members it
// has. The error wraps ErrNoRoom if it has none.
func (s *Server) Announce(key streamkey.Key, text string) (int, error) {
	text, err := cleanText(text, s.config.MaxText)
	if err != nil {
		return 0, err
	}
	r := s.room(key)
	if r == nil {
		return 0, fmt.Errorf("%s: %w", key, ErrNoRoom)
	}
	n := r.announce(text)
	if n == 0 {
		return 0, fmt.Errorf("%s: %w", key, ErrNoRoom)
	}
	return n, nil
}

// RoomInfo is a room as the API shows it.
type RoomInfo struct {
	Key    streamkey.Key
	Online int
}

// Rooms returns all rooms, ordered by key.
func (s *Server) Rooms() []RoomInfo {
	s.mu.Lock()
	rooms := make([]*room, 0, len(s.rooms))
	for _, r := range s.rooms {
		rooms = append(rooms, r)
	}
	s.mu.Unlock()
	all := make([]RoomInfo, 0, len(rooms))
	for _, r := range rooms {
		if n := r.online(); n > 0 {
			all = append(all, RoomInfo{Key: r.key, Online: n})
		}
	}
	slices.SortFunc(all, func(a, b RoomInfo) int { return strings.Compare(a.Key.String(), b.Key.String()) })
	return all
}

// Stats are the figures of a Server.
type Stats struct {
	// Connections and Rooms are open now.
	Connections, Rooms int
	// Joined counts members that ever joined, Messages what they said,
	// Delivered the events that were queued for members.
	Joined, Messages, Delivered uint64
	// Slow counts members closed because too much waited for them, Oversize
	// those closed for a frame over the bound.
	Slow, Oversize uint64
	// Refused counts what was refused, by reason.
	Refused map[string]uint64
}

// Stats returns the figures of this moment.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	st := Stats{Connections: s.open, Rooms: len(s.rooms)}
	s.mu.Unlock()
	st.Joined, st.Messages, st.Delivered = s.members.Load(), s.messages.Load(), s.delivered.Load()
	st.Slow, st.Oversize = s.slow.Load(), s.oversize.Load()
	st.Refused = map[string]uint64{}
	for i, name := range refusalNames {
		st.Refused[name] = s.refused[i].Load()
	}
	return st
}

// Shutdown tells all members that the server goes away and returns when they
// are gone; at the end of ctx it cuts off those that are left.
func (s *Server) Shutdown(ctx context.Context) {
	s.mu.Lock()
	if !s.down {
		s.down = true
		close(s.closing)
	}
	for m := range s.conns {
		m.close(CloseGoingAway)
	}
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for m := range s.conns {
			m.cut()
		}
	})
	defer stop()
	s.running.Wait()
}
