package chatstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	// exportRows is how many events Export reads at once.
	exportRows = 500
	// maxBroadcasts is how many Broadcasts lists.
	maxBroadcasts = 1000
)

// ErrNoDatabase means that what is to be read was not made by Open.
var ErrNoDatabase = errors.New("there is no chat database")

// Selection is what to export.
type Selection struct {
	Room string
	// From and To bound the time, To not included; zero is no bound.
	From, To time.Time
	// Broadcast is the only one; empty is all.
	Broadcast string
}

// Reader reads a database that a server may be writing to at the same time.
type Reader struct{ db *database }

// OpenReader opens the database that Open with the same Config has made. It
// begins no epoch and changes nothing. The error wraps ErrNoDatabase if nobody
// has made one there.
func OpenReader(ctx context.Context, c Config) (*Reader, error) {
	var db *database
	var err error
	switch {
	case c.DB != "":
		db, err = readPostgres(c.DB)
	case c.DataDir == "":
		err = errNoDir
	default:
		db, err = readSQLite(filepath.Join(c.DataDir, sqliteFile))
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", ErrNoDatabase, err)
	}
	if err != nil {
		return nil, err
	}
	if err = db.reader.PingContext(ctx); err == nil {
		err = db.check(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", db.name, err), db.close())
	}
	return &Reader{db}, nil
}

// Made returns an error that wraps ErrNoDatabase if Open with c would make the file
// of the database. It knows nothing of PostgreSQL's.
func (c Config) Made() error {
	if c.DB != "" || c.DataDir == "" {
		return nil
	}
	if _, err := os.Stat(filepath.Join(c.DataDir, sqliteFile)); err != nil {
		return fmt.Errorf("%w: %w", ErrNoDatabase, err)
	}
	return nil
}

// check looks for the tables.
func (d *database) check(ctx context.Context) error {
	var epoch int64
	if err := d.reader.QueryRowContext(ctx, `SELECT coalesce(max(epoch), 0) FROM chat_epochs`).Scan(&epoch); err != nil {
		return fmt.Errorf("%w that can be read: %w", ErrNoDatabase, err)
	}
	return nil
}

// Close closes the database.
func (r *Reader) Close() error { return r.db.close() }

// Export calls f with the events of a selection in their order, also those
// that are ExportOnly, without those that were deleted. It reads a little at
// a time, so that f may take as long as it wants; it ends with f's first error.
func (r *Reader) Export(ctx context.Context, x Selection, f func(Event) error) error {
	return r.db.export(ctx, x, f)
}

// Export is Reader's, of what has been committed.
func (s *Store) Export(ctx context.Context, x Selection, f func(Event) error) error {
	return s.db.export(ctx, x, f)
}

func (d *database) export(ctx context.Context, x Selection, f func(Event) error) error {
	last := Event{Epoch: math.MinInt64}
	for {
		page, more, err := d.page(ctx, x, &last)
		if err != nil {
			return fmt.Errorf("export %s: %w", x.Room, err)
		}
		for _, e := range page {
			if err := f(e); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
		last = page[len(page)-1]
	}
}

// page returns the events that follow one, and whether there may be more.
func (d *database) page(ctx context.Context, x Selection, after *Event) (events []Event, more bool, err error) {
	from, to := int64(math.MinInt64), int64(math.MaxInt64)
	if !x.From.IsZero() {
		from = x.From.UnixMilli()
	}
	if !x.To.IsZero() {
		to = x.To.UnixMilli()
	}
	err = d.snapshot(ctx, func(tx *sql.Tx) error {
		epoch, num, err := cleared(ctx, tx, x.Room)
		if err != nil {
			return err
		}
		if after.Epoch > epoch || after.Epoch == epoch && int64(after.Offset) > num {
			epoch, num = after.Epoch, int64(after.Offset)
		}
		query := `SELECT ` + eventColumns + ` FROM chat_events WHERE room = $1 AND (epoch, num) > ($2, $3) AND state < 2 AND at_ms >= $4 AND at_ms < $5`
		args := []any{x.Room, epoch, num, from, to, exportRows}
		if x.Broadcast != "" {
			query, args = query+` AND broadcast = $7`, append(args, x.Broadcast)
		}
		rows, err := tx.QueryContext(ctx, query+` ORDER BY epoch, num LIMIT $6`, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for size := 0; size < maxAnswer && rows.Next(); {
			e, err := scanEvent(rows)
			if err != nil {
				return err
			}
			events = append(events, e)
			if size += len(e.Body); size >= maxAnswer {
				more = true
			}
		}
		return rows.Err()
	})
	return events, more || len(events) == exportRows, err
}

// Broadcast is what is kept of one broadcast of a room.
type Broadcast struct {
	ID string
	// First and Last are when the first and the last of its events were.
	First, Last time.Time
	// Events is how many there are, Messages how many of them are messages.
	Events, Messages int
}

// Broadcasts returns the newest broadcasts of a room, a thousand at most, in
// the order of their beginnings. known is whether there is any event of the room.
func (r *Reader) Broadcasts(ctx context.Context, room string) (list []Broadcast, known bool, err error) {
	err = r.db.snapshot(ctx, func(tx *sql.Tx) error {
		epoch, num, err := cleared(ctx, tx, room)
		if err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, `
SELECT broadcast, min(at_ms), max(at_ms), count(*), count(*) FILTER (WHERE type = 'message')
FROM chat_events WHERE room = $1 AND (epoch, num) > ($2, $3) AND state < 2 GROUP BY broadcast ORDER BY 2 DESC LIMIT $4`,
			room, epoch, num, maxBroadcasts+1)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var b Broadcast
			var first, last int64
			if err := rows.Scan(&b.ID, &first, &last, &b.Events, &b.Messages); err != nil {
				return err
			}
			known = true
			if b.First, b.Last = time.UnixMilli(first).UTC(), time.UnixMilli(last).UTC(); b.ID != "" {
				list = append(list, b)
			}
		}
		return rows.Err()
	})
	if err != nil {
		return nil, false, fmt.Errorf("list the broadcasts of %s: %w", room, err)
	}
	list = list[:min(len(list), maxBroadcasts)]
	slices.Reverse(list)
	return list, known, nil
}
