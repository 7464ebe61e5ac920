package chatws

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miju-live/miju/peer"
)

func TestRolesFromGrants(t *testing.T) {
	s := newStage(t)
	for _, c := range []struct{ token, role, id, name string }{
		{"host:h", "host", "h", "h"},
		{"moderator:m", "moderator", "m", "m"},
		{"member:x", "", "x", "x"},
		{":plain", "", "plain", "plain"},
		{"guest:g", "guest", "g", "g"},
		{"reader:r", "reader", "r", "r"},
		{"emperor:e", "reader", "e", "e"},
		{"member:~sly", "", "#", "~sly"},
	} {
		_, w := s.joinWith(t, "live/x", fmt.Sprintf(`"token":%q`, c.token))
		if string(w.You.Role) != c.role || w.You.Name != c.name || w.You.ID != c.id && !(c.id == "#" && strings.HasPrefix(w.You.ID, "#")) {
			t.Errorf("%s: %s", c.token, w.raw)
		}
	}
	_, w := s.join(t, "live/x", "")
	if w.You.Role != "guest" || !strings.HasPrefix(w.You.ID, "~") || !strings.HasPrefix(w.You.Name, "guest-") {
		t.Errorf("%s", w.raw)
	}
	if _, again := s.join(t, "live/x", ""); again.You.ID == w.You.ID || again.You.Name == w.You.Name {
		t.Errorf("%s", again.raw)
	}
}

// TestWhoMayWhat tries every act as everybody.
func TestWhoMayWhat(t *testing.T) {
	s := newStage(t)
	acts := []string{
		`{"type":"delete","id":"1","user":"nobody"}`, `{"type":"mute","id":"1","user":"nobody"}`, `{"type":"ban","id":"1","user":"nobody"}`,
		`{"type":"unmute","id":"1","user":"nobody"}`, `{"type":"unban","id":"1","user":"nobody"}`, `{"type":"set","id":"1","slow":0}`,
		`{"type":"clear","id":"1"}`, `{"type":"announce","id":"1","text":"hear"}`, `{"type":"sanctions","id":"1"}`,
	}
	for _, c := range []struct{ token, say, act string }{
		{"host:h", "ack", "ack"},
		{"moderator:m", "ack", "ack"},
		{"member:x", "ack", "forbidden"},
		{"guest:g", "ack", "forbidden"},
		{"reader:r", "read_only", "forbidden"},
	} {
		m := s.as(t, "live/x", c.token)
		answerOf := func(command string) string {
			e := m.do(command)
			if e.Type == "error" {
				return e.Code
			}
			return e.Type
		}
		if got := answerOf(`{"type":"say","id":"s","text":"hi"}`); got != c.say {
			t.Errorf("%s: say: %s", c.token, got)
		}
		if got := answerOf(`{"type":"react","id":"r","emoji":"👍"}`); got != c.say {
			t.Errorf("%s: react: %s", c.token, got)
		}
		for _, a := range acts {
			if got := answerOf(a); got != c.act && !(c.act == "ack" && got == "sanctions") {
				t.Errorf("%s: %s: %s", c.token, a, got)
			}
		}
	}
}

func TestDelete(t *testing.T) {
	store := newKeepingStore()
	s := newStageWith(t, store)
	mod := s.as(t, "live/x", "moderator:m")
	a := s.as(t, "live/x", "member:a")
	b := s.as(t, "live/x", "member:b")
	ids := say(a, "1", "2", "3")
	say(b, "4")
	mod.ok(`{"type":"delete","id":"x","message":"` + ids[1] + `"}`)
	if e := b.next("deleted"); e.Message != ids[1] || e.Offset != 5 {
		t.Errorf("%s", e.raw)
	}
	if e := mod.do(`{"type":"delete","id":"y","message":"` + ids[1] + `"}`); e.Code != "not_found" {
		t.Errorf("%s", e.raw)
	}
	for _, bad := range []string{`{"type":"delete","id":"z"}`, `{"type":"delete","id":"z","user":"a","message":"b"}`} {
		if e := mod.do(bad); e.Code != "bad_value" {
			t.Errorf("%s", e.raw)
		}
	}
	c, w := s.join(t, "live/x", "c")
	if got := c.texts(w.Replay); got != "message:1 message:3 message:4" {
		t.Errorf("%q", got)
	}
	mod.ok(`{"type":"delete","id":"u","user":"a"}`)
	if e := b.next("deleted"); e.User.ID != "a" {
		t.Errorf("%s", e.raw)
	}
	c, w = s.join(t, "live/x", "c")
	if got := c.texts(w.Replay); got != "message:4" {
		t.Errorf("%q", got)
	}
	c, w = s.joinWith(t, "live/x", fmt.Sprintf(`"resume":{"epoch":%d,"offset":0}`, w.Epoch))
	if got := c.texts(w.Replay); got != "message:4 deleted: deleted:" {
		t.Errorf("%q", got)
	}
	mod.ok(`{"type":"clear","id":"c"}`)
	b.next("cleared")
	if _, w = s.join(t, "live/x", "d"); w.Replay != 0 {
		t.Errorf("%s", w.raw)
	}
	if got := store.acts(); !slices.Equal(got, []string{"delete", "purge", "clear"}) {
		t.Errorf("%q", got)
	}
}

func TestPin(t *testing.T) {
	s := newStage(t)
	mod := s.as(t, "live/x", "moderator:m")
	a := s.as(t, "live/x", "member:a")
	ids := say(a, "1", "2")
	if e := mod.do(`{"type":"pin","id":"p","message":"none"}`); e.Code != "not_found" {
		t.Errorf("%s", e.raw)
	}
	if e := mod.do(`{"type":"unpin","id":"p"}`); e.Code != "not_found" {
		t.Errorf("%s", e.raw)
	}
	mod.ok(`{"type":"pin","id":"p","message":"` + ids[0] + `"}`)
	if e := a.next("pinned"); !strings.Contains(string(e.Pinned), `"text":"1"`) {
		t.Errorf("%s", e.raw)
	}
	if _, w := s.join(t, "live/x", "b"); !strings.Contains(string(w.Pinned), `"text":"1"`) {
		t.Errorf("%s", w.raw)
	}
	for i, c := range []string{
		`{"type":"delete","id":"x","message":"` + ids[0] + `"}`, `{"type":"unpin","id":"x"}`, `{"type":"delete","id":"x","user":"a"}`, `{"type":"clear","id":"x"}`,
	} {
		mod.ok(c)
		if e := a.next("pinned"); e.Pinned != nil {
			t.Errorf("%s", e.raw)
		}
		ids := say(a, fmt.Sprint("again", i))
		mod.ok(`{"type":"pin","id":"q","message":"` + ids[0] + `"}`)
		a.next("pinned")
	}
}

// TestWhatIsInMemoryNoMoreCanBeDeleted from what is kept, and from screens.
func TestWhatIsInMemoryNoMoreCanBeDeleted(t *testing.T) {
	store := newKeepingStore()
	s := newStageWith(t, store, func(c *Config) { c.Log = 2 })
	mod := s.as(t, "live/x", "moderator:m")
	a := s.as(t, "live/x", "member:a")
	ids := say(a, "1", "2", "3")
	mod.ok(`{"type":"delete","id":"d","message":"` + ids[0] + `"}`)
	if e := a.next("deleted"); e.Message != ids[0] {
		t.Errorf("%s", e.raw)
	}
	if left, err := store.History(t.Context(), "live/x", 10); err != nil || len(left) != 3 || left[0].ID != ids[1] {
		t.Errorf("%d %v", len(left), err)
	}
	future := Position{s.epoch, 100}.id()
	for _, none := range []string{future, "0" + ids[0], ids[0] + "-1", "-1-1", "zzzzzzzzzzzzzzzzzz-1", "1", "-"} {
		if e := mod.do(`{"type":"delete","id":"n","message":"` + none + `"}`); e.Code != "not_found" {
			t.Errorf("%s: %s", none, e.raw)
		}
	}
}

// TestADeletedMessageIsNotLeftInItsPin: who comes back, and who reads what is
// kept, finds nothing of it.
func TestADeletedMessageIsNotLeftInItsPin(t *testing.T) {
	for _, deletion := range []string{`"message":"%s"`, `"user":"a"`} {
		store := newKeepingStore()
		s := newStageWith(t, store)
		mod := s.as(t, "live/x", "moderator:m")
		a, w := s.join(t, "live/x", "a")
		a.send(`{"type":"say","text":"secret"}`)
		id := a.next("message").ID
		deletion = `{"type":"delete","id":"d",` + strings.ReplaceAll(strings.ReplaceAll(deletion, "%s", id), `"user":"a"`, `"user":"`+w.You.ID+`"`) + `}`
		mod.ok(`{"type":"pin","id":"p","message":"` + id + `"}`)
		mod.ok(`{"type":"pin","id":"q","message":"` + id + `"}`) // the message again, not its pin
		mod.ok(deletion)
		b := s.connect(t, "live/x/chat")
		b.send(fmt.Sprintf(`{"type":"join","resume":{"epoch":%d,"offset":0}}`, w.Epoch))
		for n := b.next("welcome").Replay; n > 0; n-- {
			if e := b.until(func(event) bool { return true }); strings.Contains(e.raw, "secret") {
				t.Errorf("%s", e.raw)
			}
		}
		left, err := store.History(t.Context(), "live/x", 100)
		if err != nil || len(left) == 0 {
			t.Errorf("%d events, %v", len(left), err)
		}
		for _, e := range left {
			if strings.Contains(string(e.Body), "secret") {
				t.Errorf("%s", e.Body)
			}
		}
	}
}

func TestMute(t *testing.T) {
	s := newStage(t)
	mod := s.as(t, "live/x", "moderator:m")
	a := s.as(t, "live/x", "member:a")
	mod.ok(`{"type":"mute","id":"1","user":"a","for":60000,"reason":"shouting","purge":true}`)
	if e := a.next("sanctioned"); e.Kind != "mute" || e.Reason != "shouting" || e.Until == 0 || e.Lifted {
		t.Errorf("%s", e.raw)
	}
	for _, c := range []string{`{"type":"say","id":"2","text":"hi"}`, `{"type":"react","id":"2","emoji":"👍"}`} {
		if e := a.do(c); e.Code != "muted" || e.RetryAfter < 50000 || e.RetryAfter > 60000 {
			t.Errorf("%s", e.raw)
		}
	}
	if _, w := s.joinWith(t, "live/x", `"token":"member:a"`); w.Muted == nil || w.Muted.Reason != "shouting" {
		t.Errorf("%s", w.raw)
	}
	if _, w := s.joinWith(t, "live/y", `"token":"member:a"`); w.Muted != nil {
		t.Errorf("in another room: %s", w.raw)
	}
	if e := mod.do(`{"type":"sanctions","id":"l"}`); len(e.Sanctions) != 1 || e.Sanctions[0].User != "a" || e.Sanctions[0].By != "m m" || e.Sanctions[0].Name != "a" {
		t.Errorf("%s", e.raw)
	}
	mod.ok(`{"type":"unmute","id":"3","user":"a"}`)
	if e := a.next("sanctioned"); !e.Lifted {
		t.Errorf("%s", e.raw)
	}
	a.ok(`{"type":"say","id":"4","text":"hi"}`)
	if e := mod.do(`{"type":"unmute","id":"5","user":"a"}`); e.Code != "not_found" {
		t.Errorf("%s", e.raw)
	}
	mod.ok(`{"type":"mute","id":"6","user":"a"}`)
	if e := a.do(`{"type":"say","id":"7","text":"hi"}`); e.Code != "muted" || e.RetryAfter != 0 {
		t.Errorf("%s", e.raw)
	}
}

func TestNobodyMutesThoseAbove(t *testing.T) {
	s := newStage(t)
	host, mod := s.as(t, "live/x", "host:h"), s.as(t, "live/x", "moderator:m")
	s.as(t, "live/x", "moderator:n")
	s.as(t, "live/x", "host:i")
	for _, c := range []struct {
		who    *client
		target string
		code   string
	}{
		{mod, "h", "forbidden"}, {mod, "n", "forbidden"}, {mod, "m", "forbidden"}, {host, "i", "forbidden"}, {host, "n", ""},
	} {
		if e := c.who.do(`{"type":"ban","id":"b","user":"` + c.target + `"}`); e.Code != c.code {
			t.Errorf("%s: %s", c.target, e.raw)
		}
	}
	for _, bad := range []string{
		`{"type":"ban","id":"b"}`, `{"type":"ban","id":"b","user":"a","network":"192.0.2.1"}`, `{"type":"ban","id":"b","user":"a","for":-1}`,
		`{"type":"ban","id":"b","network":"here"}`, `{"type":"ban","id":"b","user":"a","reason":"` + strings.Repeat("a", 201) + `"}`,
		`{"type":"set","id":"b","slow":-1}`, `{"type":"set","id":"b","links":"some"}`, `{"type":"set","id":"b","slow":86400001}`,
		`{"type":"ban","id":"b","user":"` + strings.Repeat("a", 121) + `"}`, `{"type":"ban","id":"b","network":"::ffff:1.2.3.4/80"}`,
	} {
		if e := host.do(bad); e.Code != "bad_value" {
			t.Errorf("%s: %s", bad, e.raw)
		}
	}
}

// proxied has everybody come through a proxy that says where from.
func proxied(c *Config) { c.Proxies = trusted("127.0.0.1, ::1") }

func trusted(networks string) peer.Networks {
	n, _ := peer.ParseNetworks(networks)
	return n
}

func TestBan(t *testing.T) {
	s := newStage(t, proxied)
	mod := s.as(t, "live/x", "moderator:m")
	from := func(address, join string) *client {
		c := s.connectFrom(t, "live/x/chat", address)
		c.send(`{"type":"join",` + join + `}`)
		return c
	}
	a := from("192.0.2.7", `"token":"member:a"`)
	a.next("welcome")
	neighbour := from("192.0.2.8", `"name":"n"`)
	neighbour.next("welcome")
	mod.ok(`{"type":"ban","id":"1","user":"a","address":true,"for":3600000,"reason":"spam"}`)
	if e := a.next("sanctioned"); e.Kind != "ban" || e.Reason != "spam" {
		t.Errorf("%s", e.raw)
	}
	if code := a.closeCode(); code != CloseBanned || code.Retry() {
		t.Errorf("closed with %d", code)
	}
	for _, c := range []struct {
		address, join string
		in            bool
	}{
		{"198.51.100.1", `"token":"member:a"`, false},
		{"192.0.2.7", `"name":"somebody"`, false},
		{"192.0.2.9", `"name":"somebody"`, true},
		{"192.0.2.7", `"token":"host:h"`, true},
	} {
		m := from(c.address, c.join)
		if c.in {
			m.next("welcome")
			continue
		}
		if e := m.next("sanctioned"); e.Reason != "spam" || e.Until == 0 {
			t.Errorf("%s", e.raw)
		}
		if code := m.closeCode(); code != CloseBanned {
			t.Errorf("%+v: closed with %d", c, code)
		}
	}
	if e := mod.do(`{"type":"sanctions","id":"l"}`); len(e.Sanctions) != 2 {
		t.Errorf("%s", e.raw)
	}
	mod.ok(`{"type":"unban","id":"2","user":"a"}`)
	mod.ok(`{"type":"unban","id":"3","network":"192.0.2.7"}`)
	from("192.0.2.7", `"token":"member:a"`).next("welcome")

	mod.ok(`{"type":"ban","id":"4","network":"192.0.2.0/24"}`)
	if code := neighbour.closeCode(); code != CloseBanned {
		t.Errorf("closed with %d", code)
	}
	from("192.0.3.1", `"name":"far"`).next("welcome")
	mod.ok(`{"type":"ban","id":"5","network":"2001:db8::/32"}`)
	if code := from("2001:db8:1::5", `"name":"six"`).closeCode(); code != CloseBanned {
		t.Errorf("closed with %d", code)
	}
}

func TestSlowMode(t *testing.T) {
	s := newStage(t)
	host, mod := s.as(t, "live/x", "host:h"), s.as(t, "live/x", "moderator:m")
	a := s.as(t, "live/x", "member:a")
	host.ok(`{"type":"set","id":"1","slow":60000}`)
	if e := a.next("settings"); e.Settings.Slow != 60000 || e.Settings.Links != LinksAll {
		t.Errorf("%s", e.raw)
	}
	say(a, "1")
	if e := a.do(`{"type":"say","id":"2","text":"2"}`); e.Code != "slow" || e.RetryAfter < 50000 || e.RetryAfter > 60000 {
		t.Errorf("%s", e.raw)
	}
	if e := a.do(`{"type":"say","id":"1","text":"1"}`); !e.Duplicate {
		t.Errorf("a repetition: %s", e.raw)
	}
	tab := s.as(t, "live/x", "member:a")
	if e := tab.do(`{"type":"say","id":"3","text":"3"}`); e.Code != "slow" {
		t.Errorf("another tab: %s", e.raw)
	}
	say(mod, "4", "5")
	say(host, "6", "7")
	host.ok(`{"type":"set","id":"8","slow":0}`)
	say(a, "9", "10")
}

func TestMembersOnly(t *testing.T) {
	s := newStage(t)
	mod := s.as(t, "live/x", "moderator:m")
	guest, _ := s.join(t, "live/x", "g")
	member := s.as(t, "live/x", "member:a")
	mod.ok(`{"type":"set","id":"1","membersOnly":true}`)
	if e := guest.do(`{"type":"say","id":"2","text":"2"}`); e.Code != "members_only" {
		t.Errorf("%s", e.raw)
	}
	say(member, "3")
	mod.ok(`{"type":"set","id":"4","membersOnly":false}`)
	say(guest, "5")
}

func TestRoomRate(t *testing.T) {
	s := newStage(t, func(c *Config) { c.RoomRate = 3 })
	mod := s.as(t, "live/x", "moderator:m")
	busy := 0
	for i := range 10 {
		m := s.as(t, "live/x", fmt.Sprint("member:a", i))
		if e := m.do(`{"type":"say","id":"1","text":"hi"}`); e.Type == "error" {
			if busy++; e.Code != "busy" || e.RetryAfter == 0 {
				t.Errorf("%s", e.raw)
			}
		}
	}
	if busy == 0 || busy > 7 {
		t.Errorf("%d were refused", busy)
	}
	say(mod, "1", "2", "3", "4")
}

func TestLinks(t *testing.T) {
	for in, want := range map[string]bool{
		"hello": false, "e.g. this": false, "3.14": false, "well...ok": false, "https://a.example/x": true, "see www.a-b.zz": true,
		"a.com": true, "A.COM/x": true, "go to bit.ly/abc": true, "some.thing.else/path": true, "main.go": false, "ok.fine": false, "steam://run": true,
		"点击example.cn看": true,
	} {
		if got := link.MatchString(in); got != want {
			t.Errorf("%q: %v", in, got)
		}
	}
	s := newStage(t)
	mod := s.as(t, "live/x", "moderator:m")
	guest, _ := s.join(t, "live/x", "g")
	member := s.as(t, "live/x", "member:a")
	for i, c := range []struct {
		links         Links
		guest, member string
	}{{LinksMembers, "filtered", ""}, {LinksModerators, "filtered", "filtered"}, {LinksAll, "", ""}} {
		mod.ok(fmt.Sprintf(`{"type":"set","id":"s","links":%q}`, c.links))
		g := guest.do(fmt.Sprintf(`{"type":"say","id":"g%d","text":"at a.com"}`, i))
		m := member.do(fmt.Sprintf(`{"type":"say","id":"m%d","text":"at a.com"}`, i))
		if g.Code != c.guest || m.Code != c.member {
			t.Errorf("%s: %s, %s", c.links, g.raw, m.raw)
		}
		mod.ok(fmt.Sprintf(`{"type":"say","id":"x%d","text":"at a.com"}`, i))
	}
}
