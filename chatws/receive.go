package chatws

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/miju-live/miju/auth"
)

// What a member's reading goroutine does with what it read.

// authTimeout is how long it may take to decide who may join.
const authTimeout = 5 * time.Second

// maxControl is the longest payload of a control frame (RFC 6455, 5.5).
const maxControl = 125

// receivePing answers a ping of the peer (RFC 6455, 5.5.2) within its rate.
func (m *member) receivePing(payload []byte) {
	m.alive()
	switch {
	case m.pace.Allow():
		m.send(appendFrame(nil, opPong, payload[:min(len(payload), maxControl)]))
	case !m.strikes.Allow():
		m.expel(refusedFlood, CloseFlood)
	}
}

// closedByReader closes m as the peer asked, or as what it sent deserves.
func (m *member) closedByReader(code CloseCode) {
	switch code {
	case CloseTooBig:
		if !m.isClosing() {
			m.server.oversize.Add(1)
		}
	case CloseProtocol, CloseInvalidData:
		m.expel(refusedFrame, code)
	}
	m.close(code)
}

// receive obeys one message.
func (m *member) receive(text bool, frame []byte) {
	m.alive()
	if m.isClosing() {
		return
	}
	if !text {
		m.expel(refusedFrame, CloseBadFrame)
		return
	}
	if err := m.obey(frame); err != nil {
		m.refuse(err)
	}
}

// refuse tells a member what was wrong with its command, or closes one that
// goes on regardless.
func (m *member) refuse(err error) {
	for r, cause := range commandErrors {
		if errors.Is(err, cause) {
			m.server.refused[r].Add(1)
		}
	}
	if !m.strikes.Allow() {
		m.expel(refusedFlood, CloseFlood)
		return
	}
	e := errorEvent(err)
	if errors.Is(err, errRate) {
		e.RetryAfter = int64(max(1, 1000/m.server.config.Rate))
	}
	m.send(e.frame())
}

func (m *member) obey(frame []byte) error {
	if !m.pace.Allow() {
		return fmt.Errorf("%w: slower, please: %d a second", errRate, m.server.config.Rate)
	}
	c, err := parseCommand(frame)
	if err != nil {
		return err
	}
	switch {
	case c.Type == "ping":
		m.send((&Event{Type: EventPong, At: time.Now().UnixMilli()}).frame())
		return nil
	case c.Type == "join" && m.room != nil:
		return fmt.Errorf("%w: you are in the room already", errBadCommand)
	case c.Type == "join":
		return m.join(c.Name)
	case m.room == nil:
		return fmt.Errorf("%w: join first", errBadCommand)
	}
	text, err := cleanText(c.Text, m.server.config.MaxText)
	if err != nil {
		return err
	}
	m.room.say(m, text)
	return nil
}

// join asks whether m may join, and puts it into its room. A refusal that a
// browser must see is a close code: the answer to a handshake it cannot see.
func (m *member) join(name string) error {
	name, err := cleanName(name)
	if err != nil {
		return err
	}
	grant, err := m.authorize(name)
	switch {
	case m.isClosing():
		return nil
	case errors.Is(err, auth.ErrDenied):
		m.expel(refusedDenied, CloseDenied)
		return nil
	case err != nil:
		m.server.log.Error("cannot decide who may chat", "stream", m.key, "err", err)
		m.expel(refusedUndecided, CloseUndecided)
		return nil
	}
	if grant.Name != "" {
		if name, err = cleanName(grant.Name); err != nil {
			return err
		}
	}
	if name == "" {
		name = "guest-" + m.author.ID
	}
	m.author.Name = name
	room, code := m.server.enter(m)
	if room == nil {
		m.expel(refusedFull, code)
		return nil
	}
	m.room, m.token = room, ""
	m.joined.Store(true)
	return nil
}

// authorize asks whether m may join as name. Closing m ends the question.
func (m *member) authorize(name string) (auth.Grant, error) {
	ctx, cancel := context.WithTimeout(context.Background(), authTimeout)
	defer cancel()
	m.mu.Lock()
	if m.closing {
		cancel()
	}
	m.undecide = cancel
	m.mu.Unlock()
	g, err := m.server.auth.Authorize(ctx, auth.Request{
		Action: auth.Chat, Key: m.key, Token: m.token, Name: name, Protocol: "chat", RemoteAddr: m.remote,
	})
	m.mu.Lock()
	m.undecide = nil
	m.mu.Unlock()
	return g, err
}
