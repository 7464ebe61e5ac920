package chatws

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
)

// ask makes a request of the operators' API.
func (s *stage) ask(method, path, body string) (int, string) {
	w := httptest.NewRecorder()
	s.API().ServeHTTP(w, httptest.NewRequest(method, "/api/v1"+path, strings.NewReader(body)))
	return w.Code, w.Body.String()
}

func TestAPI(t *testing.T) {
	s := newStage(t)
	s.streams.set("live/x", true)
	a := s.as(t, "live/x", "member:a")
	b := s.as(t, "live/x", "host:b")
	s.as(t, "live/y", "member:c")
	ids := say(a, "1", "2", "3")
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
		heard              string // by a
	}{
		{"GET", "/rooms", "", 200, `"room": "live/x"`, ""},
		{"GET", "/rooms/live/x", "", 200, `"present"`, ""},
		{"GET", "/rooms/live/none", "", 404, "no_room", ""},
		{"GET", "/rooms/live/chat", "", 400, "invalid_room", ""},
		{"POST", "/rooms/live/x/announcements", `{"text":" hello "}`, 200, `"delivered": 2`, `"text":"hello"`},
		{"POST", "/rooms/live/x/announcements", `{"text":" "}`, 400, "bad_text", ""},
		{"POST", "/rooms/live/x/announcements", `{"text":"a","to":"b"}`, 400, "bad_request", ""},
		{"POST", "/rooms/live/x/announcements", `hello`, 400, "bad_request", ""},
		{"POST", "/rooms/live/x/announcements", `{"text":"` + strings.Repeat("a", maxRequest) + `"}`, 413, "too_large", ""},
		{"POST", "/rooms/live/none/announcements", `{"text":"a"}`, 404, "no_room", ""},
		{"POST", "/announcements", `{"text":"everybody"}`, 200, `"rooms": 2`, `"text":"everybody"`},
		{"POST", "/announcements", `{"text":""}`, 400, "bad_text", ""},
		{"POST", "/rooms/live/x/events", `{"name":"gift","payload":{"from":"a","n":[1,2]}}`, 200, `"delivered": 2`, `"name":"gift","payload":{"from":"a","n":[1,2]}`},
		{"POST", "/rooms/live/x/events", `{"name":"bare"}`, 200, `"delivered": 2`, `"name":"bare"`},
		{"POST", "/rooms/live/later/events", `{"name":"early"}`, 200, `"delivered": 0`, ""},
		{"POST", "/rooms/live/x/events", `{"name":"no good"}`, 400, "bad_value", ""},
		{"POST", "/rooms/live/x/events", `{"name":"a","payload":"` + strings.Repeat("a", maxPayload) + `"}`, 400, "bad_value", ""},
		{"PATCH", "/rooms/live/x/settings", `{"slow":1000}`, 200, "ok", `"slow":1000`},
		{"PATCH", "/rooms/live/x/settings", `{"slow":-1}`, 400, "bad_value", ""},
		{"PUT", "/rooms/live/x/pinned", `{"message":"` + ids[0] + `"}`, 200, "ok", `"type":"pinned"`},
		{"DELETE", "/rooms/live/x/pinned", "", 200, "ok", `"type":"pinned"`},
		{"DELETE", "/rooms/live/x/pinned", "", 404, "not_found", ""},
		{"DELETE", "/rooms/live/x/messages/" + ids[1], "", 200, "ok", ids[1]},
		{"DELETE", "/rooms/live/x/messages/" + ids[1], "", 404, "not_found", ""},
		{"DELETE", "/rooms/live/x/messages?user=a", "", 200, "ok", `"user":"a"`},
		{"DELETE", "/rooms/live/x/messages", "", 200, "ok", `"type":"cleared"`},
		{"POST", "/rooms/live/x/mutes", `{"user":"a","for":60000}`, 200, "ok", `"kind":"mute"`},
		{"GET", "/rooms/live/x/sanctions", "", 200, `"user": "a"`, ""},
		{"DELETE", "/rooms/live/x/mutes?user=a", "", 200, "ok", `"lifted":true`},
		{"DELETE", "/rooms/live/x/mutes?user=a", "", 404, "not_found", ""},
		{"POST", "/mutes", `{"user":"a","reason":"everywhere"}`, 200, "ok", `"reason":"everywhere"`},
		{"GET", "/sanctions", "", 200, `"user": "a"`, ""},
		{"DELETE", "/mutes?user=a", "", 200, "ok", ""},
		{"POST", "/bans", `{}`, 400, "bad_value", ""},
		{"DELETE", "/bans?network=192.0.2.1", "", 404, "not_found", ""},
		{"POST", "/rooms/live/x/kick", `{"user":"nobody"}`, 404, "not_found", ""},
		{"POST", "/rooms/live/none/kick", `{"user":"a"}`, 404, "no_room", ""},
	} {
		status, body := s.ask(c.method, c.path, c.body)
		if status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s %s %.50s: %d %s", c.method, c.path, c.body, status, body)
		}
		if c.heard != "" {
			a.until(func(e event) bool { return strings.Contains(e.raw, c.heard) })
		}
	}
	if status, body := s.ask("POST", "/rooms/live/x/kick", `{"user":"a"}`); status != 200 || !strings.Contains(body, `"connections": 1`) {
		t.Errorf("%d %s", status, body)
	}
	if code := a.closeCode(); code != CloseKicked {
		t.Errorf("closed with %d", code)
	}
	b.next("left")
}

// TestBansEverywhere go for all rooms, of now and later.
func TestBansEverywhere(t *testing.T) {
	store := newKeepingStore()
	s := newStageWith(t, store, proxied)
	a, a2 := s.as(t, "live/x", "member:a"), s.as(t, "live/y", "member:a")
	say(a, "1")
	b := s.connectFrom(t, "live/y/chat", "192.0.2.5")
	b.send(`{"type":"join"}`)
	b.next("welcome")
	s.ask("POST", "/bans", `{"user":"a","purge":true}`)
	s.ask("POST", "/bans", `{"network":"192.0.2.0/28","for":3600000}`)
	for _, c := range []*client{a, a2, b} {
		if code := c.closeCode(); code != CloseBanned {
			t.Errorf("closed with %d", code)
		}
	}
	if _, w := s.join(t, "live/x", "c"); w.Replay != 1 { // the event system knows that it was deleted
		t.Logf("%s", w.raw)
	}
	s.Shutdown(t.Context())
	store.restart()
	two := newStageWith(t, store, proxied)
	c := two.connect(t, "live/z/chat")
	c.send(`{"type":"join","token":"member:a"}`)
	if code := c.closeCode(); code != CloseBanned {
		t.Errorf("closed with %d", code)
	}
	if status, _ := two.ask("DELETE", "/bans?user=a", ""); status != 200 {
		t.Error(status)
	}
	two.as(t, "live/z", "member:a")
	if len(store.sanctions) != 1 {
		t.Errorf("%+v", store.sanctions)
	}
}

func TestRoomsAPI(t *testing.T) {
	s := newStage(t, proxied)
	c := s.connectFrom(t, "live/x/chat", "192.0.2.5")
	c.send(`{"type":"join","token":"member:a"}`)
	c.next("welcome")
	s.as(t, "live/x", "member:a")
	s.as(t, "live/w", "member:a")
	_, body := s.ask("GET", "/rooms", "")
	var list struct {
		Rooms []struct {
			Room          string
			Online, Users int
		}
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil || fmt.Sprint(list.Rooms) != "[{live/w 1 1} {live/x 2 1}]" {
		t.Errorf("%s", body)
	}
	_, body = s.ask("GET", "/rooms/live/x", "")
	var room RoomState
	if err := json.Unmarshal([]byte(body), &room); err != nil || room.Connections != 2 || room.Users != 1 || len(room.Present) != 1 {
		t.Fatalf("%s, %v", body, err)
	}
	if p := room.Present[0]; p.ID != "a" || len(p.Addresses) != 2 || p.Addresses[0].String() != "192.0.2.5" {
		t.Errorf("%s", body)
	}
}
