package chatws

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"
	"unicode/utf8"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/peer"
)

// actor is who moderates: a member, or the application.
type actor struct {
	name string
	role auth.Role
	user *User // nil: the application
}

// application is the actor of the operators' API.
var application = actor{name: "api", role: auth.RoleHost}

// outranks reports whether a may mute and ban users of a role.
func (a actor) outranks(r auth.Role) bool {
	return a.user == nil || a.role.Rank() > r.Rank()
}

// moderate obeys a moderator's command.
func (m *member) moderate(r *room, c Command, id string, now time.Time) error {
	if !m.role.Moderates() {
		return refuse(CodeForbidden, "only moderators may")
	}
	by := actor{name: m.identity.ID + " " + m.identity.Name, role: m.role, user: &m.identity}
	if _, ok := c.(*ListSanctions); ok {
		m.out.send(textFrame(&Sanctions{ID: id, Sanctions: m.server.sanctionList(r.name)}))
		return nil
	}
	if err := r.locked(func(r *room) error { return r.act(c, by, now) }); err != nil {
		return err
	}
	m.acknowledge(id)
	return nil
}

// act obeys a command that changes the room.
func (r *room) act(c Command, by actor, now time.Time) error {
	switch c := c.(type) {
	case *Delete:
		return r.delete(c, by, now)
	case *Mute:
		return r.sanction(SanctionMute, c.Sanctioning, by, now)
	case *Ban:
		return r.sanction(SanctionBan, c.Sanctioning, by, now)
	case *Unmute:
		return r.lift(SanctionMute, c.Target, by)
	case *Unban:
		return r.lift(SanctionBan, c.Target, by)
	case *Set:
		return r.set(c, by, now)
	case *Pin:
		return r.pin(c.Message, by, now)
	case *Unpin:
		return r.unpin(by, now)
	case *Clear:
		return r.clear(by, now)
	case *Announce:
		return r.announce(c.Text, by, now)
	}
	return refuse(CodeUnknownCommand, "nobody can do that")
}

func (r *room) audit(by actor, act, target, detail string) {
	r.server.audit(r.name, by, act, target, detail)
}

// audit writes down who did what.
func (s *Server) audit(room string, by actor, act, target, detail string) {
	s.store.Audit(AuditEntry{At: s.wall(), Room: room, Actor: by.name, Act: act, Target: target, Detail: detail})
	s.log.Info("chat moderation", "stream", room, "by", by.name, "act", act, "target", target, "detail", detail)
}

func (r *room) delete(c *Delete, by actor, now time.Time) error {
	switch {
	case c.Message != "" && c.User == "":
		// What only the store and members' screens have can be deleted as well.
		p, ok := positionOf(c.Message)
		if r.log.remove(func(e *entry) bool { return e.id == c.Message }) == 0 && c.Message != r.pinnedID && !(ok && r.log.forgot(p)) {
			return refuse(CodeNotFound, "there is no such message, or not any more")
		}
		r.server.store.DeleteMessage(r.name, c.Message)
		r.publish(&Deleted{Message: c.Message}, r.look(now), fact{}, now)
		r.audit(by, "delete", c.Message, "")
		if c.Message == r.pinnedID {
			return r.unpin(by, now)
		}
		return nil
	case c.User != "" && c.Message == "" && len(c.User) <= maxUserID:
		r.purge(c.User, by, now)
		return nil
	}
	return refuse(CodeBadValue, "either a message or a user")
}

// purge deletes all messages of a user.
func (r *room) purge(user string, by actor, now time.Time) {
	r.log.remove(func(e *entry) bool { return e.user == user })
	r.server.store.DeleteBy(r.name, user)
	r.publish(&Deleted{User: user}, r.look(now), fact{}, now)
	r.audit(by, "purge", user, "")
	if writerOf(r.pinned) == user {
		r.unpin(by, now) // there is something to unpin
	}
}

// writerOf returns the user that a message or announcement is of, "" if there
// is none.
func writerOf(event json.RawMessage) string {
	var e struct {
		From User `json:"from"`
	}
	if len(event) == 0 || json.Unmarshal(event, &e) != nil {
		return ""
	}
	return e.From.ID
}

func (r *room) set(c *Set, by actor, now time.Time) error {
	s := r.settings
	if c.Slow != nil {
		if *c.Slow < 0 || *c.Slow > maxSlow {
			return refuse(CodeBadValue, "slow is from 0 to %d", maxSlow)
		}
		s.Slow = *c.Slow
	}
	if c.MembersOnly != nil {
		s.MembersOnly = *c.MembersOnly
	}
	if c.Links != nil {
		if !c.Links.valid() {
			return refuse(CodeBadValue, "links is all, members or moderators")
		}
		s.Links = *c.Links
	}
	if s == r.settings {
		return nil
	}
	r.settings = s
	r.keepSettings()
	r.publish(&SettingsChanged{Settings: s}, r.look(now), fact{}, now)
	r.audit(by, "set", "", fmt.Sprintf("slow=%v membersOnly=%v links=%v", time.Duration(s.Slow)*time.Millisecond, s.MembersOnly, s.Links))
	return nil
}

func (r *room) pin(id string, by actor, now time.Time) error {
	e := r.log.find(id)
	if e == nil || id == "" {
		return refuse(CodeNotFound, "there is no such message, or not any more")
	}
	r.pinned, r.pinnedID = e.json, id
	r.keepSettings()
	// It goes with what it shows, when that is deleted.
	r.publish(&Pinned{Message: r.pinned}, r.look(now), fact{id: id, user: e.user}, now)
	r.audit(by, "pin", id, "")
	return nil
}

func (r *room) unpin(by actor, now time.Time) error {
	if r.pinned == nil {
		return refuse(CodeNotFound, "nothing is pinned")
	}
	id := r.pinnedID
	r.pinned, r.pinnedID = nil, ""
	r.keepSettings()
	r.publish(&Pinned{}, r.look(now), fact{}, now)
	r.audit(by, "unpin", id, "")
	return nil
}

func (r *room) clear(by actor, now time.Time) error {
	r.log.remove(func(*entry) bool { return true })
	r.server.store.Clear(r.name)
	r.publish(&Cleared{}, r.look(now), fact{}, now)
	r.audit(by, "clear", "", "")
	if r.pinned != nil {
		return r.unpin(by, now)
	}
	return nil
}

func (r *room) announce(text string, by actor, now time.Time) error {
	text, err := cleanText(text, r.server.config.MaxText)
	if err != nil {
		return err
	}
	edge := r.look(now)
	e := &Announcement{ID: r.newID(), From: by.user, Text: text}
	f := fact{id: e.ID}
	if by.user != nil {
		f.user = by.user.ID
	}
	r.publish(e, edge, f, now)
	r.audit(by, "announce", e.ID, "")
	return nil
}

// sanction mutes or bans.
func (r *room) sanction(kind SanctionKind, c Sanctioning, by actor, now time.Time) error {
	list, err := r.sanctionsOf(kind, c, by)
	if err != nil {
		return err
	}
	for _, x := range list {
		if !r.server.sanctions.put(x) {
			return refuse(CodeUnavailable, "there are too many sanctions")
		}
		r.server.store.PutSanction(x)
		r.audit(by, string(kind), x.target(), x.detail())
	}
	if c.Purge && c.User != "" {
		r.purge(c.User, by, now)
	}
	for _, x := range list {
		r.enforce(x)
	}
	return nil
}

// target names who x is for, in the audit.
func (x Sanction) target() string {
	if x.User != "" {
		return x.User
	}
	return x.Network.String()
}

func (x Sanction) detail() string {
	until := "for good"
	if !x.Until.IsZero() {
		until = "until " + x.Until.UTC().Format(time.RFC3339)
	}
	if x.Reason == "" {
		return until
	}
	return until + ": " + x.Reason
}

// sanctionsOf returns the sanctions that a command asks for.
func (r *room) sanctionsOf(kind SanctionKind, c Sanctioning, by actor) ([]Sanction, error) {
	x, err := r.server.newSanction(kind, r.name, c, by)
	u := r.presence.users[c.User]
	if err != nil || u == nil {
		return []Sanction{x}, err
	}
	if !by.outranks(roleOf(u.User)) {
		return nil, refuse(CodeForbidden, "not that user")
	}
	x.Name = u.Name
	list := []Sanction{x}
	if c.Address {
		for _, p := range u.networks(&r.server.addresses) {
			also := x
			also.User, also.Network = "", p
			list = append(list, also)
		}
	}
	return list, nil
}

// newSanction makes of a command a sanction for a user or for a network.
func (s *Server) newSanction(kind SanctionKind, room string, c Sanctioning, by actor) (Sanction, error) {
	x := Sanction{Kind: kind, Room: room, User: c.User, By: by.name, At: s.wall(), Reason: c.Reason}
	if c.For < 0 || c.For > maxDuration || utf8.RuneCountInString(c.Reason) > MaxReason {
		return Sanction{}, refuse(CodeBadValue, "for is not negative, a reason has %d characters at most", MaxReason)
	}
	if c.For > 0 {
		x.Until = x.At.Add(time.Duration(c.For) * time.Millisecond)
	}
	var err error
	x.Network, err = Target{c.User, c.Network}.network()
	return x, err
}

// network returns the network that t names, none if it names a user.
func (t Target) network() (netip.Prefix, error) {
	if (t.User == "") == (t.Network == "") || len(t.User) > maxUserID {
		return netip.Prefix{}, refuse(CodeBadValue, "either a user or a network")
	}
	if t.Network == "" {
		return netip.Prefix{}, nil
	}
	p, err := peer.ParseNetwork(t.Network)
	if err != nil {
		return netip.Prefix{}, refuse(CodeBadValue, "network is an address or a prefix")
	}
	return p, nil
}

// roleOf is the role of a user, which is left out for members.
func roleOf(u User) auth.Role {
	if u.Role == "" {
		return auth.RoleMember
	}
	return u.Role
}

// networks are where a user is connected from. An address that is not
// bounded is nobody's own.
func (u *user) networks(addresses *addresses) []netip.Prefix {
	var all []netip.Prefix
	seen := map[netip.Prefix]bool{}
	for _, m := range u.members {
		if p := peer.Customer(m.address); addresses.bounded(m.address) && !seen[p] {
			seen[p] = true
			all = append(all, p)
		}
	}
	return all
}

// enforce tells those concerned of a sanction, and puts them out if it is a
// ban. Nobody is told whom else it concerns.
func (r *room) enforce(x Sanction) {
	r.out.each(func(m *member) {
		switch {
		case m.role == auth.RoleHost:
		case x.User != "" && x.User != m.identity.ID, x.User == "" && !x.Network.Contains(m.address):
		case x.User == "" && m.role.Moderates(): // shares an address with whom it bans
		case x.Kind == SanctionBan:
			m.sanctioned(x, false)
			m.expelled.Store(true)
			m.expel("banned", CloseBanned)
		default:
			m.sanctioned(x, false)
		}
	})
}

// lift ends a mute or a ban.
func (r *room) lift(kind SanctionKind, c Target, by actor) error {
	if err := r.server.lift(kind, r.name, c, by); err != nil {
		return err
	}
	if u := r.presence.users[c.User]; u != nil {
		for _, m := range u.members {
			m.sanctioned(Sanction{Kind: kind}, true)
		}
	}
	return nil
}

func (s *Server) lift(kind SanctionKind, room string, c Target, by actor) error {
	p, err := c.network()
	if err != nil {
		return err
	}
	x := Sanction{Kind: kind, Room: room, User: c.User, Network: p}
	if !s.sanctions.remove(x) {
		return refuse(CodeNotFound, "there is no such %s here", kind)
	}
	s.store.RemoveSanction(x)
	s.audit(room, by, "un"+string(kind), x.target(), "")
	return nil
}
