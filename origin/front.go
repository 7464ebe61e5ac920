package origin

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// frontIdle is how long a connection may stay without a further request, and
	// frontHead how long it may take to begin its first, and each head from its
	// first byte to its last.
	frontIdle = 2 * time.Minute
	frontHead = 10 * time.Second
)

// front answers the plain requests of HLS players, and leaves all others to
// net/http. Nearly all connections of an HLS audience wait for the next
// playlist: in net/http such a one holds two goroutines and 28 kB and costs as
// much again as its answer, here it is one goroutine with what it was asked.
//
// A connection begins here. With the first request that is anything but a GET
// of a playlist or of a file of HLS, without a body, a range or a wish for
// another protocol, in the strictest form that HTTP/1.1 has (RFC 9112), it goes
// to net/http for good, with every byte that was read of it.
type front struct {
	server  *Server
	handler http.Handler
	ctx     context.Context // of all requests
	inner   net.Listener
	handed  chan net.Conn

	mu     sync.Mutex
	conns  map[*frontConn]struct{}
	closed bool
	done   chan struct{}
	broken error // why inner accepts no more, before done
}

// Front returns l without the connections, or the part of them, that are
// answered here by h: what an http.Server accepts of it is the rest. It is for
// connections without TLS. Requests have ctx; closing the listener ends
// connections when they have no request, WaitViewers waits for the others.
func (s *Server) Front(ctx context.Context, l net.Listener, h http.Handler) net.Listener {
	f := &front{
		server: s, handler: h, ctx: ctx, inner: s.Listener(l), handed: make(chan net.Conn),
		conns: map[*frontConn]struct{}{}, done: make(chan struct{}),
	}
	s.viewers.Go(f.accept)
	return f
}

func (f *front) accept() {
	for {
		c, err := f.inner.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				f.end(err)
				return
			}
			// Out of file descriptors, most likely: what is open goes on.
			f.server.log.Error("cannot accept a connection", "err", err)
			pause := time.NewTimer(100 * time.Millisecond)
			select {
			case <-pause.C:
			case <-f.done:
			}
			continue
		}
		tcp, ok := c.(*conn)
		if !ok {
			f.hand(c)
			continue
		}
		f.server.viewers.Go(func() { f.serve(tcp) })
	}
}

// Accept implements net.Listener.
func (f *front) Accept() (net.Conn, error) {
	select {
	case c := <-f.handed:
		return c, nil
	case <-f.done:
		return nil, f.broken
	}
}

// Addr implements net.Listener.
func (f *front) Addr() net.Addr { return f.inner.Addr() }

// Close implements net.Listener.
func (f *front) Close() error {
	err := f.inner.Close()
	f.end(net.ErrClosed)
	return err
}

func (f *front) end(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	f.closed, f.broken = true, err
	close(f.done)
	for c := range f.conns {
		if !c.answering.Load() {
			c.SetReadDeadline(time.Unix(1, 0))
		}
	}
}

func (f *front) isClosed() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// hand gives a connection to net/http.
func (f *front) hand(c net.Conn) {
	select {
	case f.handed <- c:
	case <-f.done:
		c.Close()
	}
}

// serve answers a connection's requests as long as they are plain.
func (f *front) serve(tcp *conn) {
	c := newFrontConn(f, tcp)
	f.mu.Lock()
	f.conns[c] = struct{}{}
	f.mu.Unlock()
	kept := c.serve()
	f.mu.Lock()
	delete(f.conns, c)
	f.mu.Unlock()
	if kept && tcp.SetReadDeadline(time.Time{}) == nil {
		f.hand(tcp)
		return
	}
	tcp.Close()
}

// frontConn is a connection while front has it. All but watched and answering
// belong to its goroutine.
type frontConn struct {
	*conn
	front   *front
	request *http.Request
	remote  string // who the connection comes from; a request may come from who is behind that
	answer  frontAnswer
	until   time.Time
	asked   bool // a request has come
	// answering says that there is a request, which is not to be disturbed.
	answering atomic.Bool

	watching sync.WaitGroup
	gone     context.Context // nil if nobody watches
	cancel   context.CancelFunc
}

func newFrontConn(f *front, tcp *conn) *frontConn {
	c := &frontConn{conn: tcp, front: f, remote: tcp.RemoteAddr().String()}
	r := &http.Request{
		Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: http.NoBody,
	}
	c.request = r.WithContext(calm{f.ctx, c})
	c.answer = frontAnswer{conn: c, header: http.Header{}}
	return c
}

// serve returns true if the connection is to go on in net/http.
func (c *frontConn) serve() (kept bool) {
	defer func() {
		if p := recover(); p != nil { // as net/http does
			c.front.server.log.Error("a request of HLS panicked", "panic", p, "stack", string(debug.Stack()))
			kept = false
		}
	}()
	for {
		switch c.next() {
		case frontGone:
			return false
		case frontOther:
			return true
		}
		c.asked = true
		c.answering.Store(true)
		c.front.handler.ServeHTTP(&c.answer, c.request)
		c.unwatch()
		ok := c.answer.end()
		c.answering.Store(false)
		if !ok || c.front.isClosed() {
			return false
		}
	}
}

// calm is the context of a request of front: it ends with the server, and with
// its client only once somebody has called watch. Most wait for a fraction of a
// second, and a goroutine that reads beside each would cost more than they.
type calm struct {
	context.Context
	conn *frontConn
}

// watch returns a context that ends when the request's client goes, if that
// takes more than ctx.
func watch(ctx context.Context) context.Context {
	if c, ok := ctx.(calm); ok {
		return c.conn.watch(c.Context)
	}
	return ctx
}

// watch has a goroutine read until the client goes or sends something.
func (c *frontConn) watch(parent context.Context) context.Context {
	if c.gone != nil {
		return c.gone
	}
	c.gone, c.cancel = context.WithCancel(parent)
	c.SetReadDeadline(time.Time{})
	c.watching.Go(func() {
		var b [1]byte
		n, err := c.TCPConn.Read(b[:])
		if c.unread = append(c.unread, b[:n]...); n == 0 && !errors.Is(err, os.ErrDeadlineExceeded) {
			c.cancel()
		}
		// Else it sends ahead, or is to be answered now: it is still there.
	})
	return c.gone
}

// unwatch ends what watch began.
func (c *frontConn) unwatch() {
	if c.gone == nil {
		return
	}
	c.SetReadDeadline(time.Unix(1, 0))
	c.watching.Wait()
	c.cancel()
	c.gone, c.until = nil, time.Time{}
}
