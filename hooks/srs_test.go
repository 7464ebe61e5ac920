package hooks

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/miju-live/miju/auth"
)

func TestParams(t *testing.T) {
	for _, c := range []struct{ token, query, want string }{
		{"", "", ""},
		{"a", "", "?token=a"},
		{"a", "token=a&x=1", "?token=a&x=1"},
		{"a&b", "x=1", "?x=1&token=a%26b"},
		{"", "auth_key=1-0-0-x", "?auth_key=1-0-0-x"},
	} {
		if got := param(&question{Token: c.token, Query: c.query}); got != c.want {
			t.Errorf("%q %q: %q, want %q", c.token, c.query, got, c.want)
		}
	}
}

// srs is an application that knows SRS's callbacks.
func srs(t *testing.T) *application {
	return newApplication(t, func(w http.ResponseWriter, _ *http.Request, m map[string]any) {
		if m["param"] == "?token=no" {
			fmt.Fprint(w, `{"code":1,"msg":"go away"}`)
			return
		}
		fmt.Fprint(w, 0)
	})
}

func (a *application) actions() string {
	var all []string
	for _, m := range a.all() {
		all = append(all, fmt.Sprint(m["action"], " ", m["client_id"]))
	}
	return strings.Join(all, ", ")
}

// TestSRS: who was let in goes once, and who was not never was there.
func TestSRS(t *testing.T) {
	a := srs(t)
	h, _ := newHooks(t, a.URL, true, func(c *Config) { c.Style, c.Decides = StyleSRS, "" })
	r := publish("yes")
	r.Query = ""
	g, err := h.Authorize(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	r.Token, r.Session = "no", "c2"
	if _, err := h.Authorize(t.Context(), r); err == nil || err.Error() != "denied: go away" {
		t.Errorf("%v", err)
	}
	g.End()
	g.End()
	player := part("yes", "192.0.2.9:7")
	for range 3 {
		if g, err = h.Authorize(t.Context(), player); err != nil || g.Ended != nil {
			t.Errorf("%+v %v", g, err)
		}
	}
	eventually(t, "the publisher to go", func() bool { return len(a.all()) == 4 })
	h.players.sweep(time.Now().Add(time.Minute))
	eventually(t, "the player to go", func() bool { return len(a.all()) == 5 })
	heard := a.all()
	id := fmt.Sprint(heard[4]["client_id"])
	want := "on_publish c1, on_publish c2, on_unpublish c1, on_play " + id + ", on_stop " + id
	if got := a.actions(); got != want && got != strings.Replace(want, "on_unpublish c1, on_play "+id, "on_play "+id+", on_unpublish c1", 1) {
		t.Errorf("%s, want %s", got, want)
	}
	var numbered int
	if err := h.queue.db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM sequences`).Scan(&numbered); err != nil || numbered != 0 {
		t.Errorf("numbers of %d streams are kept for good, whatever players call them: %v", numbered, err)
	}
	m := heard[0]
	for k, want := range map[string]any{
		"server_id": h.queue.server, "ip": "192.0.2.7", "vhost": "__defaultVhost__", "app": "live", "stream": "alice", "param": "?token=yes",
		"stream_url": "/live/alice", "stream_id": "live/alice", "tcUrl": "rtmp://__defaultVhost__/live", "pageUrl": nil,
	} {
		if m[k] != want {
			t.Errorf("%s is %v, want %v", k, m[k], want)
		}
	}
}

// TestSRSAfterACrash: who was there when the server was gone has gone, too.
func TestSRSAfterACrash(t *testing.T) {
	a := srs(t)
	dir := t.TempDir()
	c := DefaultConfig()
	c.URL, c.Style = a.URL, StyleSRS
	o := Options{Doors: doors{}, Alone: func(auth.Action) bool { return true }, Dir: dir, Log: newLog()}
	h, err := New(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Authorize(t.Context(), publish("yes")); err != nil {
		t.Fatal(err)
	}
	h.queue.writeAll(t.Context())
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if h, err = New(t.Context(), c, o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); h.Run(ctx) }()
	eventually(t, "its end", func() bool { return a.actions() == "on_publish c1, on_unpublish c1" })
	cancel()
	<-done
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

// TestStyleThatChanged: what waits in the words of another style is dropped.
func TestStyleThatChanged(t *testing.T) {
	a := srs(t)
	q, _ := runQueue(t, "", a.URL, func(o *queueOptions) { o.srs = true })
	q.add(told("live/a", streamStarted))
	eventually(t, "it to be dropped", func() bool { return q.stats().Expired == 1 && q.stats().Waiting == 0 })
	if len(a.all()) > 0 {
		t.Error("it was told")
	}
}
