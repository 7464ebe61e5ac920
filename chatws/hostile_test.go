package chatws

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miju-live/miju/auth"
)

// rawClient speaks WebSocket by hand, also what no client should say.
type rawClient struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

// rawHandshake opens room/chat on conn.
func rawHandshake(t testing.TB, conn net.Conn, room string) *rawClient {
	t.Helper()
	c := &rawClient{t, conn, bufio.NewReader(conn)}
	fmt.Fprintf(conn, "GET /%s/chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", room)
	r, err := http.ReadResponse(c.r, nil)
	if err != nil || r.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(r, err)
	}
	return c
}

func (s *stage) raw(t testing.TB, room string) *rawClient {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return rawHandshake(t, conn, room)
}

// write sends a frame with a mask of zeros.
func (c *rawClient) write(first byte, payload string) {
	c.t.Helper()
	b := []byte{first}
	if n := len(payload); n < 126 {
		b = append(b, 0x80|byte(n))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	}
	b = append(append(b, 0, 0, 0, 0), payload...)
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// read returns the next frame that is no ping.
func (c *rawClient) read() (opcode byte, payload []byte, err error) {
	for {
		if opcode, payload, err = readServerFrame(c.r); err != nil || opcode != opPing {
			return opcode, payload, err
		}
	}
}

func readServerFrame(r io.Reader) (opcode byte, payload []byte, err error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil {
		return 0, nil, err
	}
	n := int(head[1])
	if n == 126 {
		if _, err := io.ReadFull(r, head[2:]); err != nil {
			return 0, nil, err
		}
		n = int(binary.BigEndian.Uint16(head[2:]))
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(r, payload)
	return head[0] & 0x0f, payload, err
}

func (c *rawClient) join() {
	c.t.Helper()
	c.write(0x81, `{"type":"join","name":"raw"}`)
	if op, b, err := c.read(); err != nil || op != 1 || !strings.Contains(string(b), `"welcome"`) {
		c.t.Fatal(op, string(b), err)
	}
}

// closeCode reads up to the close frame, and that nothing follows it.
func (c *rawClient) closeCode() CloseCode {
	c.t.Helper()
	for {
		op, b, err := c.read()
		if err != nil {
			c.t.Fatal("no close frame: ", err)
		}
		if op != 0x8 {
			continue
		}
		if _, _, err := c.read(); err != io.EOF {
			c.t.Errorf("after the close frame: %v", err)
		}
		if len(b) < 2 {
			return 0
		}
		return CloseCode(binary.BigEndian.Uint16(b))
	}
}

// TestHostileFrames has each end its own connection with a code, and leave
// nothing behind.
func TestHostileFrames(t *testing.T) {
	for _, c := range []struct {
		name string
		send func(*rawClient)
		want CloseCode
	}{
		{"a length over 2^63", func(c *rawClient) {
			c.conn.Write([]byte{0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0})
		}, 1002},
		{"a length of 2^40", func(c *rawClient) {
			c.conn.Write([]byte{0x81, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
		}, 1009},
		{"a frame over the bound, with all its bytes", func(c *rawClient) { c.write(0x81, strings.Repeat("a", 60000)) }, 1009},
		{"fragments over the bound", func(c *rawClient) {
			c.write(0x01, strings.Repeat("a", 4000))
			c.write(0x80, strings.Repeat("a", 4000))
		}, 1009},
		{"no mask", func(c *rawClient) { c.conn.Write([]byte{0x81, 2, 'h', 'i'}) }, 1002},
		{"a reserved bit", func(c *rawClient) { c.write(0xc1, "{}") }, 1002},
		{"a reserved opcode", func(c *rawClient) { c.write(0x8b, "") }, 1002},
		{"a continuation of nothing", func(c *rawClient) { c.write(0x80, "{}") }, 1002},
		{"a ping in fragments", func(c *rawClient) { c.write(0x09, "") }, 1002},
		{"a ping of 126 bytes", func(c *rawClient) { c.write(0x89, strings.Repeat("a", 126)) }, 1002},
		{"its own close", func(c *rawClient) { c.write(0x88, "\x03\xe8bye") }, 1000},
		{"its own close without a code", func(c *rawClient) { c.write(0x88, "") }, 0},
		{"pings without end", func(c *rawClient) {
			for range 1500 {
				c.write(0x89, "x")
			}
		}, CloseFlood},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, func(c *Config) { c.Rate, c.Burst = 100, 100 })
			other, _ := s.join(t, "live/x", "other")
			raw := s.raw(t, "live/x")
			raw.join()
			c.send(raw)
			if code := raw.closeCode(); code != c.want {
				t.Errorf("closed with %d, want %d", code, c.want)
			}
			other.until(func(e event) bool { return e.Type == "presence" && e.Connections == 1 })
			raw.conn.Close()
			waitUntil(t, func() bool { return s.Stats().Connections == 1 })
			if st := s.Stats(); (c.want == 1009) != (st.Oversize == 1) {
				t.Errorf("%+v", st)
			}
		})
	}
}

// pipes is a listener of net.Pipe connections, for the synctest bubble.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// inBubble runs f with a server whose time passes only when nobody has
// anything to do. dial brings a client of live/x.
func inBubble(t *testing.T, c Config, a auth.Authorizer, f func(t *testing.T, s *Server, dial func() *rawClient)) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, c, a, &liveSet{}, NewMemoryStore())
		l := &pipes{make(chan net.Conn), make(chan struct{})}
		h := &http.Server{Handler: s}
		served := make(chan error, 1)
		go func() { served <- h.Serve(l) }()
		var clients []*rawClient
		f(t, s, func() *rawClient {
			mine, theirs := net.Pipe()
			l.conns <- theirs
			clients = append(clients, rawHandshake(t, mine, "live/x"))
			return clients[len(clients)-1]
		})
		for _, c := range clients {
			c.conn.Close()
		}
		s.Shutdown(context.Background())
		h.Close()
		<-served
	})
}

func TestWhoDoesNotJoinIsClosed(t *testing.T) {
	inBubble(t, DefaultConfig(), auth.Open{}, func(t *testing.T, _ *Server, dial func() *rawClient) {
		begun := time.Now()
		c := dial()
		if code := c.closeCode(); code.Retry() {
			t.Errorf("closed with %d, which asks to come back", code)
		}
		if d := time.Since(begun); d < joinTimeout || d > joinTimeout+2*time.Second {
			t.Errorf("closed after %v", d)
		}
	})
}

func TestWhoGivesNoSignOfLifeIsClosed(t *testing.T) {
	inBubble(t, DefaultConfig(), auth.Open{}, func(t *testing.T, s *Server, dial func() *rawClient) {
		c := dial()
		c.join()
		begun := time.Now()
		code := c.closeCode() // it reads pings, and answers none
		if !code.Retry() || code < 4000 {
			t.Errorf("closed with %d", code)
		}
		if d := time.Since(begun); d > 35*time.Second {
			t.Errorf("closed after %v", d)
		}
		synctest.Wait()
		if st := s.Stats(); st.Connections != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// TestAnsweredPingsKeepAMember also shows that a close code still reaches a
// member that was quiet for long.
func TestAnsweredPingsKeepAMember(t *testing.T) {
	inBubble(t, DefaultConfig(), auth.Open{}, func(t *testing.T, s *Server, dial func() *rawClient) {
		c := dial()
		c.join()
		begun := time.Now()
		for time.Since(begun) < 5*time.Minute {
			var head [2]byte
			if _, err := io.ReadFull(c.r, head[:]); err != nil || head[0] != 0x89 {
				t.Fatal(head, err)
			}
			c.write(0x8a, "")
		}
		<-time.After(writeTimeout + time.Second)
		c.conn.Write([]byte{0x81, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
		if code := c.closeCode(); code != 1009 {
			t.Errorf("closed with %d", code)
		}
	})
}

// TestStuckMemberIsCut reads nothing at all: no close code can reach it.
func TestStuckMemberIsCut(t *testing.T) {
	inBubble(t, DefaultConfig(), auth.Open{}, func(t *testing.T, s *Server, dial func() *rawClient) {
		c := dial()
		c.join()
		<-time.After(2 * time.Minute) // its pings wait in the pipe
		if st := s.Stats(); st.Connections != 0 || st.Slow != 1 {
			t.Errorf("%+v", st)
		}
	})
}
