package chatws

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miju-live/miju/auth"
)

// maxSanctions bounds the sanctions of all rooms.
const maxSanctions = 100000

// endedKept is for how long a sanction is kept that has ended.
const endedKept = time.Hour

// sanctions are the mutes and bans of all rooms. Whether somebody is muted is
// asked for each message, so they are kept where two look-ups find them.
type sanctions struct {
	mu       sync.RWMutex
	users    map[sanctionKey]Sanction
	networks map[sanctionKey]Sanction
	// lengths counts the prefixes of a room and kind by their length.
	lengths map[lengthKey]int
}

type sanctionKey struct {
	kind    SanctionKind
	room    string
	user    string
	network netip.Prefix
}

type lengthKey struct {
	kind SanctionKind
	room string
	bits int
	six  bool
}

func (s *sanctions) init(all []Sanction) {
	s.users, s.networks, s.lengths = map[sanctionKey]Sanction{}, map[sanctionKey]Sanction{}, map[lengthKey]int{}
	for _, x := range all {
		s.put(x)
	}
}

func (x Sanction) key() sanctionKey { return sanctionKey{x.Kind, x.Room, x.User, x.Network} }

func (x Sanction) lengthKey() lengthKey {
	return lengthKey{x.Kind, x.Room, x.Network.Bits(), x.Network.Addr().Is6()}
}

// over reports whether x has ended.
func (x Sanction) over(wall time.Time) bool { return !x.Until.IsZero() && !wall.Before(x.Until) }

// put adds a sanction or replaces one. It reports whether there was room.
func (s *sanctions) put(x Sanction) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := x.key()
	all := s.users
	if x.User == "" {
		all = s.networks
	}
	_, known := all[k]
	if !known && len(s.users)+len(s.networks) >= maxSanctions {
		return false
	}
	all[k] = x
	if x.User == "" && !known {
		s.lengths[x.lengthKey()]++
	}
	return true
}

// count is how many there are, with those that have ended lately.
func (s *sanctions) count() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.users) + len(s.networks)
}

// remove ends a sanction and reports whether there was one.
func (s *sanctions) remove(x Sanction) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.removeLocked(x)
}

func (s *sanctions) removeLocked(x Sanction) bool {
	k := x.key()
	if _, ok := s.users[k]; ok {
		delete(s.users, k)
		return true
	}
	if _, ok := s.networks[k]; !ok {
		return false
	}
	delete(s.networks, k)
	l := x.lengthKey()
	if s.lengths[l]--; s.lengths[l] == 0 {
		delete(s.lengths, l)
	}
	return true
}

// find returns the sanction of a kind that concerns somebody longest, in a
// room or in all.
func (s *sanctions) find(kind SanctionKind, room, user string, a netip.Addr, wall time.Time) (found Sanction, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	consider := func(x Sanction, known bool) {
		switch {
		case !known || x.over(wall):
		case !ok, !found.Until.IsZero() && (x.Until.IsZero() || x.Until.After(found.Until)):
			found, ok = x, true
		}
	}
	for _, in := range [...]string{room, ""} {
		x, known := s.users[sanctionKey{kind: kind, room: in, user: user}]
		consider(x, known)
		if !a.IsValid() || len(s.networks) == 0 {
			continue
		}
		for bits := range a.BitLen() + 1 {
			if s.lengths[lengthKey{kind, in, bits, a.Is6()}] == 0 {
				continue
			}
			if p, err := a.Prefix(bits); err == nil {
				x, known := s.networks[sanctionKey{kind: kind, room: in, network: p}]
				consider(x, known)
			}
		}
	}
	return found, ok
}

// sanction returns the mute or ban that m is under. Hosts are under none, and
// moderators under none of a network: they may share an address with whom
// they put out.
func (m *member) sanction(kind SanctionKind) (Sanction, bool) {
	a := m.address
	switch {
	case m.role == auth.RoleHost:
		return Sanction{}, false
	case m.role.Moderates():
		a = netip.Addr{}
	}
	return m.server.sanctions.find(kind, m.key.String(), m.identity.ID, a, m.server.wall())
}

// muted returns how m is muted, nil if not.
func (m *member) muted() *Muted {
	x, ok := m.sanction(SanctionMute)
	if !ok {
		return nil
	}
	return &Muted{Until: milliOf(x.Until), Reason: x.Reason}
}

// list returns the sanctions of a room, and those of all rooms if asked for,
// the newest first.
func (s *sanctions) list(room string, wall time.Time) []Sanction {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []Sanction
	for _, m := range []map[sanctionKey]Sanction{s.users, s.networks} {
		for _, x := range m {
			if x.Room == room && !x.over(wall) {
				all = append(all, x)
			}
		}
	}
	slices.SortFunc(all, func(a, b Sanction) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.User, b.User), a.Network.Addr().Compare(b.Network.Addr()), cmp.Compare(a.Kind, b.Kind))
	})
	return all
}

// forget drops what has ended, but not at once: a wall clock that was wrong for
// a moment would lift every ban.
func (s *sanctions) forget(wall time.Time) {
	wall = wall.Add(-endedKept)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range []map[sanctionKey]Sanction{s.users, s.networks} {
		for _, x := range m {
			if x.over(wall) {
				s.removeLocked(x)
			}
		}
	}
}

// milliOf is a wall-clock time in Unix milliseconds, 0 if there is none.
func milliOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// info is x as moderators see it.
func (x Sanction) info() SanctionInfo {
	i := SanctionInfo{Kind: x.Kind, User: x.User, Name: x.Name, Until: milliOf(x.Until), Reason: x.Reason, By: x.By, At: milliOf(x.At)}
	if x.Network.IsValid() {
		i.Network = x.Network.String()
		if x.Network.IsSingleIP() {
			i.Network = x.Network.Addr().String()
		}
	}
	return i
}
