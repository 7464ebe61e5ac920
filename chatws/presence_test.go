package chatws

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestTabsOfOneUserAreOneUser(t *testing.T) {
	inside(t, nil, nil, func(t *testing.T, b *bubble) {
		watch := b.join("live/x", `"name":"watch"`)
		watch.take()
		one := b.join("live/x", `"token":"member:ann"`)
		if got := watch.heard(); got != "joined ann 2/2 " {
			t.Error(got)
		}
		two := b.join("live/x", `"token":"member:ann"`)
		pass(1100 * time.Millisecond)
		if got := watch.heard(); got != "presence 2/3 " {
			t.Error(got)
		}
		one.conn.Close()
		pass(10 * time.Second)
		if got := watch.heard(); got != "presence 2/2 " {
			t.Error(got)
		}
		two.conn.Close()
		pass(4 * time.Second)
		if got := watch.heard(); got != "presence 2/1 " {
			t.Error(got)
		}
		pass(3 * time.Second)
		if got := watch.heard(); got != "left ann 1/1 " {
			t.Error(got)
		}
	})
}

// TestNobodyFlickers is a phone that changes its network.
func TestNobodyFlickers(t *testing.T) {
	inside(t, nil, nil, func(t *testing.T, b *bubble) {
		watch := b.join("live/x", `"name":"watch"`)
		phone := b.join("live/x", `"name":"phone","guest":"0123456789abcdef"`)
		pass(2 * time.Second)
		watch.take()
		for range 5 {
			phone.conn.Close()
			pass(4 * time.Second)
			phone = b.join("live/x", `"name":"phone","guest":"0123456789abcdef"`)
			pass(2 * time.Second)
		}
		if got := watch.heard(); strings.Contains(got, "left") || strings.Contains(got, "joined") || strings.Contains(got, "presence 1/") {
			t.Error(got)
		}
		// A network that is gone without a word, and another connection beside it.
		stale := b.all[len(b.all)-1]
		phone = b.join("live/x", `"name":"phone","guest":"0123456789abcdef"`)
		stale.conn.Close()
		pass(time.Minute)
		if got := watch.heard(); strings.Contains(got, "left") || strings.Contains(got, "joined") {
			t.Error(got)
		}
		if code, closed := phone.end(); closed {
			t.Errorf("closed with %d", code)
		}
	})
}

func TestTheBannedAreGoneAtOnce(t *testing.T) {
	inside(t, nil, nil, func(t *testing.T, b *bubble) {
		watch := b.join("live/x", `"token":"host:h"`)
		bad := b.join("live/x", `"token":"member:bad"`)
		watch.take()
		watch.send(`{"type":"ban","user":"bad"}`)
		if got := watch.heard(); got != "left bad 1/1 " {
			t.Error(got)
		}
		if code, _ := bad.end(); code != CloseBanned {
			t.Errorf("closed with %d", code)
		}
	})
}

func TestLargeRoomsTellASample(t *testing.T) {
	inside(t, nil, func(c *Config) { c.PresenceLimit = 10 }, func(t *testing.T, b *bubble) {
		watch := b.join("live/x", `"name":"watch"`)
		var all []*bubbleClient
		for i := range 9 {
			all = append(all, b.join("live/x", fmt.Sprintf(`"token":"member:m%d"`, i)))
		}
		pass(3 * time.Second)
		if got := watch.heard(); strings.Count(got, "joined") != 9 {
			t.Error(got)
		}
		for i := range 20 {
			all = append(all, b.join("live/x", fmt.Sprintf(`"token":"member:n%d"`, i)))
		}
		pass(2 * time.Second)
		if got := watch.heard(); got != "joined n0 30/30+19 " {
			t.Error(got)
		}
		for _, c := range all {
			c.conn.Close()
		}
		pass(10 * time.Second)
		if got := watch.heard(); !strings.HasSuffix(got, " 1/1 ") || strings.Count(got, "left") > 10 || strings.Count(got, "presence") > 3 {
			t.Error(got)
		}
	})
}

func TestReactionsAreSummed(t *testing.T) {
	inside(t, nil, func(c *Config) { c.Reactions = "👍 🔥 👍" }, func(t *testing.T, b *bubble) {
		watch := b.join("live/x", `"name":"watch"`)
		var all []*bubbleClient
		for i := range 10 {
			all = append(all, b.join("live/x", fmt.Sprintf(`"token":"member:m%d"`, i)))
		}
		pass(2 * time.Second)
		watch.take()
		for i, c := range all {
			c.send(fmt.Sprintf(`{"type":"react","emoji":"👍","count":%d}`, i))
			c.send(`{"type":"react","emoji":"🔥"}`)
		}
		if got := watch.heard(); got != "" {
			t.Error(got)
		}
		pass(sumsEvery)
		if got := watch.heard(); got != "reactions map[👍:46 🔥:10] of map[👍:46 🔥:10] " {
			t.Error(got)
		}
		all[0].send(`{"type":"react","emoji":"👍"}`)
		pass(time.Second)
		if got := watch.heard(); got != "reactions map[👍:1] of map[👍:47] " {
			t.Error(got)
		}
		late := b.join("live/x", `"name":"late"`)
		if w := late.take()[0]; w.Reactions["👍"] != 47 || len(w.Limits.Reactions) != 2 {
			t.Errorf("%s", w.raw)
		}
		for range 50 {
			all[0].send(`{"type":"react","emoji":"👍"}`)
		}
		if got := all[0].heard(); strings.Count(got, "error") != 50-reactBurst+1 && !strings.Contains(got, "error") {
			t.Error(got)
		}
	})
}
