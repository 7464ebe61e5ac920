package chatws

import (
	"encoding/json"
	"fmt"
	"time"
)

// What the script of a simulation does.

// some returns somebody who match says yes to, nil if there is nobody.
func (s *sim) some(match func(*person) bool) *person {
	for _, i := range s.random.Perm(len(s.people)) {
		if match(s.people[i]) {
			return s.people[i]
		}
	}
	return nil
}

// some returns a tab of somebody who is here and reads.
func (p *person) someTab(s *sim) *tab {
	for _, i := range s.random.Perm(len(p.tabs)) {
		if x := p.tabs[i]; x.welcome != nil && !x.isOver() && !x.gate.isShut() {
			return x
		}
	}
	return nil
}

// here is somebody who is here and reads.
func (s *sim) here(match func(*person) bool) (*person, *tab) {
	p := s.some(func(p *person) bool { return match(p) && p.someTab(s) != nil })
	if p == nil {
		return nil, nil
	}
	return p, p.someTab(s)
}

func anybody(*person) bool { return true }

// talk has some say something at once.
func (s *sim) talk() {
	spoke := map[*person]bool{}
	for range 1 + s.random.IntN(4) {
		p, x := s.here(anybody)
		if p == nil || spoke[p] {
			continue
		}
		spoke[p] = true
		s.say(x, nil)
		if s.random.IntN(5) == 0 { // it is not sure whether that arrived
			s.settle()
			if len(p.unacked) > 0 && x.welcome != nil && !x.isOver() {
				s.say(x, p.unacked[len(p.unacked)-1])
			}
		}
	}
}

// arrive has somebody come, and say again what may not have arrived.
func (s *sim) arrive(p *person, resume *Position) {
	x := s.come(p, resume, s.random.IntN(25))
	s.settle()
	for range 3 { // the store may take its time, while the room is loaded
		if x.welcome != nil || x.isOver() {
			break
		}
		s.pass(2 * time.Second)
	}
	banned := s.store.under(SanctionBan, p)
	if x.welcome == nil && !banned {
		s.t.Errorf("%s is not welcome", p.name)
	}
	if x.welcome == nil || x.isOver() {
		return
	}
	for _, m := range append([]*saying(nil), p.unacked...) {
		if time.Since(m.first) > 5*time.Minute {
			p.unacked = p.unacked[1:] // it gave up
			continue
		}
		s.say(x, m)
		s.settle()
	}
}

func (s *sim) someoneComes() {
	if p := s.some(func(p *person) bool { return len(p.tabs) < 3 }); p != nil {
		s.arrive(p, nil)
	}
}

func (s *sim) someoneGoes() {
	if _, x := s.here(anybody); x != nil {
		s.leave(x, s.random.IntN(2) == 0)
	}
}

// someoneMoves has a phone change its network, and often come back at once.
func (s *sim) someoneMoves() {
	p, x := s.here(anybody)
	if p == nil {
		return
	}
	s.leave(x, false)
	s.pass(time.Duration(s.random.IntN(9000)) * time.Millisecond)
	s.comeBack(p, x)
}

func (s *sim) comeBack(p *person, x *tab) {
	at := x.position
	switch s.random.IntN(30) {
	case 0:
		at.Epoch++
	case 1:
		at.Offset -= min(at.Offset, uint64(s.random.IntN(200)))
	case 2:
		at.Offset += 100000
	}
	s.arrive(p, &at)
}

func (s *sim) someoneReacts() {
	for range 1 + s.random.IntN(5) {
		if _, x := s.here(anybody); x != nil {
			s.commands++
			id := fmt.Sprintf("c%d", s.commands)
			x.commands[id] = true
			x.send(fmt.Sprintf(`{"type":"react","id":%q,"emoji":"👍","count":%d}`, id, 1+s.random.IntN(5)))
		}
	}
}

// command has a moderator do something.
func (s *sim) command(x *tab, format string, args ...any) {
	s.commands++
	id := fmt.Sprintf("c%d", s.commands)
	x.commands[id] = true
	x.send(fmt.Sprintf(`{"id":%q,`, id) + fmt.Sprintf(format, args...) + "}")
	s.settle()
	if x.commands[id] {
		s.t.Errorf("%s: no answer to %s", x.p.name, fmt.Sprintf(format, args...))
	}
}

func (s *sim) someoneModerates() {
	by, x := s.here((*person).moderates)
	if by == nil {
		return
	}
	p := s.some(func(p *person) bool { return p.room == by.room && !p.moderates() })
	var message string
	if events := s.store.room(by.room).events; len(events) > 0 {
		message = events[len(events)-1-s.random.IntN(min(len(events), 30))].ID
	}
	long := []int{0, 20, 60, 300}[s.random.IntN(4)] * 1000
	options := fmt.Sprintf(`"for":%d,"address":%v,"purge":%v`, long, s.random.IntN(3) == 0, s.random.IntN(4) == 0)
	switch s.random.IntN(16) {
	case 0, 1, 2:
		s.command(x, `"type":"delete","message":%q`, message)
	case 3:
		s.command(x, `"type":"delete","user":%q`, p.id)
	case 4, 5:
		s.command(x, `"type":"mute","user":%q,%s`, p.id, options)
	case 6, 7:
		for _, other := range s.people {
			other.banned = !s.store.under(SanctionBan, other)
		}
		s.command(x, `"type":"ban","user":%q,%s`, p.id, options)
	case 8:
		s.command(x, `"type":"unmute","user":%q`, p.id)
		s.command(x, `"type":"unmute","network":%q`, p.address)
	case 9, 10:
		s.command(x, `"type":"unban","user":%q`, p.id)
		s.command(x, `"type":"unban","network":%q`, p.address)
	case 11:
		s.command(x, `"type":"set","membersOnly":%v`, s.random.IntN(3) == 0)
	case 12:
		s.command(x, `"type":"set","slow":%d`, []int{0, 0, 2000, 20000, 60000}[s.random.IntN(5)])
	case 13:
		s.command(x, `"type":"pin","message":%q`, message)
	case 14:
		s.command(x, `"type":"announce","text":"hear, hear"`)
	case 15:
		if s.random.IntN(4) == 0 {
			s.command(x, `"type":"clear"`)
			return
		}
		s.command(x, `"type":"unpin"`)
	}
}

func (s *sim) applicationKicks() {
	p, _ := s.here(anybody)
	if p == nil {
		return
	}
	if n, err := s.server.Kick(mustKey(s.t, p.room), p.id); err != nil || n == 0 {
		s.t.Error(n, err)
	}
}

func (s *sim) applicationSpeaks() {
	key := mustKey(s.t, simRooms[s.random.IntN(2)])
	if _, _, err := s.server.System(key, "score", json.RawMessage(`{"home":1}`)); err != nil {
		s.t.Error(err)
	}
}

// someoneIsStuck has a tab read nothing, for short or for so long that it is
// cut off.
func (s *sim) someoneIsStuck() {
	_, x := s.here(anybody)
	if x == nil {
		return
	}
	x.gate.stop()
	x.late, x.p.wasLate = true, true
	for range 1 + s.random.IntN(4) {
		s.talk()
		s.settle()
		s.pass(time.Duration(s.random.IntN(8000)) * time.Millisecond)
	}
	x.gate.open()
	s.settle()
	if x.isOver() && s.random.IntN(2) == 0 {
		s.comeBack(x.p, x)
	}
}

func (s *sim) streamChanges() {
	room := simRooms[s.random.IntN(2)]
	c, live := s.streams.Live(mustKey(s.t, room))
	switch {
	case !live:
		c = Clock{Broadcast: s.wall().UnixMilli(), Media: time.Second, Anchor: s.wall()}
	case s.random.IntN(2) == 0:
		c = Clock{}
	default: // the encoder's clock drifts
		c.Media += time.Duration(s.random.IntN(100000)) * time.Millisecond
		c.Anchor = c.Anchor.Add(time.Duration(s.random.IntN(2000)-1000) * time.Millisecond)
	}
	s.streams.put(room, c)
	s.server.StreamChanged(mustKey(s.t, room))
}

// clockJumps sets the wall clock, both ways.
func (s *sim) clockJumps() {
	s.shift.Store(int64(s.random.IntN(40*60)-20*60) * int64(time.Second))
}

func (s *sim) storeFails() {
	mode := []storeMode{storeFails, storeHangs, storeSilent}[s.random.IntN(3)]
	s.store.setMode(mode)
	for range 1 + s.random.IntN(8) {
		s.talk()
		s.settle()
		if s.random.IntN(3) == 0 {
			s.someoneMoves()
		}
		s.pass(time.Duration(s.random.IntN(3000)) * time.Millisecond)
	}
	switch s.random.IntN(6) {
	case 0:
		s.did["crash while the store fails"]++
		s.restart(false)
		return
	case 1:
		s.did["restart while the store fails"]++
		s.restart(true)
		return
	}
	s.store.setMode(storeWell)
	s.pass(100 * time.Millisecond)
}

// quiet lets everybody who will leave be gone, and checks who is there.
func (s *sim) quiet() {
	s.pass(8 * time.Second)
	for _, room := range simRooms {
		want := Presence{}
		var tabs []*tab
		for _, p := range s.people {
			if p.room != room {
				continue
			}
			if s.isHere(p) {
				want.Users++
			}
			for _, x := range p.tabs {
				if x.welcome != nil {
					tabs = append(tabs, x)
				}
			}
		}
		want.Connections = len(tabs)
		for _, x := range tabs {
			if x.presence != want && (x.presence != Presence{} || x.welcome.Users != want.Users || x.welcome.Connections != want.Connections) {
				s.t.Errorf("%s thinks that %+v are there, it is %+v", x.p.name, x.presence, want)
			}
			if len(x.replay) > 0 {
				s.t.Errorf("%s has not got %d events", x.p.name, len(x.replay))
			}
		}
		if st, err := s.server.Room(mustKey(s.t, room)); err == nil && (st.Users != want.Users || st.Connections != want.Connections) {
			s.t.Errorf("the server thinks that %d/%d are in %s, it is %+v", st.Users, st.Connections, room, want)
		}
	}
}

// restart has everybody come back to another server with the same store.
func (s *sim) restart(orderly bool) {
	var were []*tab
	for _, p := range s.people {
		were = append(were, p.tabs...)
	}
	s.end(orderly)
	s.pass(time.Duration(s.random.IntN(20)) * time.Second)
	s.begin()
	for _, x := range were {
		if s.random.IntN(4) > 0 {
			s.comeBack(x.p, x)
			s.pass(time.Duration(s.random.IntN(500)) * time.Millisecond)
		}
	}
}

// everybodyGoes leaves the rooms empty until they are forgotten.
func (s *sim) everybodyGoes() {
	var were []*tab
	for _, p := range s.people {
		for _, x := range append([]*tab(nil), p.tabs...) {
			were = append(were, x)
			s.leave(x, true)
		}
	}
	s.pass(s.config.Linger + 30*time.Second)
	if st := s.server.Stats(); st.Rooms != 0 || st.Connections != 0 {
		s.t.Errorf("%+v", st)
	}
	for _, x := range were {
		s.comeBack(x.p, x)
	}
}
