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
	MaxConnections int    `flag:"chat-max-connections" group:"limits" help:"chat connections over all rooms" min:"1" max:"1000000"`
	Origins        string `flag:"chat-origins" group:"chat" help:"web pages that may chat here: * for all, or a list like https://a.example,https://b.example"`
}

// DefaultConfig lets every page chat, two commands a second.
func DefaultConfig() Config {
	return Config{MaxText: 500, MaxFrameKiB: 4, Rate: 2, Burst: 8, QueueKiB: 256, MaxMembers: 20000, MaxConnections: 50000, Origins: "*"}
}

// ErrNoRoom means that nobody is in the room.
var ErrNoRoom = errors.New("nobody is in the room")

// Streams tells what is live, and where it is in its own time.
type Streams interface {
	Live(key streamkey.Key) (mediaTime time.Duration, live bool)
}

const (
	// joinTimeout is how long a connection may take to join.
	joinTimeout = 10 * time.Second
	// pingEvery is how often members are asked for a sign of life, and
	// silence how long they may be without one.
	pingEvery = 25 * time.Second
	silence   = 60 * time.Second
)

// Server is the http.Handler of all rooms, at /app/name/chat.
type Server struct {
	config   Config
	auth     auth.Authorizer
	streams  Streams
	log      *slog.Logger
	origins  []string
	upgrader *gws.Upgrader

	// mu guards the lists of who is where. It is taken before a room's lock
	// and never held while something is said.
	mu      sync.Mutex
	rooms   map[streamkey.Key]*room
	conns   map[*member]struct{}
	closing bool
	pinger  *time.Timer
	running sync.WaitGroup

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
	refusedFrame
	refusals
)

var refusalNames = [refusals]string{"bad_command", "bad_name", "bad_text", "rate", "flood", "full", "no_join", "bad_frame"}

var _ http.Handler = (*Server)(nil)

// New returns a server without rooms.
func New(c Config, a auth.Authorizer, streams Streams, log *slog.Logger) *Server {
	s := &Server{config: c, auth: a, streams: streams, log: log, rooms: map[streamkey.Key]*room{}, conns: map[*member]struct{}{}}
	for o := range strings.SplitSeq(c.Origins, ",") {
		if o = strings.TrimSpace(o); o != "" {
			s.origins = append(s.origins, o)
		}
	}
	s.upgrader = gws.NewUpgrader(handler{}, &gws.ServerOption{
		ReadMaxPayloadSize: c.MaxFrameKiB << 10, ReadBufferSize: 1024, CheckUtf8Enabled: true, HandshakeTimeout: joinTimeout,
	})
	return s
}

// ServeHTTP takes a WebSocket to /app/name/chat and serves it until it ends.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key, err := streamkey.Parse(strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/"), "/chat"))
	if err != nil {
		fail(w, http.StatusNotFound, "invalid_room", err.Error())
		return
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		w.Header().Set("Upgrade", "websocket")
		fail(w, http.StatusUpgradeRequired, "no_websocket", "this is the chat of "+key.String()+", for WebSocket clients")
		return
	}
	if o := r.Header.Get("Origin"); o != "" && !slices.Contains(s.origins, "*") && !slices.Contains(s.origins, o) {
		fail(w, http.StatusForbidden, "origin", "this page may not chat here")
		return
	}
	grant, err := s.auth.Authorize(r.Context(), auth.Request{
		Action: auth.Chat, Key: key, Token: r.URL.Query().Get("token"), Protocol: "chat", RemoteAddr: r.RemoteAddr,
	})
	switch {
	case errors.Is(err, auth.ErrDenied):
		fail(w, http.StatusForbidden, "denied", err.Error())
		return
	case err != nil:
		s.log.Error("cannot decide who may chat", "stream", key, "err", err)
		fail(w, http.StatusServiceUnavailable, "undecided", "cannot decide now whether you may chat")
		return
	}
	m := newMember(s, key, grant)
	if !s.admit(m) {
		s.refused[refusedFull].Add(1)
		w.Header().Set("Retry-After", "5")
		fail(w, http.StatusServiceUnavailable, "full", "too many are connected")
		return
	}
	defer s.running.Done()
	defer s.dismiss(m)
	socket, err := s.upgrader.Upgrade(w, r)
	if err != nil {
		s.refused[refusedFrame].Add(1)
		return
	}
	m.serve(socket)
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
func (s *Server) admit(m *member) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || len(s.conns) >= s.config.MaxConnections {
		return false
	}
	s.conns[m] = struct{}{}
	s.running.Add(1)
	if s.pinger == nil {
		s.pinger = time.AfterFunc(pingEvery, s.pingAll)
	}
	return true
}

func (s *Server) dismiss(m *member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, m)
}

// pingFrame is an empty ping (RFC 6455, 5.5.2).
var pingFrame = []byte{0x89, 0}

// pingAll asks all members for a sign of life, as long as there are any.
func (s *Server) pingAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || len(s.conns) == 0 {
		s.pinger = nil
		return
	}
	for m := range s.conns {
		m.send(pingFrame)
	}
	s.pinger.Reset(pingEvery)
}

// join puts a member into its room, which begins with its first member.
func (s *Server) join(m *member) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rooms[m.key]
	if r == nil {
		r = newRoom(s, m.key)
		s.rooms[m.key] = r
	}
	return r.join(m)
}

// leave takes a member out of its room, which ends with its last member.
func (s *Server) leave(m *member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.rooms[m.key]; r != nil && r.leave(m) == 0 {
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
	return r.announce(text), nil
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
	st := Stats{Connections: len(s.conns), Rooms: len(s.rooms)}
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
	s.closing = true
	if s.pinger != nil {
		s.pinger.Stop()
	}
	for m := range s.conns {
		m.end(CloseGoingAway, "the server is going away")
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
