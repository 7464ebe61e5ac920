// Package chatstore keeps what chat rooms must not forget, in SQLite or PostgreSQL.
package chatstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// Config is what an operator sets.
type Config struct {
	// DataDir is the directory of the SQLite file, chat.db, if DB is empty.
	DataDir    string
	DB         string        `flag:"db" group:"chat" help:"PostgreSQL database for what chat rooms must not forget, like postgres://user:password@host/name; empty: SQLite in --data-dir"`
	Keep       time.Duration `flag:"chat-history-keep" group:"chat" help:"how long chat messages are kept" min:"1m" max:"87600h"`
	MaxPerRoom int           `flag:"chat-history-max" group:"chat" help:"how many events of one room are kept; the oldest go first" min:"10" max:"10000000"`
	AuditKeep  time.Duration `flag:"chat-audit-keep" group:"chat" help:"how long the audit of moderators' acts is kept" min:"1h" max:"87600h"`
	MemoryMiB  int           `flag:"chat-store-memory" group:"chat" help:"what may wait for a chat database that is slow or fails, in MiB; over that the oldest messages are forgotten" min:"1" max:"4096"`
}

// DefaultConfig keeps messages for 30 days, and 200,000 of a room: an hour of
// a room with 50 a second.
func DefaultConfig() Config {
	return Config{Keep: 30 * 24 * time.Hour, MaxPerRoom: 200_000, AuditKeep: 365 * 24 * time.Hour, MemoryMiB: 64}
}

// Check refuses what cannot be opened, whatever there is.
func (c Config) Check() error {
	if c.DB == "" {
		return nil
	}
	_, err := parsePostgres(c.DB)
	return err
}

// tuning is what tests change.
type tuning struct {
	// pace is between two batches, so it is how long a change may wait.
	pace time.Duration
	// batch is how many changes are written at once, batchSize their bytes.
	batch, batchSize int
	// timeout is when a commit counts as failed, though it may go on.
	timeout time.Duration
	// retryFirst and retryLast bound the time between two tries while the
	// database fails; it doubles.
	retryFirst, retryLast time.Duration
	// logEvery is between two lines of the log while the database fails.
	logEvery time.Duration
	// sanctions is how many there may be.
	sanctions int
	// pruneEvery is how often what is too old is looked for, pruneRows how
	// many rows are deleted at once.
	pruneEvery time.Duration
	pruneRows  int
	// connected is called with each connection that is to write.
	connected func(ctx context.Context, c *sql.Conn) error
}

func defaultTuning() tuning {
	return tuning{
		pace: 50 * time.Millisecond, batch: 1000, batchSize: 1 << 20, timeout: 10 * time.Second,
		retryFirst: 500 * time.Millisecond, retryLast: 10 * time.Second, logEvery: time.Minute, sanctions: MaxSanctions,
		pruneEvery: time.Minute, pruneRows: 500,
	}
}

// Store is an open database. It is safe for concurrent use.
type Store struct {
	config Config
	tuning tuning
	log    *slog.Logger
	db     *database
	epoch  int64
	queue  *queue

	// kill ends what the goroutines of loop.go and worker.go are at;
	// closing is closed to let them end by themselves, stopped when the loop
	// has ended and idle when the worker has.
	kill                   context.CancelFunc
	closing, stopped, idle chan struct{}

	commits, changes, failures, undurable atomic.Uint64
	failing                               atomic.Bool
}

// Open opens or makes the database, brings it up to date and begins an epoch.
// A PostgreSQL that does not answer is tried again until ctx ends, so ctx
// should have a deadline. A database that can be read but not written is no
// error: the Store begins as it goes on when a disk fills up.
func Open(ctx context.Context, c Config, log *slog.Logger) (*Store, error) {
	return open(ctx, c, log, defaultTuning())
}

func open(ctx context.Context, c Config, log *slog.Logger, t tuning) (*Store, error) {
	db, err := openDatabase(ctx, c, log)
	if err != nil {
		return nil, err
	}
	s := &Store{config: c, tuning: t, log: log, db: db, closing: make(chan struct{}), stopped: make(chan struct{}), idle: make(chan struct{})}
	s.tuning.batchSize = min(t.batchSize, c.MemoryMiB<<20/4) // what is being written cannot be dropped
	s.queue = &queue{bound: c.MemoryMiB << 20, wake: make(chan struct{}, 1), batch: t.batch}
	w := &worker{store: s, grown: map[string]int{}}
	if s.epoch, w.known, err = newEpoch(ctx, db, log); err != nil {
		return nil, errors.Join(err, db.close())
	}
	running, kill := context.WithCancel(context.WithoutCancel(ctx))
	s.kill = kill
	jobs, results := make(chan job), make(chan result, 1)
	go func() {
		defer close(s.idle)
		w.run(running, jobs, results)
	}()
	l := &loop{store: s, jobs: jobs, results: results, pruneAt: time.Now().Add(t.pruneEvery)}
	go func() {
		defer close(s.stopped)
		defer close(jobs)
		l.run(running)
	}()
	return s, nil
}

// newEpoch returns an epoch above all that were, and above the wall clock in
// milliseconds when the file was lost or is an old copy. stored is false if
// it could be found but not written.
func newEpoch(ctx context.Context, db *database, log *slog.Logger) (epoch int64, stored bool, err error) {
	for range 100 { // each time, another server began in the same millisecond
		if err := db.reader.QueryRowContext(ctx, `SELECT coalesce(max(epoch), 0) FROM chat_epochs`).Scan(&epoch); err != nil {
			return 0, false, fmt.Errorf("read the chat epoch: %w", err)
		}
		epoch = max(epoch+1, time.Now().UnixMilli())
		_, err = db.writer.ExecContext(ctx, `INSERT INTO chat_epochs (epoch, applied) VALUES ($1, 0)`, epoch)
		switch {
		case err == nil:
			return epoch, true, nil
		case ctx.Err() != nil:
			return 0, false, fmt.Errorf("begin a chat epoch: %w", err)
		case !db.permanent(err):
			log.Error("the chat database cannot be written: messages are delivered, and kept in memory only", "database", db.name, "err", err)
			return epoch, false, nil
		}
	}
	return 0, false, fmt.Errorf("begin a chat epoch: %w", err)
}

// Epoch returns what the events of this start carry. It is above that of
// every start before, and a Unix time in milliseconds.
func (s *Store) Epoch() int64 { return s.epoch }

// Close writes what waits and closes the database. When ctx ends first, or the
// database fails, it returns an error that says how many changes are lost.
func (s *Store) Close(ctx context.Context) error {
	if s.queue.close() {
		close(s.closing)
	}
	var late error
	select {
	case <-s.stopped:
	case <-ctx.Done():
		late = ctx.Err()
	}
	s.kill()
	<-s.stopped
	lost := len(s.queue.pending(func(change) bool { return true }))
	var err error
	if lost > 0 {
		err = fmt.Errorf("%d changes of chat rooms are lost: %w", lost, errors.Join(ErrNotDurable, late))
	}
	select {
	case <-s.idle:
	case <-ctx.Done(): // it hangs in a call that nothing can end: the file stays open
		return errors.Join(err, fmt.Errorf("the chat database does not let go: %w", ctx.Err()))
	}
	return errors.Join(err, s.db.close())
}

// Stats are the figures of a Store.
type Stats struct {
	// Commits is how many batches were written, Changes how many changes were
	// in them, Failures how many attempts failed.
	Commits, Changes, Failures uint64
	// NotDurable is how many changes were answered with ErrNotDurable, and
	// Dropped how many of these are lost since memory was full.
	NotDurable, Dropped uint64
	// Waiting changes take WaitingBytes of memory.
	Waiting, WaitingBytes int
	// Failing is whether the database fails now.
	Failing bool
}

// Stats returns the figures of this moment.
func (s *Store) Stats() Stats {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return Stats{
		Commits: s.commits.Load(), Changes: s.changes.Load(), Failures: s.failures.Load(), NotDurable: s.undurable.Load(),
		Dropped: s.queue.dropped, Waiting: len(s.queue.ops), WaitingBytes: s.queue.bytes, Failing: s.failing.Load(),
	}
}
