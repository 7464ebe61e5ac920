package chatws

import (
	"fmt"
	"testing"
	"time"
)

// TestARoomThatBeginsAgain has everybody leave until the room is over: what
// comes then has other positions and names, or a client would take it for what
// it has already.
func TestARoomThatBeginsAgain(t *testing.T) {
	for name, store := range map[string]Store{"from memory": NewMemoryStore(), "from the store": newKeepingStore()} {
		t.Run(name, func(t *testing.T) {
			inside(t, store, func(c *Config) { c.Linger = time.Minute }, func(t *testing.T, b *bubble) {
				said := map[string]bool{}
				var last event
				for round := range 3 {
					c := b.join("live/x", fmt.Sprintf(`"token":"member:ann","resume":{"epoch":%d,"offset":%d}`, b.epoch, last.Offset))
					welcome := c.take()[0]
					if resumed := round == 0 || welcome.Offset == last.Offset; welcome.Resumed != resumed {
						t.Errorf("behind %d: %s", last.Offset, welcome.raw)
					}
					c.send(`{"type":"say","text":"hi"}`)
					e := c.take()[0]
					if e.Offset <= last.Offset || said[e.ID] {
						t.Errorf("%s after %s", e.raw, last.raw)
					}
					last, said[e.ID] = e, true
					c.conn.Close()
					pass(2 * time.Minute)
					if st := b.Stats(); st.Rooms != 0 {
						t.Fatalf("%+v", st)
					}
				}
			})
		})
	}
}

// TestARoomWhereNothingHappened need not be remembered.
func TestARoomWhereNothingHappened(t *testing.T) {
	inside(t, nil, func(c *Config) { c.Linger = 24 * time.Hour }, func(t *testing.T, b *bubble) {
		b.join("live/x", `"name":"a"`).conn.Close()
		pass(2 * grace)
		pass(2 * grace)
		if st := b.Stats(); st.Rooms != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// TestWhoSharesAnAddressWithTheBanned moderates on, also after a reconnect; and
// a clock that was wrong for a moment lifts no ban.
func TestWhoSharesAnAddressWithTheBanned(t *testing.T) {
	s := newStage(t, proxied)
	join := func(token string) *client {
		c := s.connectFrom(t, "live/x/chat", "192.0.2.1")
		c.send(fmt.Sprintf(`{"type":"join","token":%q}`, token))
		return c
	}
	moderator, bad := join("moderator:mo"), join("member:bad")
	moderator.next("welcome")
	bad.next("welcome")
	for _, kind := range []string{"mute", "ban"} {
		moderator.ok(fmt.Sprintf(`{"type":%q,"id":%q,"user":"bad","address":true,"for":600000}`, kind, kind))
	}
	if code := bad.closeCode(); code != CloseBanned {
		t.Errorf("closed with %d", code)
	}
	moderator.leave()
	moderator = join("moderator:mo")
	if w := moderator.next("welcome"); w.Muted != nil {
		t.Errorf("%s", w.raw)
	}
	say(moderator, "still here")
	s.sanctions.forget(time.Now().Add(30 * time.Minute))
	for _, token := range []string{"member:bad", "member:neighbour"} {
		if code := join(token).closeCode(); code != CloseBanned {
			t.Errorf("%s: closed with %d", token, code)
		}
	}
}

// TestAnOldPinIsTakenDown though the log has forgotten the message.
func TestAnOldPinIsTakenDown(t *testing.T) {
	s := newStage(t, func(c *Config) { c.Log = 5 })
	host := s.as(t, "live/x", "host:h")
	ann := s.as(t, "live/x", "member:ann")
	for _, take := range []string{`{"type":"delete","id":"d","message":"%s"}`, `{"type":"delete","id":"e","user":"ann"}%.0s`} {
		id := ann.ok(fmt.Sprintf(`{"type":"say","id":"m%d","text":"pin me"}`, len(take))).Message
		host.ok(fmt.Sprintf(`{"type":"pin","id":"p%d","message":%q}`, len(take), id))
		for range 10 {
			ann.send(`{"type":"say","text":"more"}`)
			ann.next("message")
		}
		host.ok(fmt.Sprintf(take, id))
		if _, w := s.join(t, "live/x", "new"); w.Pinned != nil {
			t.Errorf("%s", w.raw)
		}
	}
}

// TestAnIDThatIsUsedAgainLater is in the store twice. A server that begins with
// that forgets it in time, and goes on.
func TestAnIDThatIsUsedAgainLater(t *testing.T) {
	store := newKeepingStore()
	for range 2 { // and once more by another server
		inside(t, store, nil, func(t *testing.T, b *bubble) {
			c := b.join("live/x", `"token":"member:ann"`)
			for round := range 3 {
				c.take()
				c.send(`{"type":"say","id":"1","text":"hi"}`)
				for _, e := range c.take() {
					if e.Type == "ack" && e.Duplicate != (round == 0 && b.epoch != 1000) {
						t.Errorf("%d: %s", round, e.raw)
					}
				}
				pass(sentKept + 2*time.Second)
			}
		})
		store.restart()
	}
}

// TestAThousandWhoLeftCostNothing: who writes to a room need not look for them.
func TestAThousandWhoLeftCostNothing(t *testing.T) {
	inside(t, nil, nil, func(t *testing.T, b *bubble) {
		var o outlet
		o.init(&b.pumps, 0, func() []*shard { return o.release() })
		var all []*member
		for range 1000 {
			m := newMember(b.Server, nil, mustKey(t, "live/x"))
			o.add(m)
			all = append(all, m)
		}
		for _, m := range all[:990] {
			o.remove(m)
		}
		if len(o.shards) != 1 || len(o.roomy) != 1 || o.members != 10 {
			t.Errorf("%d shards, %d not full, %d members", len(o.shards), len(o.roomy), o.members)
		}
		for _, m := range all[990:] {
			o.remove(m)
		}
		o.add(all[0])
		n := 0
		o.each(func(*member) { n++ })
		if n != 1 || len(o.shards) != 1 {
			t.Errorf("%d members in %d shards", n, len(o.shards))
		}
	})
}
