package chatstore

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"path/filepath"
	"time"
)

// exportRows is how many events Export reads at once.
const exportRows = 500

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
// begins no epoch and changes nothing.
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
	if err != nil {
		return nil, err
	}
	if err := db.reader.PingContext(ctx); err != nil {
		db.close()
		return nil, fmt.Errorf("%s: %w", db.name, err)
	}
	return &Reader{db}, nil
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
