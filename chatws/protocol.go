package chatws

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ProtocolVersion is what welcome says. New kinds of events and new members of
// objects do not raise it: clients ignore what they do not know.
const ProtocolVersion = 1

// MaxName is the longest name, in characters.
const MaxName = 32

// Command is what a client sends: one JSON object in a text frame.
type Command struct {
	// Type is "join", "say" or "ping".
	Type string `json:"type"`
	// Name is the name to join with; empty asks for a guest's.
	Name string `json:"name,omitempty"`
	// Text is what to say.
	Text string `json:"text,omitempty"`
}

// Event is what the server sends: one JSON object in a text frame.
type Event struct {
	// Type is one of the Event… constants.
	Type string `json:"type"`
	// Seq numbers the events of a room that every member gets, from 1.
	Seq uint64 `json:"seq,omitempty"`
	// Version is ProtocolVersion, in welcome only.
	Version int `json:"version,omitempty"`
	// ID and Name are the receiver's own, in welcome only.
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
	// From is who speaks, joined or left.
	From *Author `json:"from,omitempty"`
	Text string  `json:"text,omitempty"`
	// At is wall-clock time in Unix milliseconds.
	At int64 `json:"at,omitempty"`
	// MediaTime is the stream's time in milliseconds at that moment, if it is live.
	MediaTime *int64 `json:"mediaTime,omitempty"`
	// Online is how many members the room has.
	Online int `json:"online,omitempty"`
	// Live is whether the stream is live, in welcome and live.
	Live *bool `json:"live,omitempty"`
	// Code and Message say what was wrong with a command.
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
}

// Author is a member as others see it.
type Author struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// The types of events.
const (
	EventWelcome      = "welcome"
	EventMessage      = "message"
	EventJoined       = "joined"
	EventLeft         = "left"
	EventOnline       = "online"
	EventLive         = "live"
	EventAnnouncement = "announcement"
	EventError        = "error"
	EventPong         = "pong"
)

// CloseCode is why the server ends a connection. Codes from 4000 on tell by
// their range whether to come back: 40xx yes, after a while that grows; 41xx
// no, it would end the same way.
type CloseCode uint16

// The close codes. 1009, a frame over the bound, and 1007, text that is not
// UTF-8, are the WebSocket's own (RFC 6455, 7.4.1).
const (
	CloseGoingAway CloseCode = 1001
	CloseSlow      CloseCode = 4000
	CloseFull      CloseCode = 4001
	CloseFlood     CloseCode = 4100
	CloseBadFrame  CloseCode = 4102
)

// Retry reports whether a client should come back.
func (c CloseCode) Retry() bool { return c < 4100 }

// Errors that an error event reports by a word for programs.
var (
	errBadCommand = errors.New("bad_command")
	errBadName    = errors.New("bad_name")
	errBadText    = errors.New("bad_text")
)

// parseCommand reads a command. The frame's size is bounded by the reader.
// Errors wrap one of the words above.
func parseCommand(frame []byte) (Command, error) {
	var c Command
	if err := json.Unmarshal(frame, &c); err != nil {
		return Command{}, fmt.Errorf("%w: it must be one JSON object", errBadCommand)
	}
	switch c.Type {
	case "join", "say", "ping":
		return c, nil
	}
	return Command{}, fmt.Errorf("%w: the type %.20q is unknown", errBadCommand, c.Type)
}

// cleanName trims a name and checks it: printable characters only, so that
// nobody can turn the writing direction around or hide.
func cleanName(s string) (string, error) {
	s = strings.TrimSpace(s)
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > MaxName {
		return "", fmt.Errorf("%w: a name has %d characters at most", errBadName, MaxName)
	}
	for _, r := range s {
		// The zero width joiner holds emoji together.
		if !unicode.IsPrint(r) && r != '\u200d' {
			return "", fmt.Errorf("%w: a name holds printable characters only", errBadName)
		}
	}
	return s, nil
}

// cleanText trims a message and checks it.
func cleanText(s string, longest int) (string, error) {
	s = strings.TrimSpace(s)
	switch n := utf8.RuneCountInString(s); {
	case n == 0:
		return "", fmt.Errorf("%w: there is no text", errBadText)
	case !utf8.ValidString(s):
		return "", fmt.Errorf("%w: the text is not UTF-8", errBadText)
	case n > longest:
		return "", fmt.Errorf("%w: the text has %d characters, %d are allowed", errBadText, n, longest)
	}
	for _, r := range s {
		if unicode.IsControl(r) && r != '\n' {
			return "", fmt.Errorf("%w: the text holds a control character", errBadText)
		}
	}
	return s, nil
}

// frame makes the WebSocket text frame of an event (RFC 6455, 5.2), which all
// who get it share.
func (e *Event) frame() []byte {
	payload, err := json.Marshal(e)
	if err != nil { // an Event holds nothing that cannot be marshalled
		payload = []byte(`{"type":"error","code":"internal"}`)
	}
	const text, final = 0x1, 0x80
	b := make([]byte, 0, len(payload)+10)
	switch n := len(payload); {
	case n < 126:
		b = append(b, final|text, byte(n))
	case n < 1<<16:
		b = append(b, final|text, 126, byte(n>>8), byte(n))
	default:
		b = append(b, final|text, 127, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(b, payload...)
}

// errorEvent reports what was wrong with a command.
func errorEvent(err error) *Event {
	code, message := "internal", err.Error()
	for _, known := range []error{errBadCommand, errBadName, errBadText, errRate} {
		if errors.Is(err, known) {
			code = known.Error()
			message = strings.TrimPrefix(message, code+": ")
		}
	}
	return &Event{Type: EventError, Code: code, Message: message}
}
