package chatws

// Command is what a client sends: one JSON object in a text frame, with these
// members, a type and an id.
type Command interface{ name() string }

// Join asks to be let in.
type Join struct {
	// Name is the name to join with; empty asks for a guest's.
	Name string `json:"name,omitempty"`
	// Token is the secret that says who one is, if the URL has none.
	Token string `json:"token,omitempty"`
	// Guest is a random secret of the client's own, by which a guest without a
	// token stays the same user.
	Guest string `json:"guest,omitempty"`
	// Resume is the position to go on from.
	Resume *Position `json:"resume,omitempty"`
	// History is how many of the newest messages to get where there is
	// nothing to resume; left out: as many as may be.
	History *int `json:"history,omitempty"`
}

// Say says something to everybody.
type Say struct {
	Text string `json:"text"`
	// MediaTime is what the sender's player shows, in milliseconds.
	MediaTime *int64 `json:"mediaTime,omitempty"`
}

// React adds to the sums of reactions.
type React struct {
	// Emoji is one of Limits.Reactions.
	Emoji string `json:"emoji"`
	// Count is how often, 1 to 20; left out: once.
	Count int `json:"count,omitempty"`
}

// Ping asks for a sign of life.
type Ping struct{}

// Delete takes away a message, or all of a user.
type Delete struct {
	Message string `json:"message,omitempty"`
	User    string `json:"user,omitempty"`
}

// Mute keeps a user or an address from writing.
type Mute struct{ Sanctioning }

// Ban keeps a user or an address out of the room.
type Ban struct{ Sanctioning }

// Sanctioning says whom to mute or ban, and for how long.
type Sanctioning struct {
	User string `json:"user,omitempty"`
	// Network is an address or a CIDR prefix, instead of a user.
	Network string `json:"network,omitempty"`
	// Address is for the addresses, too, that the user is connected from.
	Address bool `json:"address,omitempty"`
	// For is in milliseconds; 0 is for good.
	For int64 `json:"for,omitempty"`
	// Reason is shown to who is concerned.
	Reason string `json:"reason,omitempty"`
	// Purge deletes the user's messages too.
	Purge bool `json:"purge,omitempty"`
}

// Unmute ends a mute.
type Unmute struct{ Target }

// Unban ends a ban.
type Unban struct{ Target }

// Target is a user or a network.
type Target struct {
	User    string `json:"user,omitempty"`
	Network string `json:"network,omitempty"`
}

// ListSanctions asks for the room's mutes and bans.
type ListSanctions struct{}

// Set changes settings; what is left out stays.
type Set struct {
	Slow        *int64 `json:"slow,omitempty"`
	MembersOnly *bool  `json:"membersOnly,omitempty"`
	Links       *Links `json:"links,omitempty"`
}

// Pin puts a message on top.
type Pin struct {
	Message string `json:"message"`
}

// Unpin takes away what is on top.
type Unpin struct{}

// Clear takes all messages away.
type Clear struct{}

// Announce says something in the room's name.
type Announce struct {
	Text string `json:"text"`
}

func (*Join) name() string          { return "join" }
func (*Say) name() string           { return "say" }
func (*React) name() string         { return "react" }
func (*Ping) name() string          { return "ping" }
func (*Delete) name() string        { return "delete" }
func (*Mute) name() string          { return "mute" }
func (*Ban) name() string           { return "ban" }
func (*Unmute) name() string        { return "unmute" }
func (*Unban) name() string         { return "unban" }
func (*ListSanctions) name() string { return "sanctions" }
func (*Set) name() string           { return "set" }
func (*Pin) name() string           { return "pin" }
func (*Unpin) name() string         { return "unpin" }
func (*Clear) name() string         { return "clear" }
func (*Announce) name() string      { return "announce" }

// newCommands make an empty one of each command.
var newCommands = []func() Command{
	func() Command { return new(Join) }, func() Command { return new(Say) }, func() Command { return new(React) },
	func() Command { return new(Ping) }, func() Command { return new(Delete) }, func() Command { return new(Mute) },
	func() Command { return new(Ban) }, func() Command { return new(Unmute) }, func() Command { return new(Unban) },
	func() Command { return new(ListSanctions) }, func() Command { return new(Set) }, func() Command { return new(Pin) },
	func() Command { return new(Unpin) }, func() Command { return new(Clear) }, func() Command { return new(Announce) },
}

var commandByName = func() map[string]func() Command {
	m := map[string]func() Command{}
	for _, f := range newCommands {
		m[f().name()] = f
	}
	return m
}()

// newCommand returns an empty command of a type, nil if there is no such type.
func newCommand(name string) Command {
	if f := commandByName[name]; f != nil {
		return f()
	}
	return nil
}
