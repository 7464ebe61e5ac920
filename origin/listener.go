package origin

import (
	"context"
	"net"
)

// headBuffer is what net/http gathers of an answer, in bytes, before it writes:
// the head and the beginning of the body.
const headBuffer = 4096

// Listener returns l with connections on which an answer's head goes out
// together with its body: net/http by itself makes two writes of it, which
// costs a third of all that it takes to send a part. An http.Server that
// serves it must have ConnContext, or nothing changes.
func Listener(l net.Listener) net.Listener { return listener{l} }

type listener struct{ net.Listener }

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if t, ok := c.(*net.TCPConn); ok && err == nil {
		return &conn{TCPConn: t}, nil
	}
	return c, err
}

type connKey struct{}

// connOf returns the connection that a request has for itself, nil if it came
// by HTTP/2 or TLS.
func connOf(ctx context.Context, protoMajor int) *conn {
	if protoMajor != 1 {
		return nil
	}
	c, _ := ctx.Value(connKey{}).(*conn)
	return c
}

// ConnContext is for an http.Server that serves a Listener.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if c, ok := c.(*conn); ok {
		return context.WithValue(ctx, connKey{}, c)
	}
	return ctx
}

// conn is a connection whose next write may be told to wait for the one after
// it. Only the goroutine that answers a request writes, and tells it so.
type conn struct {
	*net.TCPConn
	holding bool
	held    []byte
	pair    [2][]byte
	out     net.Buffers
}

var _ net.Conn = (*conn)(nil)

// hold keeps the next write back, if it is short, until the one after it or
// release.
func (c *conn) hold() {
	if c != nil {
		c.holding = true
	}
}

// release ends hold and writes what is held.
func (c *conn) release() error {
	if c == nil || !c.holding {
		return nil
	}
	c.holding = false
	if c.held == nil {
		return nil
	}
	_, err := c.Write(nil)
	return err
}

// Write implements io.Writer.
func (c *conn) Write(b []byte) (int, error) {
	switch {
	case c.held != nil:
		return c.writeBoth(b)
	case c.holding && len(b) <= headBuffer:
		c.held = append(heads.Get().(*[headBuffer]byte)[:0], b...)
		return len(b), nil
	}
	c.holding = false
	return c.TCPConn.Write(b)
}

// writeBoth writes what is held and b in one go.
func (c *conn) writeBoth(b []byte) (int, error) {
	head := c.held
	c.held, c.holding = nil, false
	c.pair = [2][]byte{head, b}
	c.out = c.pair[:]
	n, err := c.out.WriteTo(c.TCPConn)
	c.pair, c.out = [2][]byte{}, nil
	heads.Put((*[headBuffer]byte)(head[:headBuffer]))
	return max(0, int(n)-len(head)), err
}
