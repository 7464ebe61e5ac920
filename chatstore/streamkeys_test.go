package chatstore

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestStreamKeys(t *testing.T) {
	onBoth(t, func(t *testing.T, c Config) {
		s := start(t, c)
		server := s.StreamKeys()
		ctx := t.Context()
		beside, err := OpenStreamKeys(ctx, c, quiet())
		if err != nil {
			t.Fatal(err)
		}
		defer beside.Close()
		now := time.Now().UTC().Truncate(time.Millisecond)
		one := StreamKey{ID: "1", Hash: [32]byte{1}, Stream: "live/alice", Owner: "Alice's truck", Actions: "publish,play", Sealed: "\x00\xff", Created: now, Expires: now.Add(time.Hour)}
		two := StreamKey{ID: "2", Hash: [32]byte{2}, Stream: "live/bob", Created: now}
		for _, x := range []StreamKey{one, two} {
			if err := beside.Put(ctx, x); err != nil {
				t.Fatal(err)
			}
		}
		for _, x := range []StreamKey{one, two} {
			if got, ok, err := server.Find(ctx, x.Hash); err != nil || !ok || got != x {
				t.Errorf("%+v, %v, %v", got, ok, err)
			}
		}
		if _, ok, err := server.Find(ctx, [32]byte{9}); ok || err != nil {
			t.Errorf("an unknown one: %v, %v", ok, err)
		}
		if err := beside.Put(ctx, StreamKey{ID: "3", Hash: one.Hash, Stream: "live/eve", Created: now}); err == nil {
			t.Error("two keys have one secret")
		}

		three := StreamKey{ID: "3", Hash: [32]byte{3}, Stream: "live/alice", Created: now}
		if ok, err := beside.Replace(ctx, "1", three); !ok || err != nil {
			t.Errorf("%v, %v", ok, err)
		}
		if ok, err := beside.Replace(ctx, "1", StreamKey{ID: "4", Hash: [32]byte{4}}); ok || err != nil {
			t.Errorf("what is not there is replaced: %v, %v", ok, err)
		}
		var ids string
		list := func(x StreamKey) error { ids += x.ID; return nil }
		if err := server.List(ctx, "", list); err != nil || ids != "32" {
			t.Errorf("%q, %v", ids, err)
		}
		if err := server.List(ctx, "live/bob", list); err != nil || ids != "322" {
			t.Errorf("%q, %v", ids, err)
		}
		if ok, err := beside.Remove(ctx, "2"); !ok || err != nil {
			t.Errorf("%v, %v", ok, err)
		}
		if ok, err := beside.Remove(ctx, "2"); ok || err != nil {
			t.Errorf("%v, %v", ok, err)
		}
		if err := beside.Revoke(ctx, "id:x", time.Time{}); err != nil {
			t.Error(err)
		}
		var revoked []string
		numbers := map[int64]bool{}
		for range 2 { // they stay
			revoked = nil
			if err := server.Revocations(ctx, 0, func(r Revocation) {
				revoked = append(revoked, r.Credential)
				numbers[r.Number] = true
				if r.Until.IsZero() != (r.Credential == "id:x") {
					t.Errorf("%+v", r)
				}
			}); err != nil {
				t.Error(err)
			}
		}
		if strings.Join(revoked, " ") != "key:1 key:2 id:x" || len(numbers) != 3 {
			t.Errorf("%v, %v", revoked, numbers)
		}
		if err := beside.Revoke(ctx, "id:old", now.Add(-48*time.Hour)); err != nil {
			t.Error(err)
		}
		if err := beside.Revoke(ctx, "id:y", now.Add(time.Hour)); err != nil {
			t.Error(err)
		}
		revoked = nil
		if err := server.Revocations(ctx, 0, func(r Revocation) { revoked = append(revoked, r.Credential) }); err != nil || strings.Join(revoked, " ") != "key:1 key:2 id:x id:y" {
			t.Errorf("%v, %v", revoked, err)
		}
	})
}

func TestTooManyPassphrases(t *testing.T) {
	k, err := OpenStreamKeys(t.Context(), sqliteConfig(t), quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	for i := range MaxPassphrases + 1 {
		err = k.Put(t.Context(), StreamKey{ID: fmt.Sprint(i), Hash: [32]byte{byte(i), 1}, Stream: "live/alice", Sealed: "x", Created: time.Now()})
		if (err != nil) != (i == MaxPassphrases) {
			t.Fatalf("%d: %v", i, err)
		}
	}
	if !errors.Is(err, ErrFull) {
		t.Error(err)
	}
}

func TestTooManyStreamKeys(t *testing.T) {
	k, err := OpenStreamKeys(t.Context(), sqliteConfig(t), quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	for i := range MaxStreamKeys + 1 {
		err = k.Put(t.Context(), StreamKey{ID: fmt.Sprint(i), Hash: [32]byte{byte(i), 1}, Stream: "live/alice", Created: time.Now()})
		if (err != nil) != (i == MaxStreamKeys) {
			t.Fatalf("%d: %v", i, err)
		}
	}
	if !errors.Is(err, ErrFull) {
		t.Error(err)
	}
}
