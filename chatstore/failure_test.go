package chatstore

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miju-live/miju/chatstore/pgtest"
)

// eager tries again soon.
func eager(t *tuning) {
	t.retryFirst, t.retryLast = 20*time.Millisecond, 50*time.Millisecond
}

// disk is one that a test fills.
type disk struct{ full atomic.Bool }

// limit has SQLite find no room for another page while the disk is full.
func (d *disk) limit(t *tuning) {
	t.connected = func(ctx context.Context, c *sql.Conn) error {
		pages := int64(1 << 30)
		if d.full.Load() {
			if err := c.QueryRowContext(ctx, `PRAGMA page_count`).Scan(&pages); err != nil {
				return err
			}
		}
		_, err := c.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", pages))
		return err
	}
}

// lockedBuffer is a log that is written and read at the same time.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestFullDatabase: SQLite's own SQLITE_FULL.
func TestFullDatabase(t *testing.T) {
	var d disk
	said := &lockedBuffer{}
	c := sqliteConfig(t)
	s := startLogged(t, c, slog.New(slog.NewTextHandler(said, nil)), eager, d.limit)
	must(t, func(done func(error)) { s.PutSettings("live/x", []byte("before"), done) })
	d.full.Store(true)
	i := 0
	waitUntil(t, "it is full", func() bool {
		i++
		return errors.Is(committed(t, func(done func(error)) { s.Append(message(s, "live/x", i), done) }), ErrNotDurable)
	})
	waitUntil(t, "it was tried again", func() bool { return s.Stats().Failures > 3 })
	// All goes on in memory.
	if err := committed(t, func(done func(error)) { s.DeleteMessage("live/x", fmt.Sprint("m", i), done) }); !errors.Is(err, ErrNotDurable) {
		t.Error(err)
	}
	s.PutSettings("live/x", []byte("while full"), nil)
	s.PutSanction(Sanction{Kind: Ban, Subject: Subject{User: "u1"}}, nil)
	s.Append(message(s, "live/x", i+1), nil)
	wantIDs(t, "history", history(t, s, "live/x", 1), fmt.Sprint("m", i+1))
	if b, err := s.Settings(t.Context(), "live/x"); string(b) != "while full" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if list, err := s.Sanctions(t.Context()); len(list) != 1 || err != nil {
		t.Errorf("%v, %v", list, err)
	}
	if st := s.Stats(); !st.Failing || st.Waiting < 4 || st.NotDurable < 2 {
		t.Errorf("%+v", st)
	}
	d.full.Store(false)
	waitUntil(t, "all is written", func() bool { st := s.Stats(); return !st.Failing && st.Waiting == 0 })
	must(t, func(done func(error)) { s.Append(message(s, "live/x", i+2), done) })
	if log := said.String(); strings.Count(log, "the chat database fails") != 1 || strings.Count(log, "the chat database works again") != 1 || !strings.Contains(log, "SQLITE_FULL") && !strings.Contains(log, "full") {
		t.Errorf("the log says %s", log)
	}
	stop(t, s)
	s = start(t, c)
	want := []string{fmt.Sprint("m", i+1), fmt.Sprint("m", i+2)}
	if i > 1 {
		want = append([]string{fmt.Sprint("m", i-1)}, want...)
	}
	wantIDs(t, "after a start", history(t, s, "live/x", len(want)), want...)
	if list, err := s.Sanctions(t.Context()); len(list) != 1 || err != nil {
		t.Errorf("%v, %v", list, err)
	}
}

// TestServerStops: PostgreSQL crashes again and again while it is written to.
func TestServerStops(t *testing.T) {
	p, err := pgtest.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}()
	c := DefaultConfig()
	if c.DB, err = p.Create("chat"); err != nil {
		t.Fatal(err)
	}
	s := start(t, c, eager, func(t *tuning) { t.pace = time.Millisecond })
	end, ended := make(chan struct{}), make(chan int)
	var kept, unkept atomic.Int64
	go func() {
		for i := 1; ; i++ {
			s.Append(message(s, "live/x", i), func(err error) {
				if err == nil {
					kept.Add(1)
				} else {
					unkept.Add(1)
				}
			})
			s.Audit(AuditEntry{Room: "live/x", Target: fmt.Sprint(i)}, nil)
			select {
			case <-end:
				ended <- i
				return
			case <-time.After(100 * time.Microsecond):
			}
		}
	}()
	for _, signal := range []string{"QUIT", "INT", "QUIT"} {
		before := kept.Load()
		waitUntil(t, "it is written to", func() bool { return kept.Load() > before+200 })
		if err := p.Stop(signal); err != nil {
			t.Fatal(err)
		}
		was := unkept.Load()
		waitUntil(t, "senders hear that nothing is kept", func() bool { return unkept.Load() > was+50 })
		events, err := s.History(t.Context(), "live/x", 5)
		if err == nil || len(events) != 5 {
			t.Errorf("%d events without a database, %v", len(events), err)
		}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
	}
	close(end)
	n := <-ended
	stop(t, s)
	s = start(t, c)
	var got []string
	waitUntil(t, "it can be read", func() bool { got = exported(t, s, Selection{Room: "live/x"}); return true })
	if len(got) != n || got[0] != "m1" || got[n-1] != fmt.Sprint("m", n) {
		t.Errorf("%d events of %d", len(got), n)
	}
	if rows(t, s, "chat_audit") != n {
		t.Errorf("%d lines of audit, want %d, each once", rows(t, s, "chat_audit"), n)
	}
	t.Logf("%d events, %d of them not kept at first", n, unkept.Load())
}

// TestGoneConnectionIsLetGo: PostgreSQL ends a transaction whose server it has
// lost, which else keeps everybody from writing.
func TestGoneConnectionIsLetGo(t *testing.T) {
	c := postgresConfig(t)
	c.DB += "&idle_in_transaction_session_timeout=300ms"
	s := start(t, c, eager, func(t *tuning) { t.timeout = 100 * time.Millisecond })
	tx, err := s.db.reader.BeginTx(t.Context(), nil) // of which nothing more is heard
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(t.Context(), `UPDATE chat_epochs SET applied = 1000 WHERE epoch = $1`, s.Epoch()); err != nil {
		t.Fatal(err)
	}
	if err := committed(t, func(done func(error)) { s.Append(message(s, "live/x", 1), done) }); !errors.Is(err, ErrNotDurable) {
		t.Error(err)
	}
	waitUntil(t, "it works again", func() bool { return !s.Stats().Failing && s.Stats().Waiting == 0 })
	if rows(t, s, "chat_events") != 1 {
		t.Error("the message is lost")
	}
	var normal string
	other := start(t, postgresConfig(t))
	if err := other.db.writer.QueryRowContext(t.Context(), `SHOW idle_in_transaction_session_timeout`).Scan(&normal); err != nil || normal != "20s" {
		t.Errorf("%s, %v", normal, err)
	}
}

// TestHangingDatabase: somebody else holds the lock for longer than anybody
// may have to wait.
func TestHangingDatabase(t *testing.T) {
	onBoth(t, func(t *testing.T, c Config) {
		s := start(t, c, eager, func(t *tuning) { t.timeout = 100 * time.Millisecond })
		must(t, func(done func(error)) { s.Append(message(s, "live/x", 1), done) })
		release := holdUp(t, s)
		for i := 2; i < 5; i++ {
			if err := committed(t, func(done func(error)) { s.Append(message(s, "live/x", i), done) }); !errors.Is(err, ErrNotDurable) {
				t.Errorf("%d: %v", i, err)
			}
		}
		wantIDs(t, "history", history(t, s, "live/x", 3), "m2", "m3", "m4")
		release()
		waitUntil(t, "it works again", func() bool { return !s.Stats().Failing && s.Stats().Waiting == 0 })
		must(t, func(done func(error)) { s.Append(message(s, "live/x", 5), done) })
		stop(t, s)
		s = start(t, c)
		wantIDs(t, "history", history(t, s, "live/x", 9), "m1", "m2", "m3", "m4", "m5")
	})
}

// holdUp keeps the Store from writing, not from reading.
func holdUp(t testing.TB, s *Store) (release func()) {
	t.Helper()
	var other *database
	var err error
	if s.config.DB != "" {
		other, err = readPostgres(s.config.DB)
	} else {
		other, err = readSQLite(s.db.name)
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := other.reader.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	statements := []string{"PRAGMA query_only(0)", "BEGIN IMMEDIATE"}
	if s.config.DB != "" {
		statements = []string{"BEGIN", "LOCK TABLE chat_epochs IN EXCLUSIVE MODE"}
	}
	for _, q := range statements {
		if _, err := c.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	var once sync.Once
	release = func() {
		once.Do(func() {
			_, err := c.ExecContext(context.Background(), "ROLLBACK")
			if err := errors.Join(err, c.Close(), other.close()); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(release)
	return release
}

// TestCloseDoesNotWaitForever: what cannot be written is counted, and every
// sender hears of it.
func TestCloseDoesNotWaitForever(t *testing.T) {
	onBoth(t, func(t *testing.T, c Config) {
		tuning := defaultTuning()
		s, err := open(t.Context(), c, quiet(), tuning)
		if err != nil {
			t.Fatal(err)
		}
		release := holdUp(t, s)
		answers := make(chan error, 3)
		for i := range 3 {
			s.Append(message(s, "live/x", i), func(err error) { answers <- err })
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := s.Close(ctx); !errors.Is(err, ErrNotDurable) || !strings.Contains(err.Error(), "3 changes") {
			t.Error(err)
		}
		for range 3 {
			if err := <-answers; !errors.Is(err, ErrNotDurable) {
				t.Error(err)
			}
		}
		release()
		<-s.idle
		if err := s.db.close(); err != nil {
			t.Error(err)
		}
	})
}

// TestMemoryIsBounded: over the bound the oldest messages go, bans stay.
func TestMemoryIsBounded(t *testing.T) {
	c := sqliteConfig(t)
	c.MemoryMiB = 1
	d := &disk{}
	d.full.Store(true)
	s := start(t, c, eager, d.limit)
	var told atomic.Int64
	body := make([]byte, 1000)
	const n = 5000
	for i := range n {
		if i%100 == 0 {
			s.PutSanction(Sanction{Kind: Ban, Subject: Subject{User: fmt.Sprint(i)}}, func(error) { told.Add(1) })
		}
		e := message(s, "live/x", i)
		e.Body = body
		s.Append(e, func(error) { told.Add(1) })
		if st := s.Stats(); st.WaitingBytes > 2<<20 {
			t.Fatalf("%+v", st)
		}
	}
	waitUntil(t, "everybody was told", func() bool { return told.Load() == n+n/100 })
	waitUntil(t, "what was dropped is gone", func() bool { st := s.Stats(); return st.WaitingBytes <= 1<<20 && st.Waiting < 1200 })
	st := s.Stats()
	got := history(t, s, "live/x", 100)
	if len(got) != 100 || got[99] != fmt.Sprint("m", n-1) || st.Dropped < 3000 {
		t.Errorf("%v, %+v", got, st)
	}
	if list, err := s.Sanctions(t.Context()); len(list) != n/100 || err != nil {
		t.Errorf("%d bans, %v", len(list), err)
	}
	d.full.Store(false)
	waitUntil(t, "all is written", func() bool { return s.Stats().Waiting == 0 })
	if st := s.Stats(); st.WaitingBytes != 0 || rows(t, s, "chat_sanctions") != n/100 || rows(t, s, "chat_events") != n-int(st.Dropped) {
		t.Errorf("%+v, %d, %d", st, rows(t, s, "chat_sanctions"), rows(t, s, "chat_events"))
	}
}

// TestRefusedChange: a change that the database never takes must not stand in
// the way of the others.
func TestRefusedChange(t *testing.T) {
	onBoth(t, func(t *testing.T, c Config) {
		s := start(t, c)
		refuse := `ALTER TABLE chat_events ADD CHECK (id <> 'm3')`
		if c.DB == "" {
			refuse = `CREATE TRIGGER no BEFORE INSERT ON chat_events WHEN new.id = 'm3' BEGIN SELECT RAISE(ABORT, 'no'); END`
		}
		if _, err := s.db.writer.ExecContext(t.Context(), refuse); err != nil {
			t.Fatal(err)
		}
		answers := make(chan error, 5)
		for i := range 5 {
			s.Append(message(s, "live/x", i+1), func(err error) { answers <- err })
		}
		for i := range 5 {
			if err := <-answers; errors.Is(err, ErrInvalid) != (i == 2) {
				t.Errorf("%d: %v", i, err)
			}
		}
		wantIDs(t, "history", history(t, s, "live/x", 10), "m1", "m2", "m4", "m5")
		if st := s.Stats(); st.Failing || st.Waiting != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// TestLostAnswer: a commit is carried out, but nobody hears of it.
func TestLostAnswer(t *testing.T) {
	onBoth(t, func(t *testing.T, c Config) {
		s := start(t, c)
		w := &worker{store: s, grown: map[string]int{}} // beside the Store's, which has nothing to do
		ops := []op{
			{n: 1, what: &audit{AuditEntry{Target: "a"}}},
			{n: 2, what: &appendEvent{message(s, "live/x", 1)}},
			{n: 3},
			{n: 4, what: &deleteBy{"live/x", "u1"}},
			{n: 5, what: &appendEvent{message(s, "live/x", 4)}}, // u1 again, after that
		}
		for i, try := range []struct{ ops, written int }{{3, 3}, {5, 5}, {5, 5}, {2, 2}} {
			w.known = false
			if n, err := w.write(t.Context(), ops[:try.ops]); n != try.written || err != nil {
				t.Errorf("try %d: %d, %v", i, n, err)
			}
		}
		// It thinks it knows, and does not: another connection's commit came late.
		w.known, w.applied = true, 3
		if n, err := w.write(t.Context(), ops[3:]); n != 0 || !errors.Is(err, errOvertaken) || w.known {
			t.Errorf("%d, %v", n, err)
		}
		if n, err := w.write(t.Context(), ops[3:]); n != 2 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		wantIDs(t, "history", history(t, s, "live/x", 10), "m4")
		if n := rows(t, s, "chat_audit"); n != 1 {
			t.Errorf("%d lines of audit", n)
		}
	})
}

// TestStartOnAFullDisk: the database can be read and not written.
func TestStartOnAFullDisk(t *testing.T) {
	onBoth(t, func(t *testing.T, c Config) {
		s := start(t, c)
		must(t, func(done func(error)) { s.Append(message(s, "live/x", 1), done) })
		first := s.Epoch()
		release := holdUp(t, s)
		if c.DB != "" { // waiting for a lock is not what happens there
			release()
			for _, q := range []string{"default_transaction_read_only = on", "lock_timeout = 1"} {
				if _, err := s.db.writer.ExecContext(t.Context(), "ALTER ROLE miju SET "+q); err != nil {
					t.Fatal(err)
				}
			}
			release = func() {
				if _, err := s.db.writer.ExecContext(context.Background(), "ALTER ROLE miju RESET ALL"); err != nil {
					t.Error(err)
				}
			}
		}
		defer release()
		said := &lockedBuffer{}
		other := startLogged(t, c, slog.New(slog.NewTextHandler(said, nil)), eager)
		if other.Epoch() <= first || !strings.Contains(said.String(), "cannot be written") {
			t.Errorf("epoch %d after %d: %s", other.Epoch(), first, said)
		}
		if err := committed(t, func(done func(error)) { other.Append(message(other, "live/x", 2), done) }); !errors.Is(err, ErrNotDurable) {
			t.Error(err)
		}
		wantIDs(t, "history", history(t, other, "live/x", 10), "m1", "m2")
		release()
		waitUntil(t, "it works again", func() bool { return !other.Stats().Failing })
		wantIDs(t, "history", history(t, s, "live/x", 10), "m1", "m2")
	})
}
