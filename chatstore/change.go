package chatstore

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// change is something to be written. Changes are written in the order in which
// they came.
type change interface {
	// write carries the change out. ErrFull refuses this change alone; errMore
	// says that there is more of it to do, in a transaction of its own; any
	// other error undoes all of the batch.
	write(ctx context.Context, b *batch) error
	// light reports whether the change may be dropped when memory is full.
	light() bool
}

// batch is one transaction of changes. Events that follow each other are
// written together.
type batch struct {
	tx     *sql.Tx
	insert func(ctx context.Context, tx *sql.Tx, events []*Event) error
	events []*Event
	// sanctions is how many there may be, rows how many one change may change.
	sanctions, rows int
}

// errMore means that a change has so many rows that it takes several
// transactions: one that took longer than a commit may would never succeed.
var errMore = errors.New("there is more to do")

// exec runs a statement, after the events that came before it.
func (b *batch) exec(ctx context.Context, query string, args ...any) (rows int64, err error) {
	if err := b.flush(ctx); err != nil {
		return 0, err
	}
	r, err := b.tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func (b *batch) flush(ctx context.Context) error {
	if len(b.events) == 0 {
		return nil
	}
	err := b.insert(ctx, b.tx, b.events)
	clear(b.events)
	b.events = b.events[:0]
	return err
}

// The states of a row of chat_events.
const (
	stateShown = iota
	stateExportOnly
	stateDeleted
)

// The indexes are named in these words.
const (
	deleteMessageSQL = `UPDATE chat_events SET state = 2, body = $1 WHERE room || ' ' || id = $2 AND id = $3 AND id <> '' AND state < 2`
	deleteBySQL      = `UPDATE chat_events SET state = 2, body = $1 WHERE (room, epoch, num) IN
(SELECT room, epoch, num FROM chat_events WHERE user_id = $2 AND user_id <> '' AND ($3 = '' OR room = $3) AND state < 2 LIMIT $4)`
	unsweptSQL = `SELECT room, cleared_epoch, cleared_num FROM chat_rooms WHERE unswept = 1 LIMIT 1`
)

type appendEvent struct{ Event }

func (c *appendEvent) light() bool { return true }

func (c *appendEvent) write(_ context.Context, b *batch) error {
	b.events = append(b.events, &c.Event)
	return nil
}

func (e *Event) state() int64 {
	if e.ExportOnly {
		return stateExportOnly
	}
	return stateShown
}

type deleteMessage struct{ room, id string }

func (c *deleteMessage) light() bool { return false }

func (c *deleteMessage) write(ctx context.Context, b *batch) error {
	_, err := b.exec(ctx, deleteMessageSQL, []byte{}, c.room+" "+c.id, c.id)
	return err
}

// deleteBy deletes in all rooms if room is empty.
type deleteBy struct{ room, user string }

func (c *deleteBy) light() bool { return false }

func (c *deleteBy) write(ctx context.Context, b *batch) error {
	n, err := b.exec(ctx, deleteBySQL, []byte{}, c.user, c.room, b.rows)
	if err == nil && n == int64(b.rows) {
		return errMore
	}
	return err
}

// clearRoom takes one row, however many events it ends: readers begin after
// the newest of them, and they are deleted little by little (sweep).
type clearRoom struct{ room string }

func (c *clearRoom) light() bool { return false }

func (c *clearRoom) write(ctx context.Context, b *batch) error {
	_, err := b.exec(ctx, `
INSERT INTO chat_rooms (room, cleared_epoch, cleared_num, unswept)
SELECT room, epoch, num, 1 FROM (SELECT room, epoch, num FROM chat_events WHERE room = $1 ORDER BY epoch DESC, num DESC LIMIT 1) AS newest WHERE true
ON CONFLICT (room) DO UPDATE SET cleared_epoch = excluded.cleared_epoch, cleared_num = excluded.cleared_num, unswept = 1`, c.room)
	return err
}

type putSettings struct {
	room     string
	settings []byte
}

func (c *putSettings) light() bool { return false }

func (c *putSettings) write(ctx context.Context, b *batch) error {
	_, err := b.exec(ctx, `INSERT INTO chat_rooms (room, settings) VALUES ($1, $2) ON CONFLICT (room) DO UPDATE SET settings = excluded.settings`, c.room, c.settings)
	return err
}

type putSanction struct{ Sanction }

func (c *putSanction) light() bool { return false }

func (c *putSanction) write(ctx context.Context, b *batch) error {
	k := c.key()
	n, err := b.exec(ctx, `
INSERT INTO chat_sanctions (kind, room, user_id, network, until_ms, reason, actor, at_ms)
SELECT s.* FROM (SELECT CAST($1 AS SMALLINT) AS kind, CAST($2 AS TEXT) AS room, CAST($3 AS TEXT) AS user_id, CAST($4 AS TEXT) AS network,
                        CAST($5 AS BIGINT) AS until_ms, CAST($6 AS TEXT) AS reason, CAST($7 AS TEXT) AS actor, CAST($8 AS BIGINT) AS at_ms) AS s
WHERE (SELECT count(*) FROM chat_sanctions) < $9
   OR EXISTS (SELECT 1 FROM chat_sanctions AS o WHERE o.kind = s.kind AND o.room = s.room AND o.user_id = s.user_id AND o.network = s.network)
ON CONFLICT (kind, room, user_id, network) DO UPDATE
SET until_ms = excluded.until_ms, reason = excluded.reason, actor = excluded.actor, at_ms = excluded.at_ms`,
		int64(k.kind), k.room, k.user, k.network, unixMilli(c.Until), c.Reason, c.Actor, c.At.UnixMilli(), int64(b.sanctions))
	if err == nil && n == 0 {
		return ErrFull
	}
	return err
}

type removeSanction struct{ key }

func (c *removeSanction) light() bool { return false }

func (c *removeSanction) write(ctx context.Context, b *batch) error {
	_, err := b.exec(ctx, `DELETE FROM chat_sanctions WHERE kind = $1 AND room = $2 AND user_id = $3 AND network = $4`, int64(c.kind), c.room, c.user, c.network)
	return err
}

type audit struct{ AuditEntry }

func (c *audit) light() bool { return true }

func (c *audit) write(ctx context.Context, b *batch) error {
	_, err := b.exec(ctx, `INSERT INTO chat_audit (at_ms, room, actor, act, target, detail) VALUES ($1, $2, $3, $4, $5, $6)`,
		c.At.UnixMilli(), c.Room, c.Actor, c.Act, c.Target, c.Detail)
	return err
}

// Append keeps an event. Like every change it returns at once: changes are
// written in batches, at most 50 ms after they came while the database keeps
// up, and in the order in which they came.
//
// done, unless it is nil, is called once, from a goroutine of the Store, in
// the order of the changes: with nil when the change was committed, or with an
// error that wraps ErrNotDurable, ErrInvalid or ErrFull. After Close it is
// called before Append returns, with ErrClosed. It must return soon and not
// call Close; it may call Append.
func (s *Store) Append(e Event, done func(error)) {
	e.At = atMilli(e.At)
	s.push(&appendEvent{e}, e.size(), done, e.check())
}

// DeleteMessage takes the event of an ID out of History and Export, body and
// all.
func (s *Store) DeleteMessage(room, id string, done func(error)) {
	s.push(&deleteMessage{room, id}, len(room)+len(id), done, checkTexts(MaxText, room, id))
}

// DeleteBy deletes all events of a user in a room, or in all rooms if room is
// empty, as DeleteMessage does.
func (s *Store) DeleteBy(room, user string, done func(error)) {
	s.push(&deleteBy{room, user}, len(room)+len(user), done, checkTexts(MaxText, room, user))
}

// Clear deletes all events of a room. Sent forgets them, too.
func (s *Store) Clear(room string, done func(error)) {
	s.push(&clearRoom{room}, len(room), done, checkTexts(MaxText, room))
}

// PutSettings keeps a room's settings in place of what it had.
func (s *Store) PutSettings(room string, settings []byte, done func(error)) {
	if settings == nil {
		settings = []byte{}
	}
	s.push(&putSettings{room, settings}, len(room)+len(settings), done, errors.Join(checkTexts(MaxText, room), checkBody(settings)))
}

// PutSanction keeps a ban or a mute.
func (s *Store) PutSanction(x Sanction, done func(error)) {
	x.At = atMilli(x.At)
	if !x.Until.IsZero() {
		x.Until = atMilli(x.Until)
	}
	s.push(&putSanction{x}, eventOverhead+len(x.Room)+len(x.Subject.User)+len(x.Reason)+len(x.Actor), done, x.check())
}

// RemoveSanction ends a ban or a mute before its time; there may be none.
func (s *Store) RemoveSanction(kind SanctionKind, room string, subject Subject, done func(error)) {
	x := Sanction{Kind: kind, Room: room, Subject: subject}
	s.push(&removeSanction{x.key()}, eventOverhead, done, x.check())
}

// Audit keeps a line of the audit. An At of zero is now.
func (s *Store) Audit(a AuditEntry, done func(error)) {
	if a.At.IsZero() {
		a.At = time.Now()
	}
	a.At = atMilli(a.At)
	s.push(&audit{a}, eventOverhead+len(a.Room)+len(a.Actor)+len(a.Act)+len(a.Target)+len(a.Detail), done, a.check())
}

func (s *Store) push(what change, size int, done func(error), err error) {
	if !s.queue.push(what, size, done, err) && done != nil {
		done(ErrClosed)
	}
}
