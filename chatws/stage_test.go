package chatws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lxzan/gws"
	"go.uber.org/goleak"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/peer"
	"github.com/miju-live/miju/streamkey"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

// event is any event, as a client sees it that knows all of them.
type event struct {
	Type                                            string
	ID, ClientID, Text, Code, Message, Kind, Reason string
	Name                                            string
	Epoch                                           int64
	Offset                                          uint64
	Version, Replay, Users, Connections, Others     int
	At, RetryAfter, Until, Broadcast, Media, Wall   int64
	MediaTime                                       *int64
	Live, Resumed, Duplicate, Lifted                bool
	Kept                                            *bool
	You, User, From                                 *User
	Settings                                        *Settings
	Limits                                          *Limits
	Mapping                                         *Mapping
	Muted                                           *Muted
	Pinned, Payload                                 json.RawMessage
	Reactions, Added, Totals                        map[string]uint64
	Sanctions                                       []SanctionInfo
	raw                                             string
}

// UnmarshalJSON reads an event. Of two kinds a member has another form than of
// all others.
func (e *event) UnmarshalJSON(b []byte) error {
	type plain event
	var user struct{ Type, User string }
	err := json.Unmarshal(b, &user)
	if err == nil && user.Type == "deleted" { // its user is an ID
		var x struct {
			Type, Message, User string
			Offset              uint64
		}
		if err := json.Unmarshal(b, &x); err != nil {
			return err
		}
		*e = event{Type: x.Type, Message: x.Message, Offset: x.Offset, User: &User{ID: x.User}, raw: string(b)}
		return nil
	}
	var kind struct{ Type string }
	if err := json.Unmarshal(b, &kind); err != nil {
		return err
	}
	if kind.Type == "pinned" { // its message is an event
		var x struct {
			Offset  uint64
			Message json.RawMessage
		}
		if err := json.Unmarshal(b, &x); err != nil {
			return err
		}
		*e = event{Type: kind.Type, Offset: x.Offset, Pinned: x.Message, raw: string(b)}
		return nil
	}
	e.raw = string(b)
	if kind.Type == "closed" { // its code is a number
		e.Type = kind.Type
		return nil
	}
	return json.Unmarshal(b, (*plain)(e))
}

// liveSet is what is live in a test.
type liveSet struct {
	mu   sync.Mutex
	keys map[string]Clock
}

func (l *liveSet) Live(k streamkey.Key) (Clock, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, ok := l.keys[k.String()]
	return c, ok
}

var testAnchor = time.UnixMilli(1_800_000_000_000)

// set has a stream be live, at 1500 ms, or not.
func (l *liveSet) set(key string, live bool) {
	if !live {
		l.put(key, Clock{})
		return
	}
	l.put(key, Clock{Broadcast: 7, Media: 1500 * time.Millisecond, Anchor: testAnchor})
}

// put sets where a stream is; the zero Clock is not live.
func (l *liveSet) put(key string, c Clock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys == nil {
		l.keys = map[string]Clock{}
	}
	if l.keys[key] = c; c.Broadcast == 0 {
		delete(l.keys, key)
	}
}

type stage struct {
	*Server
	url     string
	streams *liveSet
}

// newServer returns a server that Shutdown must end.
func newServer(t testing.TB, c Config, a auth.Authorizer, streams Streams, store Store) *Server {
	t.Helper()
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	s, err := New(context.Background(), c, a, streams, store, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newStage(t testing.TB, change ...func(*Config)) *stage {
	t.Helper()
	return newStageWith(t, NewMemoryStore(), change...)
}

func newStageWith(t testing.TB, store Store, change ...func(*Config)) *stage {
	t.Helper()
	c := DefaultConfig()
	c.Rate, c.Burst, c.RoomRate = 100000, 100000, 100000
	for _, f := range change {
		f(&c)
	}
	streams := &liveSet{}
	s := newServer(t, c, authorizer{}, streams, store)
	var networks []string
	for _, n := range c.Proxies {
		networks = append(networks, n.String())
	}
	door := peer.New(peer.Config{Trusted: strings.Join(networks, ",")}, slog.New(slog.DiscardHandler))
	h := httptest.NewServer(door.Handler(s))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		s.Shutdown(ctx)
		h.Close()
	})
	return &stage{s, h.URL, streams}
}

// authorizer refuses the token "bad", does not know "slow", names the bearer of
// "alice", and takes ROLE:NAME at its word.
type authorizer struct{}

func (authorizer) Authorize(_ context.Context, r auth.Request) (auth.Grant, error) {
	switch r.Token {
	case "bad":
		return auth.Grant{}, fmt.Errorf("token: %w", auth.ErrDenied)
	case "unpaid":
		return auth.Grant{}, &auth.Refusal{Why: auth.ErrForbidden, Message: "pay first"}
	case "slow":
		return auth.Grant{}, errors.New("no answer")
	case "alice":
		return auth.Grant{Name: "Alice"}, nil
	case "brief":
		return auth.Grant{Subject: "brief", Expires: time.Now().Add(time.Minute)}, nil
	}
	if role, name, ok := strings.Cut(r.Token, ":"); ok {
		return auth.Grant{Subject: name, Name: name, Role: auth.Role(role)}, nil
	}
	return auth.Grant{}, nil
}

// client is one tab.
type client struct {
	gws.BuiltinEventHandler
	t      testing.TB
	conn   *gws.Conn
	events chan event
	closed chan uint16
}

func (c *client) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer m.Close()
	var e event
	if err := json.Unmarshal(m.Bytes(), &e); err != nil {
		c.t.Error(err, m.Data.String())
	}
	c.events <- e
}

func (c *client) OnPing(socket *gws.Conn, payload []byte) { socket.WritePong(payload) }

func (c *client) OnClose(_ *gws.Conn, err error) {
	code := uint16(0)
	var e *gws.CloseError
	if errors.As(err, &e) {
		code = e.Code
	}
	c.closed <- code
}

// connect opens a connection to room/chat without joining.
func (s *stage) connect(t testing.TB, room string) *client {
	t.Helper()
	return s.connectFrom(t, room, "")
}

// connectFrom does so from an address, of which a proxy tells.
func (s *stage) connectFrom(t testing.TB, room, address string) *client {
	t.Helper()
	header := http.Header{}
	if address != "" {
		header.Set("X-Forwarded-For", address)
	}
	c := &client{t: t, events: make(chan event, 100000), closed: make(chan uint16, 1)}
	conn, _, err := gws.NewClient(c, &gws.ClientOption{Addr: "ws" + strings.TrimPrefix(s.url, "http") + "/" + room, RequestHeader: header})
	if err != nil {
		t.Fatal(err)
	}
	c.conn = conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn.ReadLoop()
	}()
	t.Cleanup(func() {
		conn.NetConn().Close()
		<-done
	})
	return c
}

// join opens a connection, joins and returns with the welcome.
func (s *stage) join(t testing.TB, room, name string) (*client, event) {
	t.Helper()
	return s.joinWith(t, room, fmt.Sprintf(`"name":%q`, name))
}

// joinWith joins with further members of the command.
func (s *stage) joinWith(t testing.TB, room, members string) (*client, event) {
	t.Helper()
	path, query, _ := strings.Cut(room, "?")
	c := s.connect(t, path+"/chat?"+query)
	c.send(`{"type":"join",` + members + `}`)
	return c, c.next("welcome")
}

// as joins by a token like host:ann.
func (s *stage) as(t testing.TB, room, token string) *client {
	t.Helper()
	c, _ := s.joinWith(t, room, fmt.Sprintf(`"token":%q`, token))
	return c
}

func (c *client) send(s string) {
	c.t.Helper()
	if err := c.conn.WriteString(s); err != nil {
		c.t.Fatal(err)
	}
}

// do sends a command and returns its answer. id must be in it.
func (c *client) do(command string) event {
	c.t.Helper()
	c.send(command)
	var head struct{ ID string }
	if err := json.Unmarshal([]byte(command), &head); err != nil || head.ID == "" {
		c.t.Fatal(command, err)
	}
	return c.until(func(e event) bool { return e.ID == head.ID })
}

// ok has a command be obeyed.
func (c *client) ok(command string) event {
	c.t.Helper()
	e := c.do(command)
	if e.Type != "ack" {
		c.t.Fatalf("%s: %s", command, e.raw)
	}
	return e
}

// next returns the next event of a type, and lets others pass.
func (c *client) next(typ string) event {
	c.t.Helper()
	return c.until(func(e event) bool { return e.Type == typ })
}

// until returns the next event that f says yes to.
func (c *client) until(f func(event) bool) event {
	c.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	var passed []string
	for {
		select {
		case e := <-c.events:
			if f(e) {
				return e
			}
			passed = append(passed, e.raw)
		case <-timeout.C:
			c.t.Fatalf("waited in vain, there was only %.2000q", passed)
		}
	}
}

func (c *client) closeCode() CloseCode {
	c.t.Helper()
	select {
	case code := <-c.closed:
		return CloseCode(code)
	case <-time.After(patience):
		c.t.Fatal("the connection stays open")
		return 0
	}
}

// leave closes the connection from this side.
func (c *client) leave() {
	c.conn.WriteClose(1000, nil)
	c.closeCode()
}

func waitUntil(t testing.TB, done func() bool) {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-timeout.C:
			t.Fatal("waited in vain")
		}
	}
}

func mustKey(t testing.TB, s string) streamkey.Key {
	t.Helper()
	k, err := streamkey.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
