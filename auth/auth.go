// Package auth decides who may publish, play, chat and administer.
package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/miju-live/miju/streamkey"
)

// ErrDenied is wrapped by every refusal of an Authorizer. Any other error of
// Authorize means that the question could not be decided.
var ErrDenied = errors.New("denied")

// Refusals that peers are told apart, where the protocol can: both wrap
// ErrDenied. The first is of a credential that is missing or no good, the second
// of a good one that does not permit what is asked.
var (
	ErrUnauthenticated = fmt.Errorf("%w", ErrDenied)
	ErrForbidden       = fmt.Errorf("%w", ErrDenied)
)

// ErrExpired ends what was permitted until a time that has come.
var ErrExpired = fmt.Errorf("%w: the grant is over", ErrUnauthenticated)

// ErrRevoked ends what a credential permitted that was taken back.
var ErrRevoked = fmt.Errorf("%w: the credential was revoked", ErrUnauthenticated)

// Action is what somebody asks to do with a stream key.
type Action uint8

// The actions.
const (
	Publish Action = iota + 1
	Play
	Chat
	Moderate
	Admin
)

// String returns the action's name as logs, hooks and tokens spell it.
func (a Action) String() string {
	switch a {
	case Publish:
		return "publish"
	case Play:
		return "play"
	case Chat:
		return "chat"
	case Moderate:
		return "moderate"
	case Admin:
		return "admin"
	}
	return "unknown"
}

// Request is one question to an Authorizer, parsed once at the door.
type Request struct {
	Action Action
	Key    streamkey.Key
	// Token is the secret beside the key. It is never logged.
	Token string
	// Path is what a signed URL's signature is of, as the peer wrote it, like
	// "/live/alice.flv"; empty is "/" and the key. Query is all that stood behind
	// it, undecoded, for signatures too; it is never logged.
	Path, Query string
	// Proved is the stream key that the protocol itself has proved the peer to have,
	// as by encryption.
	Proved *StreamKey
	// User is who has proved to the protocol itself to know a password of Users.
	User string
	// Continues says that this is one more request of a player that plays
	// already, if it tells the truth: for a file that a playlist lists.
	Continues bool
	// Edge is the secret by which a trusted edge says that it has decided itself
	// who plays. It is never logged.
	Edge string
	// Reads says that a chat is only to be read.
	Reads bool
	// Internal is set for what the server asks of itself, as to play a file.
	Internal bool
	// Name is the name that a chat member asks for; empty elsewhere.
	Name string
	// Protocol is "rtmp", "srt", "http-flv", "hls", "chat", …
	Protocol string
	// RemoteAddr is the peer as host:port.
	RemoteAddr string
	// Session names the peer's connection, where that lasts; empty elsewhere.
	Session string
}

// Grant is what a Request was permitted.
type Grant struct {
	// Subject identifies who was permitted, the same over reconnections; empty if unknown.
	Subject string
	// Name is the name to show; empty to show what was asked for.
	Name string
	// Role is what the subject is in a chat room; empty is RoleMember for a
	// known subject and RoleGuest otherwise.
	Role Role
	// Expires is when the grant ends; zero is never.
	Expires time.Time
	// Credential names what permitted it, without a secret, for when that is
	// revoked; empty if it cannot be.
	Credential string
	// Edge says that a trusted edge asks, for more people than one: it may keep
	// the answer. Private says that no cache may share it, since others would not be
	// given it.
	Edge, Private bool
	// MaxViewers is how many may watch a publisher's stream; 0 is as many as the
	// settings let.
	MaxViewers int
	// MaxBitrate is what a publisher may send, in kbit/s in the mean of 10 s, if
	// the settings do not let it send less; 0 is as much as they let.
	MaxBitrate int
	// Ended, if it is not nil, is called by who holds the grant, once, when what
	// it permitted is over: what was published or played without an end before.
	Ended func()
}

// End calls Ended if somebody wants to know.
func (g Grant) End() {
	if g.Ended != nil {
		g.Ended()
	}
}

// Refusal is a refusal in the application's own words. It wraps Why.
type Refusal struct {
	// Why is ErrUnauthenticated or ErrForbidden.
	Why error
	// Message is for the peer; empty if there is none.
	Message string
	// Redirect is the URL that a peer of RTMP shall go to instead; empty: none.
	// It is never logged.
	Redirect string
}

var _ error = (*Refusal)(nil)

// Error implements error.
func (r *Refusal) Error() string {
	switch {
	case r.Message != "":
		return r.Why.Error() + ": " + r.Message
	case r.Redirect != "":
		return r.Why.Error() + ": another server is to be asked"
	}
	return r.Why.Error() + " by the application"
}

// Unwrap returns Why.
func (r *Refusal) Unwrap() error { return r.Why }

// Role is what somebody is in a chat room.
type Role string

// The roles, from the one that may most.
const (
	RoleHost      Role = "host"
	RoleModerator Role = "moderator"
	RoleMember    Role = "member"
	RoleGuest     Role = "guest"
	RoleReader    Role = "reader"
)

// Moderates reports whether r may delete, mute, ban and set.
func (r Role) Moderates() bool { return r == RoleHost || r == RoleModerator }

// Writes reports whether r may say anything.
func (r Role) Writes() bool { return r.Moderates() || r == RoleMember || r == RoleGuest }

// Rank orders roles: who has a higher one cannot be muted or banned by who
// has a lower one, or the same.
func (r Role) Rank() int {
	switch r {
	case RoleHost:
		return 4
	case RoleModerator:
		return 3
	case RoleMember:
		return 2
	case RoleGuest:
		return 1
	}
	return 0
}

// ChatRole returns what the grant's subject is in a chat room. What is no role of
// those above may only read.
func (g Grant) ChatRole() Role {
	switch g.Role {
	case "":
		if g.Subject == "" {
			return RoleGuest
		}
		return RoleMember
	case RoleHost, RoleModerator, RoleMember, RoleGuest:
		return g.Role
	}
	return RoleReader
}

// Authorizer decides requests. It must be safe for concurrent use and return
// soon after ctx ends.
type Authorizer interface {
	Authorize(ctx context.Context, r Request) (Grant, error)
}

// Open permits everything to everybody. It is for servers on trusted networks
// and until another method is configured.
type Open struct{}

var _ Authorizer = Open{}

// Authorize grants r with the name it asks for.
func (Open) Authorize(_ context.Context, r Request) (Grant, error) {
	return Grant{Name: r.Name}, nil
}
