package chatws

import (
	"slices"
	"time"
)

const (
	// grace is how long who lost the connection is still there: a phone that
	// changes its network comes back within it.
	grace = 5 * time.Second
	// noticesPerSecond is how many notices of users a room gets at most, in
	// case the same few come and go all the time.
	noticesPerSecond = 20
)

// user is somebody in a room, by one connection or several.
type user struct {
	User
	members []*member
	gone    time.Time // when the last of these was lost
}

// presence is who is in a room.
type presence struct {
	users       map[string]*user
	connections int
	leaving     []*user // those without a connection, the longest first
	notices     bucket

	told   Presence // by the last notice of any kind
	newer  bool     // somebody's welcome said something else since
	sample *User    // who joined a large room and was not told of
	others int      // how many more did
}

// count is how many users there are.
func (p *presence) count() int { return len(p.users) }

func (p *presence) mayTell(now time.Time) bool {
	return p.notices.take(now, 1, noticesPerSecond, noticesPerSecond) == 0
}

func (p *presence) now() Presence { return Presence{Users: p.count(), Connections: p.connections} }

// tell returns how many there are, for everybody.
func (p *presence) tell() Presence {
	p.told, p.newer = p.now(), false
	return p.told
}

// arrive counts m in, and tells of its user if it is new.
func (r *room) arrive(m *member, now time.Time) {
	p := &r.presence
	p.connections++
	defer func() { p.newer = p.newer || p.now() != p.told }()
	if u := p.users[m.identity.ID]; u != nil {
		m.user = u
		u.members = append(u.members, m)
		u.User = m.identity
		if i := slices.Index(p.leaving, u); i >= 0 {
			p.leaving = slices.Delete(p.leaving, i, i+1)
		}
		return
	}
	m.user = &user{User: m.identity, members: []*member{m}}
	p.users[m.identity.ID] = m.user
	switch {
	case p.count() > r.server.config.PresenceLimit:
		if p.sample != nil {
			p.others++
		} else {
			p.sample = &m.user.User
		}
	case p.mayTell(now):
		r.tell(&Joined{User: m.user.User, Presence: p.tell()}, now)
	}
}

// depart counts m out. Its user stays for a while.
func (r *room) depart(m *member, now time.Time) {
	p, u := &r.presence, m.user
	p.connections--
	if i := slices.Index(u.members, m); i >= 0 {
		u.members = slices.Delete(u.members, i, i+1)
	}
	if len(u.members) > 0 {
		return
	}
	u.gone = now
	if m.expelled.Load() {
		r.goneFor(u, now)
		return
	}
	p.leaving = append(p.leaving, u)
}

// goneFor tells that a user is gone.
func (r *room) goneFor(u *user, now time.Time) {
	p := &r.presence
	delete(p.users, u.ID)
	if p.sample == &u.User {
		p.sample = nil
	}
	if p.count() < r.server.config.PresenceLimit && p.mayTell(now) {
		r.tell(&Left{User: u.User, Presence: p.tell()}, now)
	}
}

// presenceDue lets go of who did not come back, and tells what was not told
// yet.
func (r *room) presenceDue(now time.Time) {
	p := &r.presence
	for len(p.leaving) > 0 && now.Sub(p.leaving[0].gone) >= grace {
		u := p.leaving[0]
		p.leaving[0] = nil
		p.leaving = p.leaving[1:]
		r.goneFor(u, now)
	}
	if len(p.leaving) == 0 {
		p.leaving = nil
	}
	if p.sample != nil {
		r.tell(&Joined{User: *p.sample, Presence: p.tell(), Others: p.others}, now)
		p.sample, p.others = nil, 0
	}
	if n := p.now(); n != p.told || p.newer {
		p.tell()
		r.tell(&n, now)
	}
}
