package chatws

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// texts returns those of the next n events with an offset.
func (c *client) texts(n int) string {
	c.t.Helper()
	var all []string
	for range n {
		e := c.until(func(e event) bool { return e.Offset > 0 && e.Type != "ack" })
		all = append(all, e.Type+":"+e.Text)
	}
	return strings.Join(all, " ")
}

// say says texts and returns what the messages are called.
func say(c *client, texts ...string) (ids []string) {
	c.t.Helper()
	for _, s := range texts {
		ids = append(ids, c.ok(fmt.Sprintf(`{"type":"say","id":%q,"text":%q}`, s, s)).Message)
	}
	return ids
}

func TestResume(t *testing.T) {
	s := newStage(t, func(c *Config) { c.Log, c.History = 5, 2 })
	a, _ := s.join(t, "live/x", "a")
	say(a, "1", "2", "3")
	at := func(epoch int64, offset uint64) string {
		return fmt.Sprintf(`"resume":{"epoch":%d,"offset":%d}`, epoch, offset)
	}
	for _, c := range []struct {
		name, join string
		resumed    bool
		gap, texts string
	}{
		{"who is new gets the history", `"name":"b"`, false, "", "message:2 message:3"},
		{"or less of it", `"history":1`, false, "", "message:3"},
		{"or none", `"history":0`, false, "", ""},
		{"nothing more than there may be", `"history":99`, false, "", "message:2 message:3"},
		{"nothing was missed", at(s.epoch, 3), true, "", ""},
		{"one was missed", at(s.epoch, 2), true, "", "message:3"},
		{"all were missed", at(s.epoch, 0), true, "", "message:1 message:2 message:3"},
		{"a position that is not yet", at(s.epoch, 4), false, "unknown", "message:2 message:3"},
		{"a time that is not yet", at(s.epoch+1, 1), false, "unknown", "message:2 message:3"},
		{"a time that nobody knows", at(s.epoch-1, 1), false, "old", "message:2 message:3"},
		{"a gap without history", `"history":0,` + at(1, 1), false, "old", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, w := s.joinWith(t, "live/x", c.join)
			n := len(strings.Fields(c.texts))
			if w.Resumed != c.resumed || w.Replay != n || w.Offset != 3 || w.Epoch != s.epoch {
				t.Errorf("%s", w.raw)
			}
			if c.gap != "" {
				if e := <-b.events; e.Type != "gap" || e.Reason != c.gap {
					t.Errorf("%s", e.raw)
				}
			}
			if got := b.texts(n); got != c.texts {
				t.Errorf("%q", got)
			}
			b.leave()
		})
	}
	t.Run("too much was missed", func(t *testing.T) {
		say(a, "4", "5", "6", "7")
		b, w := s.joinWith(t, "live/x", at(s.epoch, 1))
		if e := <-b.events; w.Resumed || e.Reason != "old" {
			t.Errorf("%s, %s", w.raw, e.raw)
		}
		if _, w := s.joinWith(t, "live/x", at(s.epoch, 2)); !w.Resumed || w.Replay != 5 {
			t.Errorf("%s", w.raw)
		}
	})
}

// TestResumeIsExactlyWhatWasMissed has somebody lose the connection again and
// again while others talk: nothing is missing, twice, or in another order.
func TestResumeIsExactlyWhatWasMissed(t *testing.T) {
	s := newStage(t, func(c *Config) { c.LogKiB, c.QueueKiB = 1024, 2048 })
	a, w := s.join(t, "live/x", "a")
	done := make(chan struct{})
	const all = 600
	go func() {
		defer close(done)
		for i := range all {
			a.send(fmt.Sprintf(`{"type":"say","text":"%d"}`, i))
			a.next("message")
		}
	}()
	position := Position{w.Epoch, w.Offset}
	next := 0
	for next < all {
		b, w := s.joinWith(t, "live/x", fmt.Sprintf(`"resume":{"epoch":%d,"offset":%d}`, position.Epoch, position.Offset))
		if !w.Resumed {
			t.Fatal(w.raw)
		}
		for range w.Replay + 5 {
			if next == all {
				break
			}
			e := b.next("message")
			if e.Text != fmt.Sprint(next) {
				t.Fatalf("%q, want %d", e.Text, next)
			}
			next++
			position.Offset = e.Offset
		}
		b.conn.NetConn().Close()
	}
	<-done
}

func TestARetryIsDeliveredOnce(t *testing.T) {
	s := newStage(t)
	a, _ := s.joinWith(t, "live/x", `"guest":"0123456789abcdef"`)
	first := a.ok(`{"type":"say","id":"m1","text":"hello"}`)
	if first.Duplicate || first.Kept != nil || first.Message == "" || first.Offset != 1 {
		t.Errorf("%s", first.raw)
	}
	if e := a.ok(`{"type":"say","id":"m1","text":"hello"}`); !e.Duplicate || e.Message != first.Message || e.Offset != 1 {
		t.Errorf("%s", e.raw)
	}
	a.leave()
	b, w := s.joinWith(t, "live/x", `"guest":"0123456789abcdef","history":0`)
	if e := b.ok(`{"type":"say","id":"m1","text":"hello"}`); !e.Duplicate || e.Message != first.Message {
		t.Errorf("%s", e.raw)
	}
	c, other := s.joinWith(t, "live/x", `"guest":"another-secret-0","history":0`)
	if other.You.ID == w.You.ID {
		t.Error("two guests are one")
	}
	if e := c.ok(`{"type":"say","id":"m1","text":"mine"}`); e.Duplicate || e.Offset != 2 {
		t.Errorf("%s", e.raw)
	}
	if st := s.Stats(); st.Messages != 2 || st.Duplicates != 2 {
		t.Errorf("%+v", st)
	}
}

func TestAcknowledgementFollowsTheCommit(t *testing.T) {
	store := newKeepingStore()
	store.hold = true
	s := newStageWith(t, store)
	a, _ := s.join(t, "live/x", "a")
	a.send(`{"type":"say","id":"1","text":"hello"}`)
	a.next("message") // is delivered at once
	a.send(`{"type":"say","id":"1","text":"hello"}`)
	a.send(`{"type":"ping","id":"p"}`)
	if e := a.until(func(e event) bool { return e.ID != "" && e.Type != "message" }); e.Type != "pong" {
		t.Errorf("before the commit: %s", e.raw)
	}
	store.release(nil)
	for _, duplicate := range []bool{false, true} {
		if e := a.next("ack"); e.Kept != nil || e.Duplicate != duplicate {
			t.Errorf("%s", e.raw)
		}
	}
	store.failing = errors.New("full")
	if e := a.ok(`{"type":"say","id":"2","text":"hello"}`); e.Kept == nil || *e.Kept {
		t.Errorf("%s", e.raw)
	}
	if e := a.next("message"); e.Text != "hello" {
		t.Errorf("%s", e.raw)
	}
}

// TestAnotherStart goes on with what the store has.
func TestAnotherStart(t *testing.T) {
	store := newKeepingStore()
	one := newStageWith(t, store)
	host := one.as(t, "live/x", "host:h")
	a, w := one.joinWith(t, "live/x", `"guest":"0123456789abcdef","name":"Ann"`)
	ids := say(a, "1", "2", "3", "4", "pinned")
	host.ok(`{"type":"pin","id":"a","message":"` + ids[4] + `"}`)
	host.ok(`{"type":"set","id":"b","slow":5000,"links":"moderators"}`)
	host.ok(`{"type":"mute","id":"c","user":"` + w.You.ID + `"}`)
	host.ok(`{"type":"delete","id":"d","message":"` + ids[1] + `"}`)
	one.Shutdown(t.Context())

	store.restart()
	two := newStageWith(t, store)
	// It had seen "1" and lost the connection.
	b, w2 := two.joinWith(t, "live/x", fmt.Sprintf(`"guest":"0123456789abcdef","resume":{"epoch":%d,"offset":1}`, w.Epoch))
	if w2.You.ID != w.You.ID || w2.Epoch != w.Epoch+1 || w2.Offset != 0 || !w2.Resumed || w2.Muted == nil {
		t.Errorf("%s", w2.raw)
	}
	if w2.Settings.Slow != 5000 || w2.Settings.Links != LinksModerators || !strings.Contains(string(w2.Pinned), `"pinned"`) {
		t.Errorf("%s", w2.raw)
	}
	if got := b.texts(w2.Replay); got != "message:3 message:4 message:pinned pinned: settings: deleted:" {
		t.Errorf("%q", got)
	}
	if e := b.do(`{"type":"say","id":"3","text":"3"}`); e.Type != "ack" || !e.Duplicate || e.Offset != 3 {
		t.Errorf("%s", e.raw)
	}
	if e := b.do(`{"type":"say","id":"new","text":"new"}`); e.Code != "muted" {
		t.Errorf("%s", e.raw)
	}
	if _, w := two.joinWith(t, "live/x", fmt.Sprintf(`"resume":{"epoch":%d,"offset":1}`, w.Epoch-1)); w.Resumed {
		t.Errorf("%s", w.raw)
	}
}

func TestARoomThatCannotBeLoadedBeginsEmpty(t *testing.T) {
	s := newStageWith(t, newKeepingStore())
	if _, w := s.join(t, "live/unreadable", "a"); w.Replay != 0 {
		t.Errorf("%s", w.raw)
	}
}

var positionCases = []struct {
	in   string
	want Position
	ok   bool
}{
	{"12-34", Position{12, 34}, true},
	{"0-0", Position{}, true},
	{"9223372036854775807-18446744073709551615", Position{9223372036854775807, 18446744073709551615}, true},
	{"", Position{}, false},
	{"-", Position{}, false},
	{"12", Position{}, false},
	{"-1-2", Position{}, false},
	{"+1-2", Position{}, false},
	{"1-+2", Position{}, false},
	{"1--2", Position{}, false},
	{"9223372036854775808-1", Position{}, false},
	{strings.Repeat("0", 50) + "-1", Position{}, false},
}

func TestPositions(t *testing.T) {
	for _, c := range positionCases {
		if p, ok := parsePosition(c.in); p != c.want || ok != c.ok {
			t.Errorf("%q: %v, %v", c.in, p, ok)
		}
	}
}

// FuzzPosition: what is taken for a position names it again.
func FuzzPosition(f *testing.F) {
	for _, c := range positionCases {
		f.Add(c.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, ok := parsePosition(s)
		if !ok {
			return
		}
		if again, ok := parsePosition(p.String()); !ok || again != p || p.Epoch < 0 {
			t.Fatalf("%q is %v, which is %q", s, p, p)
		}
		l := eventLog{most: 3, mostBytes: 1000, floor: Position{Epoch: 5}}
		for i := range 5 {
			l.append(entry{Position: Position{5, uint64(i + 1)}, json: []byte("{}"), shown: true})
		}
		events, ok := l.since(p)
		if len(events) > 3 || ok == p.before(Position{5, 2}) {
			t.Fatalf("%v: %d events, %v", p, len(events), ok)
		}
	})
}
