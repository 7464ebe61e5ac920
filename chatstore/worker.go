package chatstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
)

// worker writes, one batch at a time.
type worker struct {
	store *Store
	// known is whether applied is known: the number of the last change of
	// this epoch that is in the database. After a failure it is not, for a
	// commit may have been carried out though its answer was lost.
	known   bool
	applied uint64
	events  []*Event // reused

	// chores are what is left to prune; grown is how many events a room has
	// got since it was counted, or a negative number if it is about to be.
	chores []chore
	grown  map[string]int
}

func (w *worker) run(ctx context.Context, jobs <-chan job, results chan<- result) {
	for j := range jobs {
		var r result
		if len(j.batch) > 0 {
			r.written, r.err = w.write(ctx, j.batch)
		} else {
			w.prune(ctx)
		}
		r.chores = len(w.chores) > 0
		results <- r
	}
}

// write writes ops and returns how many of them, from the first on, are in the
// database. If that is not all and there is no error, more of them follow at
// the next try.
func (w *worker) write(ctx context.Context, ops []op) (written int, err error) {
	err = w.connect(ctx, func(ctx context.Context, c *sql.Conn) error {
		if !w.known {
			if err := w.recall(ctx, c); err != nil {
				return err
			}
		}
		for written < len(ops) && ops[written].n <= w.applied {
			written++
		}
		rest := ops[written:]
		n, err := w.commit(ctx, c, rest)
		if err != nil && w.store.db.permanent(err) {
			n, err = w.oneByOne(ctx, c, rest)
		}
		written += n
		return err
	})
	return written, err
}

// connect lends the connection that writes. One that failed is not used
// again: what state it is in is anybody's guess.
func (w *worker) connect(ctx context.Context, use func(context.Context, *sql.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, w.store.tuning.timeout)
	defer cancel()
	c, err := w.store.db.writer.Conn(ctx)
	if err != nil {
		w.known = false
		return err
	}
	defer c.Close()
	if f := w.store.tuning.connected; f != nil {
		err = f(ctx, c)
	}
	if err == nil {
		err = use(ctx, c)
	}
	if err != nil {
		w.known = false
		_ = c.Raw(func(any) error { return driver.ErrBadConn }) // which closes it
	}
	return err
}

// recall finds out what has been written.
func (w *worker) recall(ctx context.Context, c *sql.Conn) error {
	if _, err := c.ExecContext(ctx, `INSERT INTO chat_epochs (epoch, applied) VALUES ($1, 0) ON CONFLICT (epoch) DO NOTHING`, w.store.epoch); err != nil {
		return fmt.Errorf("begin the epoch: %w", err)
	}
	if err := c.QueryRowContext(ctx, `SELECT applied FROM chat_epochs WHERE epoch = $1`, w.store.epoch).Scan(&w.applied); err != nil {
		return fmt.Errorf("read the epoch: %w", err)
	}
	w.known = true
	return nil
}

// errOvertaken means that a commit of which nobody had heard was carried out
// after all.
var errOvertaken = errors.New("an older commit has come first")

// commit writes ops in one transaction, up to one of which there is more to
// do, and returns how many. The transaction also notes the number of the last;
// that number moves only from where it is known to be, so that no change is
// ever written twice.
func (w *worker) commit(ctx context.Context, c *sql.Conn, ops []op) (written int, err error) {
	if len(ops) == 0 {
		return 0, nil
	}
	tx, err := c.BeginTx(ctx, nil)
	if err != nil {
		return 0, fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback()
	// First of all, for this also locks out a late commit of the same epoch.
	last := ops[len(ops)-1].n
	if err := w.number(ctx, tx, w.applied, last); err != nil {
		return 0, err
	}
	written, err = w.writeIn(ctx, tx, ops)
	if err == nil && written < len(ops) {
		was := last
		if last = w.applied; written > 0 {
			last = ops[written-1].n
		}
		err = w.number(ctx, tx, was, last)
	}
	if err != nil {
		return 0, err
	}
	if err := tx.Commit(); err != nil {
		return 0, fmt.Errorf("commit: %w", err)
	}
	w.applied = last
	w.store.commits.Add(1)
	for i := range ops[:written] {
		if e, ok := ops[i].what.(*appendEvent); ok {
			w.count(e.Room)
		}
	}
	return written, nil
}

// number moves the number of the last change that is in the database.
func (w *worker) number(ctx context.Context, tx *sql.Tx, from, to uint64) error {
	r, err := tx.ExecContext(ctx, `UPDATE chat_epochs SET applied = $1 WHERE epoch = $2 AND applied = $3`, int64(to), w.store.epoch, int64(from))
	if err != nil {
		return fmt.Errorf("number the batch: %w", err)
	}
	if n, err := r.RowsAffected(); err != nil || n != 1 {
		return errors.Join(errOvertaken, err)
	}
	return nil
}

// writeIn writes ops in a transaction and returns how many of them, from the
// first on, are done.
func (w *worker) writeIn(ctx context.Context, tx *sql.Tx, ops []op) (written int, err error) {
	t := &w.store.tuning
	b := batch{tx: tx, insert: w.store.db.insert, events: w.events[:0], sanctions: t.sanctions, rows: t.batch}
	defer func() { w.events = b.events[:0] }()
	for i := range ops {
		if ops[i].what == nil {
			continue
		}
		switch err := ops[i].what.write(ctx, &b); {
		case errors.Is(err, errMore):
			return i, nil // b has been flushed before it
		case errors.Is(err, ErrFull):
			ops[i].err = err
		case err != nil:
			return 0, fmt.Errorf("write: %w", err)
		}
	}
	if err := b.flush(ctx); err != nil {
		return 0, fmt.Errorf("write: %w", err)
	}
	return len(ops), nil
}

// oneByOne writes ops of which the database refuses at least one for what it
// holds: that one must not keep out the others.
func (w *worker) oneByOne(ctx context.Context, c *sql.Conn, ops []op) (written int, err error) {
	for i := range ops {
		n, err := w.commit(ctx, c, ops[i:i+1])
		switch {
		case err == nil && n == 0:
			return i, nil
		case err != nil && !w.store.db.permanent(err):
			return i, err
		case err != nil:
			ops[i].err = fmt.Errorf("%w: %w", ErrInvalid, err)
			w.store.log.Error("the chat database refuses a change", "database", w.store.db.name, "err", err)
		}
	}
	return len(ops), nil
}
