package chatstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	// readTimeout bounds a question to the database; the longest answer, of
	// MaxSanctions, takes half a second.
	readTimeout = 10 * time.Second
	// maxAnswer bounds the bodies of one answer, in bytes.
	maxAnswer = 8 << 20
)

// read asks the database, and returns the changes that match and that the
// answer does not know of yet: what memory holds and what the database holds
// together make one consistent state, while it fails and in the moment before
// a commit alike.
//
// What waits is looked at first. What of it is committed until the database
// is asked is left out by the number of the last change, which is read in the
// same transaction.
func (s *Store) read(ctx context.Context, match func(change) bool, ask func(context.Context, *sql.Tx) error) (pending []op, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	pending = s.queue.pending(match)
	var applied uint64
	err = s.db.snapshot(ctx, func(tx *sql.Tx) error {
		if len(pending) > 0 {
			err := tx.QueryRowContext(ctx, `SELECT applied FROM chat_epochs WHERE epoch = $1`, s.epoch).Scan(&applied)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
		}
		return ask(ctx, tx)
	})
	if err != nil {
		return pending, fmt.Errorf("read the chat database: %w", err)
	}
	return slices.DeleteFunc(pending, func(o op) bool { return o.n <= applied }), nil
}

// snapshot asks in a transaction that sees one state of the database.
func (d *database) snapshot(ctx context.Context, ask func(*sql.Tx) error) error {
	tx, err := d.reader.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	return ask(tx)
}

// History returns the newest n events of a room, at most MaxHistory and 8 MiB
// of bodies, oldest first, without those that were deleted or are ExportOnly. It
// may be fewer while a deletion is not written yet. When the database fails it returns what memory holds, and the error.
func (s *Store) History(ctx context.Context, room string, n int) ([]Event, error) {
	n = min(n, MaxHistory)
	if n <= 0 {
		return nil, nil
	}
	var events []Event
	pending, err := s.read(ctx, concerns(room), func(ctx context.Context, tx *sql.Tx) (err error) {
		events, err = newest(ctx, tx, room, n)
		return err
	})
	if err != nil {
		events = nil
	}
	for _, o := range pending {
		events = overlay(events, o.what)
	}
	return slices.Clip(events[max(0, len(events)-n):]), err
}

// concerns matches what changes the events of a room.
func concerns(room string) func(change) bool {
	return func(c change) bool {
		switch c := c.(type) {
		case *appendEvent:
			return c.Room == room
		case *deleteMessage:
			return c.room == room
		case *deleteBy:
			return c.room == room || c.room == ""
		case *clearRoom:
			return c.room == room
		}
		return false
	}
}

// overlay does to events what c will do to the database.
func overlay(events []Event, c change) []Event {
	switch c := c.(type) {
	case *appendEvent:
		if !c.ExportOnly {
			return append(events, c.Event)
		}
	case *deleteMessage:
		return slices.DeleteFunc(events, func(e Event) bool { return e.ID == c.id && c.id != "" })
	case *deleteBy:
		return slices.DeleteFunc(events, func(e Event) bool { return e.UserID == c.user && c.user != "" })
	case *clearRoom:
		return nil
	}
	return events
}

// newest returns a room's newest n events, oldest first.
func newest(ctx context.Context, tx *sql.Tx, room string, n int) ([]Event, error) {
	epoch, num, err := cleared(ctx, tx, room)
	if err != nil {
		return nil, err
	}
	rows, err := tx.QueryContext(ctx, `SELECT `+eventColumns+` FROM chat_events WHERE room = $1 AND (epoch, num) > ($2, $3) AND state = 0 ORDER BY epoch DESC, num DESC LIMIT $4`,
		room, epoch, num, n)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var events []Event
	size := 0
	for rows.Next() {
		e, err := scanEvent(rows)
		if err != nil {
			return nil, err
		}
		if size += len(e.Body); size > maxAnswer {
			break
		}
		events = append(events, e)
	}
	slices.Reverse(events)
	return events, rows.Err()
}

// cleared returns the event up to which a room was cleared.
func cleared(ctx context.Context, tx *sql.Tx, room string) (epoch, num int64, err error) {
	err = tx.QueryRowContext(ctx, `SELECT cleared_epoch, cleared_num FROM chat_rooms WHERE room = $1`, room).Scan(&epoch, &num)
	if errors.Is(err, sql.ErrNoRows) {
		err, num = nil, -1
	}
	return epoch, num, err
}

func scanEvent(rows *sql.Rows) (e Event, err error) {
	var state, offset, at int64
	err = rows.Scan(&e.Room, &e.Epoch, &offset, &state, &e.Broadcast, &e.ID, &e.ClientID, &e.Type, &e.UserID, &e.Address, &at, &e.MediaTime, &e.Body)
	e.Offset, e.At, e.ExportOnly = uint64(offset), time.UnixMilli(at).UTC(), state == stateExportOnly
	return e, err
}

// Sent says that a client has sent something.
type Sent struct {
	UserID, ClientID, ID string
	Epoch                int64
	Offset               uint64
}

// Sent returns the newest n events of a room, at most MaxHistory, that have a
// ClientID, newest first: those of messages that were deleted, too. When the
// database fails it returns what memory holds, and the error.
func (s *Store) Sent(ctx context.Context, room string, n int) ([]Sent, error) {
	n = min(n, MaxHistory)
	if n <= 0 {
		return nil, nil
	}
	var stored []Sent
	pending, err := s.read(ctx, concerns(room), func(ctx context.Context, tx *sql.Tx) error {
		epoch, num, err := cleared(ctx, tx, room)
		if err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, `SELECT user_id, client_id, id, epoch, num FROM chat_events WHERE room = $1 AND (epoch, num) > ($2, $3) AND client_id <> '' ORDER BY epoch DESC, num DESC LIMIT $4`,
			room, epoch, num, n)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var x Sent
			var num int64
			if err := rows.Scan(&x.UserID, &x.ClientID, &x.ID, &x.Epoch, &num); err != nil {
				return err
			}
			x.Offset = uint64(num)
			stored = append(stored, x)
		}
		return rows.Err()
	})
	if err != nil {
		stored = nil
	}
	var fresh []Sent
	for _, o := range pending {
		switch c := o.what.(type) {
		case *appendEvent:
			if c.ClientID != "" {
				fresh = append(fresh, Sent{c.UserID, c.ClientID, c.ID, c.Epoch, c.Offset})
			}
		case *clearRoom:
			fresh, stored = nil, nil
		}
	}
	slices.Reverse(fresh)
	fresh = append(fresh, stored...)
	return fresh[:min(n, len(fresh))], err
}
