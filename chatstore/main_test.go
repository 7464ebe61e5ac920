package chatstore

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/miju-live/miju/chatstore/pgtest"
)

const patience = 30 * time.Second

// cluster is the PostgreSQL server that most tests share.
var cluster = sync.OnceValues(pgtest.Start)

// databases numbers those of the shared server.
var databases atomic.Int64

func TestMain(m *testing.M) {
	if what := os.Getenv(childEnv); what != "" {
		os.Exit(child(what))
	}
	code := m.Run()
	if c, err := cluster(); err == nil {
		if err := c.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// onBoth runs a test on SQLite and on PostgreSQL, each with an empty database.
func onBoth(t *testing.T, test func(t *testing.T, c Config)) {
	t.Run("sqlite", func(t *testing.T) { test(t, sqliteConfig(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, postgresConfig(t)) })
}

func sqliteConfig(t testing.TB) Config {
	c := DefaultConfig()
	c.DataDir = t.TempDir()
	return c
}

func postgresConfig(t testing.TB) Config {
	t.Helper()
	p, err := cluster()
	if err != nil {
		t.Fatal(err)
	}
	c := DefaultConfig()
	if c.DB, err = p.Create(fmt.Sprintf("chat%d", databases.Add(1))); err != nil {
		t.Fatal(err)
	}
	return c
}

// quiet logs nothing.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// start opens a Store that is closed at the end of the test.
func start(t testing.TB, c Config, change ...func(*tuning)) *Store {
	t.Helper()
	return startLogged(t, c, quiet(), change...)
}

func startLogged(t testing.TB, c Config, log *slog.Logger, change ...func(*tuning)) *Store {
	t.Helper()
	tuning := defaultTuning()
	for _, f := range change {
		f(&tuning)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := open(ctx, c, log, tuning)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

// stop closes a Store and expects that nothing is lost. It may be called twice.
func stop(t testing.TB, s *Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
}

// committed waits for a change and returns what came of it.
func committed(t testing.TB, do func(done func(error))) error {
	t.Helper()
	answer := make(chan error, 2)
	do(func(err error) { answer <- err })
	select {
	case err := <-answer:
		return err
	case <-time.After(patience):
		t.Fatal("nobody says whether it was kept")
		return nil
	}
}

// must is committed for what has to be kept.
func must(t testing.TB, do func(done func(error))) {
	t.Helper()
	if err := committed(t, do); err != nil {
		t.Fatal(err)
	}
}

// waitUntil waits for a condition.
func waitUntil(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// message makes the n-th message of a room, one a second.
func message(s *Store, room string, n int) Event {
	return Event{
		Room: room, Broadcast: "b1", Epoch: s.Epoch(), Offset: uint64(n), ID: fmt.Sprintf("m%d", n), ClientID: fmt.Sprintf("c%d", n),
		Type: "message", UserID: fmt.Sprintf("u%d", n%3), Address: "192.0.2.1", At: epochStart.Add(time.Duration(n) * time.Second), MediaTime: int64(n) * 1000,
		Body: fmt.Appendf(nil, `{"type":"message","text":"%d"}`, n),
	}
}

// epochStart is when the first message of a room was sent: not long ago, since
// what is old is pruned.
var epochStart = time.Now().Add(-time.Hour).Truncate(time.Second).UTC()

// ids names events.
func ids(events []Event) []string {
	var s []string
	for _, e := range events {
		s = append(s, e.ID)
	}
	return s
}
