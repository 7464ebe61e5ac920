package chatstore

import (
	"context"
	"database/sql"
	"math"
	"math/rand/v2"
	"time"
)

// chore deletes a little of what need not be kept and reports whether there
// is more.
type chore func(ctx context.Context, c *sql.Conn) (more bool, err error)

const (
	// maxGrown bounds how many rooms the worker knows the growth of.
	maxGrown = 1 << 16
	// counting is the growth of a room that is about to be counted.
	counting = math.MinInt32
)

// prune does the next step of the chores; when there are none it is time for
// those that come around.
func (w *worker) prune(ctx context.Context) {
	if len(w.chores) == 0 {
		w.chores = append(w.chores, w.aged("chat_events", "room, epoch, num", w.store.config.Keep), w.aged("chat_audit", "id", w.store.config.AuditKeep), w.ended, w.swept)
	}
	err := w.connect(ctx, func(ctx context.Context, c *sql.Conn) error {
		more, err := w.chores[0](ctx, c)
		if err == nil && !more {
			w.chores = w.chores[1:]
		}
		return err
	})
	if err != nil {
		w.chores = nil // they come around
		clear(w.grown)
		w.store.log.Warn("old chat messages could not be deleted", "database", w.store.db.name, "err", err)
	}
}

// deleteSome deletes rows of a table by a query for their keys, which ends
// with LIMIT.
func (w *worker) deleteSome(ctx context.Context, c *sql.Conn, table, keys, query string, args ...any) (n int64, err error) {
	r, err := c.ExecContext(ctx, "DELETE FROM "+table+" WHERE ("+keys+") IN (SELECT "+keys+" FROM "+table+" WHERE "+query+")", args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// aged deletes rows over an age.
func (w *worker) aged(table, keys string, keep time.Duration) chore {
	return func(ctx context.Context, c *sql.Conn) (bool, error) {
		rows := int64(w.store.tuning.pruneRows)
		n, err := w.deleteSome(ctx, c, table, keys, "at_ms < $1 ORDER BY at_ms LIMIT $2", time.Now().Add(-keep).UnixMilli(), rows)
		return n == rows, err
	}
}

// ended deletes sanctions that have ended.
func (w *worker) ended(ctx context.Context, c *sql.Conn) (bool, error) {
	_, err := c.ExecContext(ctx, `DELETE FROM chat_sanctions WHERE until_ms > 0 AND until_ms <= $1`, time.Now().UnixMilli())
	return false, err
}

// swept deletes what rooms were cleared of.
func (w *worker) swept(ctx context.Context, c *sql.Conn) (bool, error) {
	var room string
	var epoch, num int64
	err := c.QueryRowContext(ctx, unsweptSQL).Scan(&room, &epoch, &num)
	if err == sql.ErrNoRows {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	rows := int64(w.store.tuning.pruneRows)
	n, err := w.deleteSome(ctx, c, "chat_events", "room, epoch, num", "room = $1 AND (epoch, num) <= ($2, $3) ORDER BY epoch, num LIMIT $4", room, epoch, num, rows)
	if err == nil && n < rows {
		_, err = c.ExecContext(ctx, `UPDATE chat_rooms SET unswept = 0 WHERE room = $1 AND cleared_epoch = $2 AND cleared_num = $3`, room, epoch, num)
	}
	return true, err
}

// count notes that a room has one event more. A room is counted whenever it
// has grown by a twentieth of what it may have, from a random point on, so
// that starting the server again and again does not let it grow for ever.
func (w *worker) count(room string) {
	step := max(1, w.store.config.MaxPerRoom/20)
	n, known := w.grown[room]
	if !known {
		if len(w.grown) >= maxGrown {
			clear(w.grown)
		}
		n = rand.IntN(step)
	}
	if n++; n >= step {
		n = counting
		w.chores = append(w.chores, w.crowded(room, int64(step)))
	}
	w.grown[room] = n
}

// crowded deletes the oldest events of a room that has too many.
func (w *worker) crowded(room string, step int64) chore {
	var excess int64
	most, rows := int64(w.store.config.MaxPerRoom), int64(w.store.tuning.pruneRows)
	return func(ctx context.Context, c *sql.Conn) (bool, error) {
		if excess <= 0 {
			err := c.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT 1 FROM chat_events WHERE room = $1 LIMIT $2) AS counted`, room, most+2*step+rows).Scan(&excess)
			if excess -= most; err != nil || excess <= 0 {
				w.grown[room] = 0
				return false, err
			}
		}
		n, err := w.deleteSome(ctx, c, "chat_events", "room, epoch, num", "room = $1 ORDER BY epoch, num LIMIT $2", room, min(rows, excess))
		excess -= max(n, 1)
		return true, err
	}
}
