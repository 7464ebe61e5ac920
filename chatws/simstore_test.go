package chatws

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// truth is an event as it happened.
type truth struct {
	StoredEvent
	deleted bool // nobody may get it any more
	kept    bool // in the database
	lost    bool // by a crash
}

func (e *truth) isMessage() bool { return e.Type == "message" }

// storeMode is how the database of a simulation is.
type storeMode int

const (
	storeWell   storeMode = iota
	storeFails            // changes wait in memory, and are told to
	storeHangs            // nobody is told anything
	storeSilent           // reads do not answer either
)

// simStore is a database that fails for a while, as chatstore does, and at the
// same time who knows everything that happened: rooms give it their events in
// their order.
type simStore struct {
	t      testing.TB
	random *rand.Rand
	wall   func() time.Time

	mu       sync.Mutex
	mode     storeMode
	epoch    int64
	pending  []simChange
	armed    bool
	told     int // of pending
	rooms    map[string]*simRoom
	ids      map[string]bool
	settings map[string][]byte
	onDisk   map[string][]byte

	sanctions, sanctionsOnDisk map[sanctionKey]Sanction
	audits                     int

	// spoke is when users spoke last in slow mode, changed when that of a room
	// changed.
	spoke, changed map[string]time.Time
}

// simRoom is all that ever happened in a room.
type simRoom struct {
	events []*truth
	// log is what the room has in memory or had, floor where it began: what
	// was loaded and all after that.
	log   []*truth
	floor Position
	next  uint64 // offset, 0 if it was just loaded
	// unsure is that nothing was loaded: what was before is not known, and who
	// asks for it may get a gap.
	unsure bool
	kept   kept // as the room has it
	// blind is that the store did not answer once.
	blind bool
}

// simChange is a change that is not on disk. done may be nil.
type simChange struct {
	apply func()
	done  func(error)
}

var _ Store = (*simStore)(nil)

func newSimStore(t testing.TB, random *rand.Rand, wall func() time.Time) *simStore {
	return &simStore{
		spoke: map[string]time.Time{}, changed: map[string]time.Time{},
		t: t, random: random, wall: wall, epoch: wall().UnixMilli(), rooms: map[string]*simRoom{}, ids: map[string]bool{},
		settings: map[string][]byte{}, onDisk: map[string][]byte{}, sanctions: map[sanctionKey]Sanction{}, sanctionsOnDisk: map[sanctionKey]Sanction{},
	}
}

func (k *simStore) room(name string) *simRoom {
	r := k.rooms[name]
	if r == nil {
		r = &simRoom{}
		k.rooms[name] = r
	}
	return r
}

// change queues a change under the lock and sees that it is written.
func (k *simStore) change(c simChange) {
	k.pending = append(k.pending, c)
	if !k.armed && k.mode <= storeFails {
		k.armed = true
		time.AfterFunc(time.Duration(k.random.IntN(50))*time.Millisecond, k.flush)
	}
}

// flush writes what waits, or tells that it cannot.
func (k *simStore) flush() {
	k.mu.Lock()
	k.armed = false
	var tell []func(error)
	var err error
	switch k.mode {
	case storeFails:
		err = ErrNotDurable
		for _, c := range k.pending[k.told:] {
			tell = append(tell, c.done)
		}
		k.told = len(k.pending)
	case storeWell:
		for i, c := range k.pending {
			c.apply()
			if i >= k.told {
				tell = append(tell, c.done)
			}
		}
		k.pending, k.told = nil, 0
	}
	k.mu.Unlock()
	for _, done := range tell {
		if done != nil {
			done(err)
		}
	}
}

func (k *simStore) setMode(m storeMode) {
	k.mu.Lock()
	k.mode = m
	k.mu.Unlock()
	k.flush()
}

// restart begins an epoch with what is on disk.
func (k *simStore) restart() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pending, k.told, k.mode = nil, 0, storeWell
	k.epoch = max(k.epoch+1, k.wall().UnixMilli())
	for _, r := range k.rooms {
		for _, e := range r.events {
			e.lost = e.lost || !e.kept && !e.deleted
		}
	}
	k.settings, k.spoke = map[string][]byte{}, map[string]time.Time{}
	for room, b := range k.onDisk {
		k.settings[room] = b
	}
	k.sanctions = map[sanctionKey]Sanction{}
	for key, x := range k.sanctionsOnDisk {
		k.sanctions[key] = x
	}
}

func (k *simStore) Epoch() int64 { return k.epoch }

func (k *simStore) Append(e StoredEvent, done func(error)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := k.room(e.Room)
	if n := len(r.events); n > 0 && !r.events[n-1].before(e.Position) {
		k.t.Errorf("%v after %v in %s", e.Position, r.events[n-1].Position, e.Room)
	}
	if r.next != 0 && r.next != e.Offset || e.Epoch != k.epoch {
		k.t.Errorf("%v is not next in %s", e.Position, e.Room)
	}
	r.next = e.Offset + 1
	if isShown(e.Type) { // others are named after what they show
		if k.ids[e.Room+e.ID] {
			k.t.Errorf("the name %s again", e.ID)
		}
		k.ids[e.Room+e.ID] = true
	}
	x := &truth{StoredEvent: e}
	if r.kept.Settings.Slow > 0 && x.isMessage() {
		k.spoke[e.Room+e.User] = time.Now()
	}
	r.events, r.log = append(r.events, x), append(r.log, x)
	k.change(simChange{apply: func() { x.kept = true }, done: done})
}

// remove deletes events, at once.
func (k *simStore) remove(room string, match func(*truth) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range k.room(room).events {
		e.deleted = e.deleted || e.ID != "" && match(e)
	}
}

func (k *simStore) DeleteMessage(room, id string) {
	k.remove(room, func(e *truth) bool { return e.ID == id })
}

func (k *simStore) DeleteBy(room, user string) {
	k.remove(room, func(e *truth) bool { return e.User == user })
}

func (k *simStore) Clear(room string) {
	k.remove(room, func(*truth) bool { return true })
}

// answers waits as long as the database does.
func (k *simStore) answers(ctx context.Context) error {
	k.mu.Lock()
	silent := k.mode == storeSilent
	k.mu.Unlock()
	if !silent {
		return nil
	}
	<-ctx.Done()
	return fmt.Errorf("no answer: %w", ctx.Err())
}

// History also notes what the room begins with.
func (k *simStore) History(ctx context.Context, room string, n int) ([]StoredEvent, error) {
	err := k.answers(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	r := k.room(room)
	r.log, r.next, r.unsure = nil, 0, true
	if err != nil {
		r.blind = true
		return nil, err
	}
	for _, e := range r.events {
		if !e.ExportOnly && !e.deleted && !e.lost {
			r.log = append(r.log, e)
		}
	}
	r.log = slices.Clone(r.log[max(0, len(r.log)-n):])
	var all []StoredEvent
	for _, e := range r.log {
		all = append(all, e.StoredEvent)
	}
	if len(all) > 0 {
		r.unsure, r.floor = false, Position{all[0].Epoch, all[0].Offset - 1}
	}
	return all, nil
}

func (k *simStore) Sent(ctx context.Context, room string, n int) ([]SentMessage, error) {
	if err := k.answers(ctx); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []SentMessage
	for _, e := range slices.Backward(k.room(room).events) {
		if e.ClientID != "" && !e.lost && len(all) < n {
			all = append(all, SentMessage{e.Position, e.User, e.ClientID, e.ID})
		}
	}
	return all, nil
}

func (k *simStore) PutSettings(room string, b []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.settings[room] = b
	was := k.room(room).kept.Settings.Slow
	k.room(room).kept = k.decode(b)
	if was != k.room(room).kept.Settings.Slow {
		k.changed[room] = time.Now()
	}
	k.change(simChange{apply: func() { k.onDisk[room] = b }})
}

func (k *simStore) Settings(ctx context.Context, room string) ([]byte, error) {
	err := k.answers(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		k.room(room).kept = k.decode(nil)
		return nil, err
	}
	k.room(room).kept = k.decode(k.settings[room])
	return k.settings[room], nil
}

func (k *simStore) decode(b []byte) kept {
	x := kept{Settings: Settings{Links: LinksAll}}
	if b != nil {
		if err := json.Unmarshal(b, &x); err != nil {
			k.t.Error(err)
		}
	}
	return x
}

// settingsOf are those that a room must have.
func (k *simStore) settingsOf(room string) kept {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.room(room).kept
}

func (k *simStore) PutSanction(s Sanction) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sanctions[s.key()] = s
	k.change(simChange{apply: func() { k.sanctionsOnDisk[s.key()] = s }})
}

func (k *simStore) RemoveSanction(s Sanction) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.sanctions, s.key())
	k.change(simChange{apply: func() { delete(k.sanctionsOnDisk, s.key()) }})
}

func (k *simStore) Sanctions(context.Context) ([]Sanction, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []Sanction
	for _, s := range k.sanctions {
		all = append(all, s)
	}
	return all, nil
}

// under reports whether a sanction of a kind is on a person.
func (k *simStore) under(kind SanctionKind, p *person) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.sanctions {
		switch {
		case s.Kind != kind || s.Room != p.room && s.Room != "" || s.over(k.wall()) || p.role == "host":
		case s.User == p.id, s.User == "" && s.Network.Contains(p.address) && p.role != "moderator":
			return true
		}
	}
	return false
}

func (k *simStore) Audit(AuditEntry) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.audits++
}

// said returns what a user's message of a client's ID is, nil if there is none.
func (k *simStore) said(room, user, clientID string) *truth {
	k.mu.Lock()
	defer k.mu.Unlock()
	var found *truth
	for _, e := range k.room(room).events {
		if !e.lost && e.User == user && e.ClientID == clientID && e.isMessage() {
			if found != nil && !k.room(room).blind {
				k.t.Errorf("%s said %s twice", user, clientID)
			}
			found = e
		}
	}
	return found
}

// slow says what slow mode has of a message now: the error code or "", "?" if
// one or the other.
func (k *simStore) slow(p *person) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	slow := time.Duration(k.room(p.room).kept.Settings.Slow) * time.Millisecond
	spoke, ok := k.spoke[p.room+p.id]
	switch {
	case slow == 0 || !ok:
		return ""
	case !spoke.After(k.changed[p.room]) && time.Since(spoke) < slow: // it may be forgotten
		return "?"
	case time.Since(spoke) < slow:
		return string(CodeSlow)
	}
	return ""
}

// at returns the event of a position.
func (k *simStore) at(room string, p Position) *truth {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range slices.Backward(k.room(room).events) {
		if e.Position == p {
			return e
		}
	}
	return nil
}

// replay returns what who joins a room at a position is to get: its newest
// messages, or all after another position.
func (k *simStore) replay(room string, at Position, most, history int, resume *Position) (events []*truth, gap GapReason, unsure bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := k.room(room)
	log := r.log
	for len(log) > 0 && at.before(log[len(log)-1].Position) {
		log = log[:len(log)-1]
	}
	floor := r.floor
	if r.unsure {
		floor = Position{}
	}
	if over := len(log) - most; over > 0 {
		floor = log[over-1].Position
		log = log[over:]
	}
	switch {
	case resume == nil:
	case at.before(*resume):
		gap = GapUnknown
	case resume.before(floor):
		gap = GapOld
	default:
		for _, e := range log {
			if resume.before(e.Position) && !e.deleted {
				events = append(events, e)
			}
		}
		return events, "", r.unsure
	}
	for _, e := range slices.Backward(log) {
		if len(events) < history && isShown(e.Type) && !e.deleted {
			events = append(events, e)
		}
	}
	slices.Reverse(events)
	return events, gap, false
}
