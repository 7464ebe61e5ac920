// Package streamkey names a live stream and the chat room beside it.
package streamkey

import (
	"errors"
	"fmt"
	"strings"
)

// MaxSegment is the longest app or name, in bytes: long enough for a UUID with
// a prefix, short enough for logs, metrics and OBS's 1 kB command buffer.
const MaxSegment = 64

// ErrInvalid is the root of every error of Parse and Join.
var ErrInvalid = errors.New("invalid stream key")

// Key is the public name of a stream and of its room, as "app/name". It holds
// no secret. The zero Key names nothing. Keys are comparable.
type Key struct {
	app, name string
}

// App returns the first segment, "live" of "live/alice".
func (k Key) App() string { return k.app }

// Name returns the second segment, "alice" of "live/alice".
func (k Key) Name() string { return k.name }

// IsZero reports whether k names nothing.
func (k Key) IsZero() bool { return k == Key{} }

// String returns "app/name", the form of URLs, logs and the API.
func (k Key) String() string {
	if k.IsZero() {
		return ""
	}
	return k.app + "/" + k.name
}

// MarshalText makes a Key a JSON string and a JSON object key.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText is Parse for decoders.
func (k *Key) UnmarshalText(text []byte) error {
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*k = parsed
	return nil
}

// Parse reads "app/name". It takes no leading slash, no query and no token:
// who has those splits them off first. Errors wrap ErrInvalid and say what is
// wrong in words fit for the person who typed the key; they do not repeat it, for
// people type secrets where a name belongs.
func Parse(s string) (Key, error) {
	if n := strings.Count(s, "/"); n != 1 {
		return Key{}, fmt.Errorf("%w: it must be app/name, two segments, and has %d", ErrInvalid, n+1)
	}
	app, name, _ := strings.Cut(s, "/")
	return Join(app, name)
}

// Join makes a Key of its two segments. Each must be 1 to MaxSegment of the
// letters, digits, '_' and '-', and not a reserved word: a name that is a
// route below an app, or an app that is a route at the root.
func Join(app, name string) (Key, error) {
	if err := checkSegment("app", app); err != nil {
		return Key{}, err
	}
	if err := checkSegment("name", name); err != nil {
		return Key{}, err
	}
	return Key{app: app, name: name}, nil
}

func checkSegment(what, s string) error {
	switch {
	case s == "":
		return fmt.Errorf("%w: the %s is empty", ErrInvalid, what)
	case len(s) > MaxSegment:
		return fmt.Errorf("%w: the %s has %d characters, %d are allowed", ErrInvalid, what, len(s), MaxSegment)
	case reserved[strings.ToLower(s)]:
		return fmt.Errorf("%w: the %s %q is reserved", ErrInvalid, what, s)
	case strings.HasPrefix(s, secretPrefix):
		return fmt.Errorf("%w: the %s begins with %s as keys to publish with do, which belong behind the name: NAME?token=%s…", ErrInvalid, what, secretPrefix, secretPrefix)
	}
	for i, c := range s {
		if c >= 0x80 || !allowed(byte(c)) {
			return fmt.Errorf("%w: the %s may hold letters, digits, '_' and '-' only, and has %q at place %d", ErrInvalid, what, c, i+1)
		}
	}
	return nil
}

// secretPrefix begins the secrets that package auth gives out to publish with.
// Pasted in place of a name, as the "stream key" that OBS calls it, such a one
// would be seen by everybody.
const secretPrefix = "mk_"

func allowed(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// reserved holds the words that are, or may become, routes of the HTTP
// listener. Both segments are held to it, so that a route may be added at
// either level without taking a name away from anyone.
var reserved = map[string]bool{
	"admin": true, "api": true, "assets": true, "chat": true, "debug": true,
	"healthz": true, "index": true, "metrics": true, "readyz": true, "static": true,
	"t": true, "whep": true, "whip": true,
}
