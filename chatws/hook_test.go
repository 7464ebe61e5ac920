package chatws

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// decider is the application's hook in a test.
type decider struct {
	mu    sync.Mutex
	asked []question
}

func (d *decider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var q question
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		w.WriteHeader(500)
		return
	}
	d.mu.Lock()
	d.asked = append(d.asked, q)
	d.mu.Unlock()
	switch q.Text {
	case "no":
		io.WriteString(w, `{"allow":false,"message":"not like that"}`)
	case "no word":
		io.WriteString(w, `{"allow":false}`)
	case "change":
		io.WriteString(w, `{"allow":true,"text":" ch*nged\u0000 "}`)
	case "empty":
		io.WriteString(w, `{"allow":true,"text":"  \u200b"}`)
	case "broken":
		io.WriteString(w, `yes`)
	case "mute":
		io.WriteString(w, `{}`)
	case "fail":
		w.WriteHeader(502)
	case "elsewhere":
		http.Redirect(w, r, "/x", http.StatusFound)
	case "huge":
		fmt.Fprintf(w, `{"allow":true,"text":%q}`, strings.Repeat("a", maxHookAnswer))
	case "hang":
		<-r.Context().Done()
	default:
		io.WriteString(w, `{"allow":true}`)
	}
}

func TestHook(t *testing.T) {
	for _, fail := range []string{"open", "closed"} {
		t.Run(fail, func(t *testing.T) {
			d := &decider{}
			h := httptest.NewServer(d)
			defer h.Close()
			s := newStage(t, proxied, func(c *Config) { c.Hook = HookConfig{URL: h.URL, Timeout: 2 * time.Second, Fail: fail} })
			c := s.connectFrom(t, "live/x/chat", "192.0.2.1")
			c.send(`{"type":"join","token":"member:a"}`)
			c.next("welcome")
			failures := uint64(0)
			for _, x := range []struct{ say, code, said string }{
				{"hello", "", "hello"},
				{"no", "refused", ""},
				{"no word", "refused", ""},
				{"change", "", "ch*nged"},
				{"empty", "bad_text", ""},
				{"broken", "fails", "broken"},
				{"mute", "fails", "mute"},
				{"fail", "fails", "fail"},
				{"elsewhere", "fails", "elsewhere"},
				{"huge", "fails", "huge"},
				{"hang", "fails", "hang"},
			} {
				want := x.code
				if want == "fails" {
					failures++
					if want = "unavailable"; fail == "open" {
						want = ""
					}
				}
				c.send(fmt.Sprintf(`{"type":"say","id":%q,"text":%q}`, x.say, x.say))
				e := c.until(func(e event) bool { return e.Type == "error" || e.Type == "message" })
				if e.Code != want || want == "" && e.Text != x.said || want == "unavailable" && e.RetryAfter == 0 {
					t.Errorf("%s: %s", x.say, e.raw)
				}
				if x.say == "no" && e.Message != "not like that" {
					t.Errorf("%s", e.raw)
				}
			}
			if got := s.Stats().HookFailures; got != failures {
				t.Errorf("%d failures, want %d", got, failures)
			}
			if e := c.do(`{"type":"say","id":"hello","text":"hello"}`); !e.Duplicate {
				t.Errorf("%s", e.raw)
			}
			d.mu.Lock()
			defer d.mu.Unlock()
			if q := d.asked[0]; len(d.asked) != 11 || q.Room != "live/x" || q.User.ID != "a" || q.Role != "member" || q.Address != "192.0.2.1" {
				t.Errorf("%d: %+v", len(d.asked), q)
			}
		})
	}
}

// TestTheHookHoldsUpNobodyElse has it hang for one while others talk, and ends
// the question when the one goes.
func TestTheHookHoldsUpNobodyElse(t *testing.T) {
	h := httptest.NewServer(&decider{})
	defer h.Close()
	s := newStage(t, func(c *Config) { c.Hook = HookConfig{URL: h.URL, Timeout: 20 * time.Second, Fail: "open"} })
	stuck := s.as(t, "live/x", "member:stuck")
	stuck.send(`{"type":"say","text":"hang"}`)
	a := s.as(t, "live/x", "member:a")
	say(a, "1", "2")
	s.Shutdown(t.Context()) // does not wait for the hook
	if code := stuck.closeCode(); code != CloseGoingAway {
		t.Errorf("closed with %d", code)
	}
}

func TestHookSettings(t *testing.T) {
	for _, c := range []HookConfig{
		{Fail: "maybe"}, {Fail: "open", URL: "ftp://a.example"}, {Fail: "open", URL: "/path"}, {Fail: "closed", URL: "http://[bad"},
	} {
		if c.check() == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

// TestWhoIsMutedWhileTheHookThinks, or banned, is not heard.
func TestWhoIsMutedWhileTheHookThinks(t *testing.T) {
	asked, think := make(chan bool, 10), make(chan bool)
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // or nobody looks whether the peer is gone
		asked <- true
		select {
		case <-think:
		case <-r.Context().Done():
		}
		w.Write([]byte(`{"allow":true}`))
	}))
	defer h.Close()
	s := newStage(t, func(c *Config) { c.Hook = HookConfig{URL: h.URL, Timeout: 20 * time.Second, Fail: "open"} })
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
	if st := s.Stats(); st.Messages != 0 || st.HookFailures != 0 {
		t.Errorf("%+v", st)
	}
}
