package chatws

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing/synctest"
	"time"
)

// person is somebody with tabs in one room.
type person struct {
	id, name, role, room string
	join                 string // members of the command
	address              netip.Addr
	tabs                 []*tab

	unacked []*saying
	said    int // so many client IDs were used

	gone     time.Time // when the last tab was lost; zero: never was there
	expelled bool
	wasLate  bool // a tab did not read, so the server may have known earlier that it was gone
	mayBeNew bool // others may hear of coming
	banned   bool // if at all, by this step: a clock may step back behind the end of an older ban
	last     *tab // that is over
}

// saying is a message that its sender does not know the fate of.
type saying struct {
	id, text string
	first    time.Time
	sends    int
	expect   string // the error code; empty: it is said, "?": one or the other
}

// tab is a connection as a client should be: it knows its position.
type tab struct {
	*bubbleClient
	p    *person
	gate *gate

	resume   *Position
	history  int
	position Position
	welcome  *event
	replay   []*truth // what is still to come of what was missed
	gap      GapReason
	presence Presence
	commands map[string]bool // that may be refused
	leaving  bool            // the other side was told
	late     bool            // it did not read for a while, so what it hears of others is old
}

// gate stops what is read.
type gate struct {
	net.Conn
	mu   sync.Mutex
	shut chan struct{} // nil: it is open
}

func (g *gate) Read(b []byte) (int, error) {
	g.mu.Lock()
	shut := g.shut
	g.mu.Unlock()
	if shut != nil {
		<-shut
	}
	return g.Conn.Read(b)
}

func (g *gate) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut == nil {
		g.shut = make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		close(g.shut)
		g.shut = nil
	}
}

func (g *gate) isShut() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut != nil
}

// fromAddress is a connection whose peer has an address.
type fromAddress struct {
	net.Conn
	a netip.Addr
}

func (c fromAddress) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.a, 4711))
}

// come opens a tab; resume is the position to go on from.
func (s *sim) come(p *person, resume *Position, history int) *tab {
	mine, theirs := net.Pipe()
	s.pipes.conns <- fromAddress{theirs, p.address}
	g := &gate{Conn: mine}
	c := &bubbleClient{rawClient: *rawHandshake(s.t, g, p.room)}
	go c.listen()
	x := &tab{bubbleClient: c, p: p, gate: g, resume: resume, history: min(history, s.config.History), commands: map[string]bool{}}
	if resume != nil {
		x.position = *resume
	}
	if !s.isHere(p) {
		p.mayBeNew = p.gone.IsZero() || p.expelled || p.wasLate || time.Since(p.gone) >= 5*time.Second
	}
	p.tabs = append(p.tabs, x)
	p.expelled, p.wasLate = false, slices.ContainsFunc(p.tabs, func(x *tab) bool { return x.late })
	command := `{"type":"join",` + p.join + fmt.Sprintf(`,"history":%d`, history)
	if resume != nil {
		command += fmt.Sprintf(`,"resume":{"epoch":%d,"offset":%d}`, resume.Epoch, resume.Offset)
	}
	x.send(command + "}")
	return x
}

// isHere reports whether a person has an open tab.
func (s *sim) isHere(p *person) bool {
	return slices.ContainsFunc(p.tabs, func(x *tab) bool { return x.welcome != nil && !x.isOver() })
}

func (x *tab) isOver() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.closed || x.leaving
}

// leave closes a tab, with a word or without.
func (s *sim) leave(x *tab, word bool) {
	if word && !x.gate.isShut() {
		x.frame(0x88, "\x03\xe8")
	} else {
		x.conn.Close()
	}
	x.leaving = true
	s.settle()
}

// settle waits until nothing is under way and checks what everybody heard.
func (s *sim) settle() {
	synctest.Wait()
	var over []*tab
	for _, p := range s.people {
		here := s.isHere(p)
		for _, x := range p.tabs {
			if x.isOver() {
				over = append(over, x)
				p.expelled = p.expelled || x.code == CloseBanned || x.code == CloseKicked
				if x.welcome != nil && !here {
					p.gone = time.Now()
				}
			}
		}
	}
	for _, x := range over {
		s.hear(x)
		s.ended(x)
	}
	for _, p := range s.people {
		for _, x := range p.tabs {
			s.hear(x)
			if s.store.under(SanctionBan, p) && x.welcome != nil && p.banned {
				s.t.Errorf("%s is banned and stays", p.name)
			}
		}
	}
	for _, p := range s.people {
		p.mayBeNew = p.mayBeNew && slices.ContainsFunc(p.tabs, func(x *tab) bool { return x.welcome == nil })
	}
}

// ended forgets a tab that is over.
func (s *sim) ended(x *tab) {
	p := x.p
	x.gate.open()
	x.conn.Close()
	p.tabs = slices.DeleteFunc(p.tabs, func(other *tab) bool { return other == x })
	s.codes[x.code]++
	p.wasLate = p.wasLate || x.late
	switch {
	case x.leaving, s.restarting && (x.code == CloseGoingAway || x.late), x.late && x.code == 0, x.code == CloseKicked:
	case x.code == CloseBanned && s.store.under(SanctionBan, p):
	default:
		s.t.Errorf("%s was closed with %d", p.name, x.code)
	}
	p.last = x
}

// say sends a message, or one again.
func (s *sim) say(x *tab, m *saying) {
	p := x.p
	if m == nil {
		p.said++
		m = &saying{id: fmt.Sprintf("%s-%d", p.name, p.said), text: fmt.Sprintf("%s says %d", p.name, p.said), first: time.Now()}
		p.unacked = append(p.unacked, m)
	}
	m.sends++
	m.expect = s.expect(p, m)
	x.send(fmt.Sprintf(`{"type":"say","id":%q,"text":%q}`, m.id, m.text))
}

func (p *person) moderates() bool { return p.role == "host" || p.role == "moderator" }

// expect says what is to become of a message.
func (s *sim) expect(p *person, m *saying) string {
	settings := s.store.settingsOf(p.room).Settings
	switch {
	case p.role == "reader":
		return string(CodeReadOnly)
	case s.store.said(p.room, p.id, m.id) != nil:
		return ""
	case s.store.under(SanctionMute, p):
		return string(CodeMuted)
	case p.moderates():
		return ""
	case settings.MembersOnly && p.role == "guest":
		return string(CodeMembersOnly)
	}
	return s.store.slow(p)
}

// hear checks all that came to a tab since the last time.
func (s *sim) hear(x *tab) {
	for _, e := range x.take() {
		s.heard++
		switch {
		case e.Type == "welcome":
			s.welcomed(x, e)
		case x.welcome == nil:
			if e.Type != "sanctioned" {
				s.t.Errorf("%s before the welcome: %s", x.p.name, e.raw)
			}
		case e.Type == "gap":
			if GapReason(e.Reason) != x.gap || x.gap == "" {
				s.t.Errorf("%s: %s, want %q", x.p.name, e.raw, x.gap)
			}
			x.gap = ""
		case e.Type == "ack":
			s.acknowledged(x, e)
		case e.Type == "error":
			s.refused(x, e)
		case e.Offset > 0:
			s.happened(x, e)
		case e.Type == "presence", e.Type == "joined", e.Type == "left":
			s.noticed(x, e)
		}
	}
}

func (s *sim) welcomed(x *tab, e event) {
	p := x.p
	at := Position{e.Epoch, e.Offset}
	x.welcome = &e
	if e.Epoch != s.store.epoch || e.You.ID != p.id || (e.Muted != nil) != s.store.under(SanctionMute, p) {
		s.t.Errorf("%s, muted %v: %s", p.id, s.store.under(SanctionMute, p), e.raw)
	}
	if s.store.under(SanctionBan, p) {
		s.t.Errorf("%s is banned, and gets %s", p.name, e.raw)
	}
	want := s.store.settingsOf(p.room)
	if *e.Settings != want.Settings || string(e.Pinned) != string(want.Pinned) {
		s.t.Errorf("%s, want %+v", e.raw, want)
	}
	events, gap, unsure := s.store.replay(p.room, at, s.config.Log, x.history, x.resume)
	if unsure && !e.Resumed {
		events, _, _ = s.store.replay(p.room, at, s.config.Log, x.history, nil)
		gap = GapOld
	}
	x.replay, x.gap = events, gap
	resumed := x.resume != nil && gap == ""
	if e.Replay != len(events) || e.Resumed != resumed {
		s.t.Errorf("%s behind %v: want %d, resumed %v, gap %q: %s", p.name, x.resume, len(events), resumed, gap, e.raw)
	}
	s.resumed[resumed]++
	if len(events) == 0 {
		x.position = at
	}
}

// happened takes what has an offset.
func (s *sim) happened(x *tab, e event) {
	if x.gap != "" {
		s.t.Errorf("%s: no gap before %s", x.p.name, e.raw)
		x.gap = ""
	}
	if len(x.replay) > 0 {
		if string(x.replay[0].Body) != e.raw {
			s.t.Errorf("%s: replay %s, want %s", x.p.name, e.raw, x.replay[0].Body)
		}
		if x.replay = x.replay[1:]; len(x.replay) == 0 {
			x.position = Position{x.welcome.Epoch, x.welcome.Offset}
		}
		return
	}
	x.position.Offset++
	if e.Offset != x.position.Offset {
		s.t.Errorf("%s: %d, want %d: %s", x.p.name, e.Offset, x.position.Offset, e.raw)
		x.position.Offset = e.Offset
	}
	if is := s.store.at(x.p.room, x.position); is == nil || string(is.Body) != e.raw {
		s.t.Errorf("%s: %v is %s, it happened %+v", x.p.name, x.position, e.raw, is)
	}
}

func (s *sim) acknowledged(x *tab, e event) {
	p := x.p
	if x.commands[e.ID] {
		delete(x.commands, e.ID)
		return
	}
	is := s.store.said(p.room, p.id, e.ID)
	if is == nil || is.ID != e.Message || is.Offset != e.Offset {
		s.t.Errorf("%s: %s, it is %+v", p.name, e.raw, is)
		return
	}
	if e.Kept == nil && !is.kept && !is.deleted {
		s.t.Errorf("%s: acknowledged as kept, it is not: %s", p.name, e.raw)
	}
	if e.Kept == nil {
		s.acked = append(s.acked, is)
	}
	i := slices.IndexFunc(p.unacked, func(m *saying) bool { return m.id == e.ID })
	if i < 0 {
		return // each of several sends gets one
	}
	m := p.unacked[i]
	if m.expect != "" && m.expect != "?" || e.Duplicate && m.sends < 2 {
		s.t.Errorf("%s: %s, want %q after %d", p.name, e.raw, m.expect, m.sends)
	}
	p.unacked = slices.Delete(p.unacked, i, i+1)
}

func (s *sim) refused(x *tab, e event) {
	if x.commands[e.ID] {
		delete(x.commands, e.ID)
		return
	}
	p := x.p
	i := slices.IndexFunc(p.unacked, func(m *saying) bool { return m.id == e.ID })
	if i < 0 || p.unacked[i].expect != e.Code && (p.unacked[i].expect != "?" || e.Code != string(CodeSlow)) {
		s.t.Errorf("%s at %v: %s", p.name, time.Now(), e.raw)
		return
	}
	s.refusals[e.Code]++
	p.unacked = slices.Delete(p.unacked, i, i+1)
}

// noticed takes comings and goings.
func (s *sim) noticed(x *tab, e event) {
	x.presence = Presence{e.Users, e.Connections}
	if e.Type == "presence" || x.late {
		return
	}
	i := slices.IndexFunc(s.people, func(p *person) bool { return p.id == e.User.ID })
	if i < 0 || s.people[i].room != x.p.room {
		s.t.Errorf("%s hears of a stranger: %s", x.p.name, e.raw)
		return
	}
	p := s.people[i]
	switch {
	case e.Type == "joined" && !p.mayBeNew:
		s.t.Errorf("%s flickers: %s", p.name, e.raw)
	case e.Type == "left" && !p.wasLate && (s.isHere(p) || !p.expelled && time.Since(p.gone) < 5*time.Second):
		s.t.Errorf("%s is not gone, since %v: %s", p.name, time.Since(p.gone), e.raw)
	}
}
