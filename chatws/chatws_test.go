package chatws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lxzan/gws"
	"go.uber.org/goleak"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/streamkey"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

// liveSet is what is live in a test.
type liveSet struct {
	mu   sync.Mutex
	keys map[string]time.Duration
}

func (l *liveSet) Live(k streamkey.Key) (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d, ok := l.keys[k.String()]
	return d, ok
}

func (l *liveSet) set(key string, live bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.keys, key)
	if live {
		l.keys[key] = 1500 * time.Millisecond
	}
}

type stage struct {
	*Server
	url     string
	streams *liveSet
}

func newStage(t testing.TB, change ...func(*Config)) *stage {
	t.Helper()
	c := DefaultConfig()
	c.Rate, c.Burst = 1000, 1000
	for _, f := range change {
		f(&c)
	}
	streams := &liveSet{keys: map[string]time.Duration{}}
	s := New(c, authorizer{}, streams, slog.New(slog.DiscardHandler))
	h := httptest.NewServer(s)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		s.Shutdown(ctx)
		h.Close()
	})
	return &stage{s, h.URL, streams}
}

// authorizer refuses the token "bad", does not know "slow" and names the bearer of "alice".
type authorizer struct{}

func (authorizer) Authorize(_ context.Context, r auth.Request) (auth.Grant, error) {
	switch r.Token {
	case "bad":
		return auth.Grant{}, fmt.Errorf("token: %w", auth.ErrDenied)
	case "slow":
		return auth.Grant{}, errors.New("no answer")
	case "alice":
		return auth.Grant{Name: "Alice"}, nil
	}
	return auth.Grant{}, nil
}

// client is one tab.
type client struct {
	gws.BuiltinEventHandler
	t      testing.TB
	conn   *gws.Conn
	events chan Event
	closed chan uint16
}

func (c *client) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer m.Close()
	var e Event
	if err := json.Unmarshal(m.Bytes(), &e); err != nil {
		c.t.Error(err)
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
	c := &client{t: t, events: make(chan Event, 10000), closed: make(chan uint16, 1)}
	conn, _, err := gws.NewClient(c, &gws.ClientOption{Addr: "ws" + strings.TrimPrefix(s.url, "http") + "/" + room})
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
func (s *stage) join(t testing.TB, room, name string) (*client, Event) {
	t.Helper()
	path, query, _ := strings.Cut(room, "?")
	c := s.connect(t, path+"/chat?"+query)
	c.send(fmt.Sprintf(`{"type":"join","name":%q}`, name))
	return c, c.next(EventWelcome)
}

func (c *client) send(s string) {
	c.t.Helper()
	if err := c.conn.WriteString(s); err != nil {
		c.t.Fatal(err)
	}
}

// next returns the next event of a type, and lets others pass.
func (c *client) next(typ string) Event {
	c.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		select {
		case e := <-c.events:
			if e.Type == typ {
				return e
			}
		case <-timeout.C:
			c.t.Fatalf("waited in vain for %s", typ)
		}
	}
}

func (c *client) closeCode() uint16 {
	c.t.Helper()
	select {
	case code := <-c.closed:
		return code
	case <-time.After(patience):
		c.t.Fatal("the connection stays open")
		return 0
	}
}

func TestEverybodyGetsEveryMessageOnceAndInOrder(t *testing.T) {
	s := newStage(t)
	const members, each = 50, 20
	clients := make([]*client, members)
	for i := range clients {
		clients[i], _ = s.join(t, "live/x", fmt.Sprintf("m%d", i))
	}
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			for n := range each {
				c.send(fmt.Sprintf(`{"type":"say","text":"%d/%d"}`, i, n))
			}
		})
	}
	wg.Wait()
	var first []string
	for i, c := range clients {
		var got []string
		last := uint64(0)
		nexts := map[string]int{}
		for range members * each {
			e := c.next(EventMessage)
			if e.Seq <= last {
				t.Fatalf("event %d after %d", e.Seq, last)
			}
			last = e.Seq
			var from, n int
			if _, err := fmt.Sscanf(e.Text, "%d/%d", &from, &n); err != nil || nexts[e.From.Name] != n || e.From.Name != fmt.Sprintf("m%d", from) {
				t.Fatalf("%q of %s, want number %d", e.Text, e.From.Name, nexts[e.From.Name])
			}
			nexts[e.From.Name]++
			got = append(got, e.Text)
		}
		if i == 0 {
			first = got
		} else if strings.Join(got, " ") != strings.Join(first, " ") {
			t.Fatalf("member %d got another order", i)
		}
	}
	if st := s.Stats(); st.Messages != members*each || st.Joined != members || st.Connections != members || st.Rooms != 1 {
		t.Errorf("%+v", st)
	}
}

func TestRoomsAreIsolated(t *testing.T) {
	s := newStage(t)
	a, _ := s.join(t, "live/a", "a")
	b, w := s.join(t, "live/b", "b")
	if w.Online != 1 {
		t.Errorf("%+v", w)
	}
	a.send(`{"type":"say","text":"for a"}`)
	a.next(EventMessage)
	b.send(`{"type":"say","text":"for b"}`)
	if e := b.next(EventMessage); e.Text != "for b" || e.Seq != 2 {
		t.Errorf("%+v", e)
	}
	rooms := s.Rooms()
	if len(rooms) != 2 || rooms[0].Key.String() != "live/a" || rooms[0].Online != 1 {
		t.Errorf("%+v", rooms)
	}
}

func TestJoiningAndLeaving(t *testing.T) {
	s := newStage(t)
	a, w := s.join(t, "live/x", "  Ann ")
	if w.Name != "Ann" || w.Online != 1 || w.Version != ProtocolVersion || *w.Live {
		t.Errorf("%+v", w)
	}
	b, w := s.join(t, "live/x", "")
	if !strings.HasPrefix(w.Name, "guest-") || w.Online != 2 {
		t.Errorf("%+v", w)
	}
	if e := a.next(EventJoined); e.From.Name != w.Name || e.Online != 2 {
		t.Errorf("%+v", e)
	}
	b.conn.WriteClose(1000, nil)
	if e := a.next(EventLeft); e.From.ID != w.ID || e.Online != 1 {
		t.Errorf("%+v", e)
	}
	if _, w := s.join(t, "live/x?token=alice", "other"); w.Name != "Alice" {
		t.Errorf("%+v", w)
	}
}

func TestRoomsEndWithTheirLastMember(t *testing.T) {
	s := newStage(t)
	for range 3 {
		c, w := s.join(t, "live/x", "a")
		if w.Seq != 1 {
			t.Errorf("the room is an old one: %+v", w)
		}
		c.conn.WriteClose(1000, nil)
		c.closeCode()
		waitUntil(t, func() bool { return s.Stats().Rooms == 0 && s.Stats().Connections == 0 })
	}
	k, _ := streamkey.Parse("live/x")
	if _, err := s.Announce(k, "hello"); !errors.Is(err, ErrNoRoom) {
		t.Error(err)
	}
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

func TestLiveStateIsTold(t *testing.T) {
	s := newStage(t)
	k, _ := streamkey.Parse("live/x")
	c, w := s.join(t, "live/x", "a")
	if *w.Live || w.MediaTime != nil {
		t.Errorf("%+v", w)
	}
	for _, live := range []bool{true, false, true} {
		s.streams.set("live/x", live)
		s.StreamChanged(k)
		s.StreamChanged(k) // no news
		if e := c.next(EventLive); *e.Live != live || (e.MediaTime != nil) != live {
			t.Errorf("%+v, want live %v", e, live)
		}
	}
	c.send(`{"type":"say","text":"now"}`)
	if e := c.next(EventMessage); e.MediaTime == nil || *e.MediaTime != 1500 {
		t.Errorf("%+v", e)
	}
	if _, w := s.join(t, "live/x", "b"); !*w.Live || *w.MediaTime != 1500 {
		t.Errorf("%+v", w)
	}
}

func TestAnnouncement(t *testing.T) {
	s := newStage(t)
	k, _ := streamkey.Parse("live/x")
	a, _ := s.join(t, "live/x", "a")
	b, _ := s.join(t, "live/x", "b")
	if n, err := s.Announce(k, " maintenance at noon "); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	for _, c := range []*client{a, b} {
		if e := c.next(EventAnnouncement); e.Text != "maintenance at noon" || e.From != nil {
			t.Errorf("%+v", e)
		}
	}
	if _, err := s.Announce(k, strings.Repeat("a", 501)); err == nil {
		t.Error("a text over the bound is announced")
	}
}

func TestBadCommandsAreAnswered(t *testing.T) {
	s := newStage(t)
	for _, c := range commandCases {
		if c.want == "" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			m, _ := s.join(t, "live/x", "a")
			m.send(c.in)
			if e := m.next(EventError); e.Code != c.want || e.Message == "" || strings.HasPrefix(e.Message, c.want) {
				t.Errorf("%+v", e)
			}
			m.send(`{"type":"ping"}`) // and goes on
			m.next(EventPong)
		})
	}
}
