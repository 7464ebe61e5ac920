package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// curl is a command of the docs: its method, body and path, and what it answers.
var curl = regexp.MustCompile(`(?m)^    curl (?:-X (\w+) )?(?:-d '([^']*)' )?'http://127\.0\.0\.1:8081([^']*)'(?:\n    (\{.*\}))?$`)

// TestChatBackend does what docs/chat-backend.md shows, as it stands there, and
// holds that members see it.
func TestChatBackend(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "chat-backend.md"))
	if err != nil {
		t.Fatal(err)
	}
	calls := curl.FindAllStringSubmatch(string(doc), -1)
	if want := strings.Count(string(doc), "curl "); len(calls) != want || want < 20 {
		t.Fatalf("%d of %d commands can be read", len(calls), want)
	}
	p := runChat(t, append(roomy, "--data-dir="+t.TempDir())...)
	const ann = `{"type":"join","name":"Ann","guest":"what only Ann knows"}`
	a, w := enterChat(t, p.room("alice"), ann)
	b, _ := enterChat(t, p.room("alice"), `{"type":"join","name":"Bob","history":0}`)
	var who struct{ You struct{ ID string } }
	if err := json.Unmarshal([]byte(w.raw), &who); err != nil {
		t.Fatal(err)
	}
	var id string
	if err := json.Unmarshal(a.say(t, "1", "something").Message, &id); err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("USER", who.You.ID, "MESSAGE", id)
	for _, c := range calls {
		method := c[1]
		if method == "" {
			method = map[bool]string{true: "GET", false: "POST"}[c[2] == ""]
		}
		status, body := p.api(t, method, strings.TrimPrefix(fill.Replace(c[3]), "/api/v1"), fill.Replace(c[2]))
		if status != http.StatusOK {
			t.Errorf("%s: %d %s", c[0], status, body)
		}
		checkShown(t, c[4], body)
		if want, ok := backendEffects[method+" "+strings.TrimPrefix(c[3], "/api/v1")]; ok {
			if e := b.next(t, want[0]); !strings.Contains(e.raw, fill.Replace(want[1])) {
				t.Errorf("%s: %s", c[0], e.raw)
			}
		}
	}
	if code := a.closeCode(t); code != 4104 {
		t.Errorf("kicked by %d", code)
	}
	a, _ = enterChat(t, p.room("alice"), ann)
	a.say(t, "last", "nothing is left of all that")
	waitFor(t, "the acts in the log", func() bool { return p.output.count("chat moderation", "by=api") >= 15 })
	// The operators' listener is not for pages.
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+p.admin+"/api/v1/announcements", strings.NewReader(`{"text":"a"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", "https://evil.example")
	if a, err := asking(r); err != nil || a.status != http.StatusForbidden {
		t.Errorf("%d %v", a.status, err)
	}
}

// backendEffects are what members see of a call.
var backendEffects = map[string][2]string{
	"POST /rooms/live/alice/announcements":        {"announcement", `"text":"Back in five minutes"`},
	"POST /announcements":                         {"announcement", `"text":"Maintenance at midnight"`},
	"POST /rooms/live/alice/events":               {"system", `"name":"gift","payload":{"from":"Ann","stars":3}`},
	"PATCH /rooms/live/alice/settings":            {"settings", `"settings":{"slow":5000,"membersOnly":false,"links":"members"}`},
	"PUT /rooms/live/alice/pinned":                {"pinned", `"id":"MESSAGE"`},
	"DELETE /rooms/live/alice/pinned":             {"pinned", `}`},
	"DELETE /rooms/live/alice/messages/MESSAGE":   {"deleted", `"message":"MESSAGE"`},
	"DELETE /rooms/live/alice/messages?user=USER": {"deleted", `"user":"USER"`},
	"DELETE /rooms/live/alice/messages":           {"cleared", `}`},
	"POST /rooms/live/alice/kick":                 {"left", `"name":"Ann"`},
}

// checkShown holds that an answer has the members that the docs show.
func checkShown(t *testing.T, shown, body string) {
	t.Helper()
	var got map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Errorf("%v: %s", err, body)
	}
	for _, m := range regexp.MustCompile(`"(\w+)":`).FindAllStringSubmatch(shown, -1) {
		if !strings.Contains(body, `"`+m[1]+`": `) {
			t.Errorf("there is no %s in %s", m[1], body)
		}
	}
}

// TestChatHook has an application decide what is said, slow as it may be.
func TestChatHook(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		asked <- r.Method + " " + string(b)
		switch {
		case strings.Contains(string(b), `"text":"bad"`):
			io.WriteString(w, `{"allow":false,"message":"not like that"}`)
		case strings.Contains(string(b), `"text":"rude"`):
			io.WriteString(w, `{"allow":true,"text":"r*de"}`)
		case strings.Contains(string(b), `"text":"hard"`):
			<-r.Context().Done() // who asked has given up
		default:
			io.WriteString(w, `{"allow":true}`)
		}
	}))
	t.Cleanup(hook.Close)
	for fail, want := range map[string]string{"open": `"text":"hard"`, "closed": `"code":"unavailable"`} {
		p := runChat(t, append(roomy, "--data-dir=", "--hook="+hook.URL+"/decide?key=1", "--hook-decides=message", "--hook-timeout=300ms", "--hook-fail="+fail)...)
		a, _ := enterChat(t, p.room("x"), `{"type":"join","name":"Ann"}`)
		b, _ := enterChat(t, p.room("x"), `{"type":"join","name":"Bob"}`)
		a.send(t, `{"type":"say","id":"1","text":"bad"}`)
		if e := a.next(t, "error"); !strings.Contains(e.raw, `"code":"refused","message":"not like that"`) {
			t.Errorf("%s", e.raw)
		}
		q := <-asked
		for !strings.Contains(q, "bad") { // of the server before
			q = <-asked
		}
		if !strings.HasPrefix(q, `POST {"id":"q_`) || !strings.Contains(q, `"stream":"live/x","protocol":"chat","address":"127.0.0.1","subject":"~`) ||
			!strings.HasSuffix(q, `,"name":"Ann","role":"guest","text":"bad"}`) {
			t.Error(q)
		}
		a.send(t, `{"type":"say","id":"2","text":"rude"}`)
		if e := b.next(t, "message"); e.Text != "r*de" {
			t.Errorf("%s", e.raw)
		}
		// While nobody decides about Ann's, Bob's are said.
		a.send(t, `{"type":"say","id":"3","text":"hard"}`)
		for q := range asked {
			if strings.Contains(q, "hard") {
				break
			}
		}
		b.say(t, "4", "easy")
		if e := b.next(t, "message"); e.Text != "easy" {
			t.Errorf("%s", e.raw)
		}
		kind := map[string]string{"open": "message", "closed": "error"}[fail]
		e := a.next(t, kind)
		for e.Text == "r*de" || e.Text == "easy" {
			e = a.next(t, kind)
		}
		if !strings.Contains(e.raw, want) {
			t.Errorf("%s: %s", fail, e.raw)
		}
		waitFor(t, "operators to be told", func() bool { return p.output.count("level=ERROR", "the hook fails", "then="+fail) == 1 })
	}
}
