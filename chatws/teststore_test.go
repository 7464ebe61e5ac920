package chatws

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// keepingStore keeps everything in a test, over servers.
type keepingStore struct {
	mu        sync.Mutex
	epoch     int64
	events    []StoredEvent
	settings  map[string][]byte
	sanctions map[sanctionKey]Sanction
	audit     []AuditEntry

	// hold keeps done calls back until release.
	hold    bool
	waiting []func(error)
	failing error
}

var _ Store = (*keepingStore)(nil)

func newKeepingStore() *keepingStore {
	return &keepingStore{epoch: 1000, settings: map[string][]byte{}, sanctions: map[sanctionKey]Sanction{}}
}

// restart is what another start of the server does.
func (k *keepingStore) restart() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.epoch++
}

func (k *keepingStore) release(err error) {
	k.mu.Lock()
	waiting := k.waiting
	k.waiting, k.hold = nil, false
	k.mu.Unlock()
	for _, f := range waiting {
		f(err)
	}
}

func (k *keepingStore) Epoch() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.epoch
}

func (k *keepingStore) Append(e StoredEvent, done func(error)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.failing == nil {
		k.events = append(k.events, e)
	}
	switch {
	case done == nil:
	case k.hold:
		k.waiting = append(k.waiting, done)
	default:
		done(k.failing)
	}
}

func (k *keepingStore) drop(f func(StoredEvent) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.events = slices.DeleteFunc(k.events, f)
}

func (k *keepingStore) DeleteMessage(room, id string) {
	k.drop(func(e StoredEvent) bool { return e.Room == room && e.ID == id })
}

func (k *keepingStore) DeleteBy(room, user string) {
	k.drop(func(e StoredEvent) bool { return e.Room == room && e.User == user })
}

func (k *keepingStore) Clear(room string) {
	k.drop(func(e StoredEvent) bool { return e.Room == room })
}

func (k *keepingStore) History(_ context.Context, room string, n int) ([]StoredEvent, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []StoredEvent
	for _, e := range k.events {
		if e.Room == room && !e.ExportOnly {
			all = append(all, e)
		}
	}
	return all[max(0, len(all)-n):], nil
}

func (k *keepingStore) Sent(_ context.Context, room string, n int) ([]SentMessage, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []SentMessage
	for _, e := range k.events {
		if e.Room == room && e.ClientID != "" && len(all) < n {
			all = append(all, SentMessage{e.Position, e.User, e.ClientID, e.ID})
		}
	}
	return all, nil
}

func (k *keepingStore) PutSettings(room string, b []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.settings[room] = b
}

func (k *keepingStore) Settings(_ context.Context, room string) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if room == "live/unreadable" {
		return nil, errors.New("the disk is gone")
	}
	return k.settings[room], nil
}

func (k *keepingStore) PutSanction(s Sanction) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sanctions[s.key()] = s
}

func (k *keepingStore) RemoveSanction(s Sanction) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.sanctions, s.key())
}

func (k *keepingStore) Sanctions(context.Context) ([]Sanction, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []Sanction
	for _, s := range k.sanctions {
		all = append(all, s)
	}
	return all, nil
}

func (k *keepingStore) Audit(e AuditEntry) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.audit = append(k.audit, e)
}

// acts are those of the audit.
func (k *keepingStore) acts() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []string
	for _, e := range k.audit {
		all = append(all, e.Act)
	}
	return all
}
