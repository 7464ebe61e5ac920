package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"github.com/miju-live/miju/chatstore/pgtest"
)

// mainEnv has the test binary be miju.
const mainEnv = "TEST_RUNS_MIJU"

// runMiju spawns miju.
func runMiju(t testing.TB, args ...string) *program {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Dir = t.TempDir() // where its data is, unless args say otherwise
	// MIJU_SOAK is no setting of its.
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, envPrefix) }), mainEnv+"=1")
	return spawnCommand(t, cmd)
}

// chatProcess is a server in a process of its own, which can be killed and
// started anew at the same addresses.
type chatProcess struct {
	*program
	args        []string
	http, admin string
}

// roomy lets members of tests say as much as they want.
var roomy = []string{"--chat-rate=1000", "--chat-burst=10000", "--chat-room-rate=100000"}

// runChat spawns a server of which tests use the chat alone.
func runChat(t testing.TB, args ...string) *chatProcess {
	p := &chatProcess{http: freeAddr(t), admin: freeAddr(t)}
	p.args = append([]string{"--rtmp=", "--srt=", "--http=" + p.http, "--admin=" + p.admin}, args...)
	p.begin(t)
	return p
}

func (p *chatProcess) begin(t testing.TB) {
	p.program = runMiju(t, p.args...)
	waitFor(t, "the server to answer", func() bool {
		select {
		case <-p.done:
			t.Fatalf("it ended: %v", p.err)
		default:
		}
		c, err := net.Dial("tcp", p.http)
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
}

func (p *chatProcess) room(name string) string { return "ws://" + p.http + "/live/" + name + "/chat" }

// postgres is the PostgreSQL that tests share.
var (
	postgres        = sync.OnceValues(pgtest.Start)
	postgresStarted atomic.Bool
	postgresNames   atomic.Int64
)

// newDatabase returns the URL of an empty PostgreSQL database.
func newDatabase(t testing.TB) string {
	t.Helper()
	postgresStarted.Store(true)
	p, err := postgres()
	if err != nil {
		t.Fatal(err)
	}
	url, err := p.Create(fmt.Sprintf("miju%d", postgresNames.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// stopPostgres returns an exit status.
func stopPostgres() int {
	if !postgresStarted.Load() {
		return 0
	}
	p, err := postgres()
	if err == nil {
		err = p.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// onStores runs a test on both databases, with the flags that name an empty one.
func onStores(t *testing.T, test func(t *testing.T, flag string)) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, "--data-dir="+t.TempDir())
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, "--db="+newDatabase(t))
	})
}

// chatEvent is an event of a room as clients read it.
type chatEvent struct {
	Type      string
	Epoch     int64
	Offset    uint64
	At        int64
	MediaTime *int64
	ID        string
	ClientID  string `json:"clientId"`
	From      struct{ ID, Name string }
	Text      string
	Broadcast int64
	Kept      *bool
	Duplicate bool
	Resumed   bool
	Replay    int
	Message   json.RawMessage // an event, or its id
	Code      json.RawMessage
	Live      bool
	Name      string
	Payload   json.RawMessage
	raw       string
}

// acknowledged reports whether e says that a message is kept.
func (e *chatEvent) acknowledged() bool { return e.Type == "ack" && (e.Kept == nil || *e.Kept) }

// listener is a WebSocket to a room.
type listener struct {
	gws.BuiltinEventHandler
	conn   *gws.Conn
	events chan chatEvent
	err    chan error // why it ended
	done   chan struct{}
}

func (l *listener) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer m.Close()
	e := chatEvent{raw: m.Data.String()}
	if err := json.Unmarshal(m.Bytes(), &e); err != nil {
		e.Type = "no JSON: " + err.Error()
	}
	l.events <- e
}

func (l *listener) OnClose(_ *gws.Conn, err error) {
	l.err <- err
	close(l.events)
}

func (l *listener) OnPing(c *gws.Conn, payload []byte) { c.WritePong(payload) } // or it has ended

// dialChat connects to a room. The listener must be read or closed.
func dialChat(url string) (*listener, error) {
	l := &listener{events: make(chan chatEvent, 10000), err: make(chan error, 1), done: make(chan struct{})}
	c, _, err := gws.NewClient(l, &gws.ClientOption{Addr: url})
	if err != nil {
		return nil, err
	}
	l.conn = c
	go func() { defer close(l.done); c.ReadLoop() }()
	return l, nil
}

func (l *listener) close() {
	l.conn.NetConn().Close()
	<-l.done
}

// enterChat joins a room until the test ends.
func enterChat(t testing.TB, url, join string) (*listener, chatEvent) {
	t.Helper()
	l, err := dialChat(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	l.send(t, join)
	return l, l.next(t, "welcome")
}

func (l *listener) send(t testing.TB, command string) {
	t.Helper()
	if err := l.conn.WriteString(command); err != nil {
		t.Error(err)
	}
}

// next returns the next event of a type.
func (l *listener) next(t testing.TB, kind string) chatEvent {
	t.Helper()
	for late := time.After(patience); ; {
		select {
		case e, ok := <-l.events:
			if !ok {
				t.Fatalf("closed before %s: %v", kind, <-l.err)
			}
			if e.Type == kind {
				return e
			}
		case <-late:
			t.Fatalf("no %s", kind)
		}
	}
}

// closeCode reads on until the connection is closed, and returns why.
func (l *listener) closeCode(t testing.TB) int {
	t.Helper()
	for late := time.After(patience); ; {
		select {
		case _, ok := <-l.events:
			if ok {
				continue
			}
			var c *gws.CloseError
			if err := <-l.err; !errors.As(err, &c) {
				t.Fatalf("ended by %v", err)
			}
			return int(c.Code)
		case <-late:
			t.Fatal("it is not closed")
		}
	}
}

// say says something and returns its acknowledgement.
func (l *listener) say(t testing.TB, id, text string) chatEvent {
	t.Helper()
	l.send(t, fmt.Sprintf(`{"type":"say","id":%q,"text":%q}`, id, text))
	for {
		if e := l.next(t, "ack"); e.raw != "" && strings.Contains(e.raw, strconv.Quote(id)) {
			return e
		}
	}
}
