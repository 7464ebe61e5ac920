package origin

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/miju-live/miju/backlog"
	"github.com/miju-live/miju/peer"
)

const (
	// oneWrite is up to which size, in bytes, a body surely fits beside its
	// head into what net/http gathers before it writes.
	oneWrite = 3 << 10
	// headBuffer is room for an answer's head, in bytes.
	headBuffer = 1024
	// deadlineStep is how much earlier than need be a deadline may be set. A
	// deadline for each of thousands of small answers a second costs more than
	// their heads.
	deadlineStep = time.Second
)

// heads are buffers of connections that hold a head back.
var heads = sync.Pool{New: func() any { return new([headBuffer]byte) }}

// Listener returns l with connections that end when they take nothing for the
// write timeout, and on which a head goes out together with its body: net/http
// by itself makes two writes of that. An http.Server must serve its own
// listener through this, below TLS if there is any, with ConnContext.
func (s *Server) Listener(l net.Listener) net.Listener {
	return listener{l, s.config.WriteTimeout}
}

type listener struct {
	net.Listener
	timeout time.Duration
}

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	switch t := c.(type) {
	case *net.TCPConn:
		return &conn{TCPConn: t, whole: t, timeout: l.timeout}, nil
	case *peer.Conn:
		return &conn{TCPConn: t.TCPConn, whole: t, unread: t.Unread(), timeout: l.timeout}, nil
	}
	return c, nil
}

type (
	connKey struct{}
	lifeKey struct{}
)

// ConnContext is for an http.Server that serves a Listener.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	ctx = context.WithValue(ctx, lifeKey{}, ctx)
	return context.WithValue(ctx, connKey{}, c)
}

// boundConn bounds what waits in the kernel behind the connection of a request,
// all its requests if it has many.
func boundConn(ctx context.Context) {
	if c, ok := ctx.Value(connKey{}).(net.Conn); ok {
		backlog.Bound(c)
	}
}

// detach runs serve, for a connection that was taken over, with a context that
// ends with the server. Where it can, it does not wait, so that net/http lets go of
// its goroutine and its buffers.
func (s *Server) detach(r *http.Request, serve func(context.Context)) {
	life, ok := r.Context().Value(lifeKey{}).(context.Context)
	x, known := r.Context().Value(grantedKey{}).(*granted)
	if ok && known {
		x.detached = true
		s.viewers.Go(func() {
			ctx, release := s.while(life, x.Grant)
			defer x.End()
			defer release()
			serve(ctx)
		})
		return
	}
	serve(r.Context())
}

// connOf returns the connection that a request of HTTP/1 has for itself, nil
// where others share it or TLS is between.
func connOf(ctx context.Context, protoMajor int) *conn {
	if protoMajor != 1 {
		return nil
	}
	c, _ := ctx.Value(connKey{}).(*conn)
	return c
}

// conn is a connection whose writes have a deadline, and whose next write may
// be told to wait for the one after it.
type conn struct {
	*net.TCPConn
	whole net.Conn // the same, or what knows who is behind it
	// mu is held by who writes: pongs come between the messages of a WebSocket.
	mu      sync.Mutex
	unread  []byte // what was read of it and not used
	timeout time.Duration
	renew   time.Time // when the next write has to set a new deadline
	own     bool      // somebody took the connection over, and sets deadlines

	holding bool
	held    []byte
	pair    [2][]byte
	out     net.Buffers
}

var _ net.Conn = (*conn)(nil)

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return c.whole.RemoteAddr() }

// Close implements net.Conn.
func (c *conn) Close() error { return c.whole.Close() }

// SetDeadline implements net.Conn. net/http calls it for who takes the
// connection over: from then on deadlines are theirs.
func (c *conn) SetDeadline(t time.Time) error {
	c.own = true
	return c.TCPConn.SetDeadline(t)
}

// SetWriteDeadline implements net.Conn. net/http takes deadlines back behind
// every answer; the next write sets one anyway. Who has taken the connection
// over may call it from any goroutine.
func (c *conn) SetWriteDeadline(t time.Time) error {
	if c.own {
		return c.TCPConn.SetWriteDeadline(t)
	}
	if t.IsZero() {
		return nil
	}
	c.renew = time.Time{}
	return c.TCPConn.SetWriteDeadline(t)
}

// arm sets the deadline of a write.
func (c *conn) arm() error {
	if c.own {
		return nil
	}
	now := time.Now()
	if now.Before(c.renew) {
		return nil
	}
	c.renew = now.Add(deadlineStep)
	return c.TCPConn.SetWriteDeadline(now.Add(c.timeout + deadlineStep))
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	if len(c.unread) > 0 {
		n := copy(b, c.unread)
		if c.unread = c.unread[n:]; len(c.unread) == 0 {
			c.unread = nil
		}
		return n, nil
	}
	return c.TCPConn.Read(b)
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.holding && len(b) <= headBuffer {
		c.holding = false
		c.held = append(heads.Get().(*[headBuffer]byte)[:0], b...)
		return len(b), nil
	}
	if err := c.arm(); err != nil {
		return 0, err
	}
	if c.held == nil {
		return c.TCPConn.Write(b)
	}
	head := c.held
	c.held = nil
	c.pair = [2][]byte{head, b}
	c.out = c.pair[:]
	n, err := c.out.WriteTo(c.TCPConn)
	c.pair, c.out = [2][]byte{}, nil
	heads.Put((*[headBuffer]byte)(head[:headBuffer]))
	return max(0, int(n)-len(head)), err
}

// hold keeps the next write back, if it is short, for the one after it, which
// must come.
func (c *conn) hold() { c.holding = true }
