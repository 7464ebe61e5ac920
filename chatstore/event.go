package chatstore

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of what is kept.
const (
	// MaxText is the longest of any text but Reason and Detail, in bytes.
	MaxText = 256
	// MaxDetail is the longest Reason or Detail, in bytes.
	MaxDetail = 2048
	// MaxBody is the longest body of an event and the largest settings of a
	// room, in bytes.
	MaxBody = 64 << 10
	// MaxSanctions is how many bans and mutes there may be over all rooms,
	// since a server holds all of them in memory.
	MaxSanctions = 100_000
	// MaxHistory and MaxAudit are the most rows of one answer.
	MaxHistory = 1000
	MaxAudit   = 10_000
)

var (
	// ErrNotDurable means that a change took place and will be written if the
	// database comes back before memory is full or the server ends, but that
	// it is in no file now.
	ErrNotDurable = errors.New("not kept: the database fails")
	// ErrInvalid means that a change was refused for what it holds: a text too
	// long or not UTF-8, a room without a name.
	ErrInvalid = errors.New("cannot be kept")
	// ErrFull means that there are MaxSanctions sanctions.
	ErrFull = errors.New("too many sanctions")
	// ErrClosed means that a change came after Close.
	ErrClosed = errors.New("the store is closed")
)

// Event is one event of a room. Room, Epoch and Offset together name it.
type Event struct {
	Room string
	// Broadcast names the broadcast that the event belongs to; empty if the
	// stream was not live.
	Broadcast string
	// Epoch is the Store's, of the start that the event came in; Offset
	// numbers the events of a room within it, at most math.MaxInt64.
	Epoch  int64
	Offset uint64
	// ID names the event for DeleteMessage; empty if nobody will delete it.
	ID string
	// ClientID is what the sender's client called it, for Sent; may be empty.
	ClientID string
	Type     string
	// UserID and Address are the sender's; empty if there is none.
	UserID, Address string
	// At is the wall clock, kept in milliseconds.
	At time.Time
	// MediaTime is the stream's time in milliseconds, -1 if unknown.
	MediaTime int64
	// Body is the event as members get it. It must not be written to any more.
	Body []byte
	// ExportOnly keeps the event out of History: it is for Export alone.
	ExportOnly bool
}

func (e *Event) size() int {
	return eventOverhead + len(e.Room) + len(e.Broadcast) + len(e.ID) + len(e.ClientID) + len(e.Type) + len(e.UserID) + len(e.Address) + len(e.Body)
}

func (e *Event) check() error {
	if e.Room == "" {
		return fmt.Errorf("an event without a room: %w", ErrInvalid)
	}
	if e.Offset > math.MaxInt64 {
		return fmt.Errorf("offset %d: %w", e.Offset, ErrInvalid)
	}
	return errors.Join(checkBody(e.Body), checkTexts(MaxText, e.Room, e.Broadcast, e.ID, e.ClientID, e.Type, e.UserID, e.Address))
}

// SanctionKind is what a sanction forbids.
type SanctionKind uint8

// The kinds.
const (
	Ban SanctionKind = iota + 1
	Mute
)

// String returns the kind's name.
func (k SanctionKind) String() string {
	switch k {
	case Ban:
		return "ban"
	case Mute:
		return "mute"
	}
	return "unknown"
}

// Subject is whom a sanction is for: exactly one of User and Network is set.
type Subject struct {
	User string
	// Network holds one address or many.
	Network netip.Prefix
}

// Sanction is a ban or a mute. Kind, Room and Subject together name it: a
// second one replaces the first.
type Sanction struct {
	Kind SanctionKind
	// Room is empty for all rooms.
	Room    string
	Subject Subject
	// Until is when it ends, kept in milliseconds; zero is never.
	Until time.Time
	// Reason is for people; Actor is who imposed it, At when.
	Reason, Actor string
	At            time.Time
}

// key is what names a sanction.
type key struct {
	kind                SanctionKind
	room, user, network string
}

func (s *Sanction) key() key {
	network := ""
	if s.Subject.Network.IsValid() {
		network = s.Subject.Network.Masked().String()
	}
	return key{s.Kind, s.Room, s.Subject.User, network}
}

func (s *Sanction) check() error {
	if s.Kind != Ban && s.Kind != Mute {
		return fmt.Errorf("a sanction of the kind %d: %w", s.Kind, ErrInvalid)
	}
	if (s.Subject.User != "") == s.Subject.Network.IsValid() {
		return fmt.Errorf("a sanction is for a user or for a network: %w", ErrInvalid)
	}
	return errors.Join(checkTexts(MaxText, s.Room, s.Subject.User, s.Actor), checkTexts(MaxDetail, s.Reason))
}

// expired reports whether s has ended at the Unix time now, in milliseconds.
func (s *Sanction) expired(now int64) bool {
	return !s.Until.IsZero() && s.Until.UnixMilli() <= now
}

// AuditEntry says who did what to whom in a room.
type AuditEntry struct {
	// At is the wall clock, kept in milliseconds.
	At time.Time
	// Room is empty for what concerns all rooms.
	Room string
	// Actor acted; Act is what, in one word; Target is the user, address or
	// message; Detail is the rest.
	Actor, Act, Target, Detail string
}

func (a *AuditEntry) check() error {
	return errors.Join(checkTexts(MaxText, a.Room, a.Actor, a.Act, a.Target), checkTexts(MaxDetail, a.Detail))
}

// checkTexts refuses what PostgreSQL would refuse: a change that no database
// takes must not stand in the way of all that come after it.
func checkTexts(longest int, texts ...string) error {
	for _, s := range texts {
		if len(s) > longest {
			return fmt.Errorf("a text of %d bytes, %d are allowed: %w", len(s), longest, ErrInvalid)
		}
		if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
			return fmt.Errorf("the text %.40q: %w", s, ErrInvalid)
		}
	}
	return nil
}

func checkBody(b []byte) error {
	if len(b) > MaxBody {
		return fmt.Errorf("%d bytes, %d are allowed: %w", len(b), MaxBody, ErrInvalid)
	}
	return nil
}

// unixMilli is the kept form of a time whose zero means never.
func unixMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// atMilli is what is left of a time that is kept.
func atMilli(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()).UTC() }

func fromMilli(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
