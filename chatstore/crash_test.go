//go:build unix

package chatstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The test binary runs itself as a child that is killed, or that has no disk.
const (
	childEnv    = "MIJU_CHATSTORE_CHILD"
	childDirEnv = "MIJU_CHATSTORE_DIR"
	childDBEnv  = "MIJU_CHATSTORE_DB"
)

// child is the main of such a child.
func child(what string) int {
	c := DefaultConfig()
	c.DataDir, c.DB = os.Getenv(childDirEnv), os.Getenv(childDBEnv)
	tuning := defaultTuning()
	tuning.retryFirst, tuning.retryLast = 20*time.Millisecond, 20*time.Millisecond
	s, err := open(context.Background(), c, slog.New(slog.NewTextHandler(os.Stderr, nil)), tuning)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	switch what {
	case "talk":
		err = talk(s)
	case "full":
		err = fillDisk(s)
	}
	if err = errors.Join(err, s.Close(context.Background())); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// runChild starts a child with a database.
func runChild(t *testing.T, what string, c Config) (*exec.Cmd, io.Reader, *strings.Builder) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+what, childDirEnv+"="+c.DataDir, childDBEnv+"="+c.DB)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	said := &strings.Builder{}
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out, said
}

// talk appends without end, and says what has been committed.
func talk(s *Store) error {
	out := bufio.NewWriter(os.Stdout)
	ahead := make(chan struct{}, 500)
	for i := 1; ; i++ {
		ahead <- struct{}{}
		s.Append(message(s, "live/x", i), func(err error) {
			<-ahead
			if err == nil {
				fmt.Fprintln(out, i)
				out.Flush()
			}
		})
		if i%10 == 0 {
			s.DeleteMessage("live/x", fmt.Sprint("m", i-5), nil)
			s.Audit(AuditEntry{Room: "live/x", Act: "delete", Target: fmt.Sprint("m", i-5), Detail: fmt.Sprint("process ", os.Getpid())}, nil)
		}
	}
}

// TestKilled: what was acknowledged is there after kill -9, in order and once,
// and the file needs no repair.
func TestKilled(t *testing.T) {
	onBoth(t, func(t *testing.T, c Config) {
		for round, want := range []int{1500, 1, 2500} {
			cmd, out, said := runChild(t, "talk", c)
			last := 0
			for in := bufio.NewScanner(out); in.Scan(); {
				n, err := strconv.Atoi(in.Text())
				if err != nil || n != last+1 {
					t.Fatalf("%q after %d, %v", in.Text(), last, err)
				}
				if last = n; last == want {
					if err := cmd.Process.Kill(); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := cmd.Wait(); err == nil || last < want {
				t.Fatalf("it ended at %d: %v, %s", last, err, said)
			}
			checkKilled(t, c, round+1, last)
		}
	})
}

func checkKilled(t *testing.T, c Config, epochs, acknowledged int) {
	t.Helper()
	s := start(t, c)
	defer stop(t, s)
	if n := rows(t, s, "chat_epochs"); n != 2*epochs {
		t.Errorf("%d epochs", n)
	}
	if c.DB == "" {
		var verdict string
		if err := s.db.reader.QueryRowContext(t.Context(), `PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
			t.Errorf("%s, %v", verdict, err)
		}
	}
	var epoch int64
	next := 1
	if err := s.Export(t.Context(), Selection{Room: "live/x"}, func(e Event) error {
		if e.Epoch != epoch {
			epoch, next = e.Epoch, 1
		}
		if int(e.Offset) != next && (next%10 != 5 || int(e.Offset) != next+1) {
			return fmt.Errorf("%d where %d was to come", e.Offset, next)
		}
		next = int(e.Offset) + 1
		return nil
	}); err != nil {
		t.Error(err)
	}
	if next <= acknowledged {
		t.Errorf("%d were acknowledged and %d are there", acknowledged, next-1)
	}
	log, err := s.AuditLog(t.Context(), "live/x", MaxAudit)
	if err != nil || len(log) != 0 && len(log) >= MaxAudit {
		t.Fatalf("%d, %v", len(log), err)
	}
	for i := 1; i < len(log); i++ {
		if log[i].Target == log[i-1].Target && log[i].Detail == log[i-1].Detail {
			t.Errorf("%s was deleted twice", log[i].Target)
		}
	}
}

// fillDisk appends with a limit to the size of files, waits until that fails,
// lifts the limit and waits until all is kept.
func fillDisk(s *Store) error {
	signal.Ignore(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	small := limit
	small.Cur = 300 << 10
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small); err != nil {
		return err
	}
	var once sync.Once
	failed := make(chan struct{})
	n := 0
	for ok := true; ok; {
		n++
		s.Append(message(s, "live/x", n), func(err error) {
			if errors.Is(err, ErrNotDurable) {
				once.Do(func() { close(failed) })
			}
		})
		select {
		case <-failed:
			ok = false
		case <-time.After(time.Millisecond):
		}
	}
	history, err := s.History(context.Background(), "live/x", 1)
	if err != nil || len(history) != 1 || int(history[0].Offset) != n {
		return fmt.Errorf("%+v, %w", history, err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	back := make(chan error)
	for tries := 0; ; tries++ {
		n++
		s.Append(message(s, "live/x", n), func(err error) { back <- err })
		if err := <-back; err == nil {
			break
		} else if tries > 10_000 {
			return err
		}
		<-time.After(time.Millisecond)
	}
	fmt.Println(n)
	return nil
}

func TestFullDisk(t *testing.T) {
	c := sqliteConfig(t)
	cmd, out, said := runChild(t, "full", c)
	b, err := io.ReadAll(out)
	if err := errors.Join(err, cmd.Wait()); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || n < 10 {
		t.Fatalf("%q, %v", b, err)
	}
	for _, line := range []string{"the chat database fails", "the chat database works again"} {
		if strings.Count(said.String(), line) != 1 {
			t.Errorf("the log has not one %q: %s", line, said)
		}
	}
	s := start(t, c)
	if got := exported(t, s, Selection{Room: "live/x"}); len(got) != n || got[n-1] != fmt.Sprint("m", n) {
		t.Errorf("%d of %d are there", len(got), n)
	}
}
