package hooks

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/miju-live/miju/auth"
)

// closedTo is an application of SRS's style that takes nothing of some kind that it
// is told.
func closedTo(t *testing.T, kinds string) *application {
	return newApplication(t, func(w http.ResponseWriter, _ *http.Request, m map[string]any) {
		if strings.Contains(kinds, fmt.Sprint(m["action"])) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, 0)
	})
}

// TestPlayersComeAndGo in a loop: that publishers have gone is told all the same, of
// the stream that is played, too; and what is dropped is counted and said.
func TestPlayersComeAndGo(t *testing.T) {
	a := closedTo(t, onStop)
	h, book := newHooks(t, a.URL, true, func(c *Config) { c.Style, c.Decides, c.Queue = StyleSRS, "", 100 })
	play := func(n int) {
		for range n {
			r := publish("yes")
			r.Action, r.Protocol, r.Session = auth.Play, "rtmp", ""
			g, err := h.Authorize(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			g.End()
		}
	}
	play(60)
	var publishers []auth.Grant
	for i := range 20 {
		r := publish("yes")
		r.Session = fmt.Sprint("c", i)
		g, err := h.Authorize(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		publishers = append(publishers, g)
	}
	for _, g := range publishers {
		g.End()
	}
	gone := func() (n int) {
		for _, m := range a.all() {
			if m["action"] == onUnpublish {
				n++
			}
		}
		return n
	}
	eventually(t, "the publishers to go", func() bool { return gone() == 20 })
	play(100)
	eventually(t, "the rest to be dropped", func() bool {
		st := h.queue.stats()
		return st.Waiting == 100 && st.Overflowed == 60
	})
	eventually(t, "the log to say so", func() bool { return strings.Contains(book.String(), "some of it is dropped") })
	if n := strings.Count(book.String(), "some of it is dropped"); n != 1 {
		t.Errorf("it is said %d times", n)
	}
}

// TestPlayersGoFirst: when nothing is taken and there is no room, what was of
// players is dropped before what is of streams, however old that is.
func TestPlayersGoFirst(t *testing.T) {
	a := closedTo(t, onStop+onUnpublish)
	h, _ := newHooks(t, a.URL, true, func(c *Config) { c.Style, c.Decides, c.Queue = StyleSRS, "", 100 })
	q := h.queue
	add := func(stream, kind string, r rank) {
		q.add(entry{stream: stream, kind: kind, rank: r, seal: func(uint64) []byte { return []byte(`{"action":"` + kind + `"}`) }})
	}
	for i := range 50 {
		add(fmt.Sprint("live/", i), onUnpublish, rankStream)
	}
	for i := range 500 {
		add(ofPlayers+fmt.Sprint("live/", i), onStop, rankPlayer)
	}
	eventually(t, "room to be made", func() bool { return q.stats().Waiting == 100 && q.stats().Overflowed == 450 })
	var left int
	if err := q.db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM events WHERE kind = ?`, onUnpublish).Scan(&left); err != nil || left != 50 {
		t.Errorf("%d are left of streams, %v", left, err)
	}
}

// TestPlayersLeaveRoom in what waits for the disk, and a place in the row.
func TestPlayersLeaveRoom(t *testing.T) {
	q, err := openQueue(t.Context(), "", queueOptions{most: 100, client: newClient(1, nil), log: newLog()})
	if err != nil {
		t.Fatal(err)
	}
	defer q.close()
	for range maxInbox {
		q.add(entry{stream: ofPlayers + "live/a", rank: rankPlayer})
	}
	q.add(entry{stream: "live/a"})
	if n := len(q.inbox); n != maxOfPlayers+1 || q.over.Load() != maxInbox-maxOfPlayers {
		t.Errorf("%d wait, %d are lost", n, q.over.Load())
	}
	for i := range 100 {
		q.post.add(fmt.Sprint(ofPlayers, "live/", i))
	}
	q.post.add("live/a")
	if l, _ := q.post.pick(); l == nil || l.stream != "live/a" {
		t.Errorf("%+v comes first", l)
	}
	if l, _ := q.post.pick(); l == nil || !strings.HasPrefix(l.stream, ofPlayers) {
		t.Errorf("%+v comes next", l)
	}
}

// TestLongCredentials are refused before anybody is asked: they would be kept.
func TestLongCredentials(t *testing.T) {
	for _, style := range []string{StyleMiju, StyleSRS} {
		a := srs(t)
		h, _ := newHooks(t, a.URL, true, func(c *Config) { c.Style, c.Decides = style, "" })
		for name, r := range map[string]auth.Request{
			"a long query":        {Query: "token=" + strings.Repeat("x", maxCredential)},
			"escaped":             {Query: strings.Repeat("<", maxCredential/4)},
			"no text":             {Query: strings.Repeat("\xff", maxCredential/4)},
			"a long token":        {Token: strings.Repeat("x", maxCredential)},
			"a token of escapes":  {Token: strings.Repeat("&", maxCredential/2)},
			"a player of HLS's":   {Action: auth.Play, Protocol: "hls", Token: strings.Repeat("x", maxCredential)},
			"a query of 64 KiB":   {Query: strings.Repeat("a=b&", 16<<10)},
			"together too much":   {Query: strings.Repeat("a", maxCredential/2), Token: strings.Repeat("b", maxCredential/2)},
			"one who reads chats": {Action: auth.Chat, Reads: true, Token: strings.Repeat("x", maxCredential)},
		} {
			if r.Key, r.RemoteAddr = alice, "192.0.2.7:5"; r.Action == 0 {
				r.Action = auth.Publish
			}
			if _, err := h.Authorize(t.Context(), r); !errors.Is(err, auth.ErrUnauthenticated) {
				t.Errorf("%s, %s: %v", style, name, err)
			}
		}
		if len(a.all()) > 0 || h.queue.stats().Overflowed > 0 {
			t.Errorf("%s: asked about %d", style, len(a.all()))
		}
		r := publish(strings.Repeat("x", maxCredential-100))
		if _, err := h.Authorize(t.Context(), r); err != nil || len(a.all()) != 1 {
			t.Errorf("%s: a long one: %v", style, err)
		}
	}
}
