package chatws

import (
	"encoding/json"
	"errors"

	"github.com/miju-live/miju/auth"
)

// The protocol: docs/chat.md. The exported types of the protocol files are
// its single source; the TypeScript types of the client library are made of
// them by go generate, comments included.

//go:generate go test -run TestTypeScript -update .

// Subprotocol is what WebSocket clients offer (RFC 6455, 1.9).
const Subprotocol = "miju.chat.v1"

// ProtocolVersion is what welcome says. New kinds of events and new members of
// objects do not raise it: clients ignore what they do not know.
const ProtocolVersion = 1

const (
	// MaxName is the longest name, in characters.
	MaxName = 32
	// MaxCommandID is the longest id of a command, in bytes.
	MaxCommandID = 64
	// MinGuest and MaxGuest bound a guest's secret, in bytes.
	MinGuest, MaxGuest = 16, 128
	// MaxReason is the longest reason of a mute or ban, in characters.
	MaxReason = 200
	// MaxReactCount is how many reactions one command may send.
	MaxReactCount = 20
	// maxUserID bounds the ids of users that are taken from commands, in bytes.
	maxUserID = 120
	// maxDuration bounds durations in commands: a hundred years, in milliseconds.
	maxDuration = 100 * 365 * 24 * 3600 * 1000
	// maxSlow is the longest time between messages in slow mode, in milliseconds.
	maxSlow = 24 * 3600 * 1000
)

// Position is where in a room's events somebody is.
type Position struct {
	// Epoch counts starts of the server. Each is higher than all before.
	Epoch int64 `json:"epoch"`
	// Offset numbers the events of a room within an epoch.
	Offset uint64 `json:"offset"`
}

// before reports whether p is an earlier position than q.
func (p Position) before(q Position) bool {
	return p.Epoch < q.Epoch || p.Epoch == q.Epoch && p.Offset < q.Offset
}

// User is somebody as others see them.
type User struct {
	// ID stays the same over connections; a guest's begins with ~.
	ID string `json:"id"`
	// Name is what to show.
	Name string `json:"name"`
	// Role is left out for members.
	Role auth.Role `json:"role,omitempty"`
}

// Stamp is on every event that happens to the room once and for all.
type Stamp struct {
	// Offset is the event's number in its epoch.
	Offset uint64 `json:"offset"`
	// At is wall-clock time in Unix milliseconds.
	At int64 `json:"at"`
	// MediaTime is the stream's time that the event belongs to, in
	// milliseconds; left out if the stream is not live.
	MediaTime *int64 `json:"mediaTime,omitempty"`
}

// Settings are what moderators set of a room.
type Settings struct {
	// Slow is the least time between two messages of a user, in milliseconds;
	// 0 is off.
	Slow int64 `json:"slow"`
	// MembersOnly keeps guests from writing.
	MembersOnly bool `json:"membersOnly"`
	// Links says who may post links.
	Links Links `json:"links"`
}

// Links says who may post links.
type Links string

// Who may post links.
const (
	LinksAll        Links = "all"
	LinksMembers    Links = "members"
	LinksModerators Links = "moderators"
)

func (l Links) valid() bool { return l == LinksAll || l == LinksMembers || l == LinksModerators }

// Limits are what the server allows.
type Limits struct {
	// Text is the longest message, in characters.
	Text int `json:"text"`
	// Delay is how far a message's media time may be behind the live edge, and
	// for how long to hold a message at most, in milliseconds.
	Delay int64 `json:"delay"`
	// History is the most messages that a join may ask for.
	History int `json:"history"`
	// Reactions are the emoji that may be sent.
	Reactions []string `json:"reactions"`
}

// Mapping turns media time into wall-clock time: from Media on a picture's
// wall-clock time is Wall plus its media time less Media.
type Mapping struct {
	// Broadcast names the time that Media is of: a new one begins when the
	// stream begins anew.
	Broadcast int64 `json:"broadcast"`
	// Media is in milliseconds of the stream's time.
	Media int64 `json:"media"`
	// Wall is in Unix milliseconds.
	Wall int64 `json:"wall"`
}

// SanctionKind is what a sanction does.
type SanctionKind string

// The kinds of sanctions.
const (
	SanctionMute SanctionKind = "mute"
	SanctionBan  SanctionKind = "ban"
)

// ErrorCode says what was wrong with a command, by a word for programs.
type ErrorCode string

// The error codes.
const (
	CodeBadCommand     ErrorCode = "bad_command"
	CodeUnknownCommand ErrorCode = "unknown_command"
	CodeNotJoined      ErrorCode = "not_joined"
	CodeJoined         ErrorCode = "joined"
	CodeBadName        ErrorCode = "bad_name"
	CodeBadText        ErrorCode = "bad_text"
	CodeBadValue       ErrorCode = "bad_value"
	CodeRate           ErrorCode = "rate"
	CodeSlow           ErrorCode = "slow"
	CodeBusy           ErrorCode = "busy"
	CodeMuted          ErrorCode = "muted"
	CodeMembersOnly    ErrorCode = "members_only"
	CodeReadOnly       ErrorCode = "read_only"
	CodeForbidden      ErrorCode = "forbidden"
	CodeFiltered       ErrorCode = "filtered"
	CodeRefused        ErrorCode = "refused"
	CodeUnavailable    ErrorCode = "unavailable"
	CodeNotFound       ErrorCode = "not_found"
	CodeInternal       ErrorCode = "internal"
)

// errorCodes are all, for the figures by reason.
var errorCodes = []ErrorCode{
	CodeBadCommand, CodeUnknownCommand, CodeNotJoined, CodeJoined, CodeBadName, CodeBadText, CodeBadValue, CodeRate, CodeSlow, CodeBusy,
	CodeMuted, CodeMembersOnly, CodeReadOnly, CodeForbidden, CodeFiltered, CodeRefused, CodeUnavailable, CodeNotFound, CodeInternal,
}

// encode makes the JSON of an event, its type first.
func encode(e Event) []byte {
	b, err := json.Marshal(e)
	if err != nil { // events hold nothing that cannot be marshalled but a payload, which was JSON
		b, e = []byte(`{"code":"internal","message":"an event was lost"}`), &Error{}
	}
	head := `{"type":"` + e.kind() + `"`
	out := make([]byte, 0, len(head)+len(b))
	out = append(out, head...)
	if len(b) > 2 {
		out = append(out, ',')
	}
	return append(out, b[1:]...)
}

// decodeCommand reads a command and returns its id too, if that can be told
// of a broken one. The frame's size is bounded by who read it. Errors are
// *Refusal.
func decodeCommand(frame []byte) (c Command, id string, err error) {
	var head struct {
		Type string `json:"type"`
		ID   string `json:"id"`
	}
	if err := json.Unmarshal(frame, &head); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) && wrong.Field != "id" && len(head.ID) <= MaxCommandID {
			id = head.ID
		}
		return nil, id, refuse(CodeBadCommand, "it must be one JSON object with a type and an id of text")
	}
	if len(head.ID) > MaxCommandID {
		return nil, "", refuse(CodeBadCommand, "an id has %d bytes at most", MaxCommandID)
	}
	c = newCommand(head.Type)
	if c == nil {
		return nil, head.ID, refuse(CodeUnknownCommand, "there is no command of this type")
	}
	if err := json.Unmarshal(frame, c); err != nil {
		return nil, head.ID, refuse(CodeBadCommand, "a member of %s is of a wrong kind", head.Type)
	}
	return c, head.ID, nil
}
