package chatws

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/miju-live/miju/auth"
)

// What a member's reading goroutine does with what it read.

// authTimeout is how long it may take to decide who may join.
const authTimeout = 5 * time.Second

// obey obeys a command. The error is a *Refusal.
func (m *member) obey(frame []byte) (id string, err error) {
	now := time.Now()
	c, id, err := decodeCommand(frame)
	if react, ok := c.(*React); ok && err == nil {
		return id, m.react(react, id, now)
	}
	if wait := m.mayAct(now); wait > 0 {
		return id, refuseFor(wait, CodeRate, "slower, please: %d commands a second", m.server.config.Rate)
	}
	if err != nil {
		return id, err
	}
	r := m.room.Load()
	switch c := c.(type) {
	case *Ping:
		m.out.send(textFrame(&Pong{ID: id, At: m.server.wall().UnixMilli()}))
		return id, nil
	case *Join:
		if r != nil {
			return id, refuse(CodeJoined, "you are in the room already")
		}
		return id, m.join(c, id)
	}
	if r == nil {
		return id, refuse(CodeNotJoined, "join first")
	}
	if say, ok := c.(*Say); ok {
		return id, m.say(r, say, id, now)
	}
	return id, m.moderate(r, c, id, now)
}

// acknowledge says that a command was obeyed.
func (m *member) acknowledge(id string) {
	if id != "" {
		m.out.send(textFrame(&Ack{ID: id}))
	}
}

func (m *member) react(c *React, id string, now time.Time) error {
	r := m.room.Load()
	switch n := max(1, c.Count); {
	case r == nil:
		return refuse(CodeNotJoined, "join first")
	case !m.role.Writes():
		return refuse(CodeReadOnly, "you may read only")
	case c.Count < 0 || n > MaxReactCount || !slices.Contains(m.server.limits.Reactions, c.Emoji):
		return refuse(CodeBadValue, "up to %d of the emoji that welcome lists", MaxReactCount)
	default:
		if wait := m.reacts.take(now, 1, reactRate, reactBurst); wait > 0 {
			return refuseFor(wait, CodeRate, "gather what is tapped within a moment")
		}
		if err := m.refuseMuted(); err != nil {
			return err
		}
		r.react(c.Emoji, n)
		m.acknowledge(id)
		return nil
	}
}

// refuseMuted returns why m may not write now if it is muted.
func (m *member) refuseMuted() error {
	x := m.muted()
	if x == nil {
		return nil
	}
	if x.Until == 0 {
		return refuse(CodeMuted, "you are muted")
	}
	return refuseFor(time.UnixMilli(x.Until).Sub(m.server.wall()), CodeMuted, "you are muted")
}

// join asks whether m may join, and puts it into its room. A refusal that a
// browser must see is a close code: the answer to a handshake it cannot see.
func (m *member) join(c *Join, id string) error {
	name, err := cleanName(c.Name)
	if err != nil {
		return err
	}
	if n := len(c.Guest); n != 0 && (n < MinGuest || n > MaxGuest) {
		return refuse(CodeBadValue, "a guest's secret has %d to %d bytes", MinGuest, MaxGuest)
	}
	if c.Token != "" {
		m.token = c.Token
	}
	grant, err := m.authorize(name)
	var refusal *auth.Refusal
	if errors.As(err, &refusal) && refusal.Message != "" {
		m.out.send(textFrame(&Error{ID: id, Code: CodeRefused, Message: refusal.Message}))
	}
	switch {
	case m.out.isClosing():
		return nil
	case errors.Is(err, auth.ErrPaused):
		m.expel("undecided", CloseUndecided)
		return nil
	case errors.Is(err, auth.ErrDenied):
		m.expel("denied", CloseDenied)
		return nil
	case err != nil:
		m.server.undecided.Log(m.server.log, "cannot decide who may chat", err, "stream", m.key)
		m.expel("undecided", CloseUndecided)
		return nil
	}
	if err := m.identify(grant, name, c.Guest); err != nil {
		return err
	}
	if ban, ok := m.sanction(SanctionBan); ok {
		m.sanctioned(ban, false)
		m.expel("banned", CloseBanned)
		return nil
	}
	return m.enter(c, id)
}

// authorize asks whether m may join as name. Closing m ends the question.
func (m *member) authorize(name string) (auth.Grant, error) {
	ctx, cancel := m.deciding(context.Background(), authTimeout)
	defer cancel()
	return m.server.auth.Authorize(ctx, auth.Request{
		Action: auth.Chat, Key: m.key, Token: m.token, Name: name, Protocol: "chat", RemoteAddr: m.remote,
	})
}

// deciding returns a context for a question that somebody else decides. It
// ends when m is closed.
func (m *member) deciding(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, most)
	m.mu.Lock()
	m.undecide = cancel
	m.mu.Unlock()
	if m.out.isClosing() {
		cancel()
	}
	return ctx, func() {
		m.mu.Lock()
		m.undecide = nil
		m.mu.Unlock()
		cancel()
	}
}

// identify takes from a grant who m is.
func (m *member) identify(g auth.Grant, name, guest string) (err error) {
	if g.Name != "" {
		if name, err = cleanName(g.Name); err != nil {
			return err
		}
	}
	m.role, m.expires = g.ChatRole(), g.Expires
	m.credential.Store(&g.Credential)
	m.identity = User{ID: g.Subject, Name: name}
	switch {
	case g.Subject != "" && len(g.Subject) <= maxUserID && !strings.HasPrefix(g.Subject, guestPrefix):
	case g.Subject != "":
		m.identity.ID = "#" + hashed("subject", g.Subject)
	case guest != "":
		m.identity.ID = guestPrefix + hashed("guest", guest)
	default:
		m.identity.ID = guestPrefix + hashed("guest", rand.Text())
	}
	if m.identity.Name == "" {
		m.identity.Name = "guest-" + strings.TrimPrefix(hashed("name", m.identity.ID)[:6], guestPrefix)
	}
	if m.role != auth.RoleMember {
		m.identity.Role = m.role
	}
	return nil
}

// guestPrefix begins the IDs of guests, and of nobody else.
const guestPrefix = "~"

// hashed names somebody by what they need not show.
func hashed(what, secret string) string {
	sum := sha256.Sum256([]byte("miju chat " + what + "\x00" + secret))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10]))
}

// enter puts m into its room.
func (m *member) enter(c *Join, id string) error {
	err := m.server.enter(m, c, id)
	switch {
	case errors.Is(err, errCrowded):
		m.expel("crowded", CloseCrowded)
	case errors.Is(err, errFull):
		m.expel("full", CloseFull)
	case err != nil:
		return err
	default:
		m.token = ""
		m.flush()
	}
	return nil
}

// flush writes what the socket takes of what waits.
func (m *member) flush() {
	w := tryWriters.Get().(*tryWriter)
	defer tryWriters.Put(w)
	m.out.flush(w, m.room.Load().out.tail.Load())
}

// sanctioned tells m of a sanction.
func (m *member) sanctioned(s Sanction, lifted bool) {
	m.out.send(textFrame(&Sanctioned{Kind: s.Kind, Until: milliOf(s.Until), Reason: s.Reason, Lifted: lifted}))
}

// say says something to everybody, if m may.
func (m *member) say(r *room, c *Say, id string, now time.Time) error {
	if !m.role.Writes() {
		return refuse(CodeReadOnly, "you may read only")
	}
	text, err := cleanText(c.Text, m.server.config.MaxText)
	if err != nil || r.repeats(m, id) {
		return err
	}
	if err := m.refuseMuted(); err != nil {
		return err
	}
	if m.server.filter.Load().refuses(text) && !m.role.Moderates() {
		return refuse(CodeFiltered, "this is not said here")
	}
	if m.server.editor != nil {
		if text, err = m.decide(text); err != nil || m.out.isClosing() { // banned meanwhile, maybe
			return err
		}
		if err := m.refuseMuted(); err != nil {
			return err
		}
	}
	return r.say(m, text, c.MediaTime, id, now)
}
