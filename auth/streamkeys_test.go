package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"testing"
	"time"
)

// countedKeys counts who is looked for.
type countedKeys struct {
	keysOf
	found int
}

func (k *countedKeys) FindKey(ctx context.Context, hash [sha256.Size]byte) (StreamKey, bool, error) {
	k.found++
	return k.keysOf.FindKey(ctx, hash)
}

// TestKeysToPlay: a key to play is looked up once a second, and at once when one was
// revoked.
func TestKeysToPlay(t *testing.T) {
	d := doorsWith(t, nil)
	now := noon
	d.now = func() time.Time { return now }
	keys := &countedKeys{keysOf: keysOf{
		HashKey("mk_play"): {ID: "1", Key: alice, Actions: ActionsOf(Play), Expires: noon.Add(time.Minute)},
		HashKey("mk_both"): {ID: "2", Key: alice, Actions: ActionsOf(Play, Publish)},
	}}
	d.keys = keys
	ask := func(a Action, secret string) error {
		_, err := d.Authorize(t.Context(), Request{Action: a, Key: alice, Token: secret})
		return err
	}
	for range 100 {
		if err := ask(Play, "mk_play"); err != nil {
			t.Fatal(err)
		}
	}
	if keys.found != 1 {
		t.Errorf("it was looked up %d times", keys.found)
	}
	if err := ask(Publish, "mk_play"); !errors.Is(err, ErrForbidden) {
		t.Errorf("to publish: %v", err)
	}
	if err := errors.Join(ask(Publish, "mk_both"), ask(Play, "mk_both")); err != nil {
		t.Error(err)
	}
	if err := ask(Chat, "mk_both"); !errors.Is(err, ErrForbidden) {
		t.Errorf("to chat: %v", err)
	}
	delete(keys.keysOf, HashKey("mk_play"))
	if err := ask(Play, "mk_play"); err != nil {
		t.Errorf("within a second: %v", err)
	}
	d.Revoke("key:1", time.Time{})
	if err := ask(Play, "mk_play"); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("once revoked: %v", err)
	}
	keys.keysOf[HashKey("mk_play")] = StreamKey{ID: "1", Key: alice, Actions: ActionsOf(Play), Expires: noon.Add(time.Minute)}
	if err := ask(Play, "mk_play"); err != nil {
		t.Error(err)
	}
	if now = noon.Add(time.Minute); ask(Play, "mk_play") == nil {
		t.Error("it is good after its end")
	}
}

// TestPassphrases: only keys that permit what is asked are passphrases for it, and only
// with the secret that they were sealed with.
func TestPassphrases(t *testing.T) {
	d := doorsWith(t, nil)
	d.now = func() time.Time { return noon }
	d.secret = testSecret
	seal := func(secret []byte, id string) string {
		s, err := Seal(secret, id, "mk_"+id)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	other := []byte("another secret of 32 bytes or so")
	publish := ActionsOf(Publish)
	d.keys = keysOf{
		HashKey("mk_good"):   {ID: "good", Key: alice, Actions: publish, Sealed: seal(testSecret, "good")},
		HashKey("mk_plain"):  {ID: "plain", Key: alice, Actions: publish},
		HashKey("mk_play"):   {ID: "play", Key: alice, Actions: ActionsOf(Play), Sealed: seal(testSecret, "play")},
		HashKey("mk_late"):   {ID: "late", Key: alice, Actions: publish, Expires: noon, Sealed: seal(testSecret, "late")},
		HashKey("mk_bob"):    {ID: "bob", Key: mustKey("live/bob"), Actions: publish, Sealed: seal(testSecret, "bob")},
		HashKey("mk_other"):  {ID: "other", Key: alice, Actions: publish, Sealed: seal(other, "other")},
		HashKey("mk_moved"):  {ID: "moved", Key: alice, Actions: publish, Sealed: seal(testSecret, "good")},
		HashKey("mk_broken"): {ID: "broken", Key: alice, Actions: publish, Sealed: "x"},
	}
	for action, want := range map[Action]string{Publish: "good", Play: "play"} {
		r := Request{Action: action, Key: alice}
		all, err := d.Passphrases(t.Context(), r)
		if err != nil || len(all) != 1 || all[0].Secret != "mk_"+want || all[0].Key.ID != want {
			t.Fatalf("to %s: %v, %v", action, all, err)
		}
		r.Proved = &all[0].Key
		g, err := d.Authorize(t.Context(), r)
		if err != nil || g.Subject != KeySubject+want || g.Credential != "key:"+want {
			t.Errorf("to %s: %+v, %v", action, g, err)
		}
		r.Token = "x"
		if _, err := d.Authorize(t.Context(), r); err == nil {
			t.Error("a bad token beside a passphrase is made good by it")
		}
		r.Token, r.Key = "", mustKey("live/bob")
		if _, err := d.Authorize(t.Context(), r); !errors.Is(err, ErrForbidden) {
			t.Errorf("another stream: %v", err)
		}
	}
	if all, err := d.Passphrases(t.Context(), Request{Action: Publish, Key: mustKey("live/carol")}); all == nil || len(all) != 0 || err != nil {
		t.Errorf("a stream without any: %v, %v", all, err)
	}
	d.keys = nil
	if all, err := d.Passphrases(t.Context(), Request{Action: Publish, Key: alice}); all != nil || err != nil {
		t.Errorf("a server without any: %v, %v", all, err)
	}
}
