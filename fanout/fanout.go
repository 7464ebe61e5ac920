// Package fanout writes a live stream to all its viewers: one goroutine carries
// those that keep up, and a viewer that does not is written to by its own.
package fanout

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/miju-live/miju/nowait"
	"github.com/miju-live/miju/stream"
)

// Muxer makes what one viewer gets of a stream's frames. It belongs to one
// goroutine at a time.
type Muxer interface {
	// Append appends the bytes of a frame, and of what must come before it. They
	// are shared and must not be changed.
	Append(bufs [][]byte, e *stream.Entry) [][]byte
	// AppendBytes appends the same bytes in one piece, and leaves nothing behind
	// for others: who writes one piece to many has no use for shared ones.
	AppendBytes(dst []byte, e *stream.Entry) []byte
	// Same reports whether other makes the same bytes of whatever comes next.
	Same(other Muxer) bool
	// Twin returns a Muxer that is the Same.
	Twin() Muxer
	// Become makes this one the Same as other, a Twin of its twins.
	Become(other Muxer)
}

// Socket is where a viewer's bytes go.
type Socket interface {
	// Write writes all of bufs, or what a TryWrite left of them, and waits for
	// the viewer as long as that may take. It clears bufs and does not keep them.
	Write(ctx context.Context, bufs [][]byte) (int64, error)
}

// TrySocket is a Socket that need not be waited for.
type TrySocket interface {
	Socket
	// TryWrite writes as much of b as there is room for, without waiting. Behind
	// less than all of it the next call must be a Write of the rest.
	TryWrite(b []byte) (int, error)
}

// Group carries viewers of any streams. The zero value is ready.
type Group struct {
	// Sent counts the bytes that were written.
	Sent atomic.Uint64

	mu       sync.Mutex
	carriers map[*stream.Stream][]*carrier
	running  sync.WaitGroup
}

// Wait returns when no goroutine of the group is left. There is one only while
// there are viewers.
func (g *Group) Wait() { g.running.Wait() }

// viewer is one that is served.
type viewer struct {
	reader *stream.Reader
	muxer  Muxer
	socket Socket
	// try is the socket if it may be carried, nil if not.
	try TrySocket
	// back is where a carrier tells that the viewer goes on by itself.
	back chan handover
	rest [][]byte // what a carrier could not write
}

// handover is what a viewer goes on with.
type handover struct {
	rest [][]byte
	err  error
}

// scratch is what writing needs for a moment.
type scratch struct {
	batch []*stream.Entry
	bufs  [][]byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// Serve copies the reader's stream to the socket until it ends (io.EOF), ctx
// ends (its error) or the socket fails. The reader stays the caller's to close.
func (g *Group) Serve(ctx context.Context, s *stream.Stream, r *stream.Reader, m Muxer, socket Socket) error {
	v := &viewer{reader: r, muxer: m, socket: socket}
	if try, ok := socket.(TrySocket); ok && nowait.Possible {
		v.try = try
		v.back = make(chan handover, 1)
	}
	for {
		var err error
		if v.try != nil && v.rest == nil && r.Begun() && !r.Ready() {
			err = g.carry(ctx, s, v)
		} else {
			err = g.alone(ctx, v)
		}
		if err != nil {
			return err
		}
	}
}

// alone writes what a carrier left, or what there is for the viewer as soon as
// there is something.
func (g *Group) alone(ctx context.Context, v *viewer) (err error) {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	bufs := v.rest
	if v.rest = nil; bufs == nil {
		if s.batch, err = v.reader.NextBatch(ctx, s.batch); err != nil {
			return err
		}
		for _, e := range s.batch {
			s.bufs = v.muxer.Append(s.bufs, e)
		}
		clear(s.batch) // an entry holds all later ones, and this may take long
		bufs, s.bufs = s.bufs, s.bufs[:0]
	}
	v.reader.Park()
	n, err := v.socket.Write(ctx, bufs)
	v.reader.Unpark()
	g.Sent.Add(uint64(n))
	return err
}

// carry has the viewer carried until it must go on alone.
func (g *Group) carry(ctx context.Context, s *stream.Stream, v *viewer) error {
	c := g.join(s, v)
	if c == nil {
		return nil
	}
	select {
	case h := <-v.back:
		v.rest = h.rest
		return h.err
	case <-ctx.Done():
		c.leave(v)
		select {
		case h := <-v.back: // too late: half a frame may have gone out
			if v.rest = h.rest; len(h.rest) > 0 {
				g.alone(ctx, v)
			}
		default:
		}
		return ctx.Err()
	}
}

// join finds a carrier that is where the viewer is, or begins one; nil if the
// viewer should read on first.
func (g *Group) join(s *stream.Stream, v *viewer) *carrier {
	g.mu.Lock()
	defer g.mu.Unlock()
	behind := false
	for _, c := range g.carriers[s] {
		switch c.take(v) {
		case taken:
			return c
		case tooLate:
			behind = true
		}
	}
	if behind && v.reader.Ready() {
		return nil
	}
	c := newCarrier(g, s, v)
	if g.carriers == nil {
		g.carriers = map[*stream.Stream][]*carrier{}
	}
	g.carriers[s] = append(g.carriers[s], c)
	return c
}
