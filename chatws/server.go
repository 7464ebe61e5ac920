// Package chatws is the chat beside each stream, over WebSocket, server-sent
// events, and files that a CDN can carry.
package chatws

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/cors"
	"github.com/miju-live/miju/peer"
	"github.com/miju-live/miju/streamkey"
)

// sweepEvery is how often members and rooms are looked after, and how often
// rooms tell a count at most.
const sweepEvery = time.Second

// Server is the http.Handler of all rooms, at /app/name/chat and below. A room
// begins with its first member, whether or not its stream is live, and ends a
// while after its last.
type Server struct {
	config    Config
	auth      auth.Authorizer
	streams   Streams
	store     Store
	log       *slog.Logger
	pages     cors.Pages
	limits    Limits
	epoch     int64
	born      time.Time
	wall      func() time.Time
	sanctions sanctions
	addresses addresses
	pumps     pumps
	editor    Editor // nil: everything may be said

	filterFile filterFile // the watching goroutine's own
	filter     atomic.Pointer[filter]
	// numbered is the highest offset of rooms that are over. Rooms begin behind
	// it, so that one that begins again gives no position twice.
	numbered atomic.Uint64

	// running counts every goroutine; closing is closed when they shall end.
	running sync.WaitGroup
	closing chan struct{}

	undecided auth.Undecided
	endings   peer.Lines // which connections that were closed are logged

	// mu guards the lists of who is where. It is taken before a member's
	// lock, never with a room's, and not held while something is said.
	mu      sync.Mutex
	rooms   map[streamkey.Key]*room
	conns   map[*member]struct{}
	open    int // connections, those still in their handshake too
	down    bool
	started bool

	counters
}

var _ http.Handler = (*Server)(nil)

// New returns a server without rooms, which c.Check finds nothing wrong with.
// It has no goroutine before its first connection. The error is the store's or the
// filter's.
func New(ctx context.Context, c Config, a auth.Authorizer, streams Streams, store Store, log *slog.Logger) (*Server, error) {
	s := &Server{
		config: c, auth: a, streams: streams, store: store, log: log, closing: make(chan struct{}), pages: cors.Parse(c.Origins),
		epoch: store.Epoch(), born: time.Now(), wall: time.Now, rooms: map[streamkey.Key]*room{}, conns: map[*member]struct{}{},
		addresses: addresses{most: c.AddressConnections, proxies: c.Proxies, all: map[netip.Prefix]*address{}},
		limits:    Limits{Text: c.MaxText, Delay: c.MaxDelay.Milliseconds(), History: c.History, Reactions: c.reactions()},
	}
	if c.Filter != "" {
		s.filterFile.path = c.Filter
		f, err := s.filterFile.read()
		if err != nil {
			return nil, err
		}
		s.filter.Store(f)
	}
	kept, err := store.Sanctions(ctx)
	if err != nil {
		return nil, err
	}
	s.sanctions.init(kept)
	s.counters.init()
	s.pumps.init()
	return s, nil
}

// ServeHTTP takes a WebSocket to /app/name/chat, and answers what is below
// that. For a WebSocket it returns when the connection runs by itself.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	s.pages.Answer(w.Header(), r)
	if r.Method == http.MethodOptions {
		s.pages.Preflight(w)
		return
	}
	app, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	name, path, _ := strings.Cut(path, "/")
	dir, file, below := strings.Cut(path, "/")
	if dir != "chat" {
		fail(w, http.StatusNotFound, "not_found", "the chat of app/name is at /app/name/chat")
		return
	}
	key, err := streamkey.Join(app, name)
	switch {
	case err != nil:
		fail(w, http.StatusNotFound, "invalid_room", err.Error())
	case below:
		s.serveFile(w, r, key, file)
	case !isUpgrade(r):
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		fail(w, http.StatusUpgradeRequired, "no_websocket", "this is the chat of "+key.String()+", for WebSocket clients")
	case !s.pages.Connects(r.Header.Get("Origin"), r.Host):
		s.refused["origin"].Add(1)
		fail(w, http.StatusForbidden, "origin", "this page may not chat here")
	default:
		s.accept(w, r, key)
	}
}

func fail(w http.ResponseWriter, status int, code, message string) {
	failFor(w, status, code, message, "no-store")
}

// failFor answers with an error that caches may keep.
func failFor(w http.ResponseWriter, status int, code, message, cache string) {
	body, err := json.Marshal(map[string]string{"error": code, "message": message})
	if err != nil {
		body = []byte(`{}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", cache)
	w.WriteHeader(status)
	w.Write(append(body, '\n')) // a client that is gone has its answer
}

// admit counts a connection in, if there is room for it, or answers why not.
func (s *Server) admit(w http.ResponseWriter, a netip.Addr) bool {
	if !s.addresses.enter(a, time.Now()) {
		s.refused["address"].Add(1)
		w.Header().Set("Retry-After", "30")
		fail(w, http.StatusTooManyRequests, "rate", "too many connections of your address")
		return false
	}
	s.mu.Lock()
	full := s.down || s.open >= s.config.MaxConnections
	if !full {
		s.open++
		s.running.Add(1) // its reading goroutine, from here on
	}
	s.mu.Unlock()
	if full {
		s.addresses.leave(a, time.Now())
		s.refused["full"].Add(1)
		w.Header().Set("Retry-After", "5")
		fail(w, http.StatusServiceUnavailable, "full", "too many are connected")
	}
	return !full
}

// release takes back what admit did.
func (s *Server) release(a netip.Addr) {
	s.addresses.leave(a, time.Now())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
}

// accept makes a member of a request that isUpgrade.
func (s *Server) accept(w http.ResponseWriter, r *http.Request, key streamkey.Key) {
	accept, protocol, err := checkHandshake(r)
	if err != nil {
		s.refused["bad_frame"].Add(1)
		code := "bad_handshake"
		if errors.Is(err, errProtocols) {
			code = "bad_protocol"
		}
		fail(w, http.StatusBadRequest, code, err.Error())
		return
	}
	address := peer.Address(r.RemoteAddr)
	if !s.admit(w, address) {
		return
	}
	conn, err := upgrade(w, accept, protocol)
	if err != nil {
		s.release(address)
		s.running.Done()
		s.refused["bad_frame"].Add(1)
		s.log.Debug("chat handshake failed", "stream", key, "remote", r.RemoteAddr, "err", err)
		return
	}
	m := newMember(s, conn, key)
	m.address, m.remote, m.token = address, strings.Clone(r.RemoteAddr), strings.Clone(auth.TokenOf(r))
	if s.register(m) {
		m.close(CloseGoingAway)
	}
	go m.serve() // and let go of what net/http holds for the request
}

// register has m looked after. It reports whether the server goes down.
func (s *Server) register(m *member) (down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[m] = struct{}{}
	s.start()
	return s.down
}

// start starts what runs as long as the server does.
func (s *Server) start() {
	if s.started || s.down {
		return
	}
	s.started = true
	s.pumps.start(&s.running)
	s.running.Go(s.keepTime)
	if s.config.Filter != "" {
		s.running.Go(s.watchFilter)
	}
}

// dismiss forgets a connection that is closed.
func (s *Server) dismiss(m *member) {
	s.release(m.address)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, m)
}

// keepTime sweeps until the server goes down.
func (s *Server) keepTime() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.closing:
			return
		case now := <-tick.C:
			s.sweep(now)
		}
	}
}

// sweep looks after all members and rooms.
func (s *Server) sweep(now time.Time) {
	s.mu.Lock()
	members := make([]*member, 0, len(s.conns))
	for m := range s.conns {
		members = append(members, m)
	}
	rooms := make([]*room, 0, len(s.rooms))
	for _, r := range s.rooms {
		rooms = append(rooms, r)
	}
	s.mu.Unlock()
	for _, m := range members {
		m.lookAfter(now)
	}
	for _, r := range rooms {
		if r.isLoaded() && r.sweep(now) {
			s.forget(r)
		}
	}
	s.sanctions.forget(s.wall())
	s.addresses.forget(now)
}

// EndCredential closes the members that a credential permits, and the readers of
// events.
func (s *Server) EndCredential(credential string) {
	s.mu.Lock()
	var ended []*member
	for m := range s.conns {
		if c := m.credential.Load(); c != nil && *c == credential {
			ended = append(ended, m)
		}
	}
	s.mu.Unlock()
	for _, m := range ended {
		m.expel("denied", CloseDenied)
	}
}

// forget lets go of a room that is over.
func (s *Server) forget(r *room) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rooms[r.key] == r {
		delete(s.rooms, r.key)
	}
}

// find returns a room, which it makes and loads if need be. The error is
// errFull or a *Refusal.
func (s *Server) find(key streamkey.Key, from netip.Addr) (*room, error) {
	now := time.Now()
	s.mu.Lock()
	r := s.rooms[key]
	if r != nil {
		s.mu.Unlock()
		<-r.loaded
		return r, nil
	}
	if len(s.rooms) >= s.config.MaxRooms {
		s.mu.Unlock()
		return nil, errFull
	}
	if wait := s.addresses.newRoom(from, now); wait > 0 {
		s.mu.Unlock()
		return nil, refuseFor(wait, CodeRate, "too many new rooms from your address")
	}
	r = newRoom(s, key, now)
	s.rooms[key] = r
	s.mu.Unlock()
	r.load()
	return r, nil
}

// in calls f with a room under its lock, which it makes if need be. The error
// is find's or f's.
func (s *Server) in(key streamkey.Key, from netip.Addr, f func(*room) error) error {
	for {
		r, err := s.find(key, from)
		if err != nil {
			return err
		}
		if err = r.locked(f); !errors.Is(err, errRemoved) {
			return err
		}
		s.forget(r) // it ended in between: another one
	}
}

// enter puts a member into its room.
func (s *Server) enter(m *member, c *Join, id string) error {
	return s.in(m.key, m.address, func(r *room) error { return r.join(m, c, id, time.Now()) })
}

// room returns the room of a key if it is in memory and loaded.
func (s *Server) room(key streamkey.Key) *room {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.rooms[key]; r != nil && r.isLoaded() {
		return r
	}
	return nil
}

// StreamChanged has the room of key look whether its stream is live, and tell
// its members if that changed. It may be called at any time by anybody.
func (s *Server) StreamChanged(key streamkey.Key) {
	if r := s.room(key); r != nil {
		r.streamChanged(time.Now())
	}
}

// Shutdown tells all members that the server goes away and returns when they
// are gone; at the end of ctx it cuts off those that are left.
func (s *Server) Shutdown(ctx context.Context) {
	s.mu.Lock()
	if !s.down {
		s.down = true
		close(s.closing)
	}
	members := make([]*member, 0, len(s.conns))
	for m := range s.conns {
		members = append(members, m)
	}
	s.mu.Unlock()
	for _, m := range members {
		m.close(CloseGoingAway)
	}
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for m := range s.conns {
			m.cut()
		}
	})
	defer stop()
	s.pumps.close()
	s.running.Wait()
}
