package origin

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/miju-live/miju/fanout"
)

// closeGrace is how long a viewer may take for what is on its way when the
// server shuts down.
const closeGrace = time.Second

// pipe is an endless answer: shared bytes go from the log to the socket in one
// writev.
type pipe struct {
	server *Server
	remote string   // address and port of the viewer, for the log
	conn   net.Conn // nil: write to body
	body   http.ResponseWriter
	total  *atomic.Uint64 // counts what is sent
	bufs   [][]byte
	out    net.Buffers
	head   []byte // what must go out first
	// half is set between the halves of a message.
	half bool
}

// open takes the connection over, and makes the head, which goes out with what
// is written next; HTTP/2, which has no connection of its own for an answer,
// copies. After an error the request is answered.
func (p *pipe) open(w http.ResponseWriter, r *http.Request, total *atomic.Uint64) (framing, error) {
	p.total = total
	boundConn(r.Context())
	if r.ProtoMajor >= 2 {
		p.body = w
		return framePlain, nil
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		p.server.fail(w, http.StatusInternalServerError, "internal", "cannot take the connection over")
		return 0, err
	}
	p.conn = conn
	h := w.Header()
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	h.Set("Connection", "close")
	fr := frameChunk
	if !r.ProtoAtLeast(1, 1) {
		fr = framePlain
	} else {
		h.Set("Transfer-Encoding", "chunked")
	}
	var head bytes.Buffer
	head.WriteString("HTTP/1.1 200 OK\r\n")
	if err = h.Write(&head); err == nil {
		head.WriteString("\r\n")
		p.head = head.Bytes()
		return fr, nil
	}
	p.close()
	return fr, err
}

func (p *pipe) close() {
	if p.conn != nil {
		p.conn.Close()
	}
}

// end says that the answer is whole.
func (p *pipe) end(ctx context.Context, fr framing) {
	if fr == frameChunk {
		p.bufs = append(p.bufs, []byte("0\r\n\r\n"))
		p.flush(ctx)
	}
}

// hurry ends a write that waits soon after ctx has ended. It returns what takes
// that back.
func (p *pipe) hurry(ctx context.Context) (stop func() bool) {
	if p.conn == nil {
		return func() bool { return true }
	}
	return context.AfterFunc(ctx, func() { p.conn.SetWriteDeadline(time.Now().Add(closeGrace)) })
}

// flush writes what is queued.
func (p *pipe) flush(ctx context.Context) error {
	n, err := p.Write(ctx, p.bufs)
	p.bufs = p.bufs[:0]
	p.total.Add(uint64(n))
	return err
}

// Write implements fanout.Socket. The deadline is for all of it: a viewer that
// takes less than this in that time is no viewer any more.
func (p *pipe) Write(ctx context.Context, bufs [][]byte) (int64, error) {
	defer clear(bufs)
	if p.conn == nil {
		return p.copyOut(bufs)
	}
	if c, ok := p.conn.(*conn); ok {
		if !p.half {
			c.mu.Lock()
		}
		p.half = false
		defer c.mu.Unlock()
	}
	if err := p.conn.SetWriteDeadline(time.Now().Add(p.server.config.WriteTimeout)); err != nil {
		return 0, err
	}
	if ctx.Err() != nil { // the end of ctx has set a nearer one, which this took back
		p.conn.SetWriteDeadline(time.Now().Add(closeGrace))
	}
	if p.out = bufs; p.head != nil {
		p.out = append(net.Buffers{p.head}, bufs...)
		p.head = nil
	}
	if c, ok := p.conn.(*conn); ok {
		return p.out.WriteTo(c.TCPConn)
	}
	return p.out.WriteTo(p.conn)
}

func (p *pipe) copyOut(bufs [][]byte) (total int64, err error) {
	c := http.NewResponseController(p.body)
	if err := c.SetWriteDeadline(time.Now().Add(p.server.config.WriteTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	for _, b := range bufs {
		n, err := p.body.Write(b)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	return total, c.Flush()
}

// socket returns the pipe as one that need not be waited for, if that is
// possible: nothing may be between it and the connection.
func (p *pipe) socket() fanout.Socket {
	c, ok := p.conn.(*conn)
	if !ok {
		return p
	}
	w, err := fanout.NewWriter(c.TCPConn)
	if err != nil {
		return p
	}
	return &tryPipe{pipe: p, conn: c, writer: w}
}

// tryPipe is a pipe on a connection of its own.
type tryPipe struct {
	*pipe
	conn   *conn
	writer *fanout.Writer
}

var _ fanout.TrySocket = (*tryPipe)(nil)

// TryWrite implements fanout.TrySocket. Behind half a message the connection is
// kept for the rest of it.
func (t *tryPipe) TryWrite(b []byte) (int, error) {
	if !t.conn.mu.TryLock() {
		return 0, nil
	}
	n, err := t.writer.TryWrite(b)
	if t.half = err == nil && n > 0 && n < len(b); !t.half {
		t.conn.mu.Unlock()
	}
	return n, err
}
