package chatstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func history(t testing.TB, s *Store, room string, n int) []string {
	t.Helper()
	events, err := s.History(t.Context(), room, n)
	if err != nil {
		t.Fatal(err)
	}
	return ids(events)
}

func wantIDs(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestHistoryOutlivesAStart(t *testing.T) {
	onBoth(t, func(t *testing.T, c Config) {
		s := start(t, c)
		want := message(s, "live/x", 1)
		want.MediaTime = -1
		s.Append(want, nil)
		for i := 2; i <= 5; i++ {
			s.Append(message(s, "live/x", i), nil)
		}
		s.Append(message(s, "live/y", 1), nil)
		aside := message(s, "live/x", 6)
		aside.ExportOnly = true
		s.Append(aside, nil)
		wantIDs(t, "before a commit", history(t, s, "live/x", 3), "m3", "m4", "m5")
		first := s.Epoch()
		stop(t, s)

		s = start(t, c)
		if s.Epoch() <= first {
			t.Errorf("epoch %d after %d", s.Epoch(), first)
		}
		s.Append(message(s, "live/x", 1), nil) // offsets begin anew
		wantIDs(t, "after a start", history(t, s, "live/x", 4), "m3", "m4", "m5", "m1")
		must(t, func(done func(error)) { s.Append(message(s, "live/x", 2), done) })
		events, err := s.History(t.Context(), "live/x", 100)
		if err != nil || len(events) != 7 {
			t.Fatalf("%d events, %v", len(events), err)
		}
		if !reflect.DeepEqual(events[0], want) {
			t.Errorf("\n%+v, want\n%+v", events[0], want)
		}
		for _, n := range []int{0, -1} {
			wantIDs(t, "none", history(t, s, "live/x", n))
		}
		wantIDs(t, "another room", history(t, s, "live/y", 10), "m1")
		wantIDs(t, "no room", history(t, s, "live/z", 10))
	})
}

// TestEpochs: each is above all before, whatever the clock says.
func TestEpochs(t *testing.T) {
	onBoth(t, func(t *testing.T, c Config) {
		before := time.Now().UnixMilli()
		s := start(t, c)
		if s.Epoch() < before {
			t.Errorf("the first is %d, in the past", s.Epoch())
		}
		// The clock was wrong by a year then.
		ahead := s.Epoch() + time.Hour.Milliseconds()*24*365
		if _, err := s.db.writer.ExecContext(t.Context(), `INSERT INTO chat_epochs (epoch, applied) VALUES ($1, 0)`, ahead); err != nil {
			t.Fatal(err)
		}
		other := start(t, c) // at the same time
		if other.Epoch() != ahead+1 {
			t.Errorf("%d after %d", other.Epoch(), ahead)
		}
	})
}

func TestDeletedIsGone(t *testing.T) {
	onBoth(t, func(t *testing.T, c Config) {
		s := start(t, c)
		for i := 1; i <= 9; i++ {
			s.Append(message(s, "live/x", i), nil)
			s.Append(message(s, "live/y", i), nil)
		}
		noID := message(s, "live/x", 10)
		noID.ID, noID.UserID = "", ""
		s.Append(noID, nil)
		check := func(when string) {
			t.Helper()
			wantIDs(t, when, history(t, s, "live/x", 100), "m1", "m3", "m4", "m6", "m7", "m9", "")
			wantIDs(t, when, history(t, s, "live/y", 100), "m2", "m3", "m5", "m6", "m8", "m9")
		}
		s.DeleteMessage("live/x", "m8", nil)
		s.DeleteMessage("live/x", "m99", nil)
		s.DeleteMessage("live/x", "", nil)
		s.DeleteBy("live/x", "u2", nil)
		s.DeleteBy("live/y", "u1", nil)
		s.DeleteBy("", "", nil)
		check("before a commit")
		must(t, func(done func(error)) { s.DeleteBy("live/z", "u1", done) })
		check("after a commit")
		sent, err := s.Sent(t.Context(), "live/x", 3)
		if err != nil || len(sent) != 3 || sent[0].ClientID != "c10" || sent[2].ClientID != "c8" || sent[2].ID != "m8" || sent[2].UserID != "u2" || sent[2].Offset != 8 || sent[2].Epoch != s.Epoch() {
			t.Errorf("%+v, %v", sent, err)
		}
		must(t, func(done func(error)) { s.DeleteBy("", "u0", done) })
		wantIDs(t, "one user in all rooms", history(t, s, "live/y", 100), "m2", "m5", "m8")
		var kept int
		if err := s.db.reader.QueryRowContext(t.Context(), `SELECT count(*) FROM chat_events WHERE state = 2 AND length(body) > 0`).Scan(&kept); err != nil || kept != 0 {
			t.Errorf("%d deleted messages can still be read, %v", kept, err)
		}
	})
}

// TestLargeDeletion takes several transactions, and touches nothing that comes
// after it.
func TestLargeDeletion(t *testing.T) {
	onBoth(t, func(t *testing.T, c Config) {
		s := start(t, c, func(t *tuning) { t.batch, t.pace = 10, time.Millisecond })
		var want []string
		for i := 1; i <= 99; i++ {
			s.Append(message(s, "live/x", i), nil)
			if i%3 != 1 {
				want = append(want, fmt.Sprint("m", i))
			}
		}
		var order []int
		s.DeleteBy("live/x", "u1", func(error) { order = append(order, 1) })
		s.Append(message(s, "live/x", 100), func(error) { order = append(order, 2) })
		want = append(want, "m100")
		s.Audit(AuditEntry{Room: "live/x"}, func(error) { order = append(order, 3) })
		wantIDs(t, "before a commit", history(t, s, "live/x", 200), want...)
		must(t, func(done func(error)) { s.DeleteBy("", "nobody", done) })
		wantIDs(t, "after a commit", history(t, s, "live/x", 200), want...)
		if !slices.Equal(order, []int{1, 2, 3}) || rows(t, s, "chat_audit") != 1 {
			t.Errorf("%v, %d lines of audit", order, rows(t, s, "chat_audit"))
		}
		if st := s.Stats(); st.Failures != 0 || st.Waiting != 0 || st.Changes != 103 {
			t.Errorf("%+v", st)
		}
	})
}

func TestClearedRoom(t *testing.T) {
	onBoth(t, func(t *testing.T, c Config) {
		s := start(t, c, func(t *tuning) { t.pruneEvery, t.pruneRows = 20*time.Millisecond, 7 })
		for i := 1; i <= 20; i++ {
			s.Append(message(s, "live/x", i), nil)
		}
		s.Append(message(s, "live/y", 1), nil)
		s.Clear("live/x", nil)
		s.Clear("live/none", nil)
		s.Append(message(s, "live/x", 21), nil)
		wantIDs(t, "before a commit", history(t, s, "live/x", 100), "m21")
		must(t, func(done func(error)) { s.Append(message(s, "live/x", 22), done) })
		wantIDs(t, "after a commit", history(t, s, "live/x", 100), "m21", "m22")
		wantIDs(t, "export", exported(t, s, Selection{Room: "live/x"}), "m21", "m22")
		sent, err := s.Sent(t.Context(), "live/x", 100)
		if err != nil || len(sent) != 2 {
			t.Errorf("%+v, %v", sent, err)
		}
		waitUntil(t, "what was cleared is off the disk", func() bool { return rows(t, s, "chat_events") == 3 })
		must(t, func(done func(error)) { s.Clear("live/x", done) })
		wantIDs(t, "cleared again", history(t, s, "live/x", 100))
		waitUntil(t, "it is empty", func() bool { return rows(t, s, "chat_events") == 1 })
		wantIDs(t, "the other room", history(t, s, "live/y", 100), "m1")
	})
}

func rows(t testing.TB, s *Store, table string) (n int) {
	t.Helper()
	if err := s.db.reader.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func exported(t testing.TB, s *Store, x Selection) (names []string) {
	t.Helper()
	if err := s.Export(t.Context(), x, func(e Event) error {
		names = append(names, e.ID)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return names
}

func TestExport(t *testing.T) {
	onBoth(t, func(t *testing.T, c Config) {
		s := start(t, c)
		const all = exportRows*2 + 7
		for i := 1; i <= all; i++ {
			e := message(s, "live/x", i)
			if i > all-3 {
				e.Broadcast = "b2"
			}
			e.ExportOnly = i == all
			s.Append(e, nil)
		}
		s.Append(message(s, "live/y", 1), nil)
		must(t, func(done func(error)) { s.DeleteMessage("live/x", "m2", done) })
		got := exported(t, s, Selection{Room: "live/x"})
		if len(got) != all-1 || got[0] != "m1" || got[1] != "m3" || got[all-2] != fmt.Sprint("m", all) {
			t.Errorf("%d: %v", len(got), got)
		}
		wantIDs(t, "a broadcast", exported(t, s, Selection{Room: "live/x", Broadcast: "b2"}), fmt.Sprint("m", all-2), fmt.Sprint("m", all-1), fmt.Sprint("m", all))
		wantIDs(t, "a time", exported(t, s, Selection{Room: "live/x", From: epochStart.Add(3 * time.Second), To: epochStart.Add(5 * time.Second)}), "m3", "m4")

		// Beside the server, as a command does.
		r, err := OpenReader(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		enough, n := errors.New("enough"), 0
		if err := r.Export(t.Context(), Selection{Room: "live/x"}, func(Event) error {
			if n++; n == 10 {
				return enough
			}
			return nil
		}); !errors.Is(err, enough) || n != 10 {
			t.Errorf("%d, %v", n, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.Export(ctx, Selection{Room: "live/x"}, func(Event) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestBroadcasts(t *testing.T) {
	onBoth(t, func(t *testing.T, c Config) {
		s := start(t, c)
		r, err := OpenReader(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		check := func(want string) {
			t.Helper()
			list, known, err := r.Broadcasts(t.Context(), "live/x")
			got := fmt.Sprint(known)
			for _, b := range list {
				got += fmt.Sprint(" ", b.ID, " ", b.First.Sub(epochStart), " ", b.Last.Sub(epochStart), " ", b.Events, " ", b.Messages)
			}
			if err != nil || got != want {
				t.Errorf("%s, %v", got, err)
			}
		}
		check("false")
		// In an order of names that is not that of times.
		for i, id := range []string{"b2", "b2", "", "b1", "b1", "b1"} {
			e := message(s, "live/x", i+1)
			if e.Broadcast = id; i == 3 {
				e.Type, e.ExportOnly = "live", true
			}
			must(t, func(done func(error)) { s.Append(e, done) })
		}
		must(t, func(done func(error)) { s.Append(message(s, "live/y", 1), done) })
		check("true b2 1s 2s 2 2 b1 4s 6s 3 2")
		must(t, func(done func(error)) { s.DeleteMessage("live/x", "m6", done) })
		check("true b2 1s 2s 2 2 b1 4s 5s 2 1")
		must(t, func(done func(error)) { s.Clear("live/x", done) })
		check("false")
		must(t, func(done func(error)) { s.Append(message(s, "live/x", 7), done) })
		check("true b1 7s 7s 1 1")
	})
}

func TestInvalidChangesAreRefused(t *testing.T) {
	long := strings.Repeat("x", MaxText+1)
	onBoth(t, func(t *testing.T, c Config) {
		s := start(t, c)
		ok := message(s, "live/x", 1)
		with := func(f func(*Event)) func(func(error)) {
			e := ok
			f(&e)
			return func(done func(error)) { s.Append(e, done) }
		}
		sanction := func(x Sanction) func(func(error)) {
			return func(done func(error)) { s.PutSanction(x, done) }
		}
		for name, do := range map[string]func(func(error)){
			"no room":          with(func(e *Event) { e.Room = "" }),
			"a long name":      with(func(e *Event) { e.UserID = long }),
			"not UTF-8":        with(func(e *Event) { e.ClientID = "\xff" }),
			"a NUL":            with(func(e *Event) { e.ID = "a\x00b" }),
			"a long body":      with(func(e *Event) { e.Body = make([]byte, MaxBody+1) }),
			"a large offset":   with(func(e *Event) { e.Offset = math.MaxInt64 + 1 }),
			"an unknown kind":  sanction(Sanction{Subject: Subject{User: "a"}}),
			"nobody":           sanction(Sanction{Kind: Ban}),
			"two":              sanction(Sanction{Kind: Ban, Subject: Subject{"a", netip.MustParsePrefix("::/0")}}),
			"a long reason":    sanction(Sanction{Kind: Ban, Subject: Subject{User: "a"}, Reason: strings.Repeat("x", MaxDetail+1)}),
			"a long ID":        func(done func(error)) { s.DeleteMessage("live/x", long, done) },
			"a long user":      func(done func(error)) { s.DeleteBy("live/x", long, done) },
			"a long room":      func(done func(error)) { s.Clear(long, done) },
			"large settings":   func(done func(error)) { s.PutSettings("live/x", make([]byte, MaxBody+1), done) },
			"a long detail":    func(done func(error)) { s.Audit(AuditEntry{Detail: strings.Repeat("x", MaxDetail+1)}, done) },
			"nobody is freed":  func(done func(error)) { s.RemoveSanction(Ban, "live/x", Subject{}, done) },
			"a bad NUL target": func(done func(error)) { s.Audit(AuditEntry{Target: "\x00"}, done) },
		} {
			if err := committed(t, do); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		must(t, func(done func(error)) { s.Append(ok, done) })
		s.Append(ok, nil)
		ok.Body = []byte("another with the same number")
		must(t, func(done func(error)) { s.Append(ok, done) })
		events, err := s.History(t.Context(), "live/x", 10)
		if err != nil || len(events) != 1 || string(events[0].Body) != `{"type":"message","text":"1"}` {
			t.Errorf("%+v, %v", events, err)
		}
		if st := s.Stats(); st.Failing || st.Failures != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// TestDoneInOrder: also that of a change that was refused.
func TestDoneInOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, c Config) {
		s := start(t, c, func(t *tuning) { t.batch = 10 })
		var order []int
		end := make(chan struct{})
		for i := range 1000 {
			e := message(s, "live/x", i)
			if i%7 == 0 {
				e.Room = ""
			}
			s.Append(e, func(err error) {
				order = append(order, i)
				if (err != nil) != (i%7 == 0) {
					t.Errorf("%d: %v", i, err)
				}
				if i == 999 {
					close(end)
				}
			})
		}
		<-end
		if len(order) != 1000 || !slices.IsSorted(order) {
			t.Errorf("%d: %v", len(order), order)
		}
	})
}

func TestClosedStore(t *testing.T) {
	onBoth(t, func(t *testing.T, c Config) {
		s := start(t, c)
		answers := make(chan error, 2)
		s.Append(message(s, "live/x", 1), func(err error) { answers <- err })
		stop(t, s)
		s.Append(message(s, "live/x", 2), func(err error) { answers <- err })
		s.Append(message(s, "live/x", 3), nil)
		if a, b := <-answers, <-answers; a != nil || !errors.Is(b, ErrClosed) {
			t.Errorf("%v, %v", a, b)
		}
		s = start(t, c)
		wantIDs(t, "history", history(t, s, "live/x", 10), "m1")
	})
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, sqliteFile), []byte(strings.Repeat("this is no database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := cluster()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]Config{
		"nowhere":             {},
		"another file":        {DataDir: dir},
		"a file as directory": {DataDir: filepath.Join(dir, sqliteFile)},
		"another database":    {DB: "mysql://a:secret@b/c"},
		"a bad port":          {DB: "postgres://a:secret@b:port/c"},
		"no such database":    {DB: p.URL("nobody")},
		"nobody answers":      {DB: "postgres://a:secret@127.0.0.1:1/c"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s, err := Open(ctx, c, slog.New(slog.DiscardHandler))
		if err == nil {
			t.Errorf("%s: opened", name)
			stop(t, s)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
		if r, err := OpenReader(ctx, c); err == nil {
			if err := r.Export(ctx, Selection{Room: "live/x"}, func(Event) error { return nil }); err == nil {
				t.Errorf("%s: read", name)
			}
			r.Close()
		}
	}
	if _, err := OpenReader(t.Context(), Config{DataDir: t.TempDir()}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// TestFilesArePrivateAndStay: they hold addresses, and a full disk has no room
// to make them again.
func TestFilesArePrivateAndStay(t *testing.T) {
	c := sqliteConfig(t)
	c.DataDir = filepath.Join(c.DataDir, "a b?c#d%20", "e") // nor may a name be taken for a URL
	if err := os.MkdirAll(c.DataDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.DataDir, sqliteFile), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s := start(t, c)
	must(t, func(done func(error)) { s.Append(message(s, "live/x", 1), done) })
	for _, when := range []string{"open", "closed"} {
		files, err := os.ReadDir(c.DataDir)
		if err != nil || len(files) != 3 {
			t.Errorf("%s: %v, %v", when, files, err)
		}
		for _, f := range files {
			if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %s is %v, %v", when, f.Name(), info.Mode(), err)
			}
		}
		stop(t, s)
	}
	if info, err := os.Stat(filepath.Join(c.DataDir, sqliteFile+"-wal")); err != nil || info.Size() != 0 {
		t.Errorf("the log has not been taken in: %v", err)
	}
}
