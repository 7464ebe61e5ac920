package chatws

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lxzan/gws"

	"github.com/miju-live/miju/auth"
)

func TestSlowMemberIsClosedAndOthersGoOn(t *testing.T) {
	s := newStage(t, func(c *Config) { c.QueueKiB, c.MaxText = 64, 4000 })
	// A member whose handler waits reads nothing.
	stuck := &stuckClient{release: make(chan struct{}), closed: make(chan uint16, 1)}
	conn, _, err := gws.NewClient(stuck, &gws.ClientOption{Addr: "ws" + strings.TrimPrefix(s.url, "http") + "/live/x/chat"})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn.ReadLoop()
	}()
	if err := conn.WriteString(`{"type":"join","name":"stuck"}`); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, func() bool { return s.Stats().Joined == 1 })
	a, _ := s.join(t, "live/x", "a")
	text := strings.Repeat("x", 3900)
	waitUntil(t, func() bool {
		for range 50 {
			a.send(`{"type":"say","text":"` + text + `"}`)
			a.next("message")
		}
		return s.Stats().Slow == 1
	})
	close(stuck.release)
	if code := <-stuck.closed; code != uint16(CloseSlow) {
		t.Errorf("closed with %d", code)
	}
	<-done
	a.send(`{"type":"say","text":"still here"}`)
	if e := a.next("message"); e.Text != "still here" {
		t.Errorf("%+v", e)
	}
}

type stuckClient struct {
	gws.BuiltinEventHandler
	release chan struct{}
	closed  chan uint16
}

func (c *stuckClient) OnMessage(_ *gws.Conn, m *gws.Message) {
	<-c.release
	m.Close()
}

func (c *stuckClient) OnClose(_ *gws.Conn, err error) {
	var e *gws.CloseError
	if errors.As(err, &e) {
		c.closed <- e.Code
	} else {
		c.closed <- 0
	}
}

func TestConnectionsThatAreClosed(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		do     func(*testing.T, *stage) *client
		want   CloseCode
	}{
		{"a frame over the bound", nil, func(t *testing.T, s *stage) *client {
			m, _ := s.join(t, "live/x", "a")
			m.send(strings.Repeat("a", 5<<10))
			return m
		}, 1009},
		{"a binary frame", nil, func(t *testing.T, s *stage) *client {
			m, _ := s.join(t, "live/x", "a")
			m.conn.WriteMessage(gws.OpcodeBinary, []byte("hello"))
			return m
		}, CloseCode(CloseBadFrame)},
		{"text that is not UTF-8", nil, func(t *testing.T, s *stage) *client {
			m, _ := s.join(t, "live/x", "a")
			m.conn.WriteMessage(gws.OpcodeText, []byte{0xff, 0xfe})
			return m
		}, 1007},
		{"a full room", func(c *Config) { c.MaxMembers = 1 }, func(t *testing.T, s *stage) *client {
			s.join(t, "live/x", "a")
			m := s.connect(t, "live/x/chat")
			m.send(`{"type":"join"}`)
			return m
		}, CloseCode(CloseFull)},
		{"a token that may not", nil, func(t *testing.T, s *stage) *client {
			m := s.connect(t, "live/x/chat?token=bad")
			m.send(`{"type":"join"}`)
			return m
		}, CloseCode(CloseDenied)},
		{"a token that cannot be judged", nil, func(t *testing.T, s *stage) *client {
			m := s.connect(t, "live/x/chat?token=slow")
			m.send(`{"type":"join"}`)
			return m
		}, CloseCode(CloseUndecided)},
		{"a room too many", func(c *Config) { c.MaxRooms = 1 }, func(t *testing.T, s *stage) *client {
			s.join(t, "live/x", "a")
			m := s.connect(t, "live/y/chat")
			m.send(`{"type":"join"}`)
			return m
		}, CloseCode(CloseFull)},
		{"a flood", func(c *Config) { c.Rate, c.Burst = 1, 1 }, func(t *testing.T, s *stage) *client {
			m, _ := s.join(t, "live/x", "a")
			for range maxStrikes + 5 {
				m.conn.WriteString(`{"type":"ping"}`) // the last ones may find it closed
			}
			return m
		}, CloseCode(CloseFlood)},
	} {
		t.Run(c.name, func(t *testing.T) {
			change := func(*Config) {}
			if c.change != nil {
				change = c.change
			}
			s := newStage(t, change)
			if code := c.do(t, s).closeCode(); code != c.want {
				t.Errorf("closed with %d, want %d", code, c.want)
			}
		})
	}
}

func TestRateIsBounded(t *testing.T) {
	s := newStage(t, func(c *Config) { c.Rate, c.Burst = 1, 3 })
	a, _ := s.join(t, "live/x", "a")
	for range 5 {
		a.send(`{"type":"say","text":"hi"}`)
	}
	if e := a.next("error"); e.Code != "rate" {
		t.Errorf("%+v", e)
	}
	if st := s.Stats(); st.Refused["rate"] == 0 || st.Messages > 4 {
		t.Errorf("%+v", st)
	}
}

func TestUnjoinedConnectionHearsNothing(t *testing.T) {
	s := newStage(t)
	silent := s.connect(t, "live/x/chat")
	a, _ := s.join(t, "live/x", "a")
	a.send(`{"type":"say","text":"hi"}`)
	a.next("message")
	silent.send(`{"type":"say","text":"let me"}`)
	if e := <-silent.events; e.Type != "error" || e.Code != "not_joined" {
		t.Errorf("%+v", e)
	}
}

// handshake is that of RFC 6455, 1.3.
var handshake = http.Header{
	"Upgrade": {"websocket"}, "Connection": {"keep-alive, Upgrade"},
	"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
}

func with(h http.Header, name, value string) http.Header {
	h = h.Clone()
	h.Set(name, value)
	return h
}

func TestAnswersOverHTTP(t *testing.T) {
	s := newStage(t, func(c *Config) { c.Origins = "https://a.example" })
	for _, c := range []struct {
		name, path string
		header     http.Header
		status     int
		code       string
	}{
		{"a browser's address bar", "/live/x/chat", nil, 426, "no_websocket"},
		{"a bad name", "/live/x.y/chat", handshake, 404, "invalid_room"},
		{"three segments", "/live/x/y/chat", nil, 404, "not_found"},
		{"no room at all", "/live/x", handshake, 404, "not_found"},
		{"an upgrade to something else", "/live/x/chat", with(handshake, "Upgrade", "h2c"), 426, "no_websocket"},
		{"another version", "/live/x/chat", with(handshake, "Sec-WebSocket-Version", "12"), 400, "bad_handshake"},
		{"a key that is none", "/live/x/chat", with(handshake, "Sec-WebSocket-Key", "abc"), 400, "bad_handshake"},
		{"another protocol", "/live/x/chat", with(handshake, "Sec-WebSocket-Protocol", "miju.chat.v9, x"), 400, "bad_protocol"},
		{"another page", "/live/x/chat", with(handshake, "Origin", "https://b.example"), 403, "origin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.header != nil {
				req.Header = c.header
			}
			r, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			b, err := io.ReadAll(r.Body)
			if err != nil || r.StatusCode != c.status || !strings.Contains(string(b), `"error":"`+c.code+`"`) {
				t.Errorf("%d %s", r.StatusCode, b)
			}
		})
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

// TestNoUpgradePossible is a server in front of the handler that cannot let go
// of its connection.
func TestNoUpgradePossible(t *testing.T) {
	s := newServer(t, DefaultConfig(), auth.Open{}, &liveSet{}, NewMemoryStore())
	r := httptest.NewRequest(http.MethodGet, "/live/x/chat", nil)
	for k, v := range handshake {
		r.Header[k] = v
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != 500 || !strings.Contains(w.Body.String(), `"no_upgrade"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if st := s.Stats(); st.Connections != 0 {
		t.Errorf("%+v", st)
	}
}

func TestShutdownSaysGoodbye(t *testing.T) {
	s := newStage(t)
	a, _ := s.join(t, "live/x", "a")
	b := s.connect(t, "live/y/chat") // has not joined
	s.Shutdown(t.Context())
	for _, c := range []*client{a, b} {
		if code := c.closeCode(); code != CloseGoingAway {
			t.Errorf("closed with %d", code)
		}
	}
	if st := s.Stats(); st.Connections != 0 {
		t.Errorf("%+v", st)
	}
}
