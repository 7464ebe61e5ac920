package chatws

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"
)

// ErrNotDurable is wrapped by what a Store says of an event that it could not
// keep.
var ErrNotDurable = errors.New("not kept")

// Store keeps what rooms must not forget. Changes return at once and are made
// in their order; what comes of them the Store logs itself. Room is a key like
// live/alice, or empty for all rooms.
type Store interface {
	// Epoch is a number higher than at every start before.
	Epoch() int64
	// Append keeps an event. done is called once, at any time and by any
	// goroutine, before Append returns too: with nil when the event is kept. It
	// returns at once.
	Append(e StoredEvent, done func(error))
	// DeleteMessage, DeleteBy and Clear take events out of what is kept.
	DeleteMessage(room, id string)
	DeleteBy(room, user string)
	Clear(room string)
	// History returns the newest n events, oldest first, without those deleted.
	History(ctx context.Context, room string, n int) ([]StoredEvent, error)
	// Sent returns the newest n messages of which the clients' IDs are known,
	// deleted ones too, in any order.
	Sent(ctx context.Context, room string, n int) ([]SentMessage, error)
	// PutSettings keeps a room's settings, Settings returns them; nil if there
	// are none.
	PutSettings(room string, settings []byte)
	Settings(ctx context.Context, room string) ([]byte, error)
	// PutSanction keeps a sanction in place of that of the same kind, room and
	// subject; RemoveSanction ends one; Sanctions returns all.
	PutSanction(s Sanction)
	RemoveSanction(s Sanction)
	Sanctions(ctx context.Context) ([]Sanction, error)
	// Audit keeps a line of who did what.
	Audit(e AuditEntry)
}

// StoredEvent is an event as a Store keeps it.
type StoredEvent struct {
	Room string
	Position
	// Broadcast names the stream's broadcast; 0: it was not live.
	Broadcast int64
	// ID and ClientID are empty for what is no message.
	ID, ClientID string
	Type         string
	// User and Address are the sender's; empty if there is none.
	User, Address string
	At            time.Time
	// MediaTime is the stream's time in milliseconds, -1 if it is not known.
	MediaTime int64
	// Body is the event's JSON.
	Body []byte
	// ExportOnly keeps it out of History.
	ExportOnly bool
}

// SentMessage says that a message was sent.
type SentMessage struct {
	Position
	User, ClientID, ID string
}

// Sanction is a mute or a ban.
type Sanction struct {
	Kind SanctionKind
	Room string
	// User or Network is who it is for.
	User    string
	Network netip.Prefix
	// Name is what the user was called; not kept.
	Name string
	// Until is when it ends; zero is never.
	Until      time.Time
	Reason, By string
	At         time.Time
}

// AuditEntry says who did what to whom.
type AuditEntry struct {
	At                               time.Time
	Room, Actor, Act, Target, Detail string
}

// maxMemorySettings bounds the rooms whose settings are kept in memory.
const maxMemorySettings = 100000

// memoryStore keeps settings as long as the process lives. Sanctions and
// histories are in memory anyway.
type memoryStore struct {
	epoch int64

	mu       sync.Mutex
	settings map[string][]byte
}

// NewMemoryStore returns a Store that forgets everything when the process
// ends, and rooms' histories when these end. Its epoch is the wall clock.
func NewMemoryStore() Store {
	return &memoryStore{epoch: time.Now().UnixMilli(), settings: map[string][]byte{}}
}

var _ Store = (*memoryStore)(nil)

// Epoch implements Store.
func (m *memoryStore) Epoch() int64 { return m.epoch }

// Append implements Store.
func (*memoryStore) Append(_ StoredEvent, done func(error)) {
	if done != nil {
		done(nil)
	}
}

// DeleteMessage implements Store.
func (*memoryStore) DeleteMessage(string, string) {}

// DeleteBy implements Store.
func (*memoryStore) DeleteBy(string, string) {}

// Clear implements Store.
func (*memoryStore) Clear(string) {}

// History implements Store.
func (*memoryStore) History(context.Context, string, int) ([]StoredEvent, error) { return nil, nil }

// Sent implements Store.
func (*memoryStore) Sent(context.Context, string, int) ([]SentMessage, error) { return nil, nil }

// PutSettings implements Store.
func (m *memoryStore) PutSettings(room string, settings []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.settings[room]; ok || len(m.settings) < maxMemorySettings {
		m.settings[room] = settings
	}
}

// Settings implements Store.
func (m *memoryStore) Settings(_ context.Context, room string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.settings[room], nil
}

// PutSanction implements Store.
func (*memoryStore) PutSanction(Sanction) {}

// RemoveSanction implements Store.
func (*memoryStore) RemoveSanction(Sanction) {}

// Sanctions implements Store.
func (*memoryStore) Sanctions(context.Context) ([]Sanction, error) { return nil, nil }

// Audit implements Store.
func (*memoryStore) Audit(AuditEntry) {}
