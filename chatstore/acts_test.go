package chatstore

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func TestSettings(t *testing.T) {
	onBoth(t, func(t *testing.T, c Config) {
		s := start(t, c)
		read := func(room, want string) {
			t.Helper()
			if b, err := s.Settings(t.Context(), room); err != nil || string(b) != want {
				t.Errorf("%s has %q, %v, want %q", room, b, err, want)
			}
		}
		if b, err := s.Settings(t.Context(), "live/x"); b != nil || err != nil {
			t.Errorf("%q, %v", b, err)
		}
		s.PutSettings("live/x", []byte(`{"slow":5}`), nil)
		s.PutSettings("live/x", []byte(`{"slow":10}`), nil)
		s.PutSettings("live/y", []byte("y\x00\xff"), nil)
		read("live/x", `{"slow":10}`)
		s.Append(message(s, "live/x", 1), nil)
		s.Clear("live/x", nil)
		must(t, func(done func(error)) { s.PutSettings("live/x", []byte(`{"slow":15}`), done) })
		read("live/x", `{"slow":15}`)
		stop(t, s)
		s = start(t, c)
		read("live/x", `{"slow":15}`)
		read("live/y", "y\x00\xff")
		must(t, func(done func(error)) { s.PutSettings("live/y", nil, done) })
		read("live/y", "")
	})
}

func TestSanctions(t *testing.T) {
	onBoth(t, func(t *testing.T, c Config) {
		s := start(t, c, func(t *tuning) { t.pruneEvery = 20 * time.Millisecond })
		now := time.Now().UTC().Truncate(time.Millisecond)
		alice := Subject{User: "alice"}
		net4, net6 := Subject{Network: netip.MustParsePrefix("192.0.2.77/24")}, Subject{Network: netip.MustParsePrefix("2001:db8::1/64")}
		for i, x := range []Sanction{
			{Kind: Ban, Room: "live/x", Subject: alice, Reason: "spam", Actor: "mod"},
			{Kind: Mute, Room: "live/x", Subject: alice, Until: now.Add(time.Hour)},
			{Kind: Ban, Subject: net4},
			{Kind: Ban, Subject: net6, Until: now.Add(-time.Second)}, // over
			{Kind: Mute, Room: "live/y", Subject: net6},
			{Kind: Ban, Room: "live/x", Subject: alice, Reason: "more spam", Actor: "host", Until: now.Add(2 * time.Hour)}, // replaces the first
		} {
			x.At = now.Add(time.Duration(i) * time.Second)
			s.PutSanction(x, nil)
		}
		s.RemoveSanction(Mute, "live/y", Subject{Network: netip.MustParsePrefix("2001:db8::/64")}, nil)
		s.RemoveSanction(Mute, "live/y", alice, nil)
		check := func(when string) {
			t.Helper()
			list, err := s.Sanctions(t.Context())
			if err != nil || len(list) != 3 {
				t.Fatalf("%s: %+v, %v", when, list, err)
			}
			want := Sanction{Kind: Ban, Room: "live/x", Subject: alice, Reason: "more spam", Actor: "host", Until: now.Add(2 * time.Hour), At: now.Add(5 * time.Second)}
			if list[2] != want || list[0].Kind != Mute || list[1].key().network != "192.0.2.0/24" || !list[1].Until.IsZero() {
				t.Errorf("%s: %+v", when, list)
			}
		}
		check("before a commit")
		must(t, func(done func(error)) { s.RemoveSanction(Ban, "live/none", alice, done) })
		check("after a commit")
		waitUntil(t, "what has ended is deleted", func() bool { return rows(t, s, "chat_sanctions") == 3 })
		stop(t, s)
		s = start(t, c)
		check("after a start")
	})
}

// TestTooManySanctions: a server must be able to hold them all.
func TestTooManySanctions(t *testing.T) {
	onBoth(t, func(t *testing.T, c Config) {
		const most = 20
		s := start(t, c, func(t *tuning) { t.sanctions = most })
		ctx := t.Context()
		if _, err := s.db.writer.ExecContext(ctx, `
INSERT INTO chat_sanctions (kind, room, user_id, network, until_ms, reason, actor, at_ms)
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) SELECT 1, '', 'u' || i, '', 0, '', '', 0 FROM n`, int64(most-1)); err != nil {
			t.Fatal(err)
		}
		must(t, func(done func(error)) { s.PutSanction(Sanction{Kind: Mute, Subject: Subject{User: "a"}}, done) })
		answers := make(chan error, 3)
		s.PutSanction(Sanction{Kind: Ban, Subject: Subject{User: "b"}}, func(err error) { answers <- err })
		s.PutSanction(Sanction{Kind: Ban, Subject: Subject{User: "u1"}, Reason: "again"}, func(err error) { answers <- err })
		s.Append(message(s, "live/x", 1), func(err error) { answers <- err })
		if err := <-answers; !errors.Is(err, ErrFull) {
			t.Errorf("one too many: %v", err)
		}
		for range 2 {
			if err := <-answers; err != nil {
				t.Error(err)
			}
		}
		if list, err := s.Sanctions(ctx); err != nil || len(list) != most {
			t.Errorf("%d, %v", len(list), err)
		}
	})
}

func TestAuditLog(t *testing.T) {
	onBoth(t, func(t *testing.T, c Config) {
		s := start(t, c)
		at := time.Now().Add(-time.Minute).UTC().Truncate(time.Millisecond)
		for i := range 5 {
			s.Audit(AuditEntry{At: at, Room: "live/x", Actor: "mod", Act: "ban", Target: fmt.Sprint("u", i), Detail: "spam"}, nil)
		}
		s.Audit(AuditEntry{Actor: "backend", Act: "announce"}, nil)
		check := func(when string) {
			t.Helper()
			log, err := s.AuditLog(t.Context(), "live/x", 3)
			if want := (AuditEntry{at, "live/x", "mod", "ban", "u4", "spam"}); err != nil || len(log) != 3 || log[0] != want || log[2].Target != "u2" {
				t.Errorf("%s: %+v, %v", when, log, err)
			}
			log, err = s.AuditLog(t.Context(), "", 100)
			if err != nil || len(log) != 6 || log[0].Act != "announce" || time.Since(log[0].At) > time.Hour {
				t.Errorf("%s: %+v, %v", when, log, err)
			}
		}
		check("before a commit")
		must(t, func(done func(error)) { s.Clear("live/none", done) })
		check("after a commit")
	})
}
