package chatws

import "encoding/json"

// Event is what the server sends: one JSON object with these members and a
// type.
type Event interface{ kind() string }

// Welcome says that one is in.
type Welcome struct {
	ID      string `json:"id,omitempty"`
	Version int    `json:"version"`
	Position
	// Replay is how many events follow that happened before: what was missed,
	// or the newest messages.
	Replay int `json:"replay"`
	// Resumed says that they are exactly what was missed.
	Resumed bool `json:"resumed,omitempty"`
	You     User `json:"you"`
	State
	// Muted is given if one is.
	Muted *Muted `json:"muted,omitempty"`
}

// State is how a room is at a moment.
type State struct {
	// Users and Connections are how many are in the room.
	Users       int      `json:"users"`
	Connections int      `json:"connections"`
	Settings    Settings `json:"settings"`
	Limits      Limits   `json:"limits"`
	// Pinned is the event on top.
	Pinned json.RawMessage `json:"pinned,omitempty" ts:"Message | Announcement"`
	// Live is whether the stream is live; the three that follow are given if
	// it is.
	Live      bool     `json:"live"`
	Broadcast int64    `json:"broadcast,omitempty"`
	MediaTime *int64   `json:"mediaTime,omitempty"`
	Mapping   *Mapping `json:"mapping,omitempty"`
	// Reactions are the sums of this broadcast by emoji.
	Reactions map[string]uint64 `json:"reactions,omitempty"`
	// At is the server's clock, in Unix milliseconds.
	At int64 `json:"at"`
}

// Muted says for how long one is muted, and why.
type Muted struct {
	// Until is in Unix milliseconds; left out: for good.
	Until  int64  `json:"until,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Message is what somebody said.
type Message struct {
	Stamp
	// ID is never given twice.
	ID string `json:"id"`
	// ClientID is the id of the sender's command.
	ClientID string `json:"clientId,omitempty"`
	From     User   `json:"from"`
	Text     string `json:"text"`
}

// Announcement is a message in the room's name.
type Announcement struct {
	Stamp
	ID string `json:"id"`
	// From is the moderator who made it; left out: the operator.
	From *User  `json:"from,omitempty"`
	Text string `json:"text"`
}

// System is an event of the application's own.
type System struct {
	Stamp
	ID string `json:"id"`
	// Name is the application's own type of event.
	Name    string          `json:"name"`
	Payload json.RawMessage `json:"payload,omitempty" ts:"unknown"`
}

// Deleted takes away a message, or all of a user.
type Deleted struct {
	Stamp
	Message string `json:"message,omitempty"`
	User    string `json:"user,omitempty"`
}

// Cleared takes all messages away.
type Cleared struct{ Stamp }

// Pinned says what is on top now; nothing if Message is left out.
type Pinned struct {
	Stamp
	Message json.RawMessage `json:"message,omitempty" ts:"Message | Announcement"`
}

// SettingsChanged has all settings.
type SettingsChanged struct {
	Stamp
	Settings Settings `json:"settings"`
}

// Live says that the stream is live.
type Live struct {
	Stamp
	Broadcast int64   `json:"broadcast"`
	Mapping   Mapping `json:"mapping"`
}

// Ended says that the stream is over.
type Ended struct {
	Stamp
	Broadcast int64 `json:"broadcast"`
}

// Presence says how many are in the room.
type Presence struct {
	Users       int `json:"users"`
	Connections int `json:"connections"`
}

// Joined says that somebody came.
type Joined struct {
	User User `json:"user"`
	Presence
	// Others is how many more came since the last notice, in large rooms.
	Others int `json:"others,omitempty"`
}

// Left says that somebody went.
type Left struct {
	User User `json:"user"`
	Presence
}

// Reactions are sums by emoji.
type Reactions struct {
	// Added is since the last sums.
	Added map[string]uint64 `json:"added"`
	// Totals is since the broadcast began, of the same emoji.
	Totals map[string]uint64 `json:"totals"`
}

// MappingChanged is a new mapping of media time.
type MappingChanged struct{ Mapping }

// Gap says that what was missed is not known any more. The newest messages
// follow instead.
type Gap struct {
	// Reason is old or unknown.
	Reason GapReason `json:"reason"`
}

// GapReason is why nothing was resumed.
type GapReason string

// The reasons of gaps.
const (
	GapOld     GapReason = "old"
	GapUnknown GapReason = "unknown"
)

// Sanctioned says to the one concerned that a sanction was put or lifted.
type Sanctioned struct {
	Kind SanctionKind `json:"kind"`
	// Until is in Unix milliseconds; left out: for good.
	Until  int64  `json:"until,omitempty"`
	Reason string `json:"reason,omitempty"`
	Lifted bool   `json:"lifted,omitempty"`
}

// Ack says that a command was obeyed.
type Ack struct {
	ID string `json:"id"`
	// Message and Offset are of what was said.
	Message string `json:"message,omitempty"`
	Offset  uint64 `json:"offset,omitempty"`
	// Duplicate says that it had been said before.
	Duplicate bool `json:"duplicate,omitempty"`
	// Kept is false if it was delivered but could not be kept, and left out
	// otherwise.
	Kept *bool `json:"kept,omitempty"`
}

// Sanctions lists a room's mutes and bans.
type Sanctions struct {
	ID        string         `json:"id,omitempty"`
	Sanctions []SanctionInfo `json:"sanctions"`
}

// SanctionInfo is a mute or a ban as moderators see it.
type SanctionInfo struct {
	Kind SanctionKind `json:"kind"`
	User string       `json:"user,omitempty"`
	Name string       `json:"name,omitempty"`
	// Network is an address or a prefix; with a user, one of its.
	Network string `json:"network,omitempty"`
	// Until is in Unix milliseconds; left out: for good.
	Until  int64  `json:"until,omitempty"`
	Reason string `json:"reason,omitempty"`
	// By is who put it.
	By string `json:"by"`
	At int64  `json:"at"`
}

// Error says what was wrong with a command.
type Error struct {
	ID      string    `json:"id,omitempty"`
	Code    ErrorCode `json:"code"`
	Message string    `json:"message"`
	// RetryAfter is after how many milliseconds to send it again.
	RetryAfter int64 `json:"retryAfter,omitempty"`
}

// Pong answers a ping.
type Pong struct {
	ID string `json:"id,omitempty"`
	At int64  `json:"at"`
}

// Closed is the last of server-sent events.
type Closed struct {
	Code CloseCode `json:"code"`
}

// Index is the file that readers of chunks begin with.
type Index struct {
	Position
	// Duration is that of a chunk, in milliseconds.
	Duration int64 `json:"duration"`
	// Next is the number of the first chunk to read.
	Next int64 `json:"next"`
	State
	// Events are the newest messages.
	Events []json.RawMessage `json:"events" ts:"Event[]"`
}

// Chunk is what happened in a room within a second or so.
type Chunk struct {
	Number int64 `json:"number"`
	// Position is that behind its last event.
	Position
	Events []json.RawMessage `json:"events" ts:"Event[]"`
}

func (*Welcome) kind() string         { return "welcome" }
func (*Message) kind() string         { return "message" }
func (*Announcement) kind() string    { return "announcement" }
func (*System) kind() string          { return "system" }
func (*Deleted) kind() string         { return "deleted" }
func (*Cleared) kind() string         { return "cleared" }
func (*Pinned) kind() string          { return "pinned" }
func (*SettingsChanged) kind() string { return "settings" }
func (*Live) kind() string            { return "live" }
func (*Ended) kind() string           { return "ended" }
func (*Presence) kind() string        { return "presence" }
func (*Joined) kind() string          { return "joined" }
func (*Left) kind() string            { return "left" }
func (*Reactions) kind() string       { return "reactions" }
func (*MappingChanged) kind() string  { return "mapping" }
func (*Gap) kind() string             { return "gap" }
func (*Sanctioned) kind() string      { return "sanctioned" }
func (*Ack) kind() string             { return "ack" }
func (*Sanctions) kind() string       { return "sanctions" }
func (*Error) kind() string           { return "error" }
func (*Pong) kind() string            { return "pong" }
func (*Closed) kind() string          { return "closed" }
func (*Index) kind() string           { return "index" }
func (*Chunk) kind() string           { return "chunk" }

// eventKinds has one of each event that a member may get.
var eventKinds = []Event{
	&Welcome{}, &Message{}, &Announcement{}, &System{}, &Deleted{}, &Cleared{}, &Pinned{}, &SettingsChanged{}, &Live{}, &Ended{},
	&Presence{}, &Joined{}, &Left{}, &Reactions{}, &MappingChanged{}, &Gap{}, &Sanctioned{}, &Ack{}, &Sanctions{}, &Error{}, &Pong{}, &Closed{},
}

// stamped is an event with an offset.
type stamped interface {
	Event
	stamp() *Stamp
}

func (s *Stamp) stamp() *Stamp { return s }
