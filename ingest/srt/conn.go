package srt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	gosrt "github.com/datarhei/gosrt"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/mpegts"
	"github.com/miju-live/miju/streamkey"
)

// maxHold bounds how long the last packets are waited for.
const maxHold = maxLatency + time.Second

var (
	errTooLate = errors.New("answered too late, the caller has given up")
	errExpired = fmt.Errorf("SRT read: %w", os.ErrDeadlineExceeded)
	errCut     = errors.New("the peer has fallen silent")
)

// conn is one caller.
type conn struct {
	listener *Listener
	request  gosrt.ConnRequest
	came     time.Time
	remote   net.Addr
	mtu      uint32
	demuxer  *mpegts.Demuxer
	figures  figures
	received uint64 // bytes of packets, of who reads frames
	contents atomic.Pointer[contents]
	drift    atomic.Pointer[drift]
	// arrival is when the newest packet came.
	arrival time.Time
	// peerEnded says that the peer ended the connection itself.
	peerEnded atomic.Bool
	// done is closed when this side ends the connection.
	done chan struct{}

	mu       sync.Mutex
	action   auth.Action // what Handshake found
	srt      gosrt.Conn  // nil until Admit
	answered bool
	closed   bool
	failed   error // why this side ended the connection, if not by Close
	deadline time.Time
	timer    *time.Timer // of the deadline
	guard    *time.Timer // of the bounds
}

var (
	_ ingest.Conn      = (*conn)(nil)
	_ ingest.Promising = (*conn)(nil)
	_ ingest.Counted   = (*conn)(nil)
)

func newConn(l *Listener, request gosrt.ConnRequest, mtu uint32) *conn {
	c := &conn{
		listener: l, request: request, came: time.Now(), remote: request.RemoteAddr(), mtu: mtu,
		demuxer: mpegts.NewDemuxer(), done: make(chan struct{}),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.guard = time.AfterFunc(l.bounds.decision, c.refuseLate)
	return c
}

func (c *conn) Protocol() string { return "srt" }

func (c *conn) RemoteAddr() net.Addr { return c.remote }

// Handshake does not wait for the caller: its wish came with the connection.
func (c *conn) Handshake(ctx context.Context) (auth.Request, error) {
	r, err := auth.Request{Action: auth.Publish, Key: c.listener.defaultKey}, error(nil)
	if id := c.request.StreamId(); id != "" || r.Key == (streamkey.Key{}) {
		r, err = parseStreamID(id)
	}
	r.Protocol, r.RemoteAddr = c.Protocol(), c.remote.String()
	if err == nil {
		err = c.usable()
	}
	if err != nil {
		return r, err
	}
	c.mu.Lock()
	c.action = r.Action
	c.mu.Unlock()
	err = c.unlock(ctx, &r)
	return r, err
}

func (c *conn) Admit() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.ended(); err != nil {
		return err
	}
	if c.answered {
		return fmt.Errorf("SRT caller: %w (%v)", errTooLate, time.Since(c.came).Round(time.Millisecond))
	}
	s, err := c.listener.accept(c)
	if err != nil {
		return fmt.Errorf("SRT caller: %w", err)
	}
	c.srt, c.answered = s, true
	c.drift.Store(newDrift(s))
	return c.watch()
}

func (c *conn) Reject(err error) {
	c.refuse(rejection(err))
	// Once it is connected, SRT has no word for why.
	c.Close()
}

// refuse answers a caller with no, if it has no answer yet.
func (c *conn) refuse(code gosrt.RejectionReason) {
	c.mu.Lock()
	first := !c.answered
	c.answered = true
	c.mu.Unlock()
	if first {
		c.request.Reject(code)
	}
}

func (c *conn) ReadFrame() (media.Frame, error) {
	for {
		if f, ok := c.demuxer.Next(); ok {
			f.Arrival = c.arrival
			return f, nil
		}
		p, err := c.srt.ReadPacket()
		if err != nil {
			if err = c.why(err); err == io.EOF {
				// The end of the last picture is the end of the stream.
				c.demuxer.Flush()
				if f, ok := c.demuxer.Next(); ok {
					f.Arrival = c.arrival
					return f, nil
				}
			}
			return media.Frame{}, err
		}
		c.arrival = time.Now()
		c.figures.delivered(p.Header())
		c.received += uint64(len(p.Data()))
		err = c.demuxer.Write(p.Data())
		p.Decommission()
		c.noteContents()
		if err != nil {
			return media.Frame{}, demuxError(err)
		}
	}
}

// Received implements ingest.Counted.
func (c *conn) Received() uint64 { return c.received }

// why finds out what a failed read means: gosrt only knows io.EOF.
func (c *conn) why(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ended := c.ended(); ended != nil {
		return ended
	}
	switch {
	case c.listener.isClosed():
		return fmt.Errorf("SRT read: %w", ingest.ErrClosing)
	case c.peerEnded.Load():
		return io.EOF
	case err == io.EOF:
		return fmt.Errorf("SRT read: %w", errCut)
	}
	return fmt.Errorf("SRT read: %w", err)
}

// ended tells whether this side has ended the connection. c.mu is held.
func (c *conn) ended() error {
	switch {
	case c.failed != nil:
		return c.failed
	case !c.deadline.IsZero() && !time.Now().Before(c.deadline):
		return errExpired
	case c.closed:
		return fmt.Errorf("SRT read: %w", net.ErrClosed)
	}
	return nil
}

func demuxError(err error) error {
	switch {
	case errors.Is(err, mpegts.ErrNoTracks):
		return fmt.Errorf("%w: %w", ingest.ErrNoTracks, err)
	case errors.Is(err, mpegts.ErrTooLarge):
		return fmt.Errorf("%w: %w", ingest.ErrTooLarge, err)
	}
	return fmt.Errorf("%w: %w", ingest.ErrBadRequest, err)
}

// Promised returns what the PMT announced and has not come.
func (c *conn) Promised() []*media.Track { return c.demuxer.Promised() }

func (c *conn) Tracks() (tracks []*media.Track, complete bool) { return c.demuxer.Tracks() }

// SetReadDeadline closes an admitted connection when the deadline has passed:
// nothing else ends a read of gosrt's, whose own deadlines do nothing.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	switch {
	case t.IsZero():
		if c.timer != nil {
			c.timer.Stop()
		}
	case c.timer == nil:
		c.timer = time.AfterFunc(time.Until(t), c.expire)
	default:
		c.timer.Reset(time.Until(t))
	}
	return nil
}

func (c *conn) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deadline.IsZero() || time.Now().Before(c.deadline) {
		return // moved meanwhile
	}
	if c.srt != nil {
		c.fail(errExpired)
	}
}

func (c *conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	if c.timer != nil {
		c.timer.Stop()
	}
	c.guard.Stop()
	if !c.answered {
		c.answered = true
		c.request.Reject(rejectInternal)
	}
	c.listener.forget(c)
	c.end()
	return nil
}

// fail ends the connection for a reason of this side's. c.mu is held.
func (c *conn) fail(err error) {
	if c.failed == nil {
		c.failed = err
	}
	c.end()
}

// end ends what waits. c.mu is held.
func (c *conn) end() {
	select {
	case <-c.done:
	default:
		close(c.done)
		if c.srt != nil {
			c.srt.Close()
		}
	}
}

// awaitLast waits until the reader has all that gosrt has received. gosrt calls
// it, by way of its log, in the goroutine that closes the connection next and
// then drops all that it still holds back for the sake of its latency: the last
// tenth of a second of every stream, or seconds on a bad line.
func (c *conn) awaitLast() {
	c.mu.Lock()
	s, playing := c.srt, c.action == auth.Play
	c.mu.Unlock()
	if s == nil || playing {
		return
	}
	tick := time.NewTicker(tick)
	defer tick.Stop()
	for last := time.Now().Add(maxHold); time.Now().Before(last); {
		var st gosrt.Statistics
		s.Stats(&st)
		if st.Instantaneous.PktRecvBuf == 0 && c.figures.taken.Load() >= st.Accumulated.PktRecvUnique {
			return
		}
		select {
		case <-tick.C:
		case <-c.done:
			return
		}
	}
}
