package chatws

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// bubble is a server whose time passes only when nobody has anything to do.
type bubble struct {
	*Server
	t       testing.TB
	streams *liveSet
	pipes   *pipes
	all     []*bubbleClient
}

// inside runs f in a bubble.
func inside(t *testing.T, store Store, change func(*Config), f func(t *testing.T, b *bubble)) {
	synctest.Test(t, func(t *testing.T) {
		c := DefaultConfig()
		if change != nil {
			change(&c)
		}
		b := &bubble{t: t, streams: &liveSet{}, pipes: &pipes{make(chan net.Conn), make(chan struct{})}}
		if store == nil {
			store = NewMemoryStore()
		}
		b.Server = newServer(t, c, authorizer{}, b.streams, store)
		h := &http.Server{Handler: b.Server}
		served := make(chan error, 1)
		go func() { served <- h.Serve(b.pipes) }()
		f(t, b)
		for _, c := range b.all {
			c.conn.Close()
		}
		b.Shutdown(context.Background())
		h.Close()
		<-served
	})
}

// bubbleClient notes what it gets, and answers pings.
type bubbleClient struct {
	rawClient

	mu      sync.Mutex
	events  []event
	seen    int // by take
	code    CloseCode
	closed  bool
	writing sync.Mutex
}

// dial opens a connection without joining.
func (b *bubble) dial(room string) *bubbleClient {
	b.t.Helper()
	mine, theirs := net.Pipe()
	b.pipes.conns <- theirs
	c := &bubbleClient{rawClient: *rawHandshake(b.t, mine, room)}
	b.all = append(b.all, c)
	go c.listen()
	return c
}

func (b *bubble) join(room, members string) *bubbleClient {
	b.t.Helper()
	c := b.dial(room)
	c.send(`{"type":"join",` + members + `}`)
	synctest.Wait()
	return c
}

func (c *bubbleClient) listen() {
	r := bufio.NewReader(c.conn)
	for {
		op, payload, err := readServerFrame(r)
		if err != nil {
			c.mu.Lock()
			c.closed = true
			c.mu.Unlock()
			c.conn.Close()
			return
		}
		switch op {
		case opPing:
			c.frame(0x8a, "")
		case opClose:
			code, _ := closeCodeOf(payload)
			c.mu.Lock()
			c.code = code
			c.mu.Unlock()
			c.conn.Close()
		case opText:
			var e event
			if err := json.Unmarshal(payload, &e); err != nil {
				c.t.Error(err)
			}
			c.mu.Lock()
			c.events = append(c.events, e)
			c.mu.Unlock()
		}
	}
}

func (c *bubbleClient) frame(first byte, payload string) {
	c.writing.Lock()
	defer c.writing.Unlock()
	b := masked(first, payload)
	c.conn.Write(b) // whether it is open is not asked
}

func (c *bubbleClient) send(s string) { c.frame(0x81, s) }

// take returns what came since the last time.
func (c *bubbleClient) take() []event {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	news := c.events[c.seen:]
	c.seen = len(c.events)
	return news
}

// heard lists what came since the last time, shortly.
func (c *bubbleClient) heard() string {
	s := ""
	for _, e := range c.take() {
		switch e.Type {
		case "presence":
			s += fmt.Sprintf("presence %d/%d ", e.Users, e.Connections)
		case "joined", "left":
			s += fmt.Sprintf("%s %s %d/%d", e.Type, e.User.Name, e.Users, e.Connections)
			if e.Others > 0 {
				s += fmt.Sprintf("+%d", e.Others)
			}
			s += " "
		case "reactions":
			s += fmt.Sprintf("reactions %v of %v ", e.Added, e.Totals)
		default:
			s += e.Type + " "
		}
	}
	return s
}

func (c *bubbleClient) end() (CloseCode, bool) {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.code, c.closed
}

func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
