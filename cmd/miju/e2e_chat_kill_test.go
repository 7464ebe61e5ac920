package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// talker is a client as docs/chat.md wants it: it comes back, resumes where it
// was, and says again under the same id what nobody acknowledged.
type talker struct {
	url, name string

	mu     sync.Mutex
	epochs []int64 // of all welcomes
	gaps   int
	heard  []chatEvent // messages, in their order
	// waiting is what was not acknowledged yet, by ClientID and Text.
	waiting []chatEvent
	acked   map[string]string // messages by their ClientID
	next    int
	quiet   bool // says nothing new
	// every is between two messages; 0: as soon as there are fewer than window.
	every time.Duration

	// Where it is, and where it will be when all of before has come. What came
	// of that before the connection ended comes again.
	epoch, newEpoch   int64
	offset, newOffset uint64
	replay, certain   int
}

// window is how many messages a talker says before the first is acknowledged.
const window = 3

// run talks until ctx ends. The error is what no server may say.
func (k *talker) run(ctx context.Context) error {
	for ctx.Err() == nil {
		l, err := dialChat(k.url)
		if err != nil { // the server is not there
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
			continue
		}
		err = k.talk(ctx, l)
		l.close()
		if err != nil {
			return err
		}
	}
	return nil
}

// talk is one connection.
func (k *talker) talk(ctx context.Context, l *listener) error {
	resume := ""
	if k.epoch != 0 {
		resume = fmt.Sprintf(`,"resume":{"epoch":%d,"offset":%d}`, k.epoch, k.offset)
	}
	l.conn.WriteString(fmt.Sprintf(`{"type":"join","name":%q,"guest":"the secret of %s"%s}`, k.name, k.name, resume))
	var due <-chan time.Time
	if k.every > 0 {
		tick := time.NewTicker(k.every)
		defer tick.Stop()
		due = tick.C
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-due:
			k.look(func() { k.say(l, 1) })
		case e, ok := <-l.events:
			if ok {
				if err := k.hear(l, e); err != nil {
					return fmt.Errorf("%s at %d-%d: %w", k.name, k.epoch, k.offset, err)
				}
				continue
			}
			k.look(func() {
				if k.replay > 0 {
					k.heard, k.replay = k.heard[:k.certain], 0
				}
			})
			return nil
		}
	}
}

func (k *talker) hear(l *listener, e chatEvent) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch e.Type {
	case "welcome":
		k.epochs = append(k.epochs, e.Epoch)
		k.newEpoch, k.newOffset, k.replay, k.certain = e.Epoch, e.Offset, e.Replay, len(k.heard)
		if k.replay == 0 {
			k.epoch, k.offset = k.newEpoch, k.newOffset
		}
		for _, w := range k.waiting {
			l.conn.WriteString(fmt.Sprintf(`{"type":"say","id":%q,"text":%q}`, w.ClientID, w.Text))
		}
		k.sayOn(l)
		return nil
	case "gap":
		k.gaps++
		return nil
	case "error":
		return fmt.Errorf("it heard %s", e.raw)
	case "ack":
		var id string
		if err := json.Unmarshal(e.Message, &id); err != nil || !e.acknowledged() {
			return fmt.Errorf("it heard %s %w", e.raw, err)
		}
		k.waiting = slices.DeleteFunc(k.waiting, func(w chatEvent) bool { return w.ClientID == e.ID })
		k.acked[e.ID] = id
		k.sayOn(l)
		return nil
	case "message":
		k.heard = append(k.heard, e)
	}
	switch {
	case k.replay > 0:
		if k.replay--; k.replay == 0 {
			k.epoch, k.offset = k.newEpoch, k.newOffset
		}
	case e.Offset == 0:
	case e.Offset != k.offset+1:
		return fmt.Errorf("it heard %s", e.raw)
	default:
		k.offset++
	}
	return nil
}

// sayOn says what there is to say at once.
func (k *talker) sayOn(l *listener) {
	if k.every == 0 {
		k.say(l, window-len(k.waiting))
	}
}

func (k *talker) say(l *listener, n int) {
	for ; !k.quiet && n > 0; n-- {
		k.next++
		w := chatEvent{ClientID: fmt.Sprintf("%s-%d", k.name, k.next), Text: fmt.Sprintf("%s says %d", k.name, k.next)}
		k.waiting = append(k.waiting, w)
		l.conn.WriteString(fmt.Sprintf(`{"type":"say","id":%q,"text":%q}`, w.ClientID, w.Text))
	}
}

func (k *talker) look(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f()
}

// talkers are those of one room.
type talkers []*talker

func (all talkers) acknowledged() (n int) {
	for _, k := range all {
		k.look(func() { n += len(k.acked) })
	}
	return n
}

// settled reports whether nothing waits and all have heard the same at last.
func (all talkers) settled() bool {
	last := map[string]bool{}
	for _, k := range all {
		k.look(func() {
			if len(k.waiting) > 0 || len(k.heard) == 0 || k.replay > 0 {
				last["not yet"] = true
				last["at all"] = true
				return
			}
			last[k.heard[len(k.heard)-1].ID] = true
		})
	}
	return len(last) == 1
}

// TestChatOutlivesKills kills a server in the middle of conversations, again
// and again: what was acknowledged is kept, and everybody who comes back has
// heard it once and in the same order.
func TestChatOutlivesKills(t *testing.T) {
	onStores(t, func(t *testing.T, flag string) {
		p := runChat(t, append(roomy, flag)...)
		var all talkers
		ctx, cancel := context.WithCancel(t.Context())
		var talking sync.WaitGroup
		for i := range 5 {
			k := &talker{url: p.room("x"), name: fmt.Sprint("t", i), acked: map[string]string{}, quiet: i == 4}
			all = append(all, k)
			talking.Go(func() {
				if err := k.run(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		defer talking.Wait()
		defer cancel()
		const kills = 4
		for round := range kills + 1 {
			enough := all.acknowledged() + 60
			waitFor(t, "acknowledgements", func() bool { return t.Failed() || all.acknowledged() >= enough })
			if round < kills {
				<-time.After(rand.N(60 * time.Millisecond)) // at any moment of a batch
				p.kill()
				p.begin(t)
			}
		}
		for _, k := range all {
			k.look(func() { k.quiet = true })
		}
		waitFor(t, "the last words", func() bool { return t.Failed() || all.settled() })
		cancel()
		talking.Wait()
		kept := exportedMessages(t, "live/x", flag)
		t.Logf("%d messages were acknowledged and %d are kept", all.acknowledged(), len(kept))
		for _, k := range all {
			k.check(t, kept, kills)
		}
		l, w := enterChat(t, p.room("x"), `{"type":"join"}`)
		for i := range w.Replay {
			if e := l.next(t, "message"); e.ID != kept[len(kept)-w.Replay+i].ID {
				t.Errorf("the history has %s", e.raw)
			}
		}
		if w.Replay != 50 {
			t.Errorf("%s", w.raw)
		}
	})
}

// exportedMessages are the messages that a room keeps.
func exportedMessages(t *testing.T, room string, args ...string) (kept []chatEvent) {
	t.Helper()
	out, err := run(t, nil, append([]string{"chat", "export", room}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out) {
		var e chatEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if e.Type == "message" {
			kept = append(kept, e)
		}
	}
	return kept
}

// check compares what a talker heard with what is kept.
func (k *talker) check(t *testing.T, kept []chatEvent, kills int) {
	t.Helper()
	byClient := map[string]string{}
	ids := map[string]bool{}
	for _, e := range kept {
		if byClient[e.ClientID] != "" {
			t.Errorf("%s is kept twice", e.ClientID)
		}
		byClient[e.ClientID], ids[e.ID] = e.ID, true
	}
	for client, id := range k.acked {
		if byClient[client] != id {
			t.Errorf("%s was acknowledged as %s and is kept as %q", client, id, byClient[client])
		}
	}
	// What nobody acknowledged may be heard and not be kept. Then it was said
	// again, under the same name.
	var heard []string
	seen, unkept := map[string]bool{}, 0
	for _, e := range k.heard {
		switch {
		case seen[e.ID]:
			t.Errorf("%s heard %s twice", k.name, e.raw)
		case ids[e.ID]:
			heard = append(heard, e.ID)
		case byClient[e.ClientID] == "":
			t.Errorf("%s heard %s, which is not kept", k.name, e.raw)
		default:
			unkept++
		}
		seen[e.ID] = true
	}
	first := slices.IndexFunc(kept, func(e chatEvent) bool { return len(heard) > 0 && e.ID == heard[0] })
	if first < 0 || first > len(kept)/2 {
		t.Fatalf("%s heard %d messages, from the %dth on", k.name, len(heard), first)
	}
	for i, e := range kept[first:] {
		if i >= len(heard) || heard[i] != e.ID {
			t.Fatalf("%s missed %s, or heard it at another place", k.name, e.ID)
		}
	}
	if k.gaps > 0 || len(k.epochs) < kills+1 || !slices.IsSorted(k.epochs) || len(slices.Compact(slices.Clone(k.epochs))) != kills+1 {
		t.Errorf("%s had %d gaps and the epochs %v", k.name, k.gaps, k.epochs)
	}
	t.Logf("%s heard %d messages, and %d that were not kept", k.name, len(heard), unkept)
}
