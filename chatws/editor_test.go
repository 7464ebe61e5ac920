package chatws

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/miju-live/miju/auth"
)

// editor is the application in a test.
type editor struct {
	mu    sync.Mutex
	asked []Speech
	// think, if it is not nil, is called first.
	think func(context.Context)
}

func (d *editor) EditTimeout() time.Duration { return 20 * time.Second }

func (d *editor) Edit(ctx context.Context, s Speech) (string, error) {
	d.mu.Lock()
	d.asked = append(d.asked, s)
	d.mu.Unlock()
	if d.think != nil {
		d.think(ctx)
	}
	switch s.Text {
	case "no":
		return "", &auth.Refusal{Why: auth.ErrForbidden, Message: "not like that"}
	case "no word":
		return "", &auth.Refusal{Why: auth.ErrForbidden}
	case "change":
		return " ch*nged\u0000 ", nil
	case "empty":
		return "  \u200b", nil
	case "fail":
		return "", errors.New("no answer")
	case "hang":
		<-ctx.Done()
		return "", ctx.Err()
	}
	return s.Text, nil
}

// edited is a stage whose messages d decides about.
func edited(t *testing.T, d *editor) *stage {
	s := newStage(t, proxied)
	s.EditBy(d)
	return s
}

func TestEditor(t *testing.T) {
	d := &editor{}
	s := edited(t, d)
	c := s.connectFrom(t, "live/x/chat", "192.0.2.1")
	c.send(`{"type":"join","token":"member:a"}`)
	c.next("welcome")
	for _, x := range []struct{ say, code, said string }{
		{"hello", "", "hello"},
		{"no", "refused", ""},
		{"no word", "refused", ""},
		{"change", "", "ch*nged"},
		{"empty", "bad_text", ""},
		{"fail", "unavailable", ""},
	} {
		c.send(fmt.Sprintf(`{"type":"say","id":%q,"text":%q}`, x.say, x.say))
		e := c.until(func(e event) bool { return e.Type == "error" || e.Type == "message" })
		if e.Code != x.code || x.code == "" && e.Text != x.said || x.code == "unavailable" && e.RetryAfter == 0 {
			t.Errorf("%s: %s", x.say, e.raw)
		}
		if x.say == "no" && e.Message != "not like that" {
			t.Errorf("%s", e.raw)
		}
	}
	if e := c.do(`{"type":"say","id":"hello","text":"hello"}`); !e.Duplicate {
		t.Errorf("%s", e.raw)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if q := d.asked[0]; len(d.asked) != 6 || q.Room.String() != "live/x" || q.From.ID != "a" || q.Role != "member" || q.Address != "192.0.2.1" {
		t.Errorf("%d: %+v", len(d.asked), q)
	}
}

// TestTheEditorHoldsUpNobodyElse has it hang for one while others talk, and ends
// the question when the one goes.
func TestTheEditorHoldsUpNobodyElse(t *testing.T) {
	s := edited(t, &editor{})
	stuck := s.as(t, "live/x", "member:stuck")
	stuck.send(`{"type":"say","text":"hang"}`)
	a := s.as(t, "live/x", "member:a")
	say(a, "1", "2")
	s.Shutdown(t.Context()) // does not wait for the editor
	if code := stuck.closeCode(); code != CloseGoingAway {
		t.Errorf("closed with %d", code)
	}
}

// TestWhoIsMutedWhileTheEditorThinks, or banned, is not heard.
func TestWhoIsMutedWhileTheEditorThinks(t *testing.T) {
	asked, think := make(chan bool, 10), make(chan bool)
	s := edited(t, &editor{think: func(ctx context.Context) {
		asked <- true
		select {
		case <-think:
		case <-ctx.Done():
		}
	}})
	host := s.as(t, "live/x", "host:h")
	for _, kind := range []string{"mute", "ban"} {
		c := s.as(t, "live/x", "member:"+kind+"d")
		c.send(`{"type":"say","id":"1","text":"let me finish"}`)
		<-asked
		host.ok(fmt.Sprintf(`{"type":%q,"id":%q,"user":%q}`, kind, kind, kind+"d"))
		if kind == "ban" {
			if code := c.closeCode(); code != CloseBanned {
				t.Errorf("closed with %d", code)
			}
			continue
		}
		think <- true
		if e := c.until(func(e event) bool { return e.ID == "1" }); e.Code != "muted" {
			t.Errorf("%s", e.raw)
		}
	}
	waitUntil(t, func() bool { return s.Stats().Connections == 2 })
	if st := s.Stats(); st.Messages != 0 {
		t.Errorf("%+v", st)
	}
}

// TestRefusalsInTheApplicationsWords are told to who joins before it is closed.
func TestRefusalsInTheApplicationsWords(t *testing.T) {
	s := newStage(t)
	c := s.connect(t, "live/x/chat")
	c.send(`{"type":"join","id":"1","token":"unpaid"}`)
	if e := c.next("error"); e.Code != "refused" || e.Message != "pay first" || e.ID != "1" {
		t.Errorf("%s", e.raw)
	}
	if code := c.closeCode(); code != CloseDenied {
		t.Errorf("closed with %d", code)
	}
}
