package hooks

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// write writes entries, all or none, and makes room if that is too much.
func (q *queue) write(ctx context.Context, batch []entry) error {
	tx, err := q.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	added := int64(0)
	for i := range batch {
		e := &batch[i]
		if e.opens != nil {
			if _, err := tx.ExecContext(ctx, `INSERT INTO opens (id, stream, kind, body) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
				e.opens.id, e.stream, e.opens.kind, e.opens.body); err != nil {
				return err
			}
		}
		if e.closes != "" {
			if _, err := tx.ExecContext(ctx, `DELETE FROM opens WHERE id = ?`, e.closes); err != nil {
				return err
			}
		}
		if e.seal == nil {
			continue
		}
		if err := insert(ctx, tx, e); err != nil {
			return err
		}
		added++
	}
	dropped := int64(0)
	if excess := q.waiting.Load() + added - int64(q.most); excess > 0 {
		if dropped, err = makeRoom(ctx, tx, excess); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	q.waiting.Add(added - dropped)
	q.unwritten.Add(-added)
	q.over.Add(uint64(dropped))
	return nil
}

const insertEvent = `INSERT INTO events (stream, kind, passing, made, body) VALUES (?, ?, ?, ?, ?)`

func insert(ctx context.Context, tx *sql.Tx, e *entry) error {
	var n uint64
	if isSRS(e.kind) { // players name streams as they like, and SRS knows no numbers
		_, err := tx.ExecContext(ctx, insertEvent, e.stream, e.kind, e.rank, e.made.UnixMilli(), e.seal(0))
		return err
	}
	if err := tx.QueryRowContext(ctx, `INSERT INTO sequences (stream, n) VALUES (?, 1) ON CONFLICT (stream) DO UPDATE SET n = n + 1 RETURNING n`,
		e.stream).Scan(&n); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, insertEvent, e.stream, e.kind, e.rank, e.made.UnixMilli(), e.seal(n))
	return err
}

// makeRoom drops the oldest counts of viewers, then the oldest of players, then the
// oldest of the rest.
func makeRoom(ctx context.Context, tx *sql.Tx, excess int64) (dropped int64, err error) {
	for _, which := range []rank{rankViewers, rankPlayer, rankStream} {
		r, err := tx.ExecContext(ctx, `DELETE FROM events WHERE n IN (SELECT n FROM events WHERE passing = ? ORDER BY n LIMIT ?)`, which, excess-dropped)
		if err != nil {
			return dropped, err
		}
		n, err := r.RowsAffected()
		if err != nil {
			return dropped, err
		}
		if dropped += n; dropped >= excess {
			break
		}
	}
	return dropped, nil
}

// letter is a stream's next event.
type letter struct {
	n    int64
	kind string
	made time.Time
	body []byte
}

// next returns it; ok is false if there is none.
func (q *queue) next(ctx context.Context, stream string) (l letter, ok bool, err error) {
	var made int64
	err = q.db.QueryRowContext(ctx, `SELECT n, kind, made, body FROM events WHERE stream = ? ORDER BY n LIMIT 1`, stream).Scan(&l.n, &l.kind, &made, &l.body)
	if errors.Is(err, sql.ErrNoRows) {
		return l, false, nil
	}
	l.made = time.UnixMilli(made)
	return l, err == nil, err
}

// remove forgets an event that was told or is given up.
func (q *queue) remove(ctx context.Context, n int64) error {
	r, err := q.db.ExecContext(ctx, `DELETE FROM events WHERE n = ?`, n)
	if err != nil {
		return err
	}
	gone, err := r.RowsAffected()
	q.waiting.Add(-gone)
	return err
}
