package hooks

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // the driver
)

// queueFile is the name of the queue in the data directory.
const queueFile = "hooks.db"

const (
	// maxInbox bounds what waits to be written, and maxPassing how much of it may
	// be what is soon out of date; players may fill maxOfPlayers, for streams must
	// have room left.
	maxInbox, maxPassing, maxOfPlayers = 100000, 1000, 90000
	// maxBatch is how much is written at once.
	maxBatch = 1000
	// diskPause is between two tries to write.
	diskPause = time.Second
)

// schema makes the tables. An entry of events waits to be told; opens has what is
// told at the next start of what has no end until then; sequences has the number
// of each stream's last event. The column passing is a rank, stream a lane.
const schema = `
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS events (n INTEGER PRIMARY KEY AUTOINCREMENT, stream TEXT NOT NULL, kind TEXT NOT NULL, passing INTEGER NOT NULL, made INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS events_of_stream ON events (stream, n);
CREATE INDEX IF NOT EXISTS events_passing ON events (passing, n);
CREATE TABLE IF NOT EXISTS opens (id TEXT PRIMARY KEY, stream TEXT NOT NULL, kind TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS sequences (stream TEXT PRIMARY KEY, n INTEGER NOT NULL);
`

// entry is one thing to write into the queue.
type entry struct {
	// stream is what it is of. Such entries are told in their order.
	stream, kind string
	made         time.Time
	// seal makes the body with the stream's next number; nil: nothing is told.
	seal func(sequence uint64) []byte
	rank rank
	// opens is what to tell should nobody tell the end; closes says by its id that
	// somebody did.
	opens  *opened
	closes string
}

// rank says what goes when there is no room.
type rank int

const (
	rankStream  rank = iota // goes last
	rankViewers             // goes first: it is soon out of date
	rankPlayer              // goes second: anybody may come and go
)

type opened struct {
	id, kind string
	body     []byte
}

type queueOptions struct {
	most   int
	giveUp time.Duration
	client *client
	urls   endpoints
	srs    bool
	log    *slog.Logger
	// pause is after the first failure; it doubles up to maxPause.
	pause time.Duration
}

// queue keeps what is to be told until it was, each stream's in its order.
type queue struct {
	queueOptions
	db     *sql.DB
	server string
	now    func() time.Time

	mu      sync.Mutex
	inbox   []entry
	passing int // of the inbox, with rankViewers
	wake    chan struct{}

	post postOffice

	// waiting is what is in the table, unwritten what is on the way there.
	waiting, unwritten           atomic.Int64
	told, retried, expired, over atomic.Uint64
	failing                      atomic.Bool
	logged                       atomic.Int64

	// lossLogged is when the log spoke of what is lost, and how much it was by then.
	// They belong to run.
	lossLogged time.Time
	lossSaid   uint64
}

// Told are the counters of what the application is told.
type Told struct {
	// Waiting is what waits now, Failing is true while the disk refuses more of it.
	Waiting int64
	Failing bool
	// Delivered was told, Retried counts tries that failed. Expired was given up after
	// --hook-give-up, Overflowed for want of room.
	Delivered, Retried, Expired, Overflowed uint64
}

func (q *queue) stats() Told {
	return Told{
		Waiting: q.unwritten.Load() + q.waiting.Load(), Failing: q.failing.Load(), Delivered: q.told.Load(), Retried: q.retried.Load(),
		Expired: q.expired.Load(), Overflowed: q.over.Load(),
	}
}

// openQueue opens the queue in dir, or one in memory if dir is empty.
func openQueue(ctx context.Context, dir string, o queueOptions) (*queue, error) {
	if o.pause == 0 {
		o.pause = firstPause
	}
	q := &queue{queueOptions: o, now: time.Now, wake: make(chan struct{}, 1)}
	q.post.init(q)
	dsn, err := queueURL(dir)
	if err != nil {
		return nil, fmt.Errorf("the queue of hooks: %w", err)
	}
	if q.db, err = sql.Open("sqlite", dsn); err != nil {
		return nil, fmt.Errorf("the queue of hooks: %w", err)
	}
	q.db.SetMaxOpenConns(1) // and one stays, which is all there is of a queue in memory
	if err := q.begin(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("the queue of hooks: %w", err), q.db.Close())
	}
	return q, nil
}

// queueURL makes the file for its owner alone: it holds addresses, and what
// peers of SRS brought.
func queueURL(dir string) (string, error) {
	if dir == "" {
		return "file::memory:", nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	path, err := filepath.Abs(filepath.Join(dir, queueFile))
	if err != nil {
		return "", err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", err
	}
	if err := errors.Join(f.Chmod(0o600), f.Close()); err != nil {
		return "", err
	}
	if path = filepath.ToSlash(path); path[0] != '/' { // C:/data/hooks.db
		path = "/" + path
	}
	// NORMAL: what is committed outlives this process, and all but the last of it
	// a machine without power.
	return (&url.URL{Scheme: "file", Path: path, RawQuery: "_txlock=immediate&_pragma=busy_timeout(2000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)"}).String(), nil
}

// begin makes the tables, names the server, and ends what was open when the server
// before was gone.
func (q *queue) begin(ctx context.Context) error {
	if _, err := q.db.ExecContext(ctx, schema); err != nil {
		return err
	}
	if _, err := q.db.ExecContext(ctx, `INSERT INTO meta (name, value) VALUES ('server', ?) ON CONFLICT DO NOTHING`, newID("srv")); err != nil {
		return err
	}
	if err := q.db.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = 'server'`).Scan(&q.server); err != nil {
		return err
	}
	left, err := q.leftOpen(ctx)
	if err != nil {
		return err
	}
	for len(left) > 0 {
		n := min(len(left), maxBatch)
		if err := q.write(ctx, left[:n]); err != nil {
			return err
		}
		left = left[n:]
	}
	var waiting int64
	if err := q.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM events`).Scan(&waiting); err != nil {
		return err
	}
	q.waiting.Store(waiting)
	rows, err := q.db.QueryContext(ctx, `SELECT DISTINCT stream FROM events`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var stream string
		if err := rows.Scan(&stream); err != nil {
			return err
		}
		q.post.add(stream)
	}
	return rows.Err()
}

// leftOpen returns the ends of what was open.
func (q *queue) leftOpen(ctx context.Context) (all []entry, err error) {
	rows, err := q.db.QueryContext(ctx, `SELECT id, stream, kind, body FROM opens ORDER BY rowid`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		e := entry{made: q.now()}
		q.unwritten.Add(1)
		var body []byte
		if err := rows.Scan(&e.closes, &e.stream, &e.kind, &body); err != nil {
			return nil, err
		}
		e.seal = lost(e.kind, body, e.made)
		all = append(all, e)
	}
	return all, rows.Err()
}

// add takes an entry; it waits for nothing. What is no longer true soon is
// dropped if too much waits for the disk.
func (q *queue) add(e entry) {
	e.made = q.now()
	q.mu.Lock()
	if e.rank == rankViewers && q.passing >= maxPassing || e.rank == rankPlayer && len(q.inbox) >= maxOfPlayers || len(q.inbox) >= maxInbox {
		q.mu.Unlock()
		q.over.Add(1)
		return
	}
	q.inbox = append(q.inbox, e)
	if e.seal != nil {
		q.unwritten.Add(1)
	}
	if e.rank == rankViewers {
		q.passing++
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take returns the next entries to write.
func (q *queue) take() []entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.inbox), maxBatch)
	batch := q.inbox[:n:n]
	q.inbox = q.inbox[n:]
	for i := range batch {
		if batch[i].rank == rankViewers {
			q.passing--
		}
	}
	return batch
}

// giveBack undoes take.
func (q *queue) giveBack(batch []entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.inbox = append(batch, q.inbox...)
	for i := range batch {
		if batch[i].rank == rankViewers {
			q.passing++
		}
	}
}

// run writes what is added and tells it, until ctx ends. last is called then; what it
// adds is still written, and told if that takes no longer than a moment.
func (q *queue) run(ctx context.Context, last func()) {
	telling, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var office sync.WaitGroup
	office.Go(func() { q.post.run(telling) })
	defer office.Wait()
	for ctx.Err() == nil {
		select {
		case <-q.wake:
			q.writeAll(ctx)
		case <-ctx.Done():
		}
	}
	last()
	closing, cancel := context.WithTimeout(telling, lastMoment)
	defer cancel()
	q.writeAll(closing)
	q.post.drain(closing)
	stop()
}

// writeAll writes the inbox, however often the disk refuses, until ctx ends.
func (q *queue) writeAll(ctx context.Context) {
	for batch := q.take(); len(batch) > 0; batch = q.take() {
		for {
			// Half a batch is none: what was begun is ended.
			err := q.write(context.WithoutCancel(ctx), batch)
			q.failing.Store(err != nil)
			if err == nil {
				break
			}
			q.complain("what the hook is to be told cannot be kept", err)
			select {
			case <-ctx.Done():
				q.giveBack(batch)
				return
			case <-time.After(diskPause):
			}
		}
		for i := range batch {
			if batch[i].seal != nil {
				q.post.add(batch[i].stream)
			}
		}
		q.sayLost()
	}
}

// sayLost logs once a minute what was lost for want of room.
func (q *queue) sayLost() {
	now, lost := q.now(), q.over.Load()
	if lost == q.lossSaid || now.Sub(q.lossLogged) < time.Minute {
		return
	}
	q.log.Error("too much waits to be told to the hook, some of it is dropped", "waiting", q.waiting.Load(), "dropped", lost-q.lossSaid)
	q.lossLogged, q.lossSaid = now, lost
}

// complain logs once a minute.
func (q *queue) complain(what string, err error) {
	now := q.now().Unix()
	if last := q.logged.Load(); now-last >= 60 && q.logged.CompareAndSwap(last, now) {
		q.log.Error(what, "waiting", q.waiting.Load(), "err", err)
	}
}

// close closes the file.
func (q *queue) close() error {
	q.client.close()
	return q.db.Close()
}
