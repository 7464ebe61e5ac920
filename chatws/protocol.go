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
	// ID is the receiver's own in welcome. That of a message or announcement
	// is never given twice.
	ID string `json:"id,omitempty"`
	// Name is the receiver's own, in welcome only.
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
	// RetryAfter is after how many milliseconds to send again, of the error
	// "rate".
	RetryAfter int64 `json:"retryAfter,omitempty"`
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

// Errors that an error event reports by a word for programs.
var (
	errBadCommand = errors.New("bad_command")
	errBadName    = errors.New("bad_name")
	errBadText    = errors.New("bad_text")
	errRate       = errors.New("rate")
)

// commandErrors has each of them by the reason that metrics count it under.
var commandErrors = map[refusal]error{
	refusedCommand: errBadCommand, refusedName: errBadName, refusedText: errBadText, refusedRate: errRate,
}

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

// cleanName trims a name and checks it: characters that can be seen only, so
// that nobody can turn the writing direction around, hide, or look like
// somebody else by what does not show.
func cleanName(s string) (string, error) {
	s = strings.TrimSpace(s)
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > MaxName {
		return "", fmt.Errorf("%w: a name has %d characters at most", errBadName, MaxName)
	}
	seen := s == ""
	for _, r := range s {
		switch {
		case r == '\u200d', unicode.Is(unicode.M, r): // within emoji and many scripts, but nothing alone
		case !unicode.IsPrint(r), strings.ContainsRune(blanks, r):
			return "", fmt.Errorf("%w: a name holds printable characters only", errBadName)
		default:
			seen = true
		}
	}
	if !seen {
		return "", fmt.Errorf("%w: nothing of this name can be seen", errBadName)
	}
	return s, nil
}

// blanks are letters and symbols of Unicode that show nothing.
const blanks = "\u115f\u1160\u2800\u3164\uffa0"

// visible reports whether r leaves a trace where it stands alone.
func visible(r rune) bool {
	return unicode.IsPrint(r) && r != ' ' && !unicode.Is(unicode.M, r) && !strings.ContainsRune(blanks, r)
}

// maxLines bounds a message's lines: each takes one of every viewer's window.
const maxLines = 10

// lineBreaks turns what breaks a line into a line feed, and a tab into a space.
var lineBreaks = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n", "\t", " ")

// cleanText trims a message and checks it.
func cleanText(s string, longest int) (string, error) {
	s = strings.TrimSpace(lineBreaks.Replace(s))
	switch n := utf8.RuneCountInString(s); {
	case !utf8.ValidString(s):
		return "", fmt.Errorf("%w: the text is not UTF-8", errBadText)
	case !strings.ContainsFunc(s, visible):
		return "", fmt.Errorf("%w: there is no text", errBadText)
	case n > longest:
		return "", fmt.Errorf("%w: the text has %d characters, %d are allowed", errBadText, n, longest)
	case strings.Count(s, "\n") >= maxLines:
		return "", fmt.Errorf("%w: the text has more than %d lines", errBadText, maxLines)
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
	return appendFrame(make([]byte, 0, len(payload)+10), opText, payload)
}

// errorEvent reports what was wrong with a command.
func errorEvent(err error) *Event {
	code, message := "internal", err.Error()
	for _, known := range commandErrors {
		if errors.Is(err, known) {
			code = known.Error()
			message = strings.TrimPrefix(message, code+": ")
		}
	}
	return &Event{Type: EventError, Code: code, Message: message}
}
