package chatws

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/miju-live/miju/streamkey"
)

// What the application's backend does, by the operators' API (api.go).

const (
	// maxPayload bounds an application's own event, in bytes.
	maxPayload = 16 << 10
	// maxListed bounds the users that one room's description lists.
	maxListed = 1000
)

// ErrNoRoom means that nobody is in the room.
var ErrNoRoom = errors.New("nobody is in the room")

// allRooms returns the rooms in memory, ordered by key.
func (s *Server) allRooms() []*room {
	s.mu.Lock()
	rooms := make([]*room, 0, len(s.rooms))
	for _, r := range s.rooms {
		if r.isLoaded() {
			rooms = append(rooms, r)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(rooms, func(a, b *room) int { return strings.Compare(a.name, b.name) })
	return rooms
}

// RoomInfo is a room in a list.
type RoomInfo struct {
	Key streamkey.Key `json:"room"`
	// Online is how many connections are in it, Users whose they are.
	Online int  `json:"online"`
	Users  int  `json:"users"`
	Live   bool `json:"live"`
	// Epoch and Offset are the position of its newest event.
	Position
}

// Rooms returns all rooms with members, ordered by key.
func (s *Server) Rooms() []RoomInfo {
	all := []RoomInfo{}
	for _, r := range s.allRooms() {
		if i := r.info(); i.Online > 0 {
			all = append(all, i)
		}
	}
	return all
}

func (r *room) info() RoomInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	return RoomInfo{Key: r.key, Online: r.out.members, Users: r.presence.count(), Live: r.clock.Broadcast != 0, Position: r.position()}
}

// RoomState is one room.
type RoomState struct {
	Key streamkey.Key `json:"room"`
	Position
	State
	// Present are its users, a thousand at most.
	Present []PresentUser `json:"present"`
	// Messages is how many are in memory for who comes back.
	Messages int `json:"messages"`
}

// PresentUser is a user in a room.
type PresentUser struct {
	User
	// Addresses are where the user is connected from, one for each connection.
	Addresses []netip.Addr `json:"addresses"`
	// Muted is given if the user is.
	Muted *Muted `json:"muted,omitempty"`
}

// Room describes a room. The error is ErrNoRoom if it is not in memory.
func (s *Server) Room(key streamkey.Key) (RoomState, error) {
	r := s.room(key)
	if r == nil {
		return RoomState{}, fmt.Errorf("%s: %w", key, ErrNoRoom)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	st := RoomState{Key: key, Position: r.position(), State: r.state(r.look(time.Now())), Present: []PresentUser{}, Messages: len(r.log.list())}
	for _, u := range r.presence.users {
		if len(st.Present) == maxListed {
			break
		}
		p := PresentUser{User: u.User, Addresses: []netip.Addr{}}
		for _, m := range u.members {
			p.Addresses = append(p.Addresses, m.address)
			p.Muted = m.muted()
		}
		st.Present = append(st.Present, p)
	}
	slices.SortFunc(st.Present, func(a, b PresentUser) int { return strings.Compare(a.ID, b.ID) })
	return st, nil
}

// Announce sends a message in the operator's name to a room and returns how
// many members it has. The error wraps ErrNoRoom if it has none.
func (s *Server) Announce(key streamkey.Key, text string) (int, error) {
	members := 0
	if r := s.room(key); r != nil {
		var err error
		if members, err = r.announceTo(text); err != nil {
			return 0, err
		}
	}
	if members == 0 {
		return 0, fmt.Errorf("%s: %w", key, ErrNoRoom)
	}
	return members, nil
}

// announceTo announces in the operator's name if anybody is there, and returns
// how many members are.
func (r *room) announceTo(text string) (members int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.out.members == 0 {
		return 0, nil
	}
	return r.out.members, r.act(&Announce{Text: text}, application, time.Now())
}

// AnnounceAll announces to all rooms with members, and returns how many rooms
// and members these are.
func (s *Server) AnnounceAll(text string) (rooms, members int, err error) {
	for _, r := range s.allRooms() {
		n, err := r.announceTo(text)
		if err != nil {
			return rooms, members, err
		}
		if n > 0 {
			rooms, members = rooms+1, members+n
		}
	}
	return rooms, members, nil
}

// systemName is what an application may call its events.
var systemName = regexp.MustCompile(`^[A-Za-z0-9_.:-]{1,64}$`)

// System sends an event of the application's own to a room, and returns how
// many members it has. It is kept though there be none.
func (s *Server) System(key streamkey.Key, name string, payload json.RawMessage) (*System, int, error) {
	if !systemName.MatchString(name) || len(payload) > maxPayload || len(payload) > 0 && !json.Valid(payload) {
		return nil, 0, refuse(CodeBadValue, "a name has 1 to 64 letters, digits and _ . : -, a payload is JSON of %d bytes at most", maxPayload)
	}
	e, members := &System{Name: name, Payload: payload}, 0
	err := s.in(key, netip.Addr{}, func(r *room) error {
		now := time.Now()
		edge := r.look(now)
		e.ID, members = r.newID(), r.out.members
		r.publish(e, edge, fact{id: e.ID}, now)
		return nil
	})
	return e, members, err
}

// Kick closes all connections of a user in a room, who may come back, and
// returns how many there were.
func (s *Server) Kick(key streamkey.Key, id string) (int, error) {
	r := s.room(key)
	if r == nil {
		return 0, fmt.Errorf("%s: %w", key, ErrNoRoom)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	u := r.presence.users[id]
	if u == nil || len(u.members) == 0 {
		return 0, refuse(CodeNotFound, "no such user is in the room")
	}
	for _, m := range u.members {
		m.expelled.Store(true)
		m.expel("kicked", CloseKicked)
	}
	r.audit(application, "kick", id, "")
	return len(u.members), nil
}

// Act does in a room what a host may do by a command.
func (s *Server) Act(key streamkey.Key, c Command) error {
	return s.in(key, netip.Addr{}, func(r *room) error { return r.act(c, application, time.Now()) })
}

// SanctionsOf returns the mutes and bans of a room; of the zero key, those of
// all rooms.
func (s *Server) SanctionsOf(key streamkey.Key) []SanctionInfo {
	return s.sanctionList(roomName(key))
}

func (s *Server) sanctionList(room string) []SanctionInfo {
	list := []SanctionInfo{}
	for _, x := range s.sanctions.list(room, s.wall()) {
		list = append(list, x.info())
	}
	return list
}

// roomName names a room to the store; the zero key, all of them.
func roomName(key streamkey.Key) string {
	if key == (streamkey.Key{}) {
		return ""
	}
	return key.String()
}

// SanctionEverywhere mutes or bans in all rooms.
func (s *Server) SanctionEverywhere(kind SanctionKind, c Sanctioning) error {
	x, err := s.newSanction(kind, "", c, application)
	if err != nil {
		return err
	}
	if !s.sanctions.put(x) {
		return refuse(CodeUnavailable, "there are too many sanctions")
	}
	s.store.PutSanction(x)
	s.audit("", application, string(kind), x.target(), x.detail())
	now := time.Now()
	for _, r := range s.allRooms() {
		r.mu.Lock()
		r.enforce(x)
		if c.Purge && c.User != "" && !r.removed && r.log.has(c.User) {
			r.purge(c.User, application, now)
		}
		r.mu.Unlock()
	}
	return nil
}

// LiftEverywhere ends that.
func (s *Server) LiftEverywhere(kind SanctionKind, c Target) error {
	return s.lift(kind, "", c, application)
}
