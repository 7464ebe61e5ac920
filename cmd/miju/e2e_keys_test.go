package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/streamkey"
)

// TestStreamKeys manages keys beside a running server, with its database.
func TestStreamKeys(t *testing.T) {
	for name, database := range map[string]func(t *testing.T) string{
		"sqlite":   func(*testing.T) string { return "" },
		"postgres": func(t *testing.T) string { return newDatabase(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var dir, db string
			s := startWith(t, nil, closed, func(c *config) {
				c.Store.DB = database(t)
				c.Ingest.PublishLinger = 0
				dir, db = c.Data.Dir, c.Store.DB
			})
			key := func(args ...string) string {
				t.Helper()
				out, err := run(t, nil, append([]string{"key", "--data-dir", dir, "--db", db}, args...)...)
				if err != nil {
					t.Fatal(args, err)
				}
				if strings.HasPrefix(out, auth.KeyPrefix) {
					s.secrets = append(s.secrets, strings.TrimSpace(out))
				}
				return strings.TrimSpace(out)
			}
			push := func(name, secret string) *program {
				return spawn(t, "ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-re", "-stream_loop", "-1", "-i", clipPath("h264-aac.flv"),
					"-c", "copy", "-f", "flv", s.rtmpURL(name+"?token="+secret))
			}
			first := key("create", "live/alice", "--owner", "Alice's truck", "--expires", "720h")
			if len(first) != len(auth.KeyPrefix)+32 {
				t.Errorf("%q", first)
			}
			push("alice", first)
			s.waitLive(t, "alice")
			push("bob", first)
			waitFor(t, "another stream to be refused", func() bool { return s.log.count("live/bob", "not for this stream") > 0 })

			second := key("rotate", "live/alice")
			waitFor(t, "who publishes by the old key to be cut off", func() bool { return s.log.count("live/alice", "revoked") > 0 })
			push("alice", first)
			waitFor(t, "the old key to be refused", func() bool { return s.log.count("live/alice", "the stream key is unknown") > 0 })
			push("alice", second)
			s.waitLive(t, "alice")

			list := key("list")
			if strings.Count(list, "live/alice") != 1 || !strings.Contains(list, "Alice's truck") || strings.Contains(list, second) {
				t.Error(list)
			}
			key("revoke", "live/alice")
			waitFor(t, "who publishes by a revoked key to be cut off", func() bool { return s.log.count("live/alice", "revoked") > 1 })
			if list := key("list"); strings.Contains(list, "live/alice") {
				t.Error(list)
			}
			s.tellsNothing(t)
		})
	}
}

func TestKeyCommandsThatAreWrong(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{{"key", "list"}, {"key", "rotate", "live/alice"}, {"key", "revoke", "live/alice"}, {"token", "revoke", "abcdefgh"}} {
		if out, err := run(t, nil, append(args, "--data-dir", dir)...); err == nil || !strings.Contains(err.Error(), "there is no chat database") || !strings.Contains(err.Error(), "--data-dir") {
			t.Errorf("%v where no server was: %s %v", args, out, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("%v are made meanwhile, %v", entries, err)
	}
	for i, want := range []bool{true, false} {
		out, err := run(t, nil, "key", "create", "live/bob", "--data-dir", dir)
		if said := strings.Contains(out, "no server has used "+dir); err != nil || said != want {
			t.Errorf("key %d: %s %v", i, out, err)
		}
		secret, _, _ := strings.Cut(out, "\n")
		leaks.keep(secret)
	}
	for want, args := range map[string][]string{
		"invalid stream key": {"create", "alice"},
		"--expires":          {"create", "live/alice", "--expires", "soon"},
		"--owner":            {"create", "live/alice", "--owner", strings.Repeat("a", 101)},
		"there is no key":    {"revoke", "live/alice"},
		"no key of":          {"rotate", "x"},
	} {
		if out, err := run(t, nil, append([]string{"key", "--data-dir", dir}, args...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %s %v", args, out, err)
		}
	}
	if out, err := run(t, nil, "key", "list", "--data-dir", ""); err == nil {
		t.Errorf("without a database: %s", out)
	}
}

// TestHardwareEncodersHavePasswords has ffmpeg, which knows authmod=adobe, publish
// as hardware encoders do.
func TestHardwareEncodersHavePasswords(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(path, []byte("truck geheim22 hw/truck\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startWith(t, nil, closed, func(c *config) { c.Auth.Users = path })
	s.secrets = append(s.secrets, "geheim22", "geheim23")
	push := func(user, at string) *program {
		return spawn(t, "ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-re", "-stream_loop", "-1", "-i", clipPath("h264-aac.flv"),
			"-c", "copy", "-f", "flv", fmt.Sprintf("rtmp://%s%s/%s", user, s.rtmp.Addr(), at))
	}
	for name, p := range map[string]*program{
		"a wrong password": push("truck:geheim23@", "hw/truck"), "no password": push("", "hw/truck"), "another stream": push("truck:geheim22@", "hw/other"),
	} {
		if p.wait(t) == nil {
			t.Errorf("%s publishes", name)
		}
	}
	push("truck:geheim22@", "hw/truck")
	key, err := streamkey.Parse("hw/truck")
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "hw/truck to go live", func() bool { _, err := s.hub.Lookup(key); return err == nil })
	spawn(t, "ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-re", "-stream_loop", "-1", "-i", clipPath("h264-aac.flv"),
		"-c", "copy", "-f", "flv", s.rtmpURL("alice?token="+s.mint(t, auth.ActionsOf(auth.Publish))))
	s.waitLive(t, "alice")
	s.tellsNothing(t)
}
