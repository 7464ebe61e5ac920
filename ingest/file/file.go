// Package file plays FLV files as live streams.
package file

import (
	"context"
	_ "embed" // the demo clip
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/flv"
	"github.com/miju-live/miju/streamkey"
)

// Demo is a short FLV clip of our own, H.264 and AAC, that loops seamlessly.
//
//go:embed demo.flv
var Demo []byte

// Listener is an ingest.Listener that brings one publisher: a file, played
// in a loop.
type Listener struct {
	conn  chan ingest.Conn
	done  chan struct{}
	close sync.Once
}

var _ ingest.Listener = (*Listener)(nil)

// Play returns a Listener whose publisher plays the file that open opens,
// again and again, on key. name stands for the file in logs.
func Play(key streamkey.Key, name string, open func() (io.ReadCloser, error)) *Listener {
	l := &Listener{conn: make(chan ingest.Conn, 1), done: make(chan struct{})}
	l.conn <- &conn{key: key, name: name, open: open, closed: make(chan struct{}), begin: map[int]time.Duration{}, last: map[int]time.Duration{}, step: map[int]time.Duration{}}
	return l
}

// Accept returns the publisher once and then waits for Close.
func (l *Listener) Accept() (ingest.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (l *Listener) Close() error {
	l.close.Do(func() { close(l.done) })
	return nil
}

// conn reads the file at the pace of its timestamps.
type conn struct {
	key  streamkey.Key
	name string
	open func() (io.ReadCloser, error)

	file  io.ReadCloser
	tags  *flv.Reader
	demux flv.Demuxer

	started bool
	start   time.Time     // when the frame at first was due
	first   time.Duration // DTS of the file's first frame
	loop    time.Duration // what the rounds before this one lasted
	any     bool          // this round has brought a frame
	// begin, last and step are each track's first and newest DTS of the round
	// and the newest's distance to the one before: together they tell how
	// long the round is.
	begin, last, step map[int]time.Duration

	deadline ingest.Deadline
	closed   chan struct{}
	once     sync.Once
}

var _ ingest.Conn = (*conn)(nil)

// errEmpty says that a file has no frame: playing it in a loop would spin.
var errEmpty = fmt.Errorf("%w: the file holds no frame", ingest.ErrNoTracks)

func (c *conn) Protocol() string     { return "file" }
func (c *conn) RemoteAddr() net.Addr { return addr(c.name) }
func (c *conn) Admit() error         { return nil }
func (c *conn) Reject(error)         {}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.deadline.Set(t)
	return nil
}

func (c *conn) Handshake(context.Context) (auth.Request, error) {
	return auth.Request{Action: auth.Publish, Key: c.key, Protocol: "file", RemoteAddr: c.name, Internal: true}, nil
}

func (c *conn) Tracks() ([]*media.Track, bool) { return c.demux.Tracks() }

func (c *conn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.deadline.Set(time.Time{})
	})
	return nil
}

// ReadFrame returns the next frame when its time has come.
func (c *conn) ReadFrame() (media.Frame, error) {
	f, err := c.next()
	if err != nil {
		if c.file != nil {
			c.file.Close()
		}
		return f, err
	}
	if err := c.wait(f.DTS); err != nil {
		c.file.Close()
		return f, err
	}
	f.Arrival = time.Now()
	return f, nil
}

// next returns the next frame in the time of a file without end.
func (c *conn) next() (media.Frame, error) {
	for {
		if f, ok := c.demux.Next(); ok {
			return c.place(f), nil
		}
		if c.tags == nil {
			if err := c.rewind(); err != nil {
				return media.Frame{}, err
			}
		}
		typ, timestamp, body, err := c.tags.ReadTag()
		if errors.Is(err, io.EOF) {
			if !c.any {
				return media.Frame{}, errEmpty
			}
			c.tags = nil
			continue
		}
		if err != nil {
			return media.Frame{}, fmt.Errorf("read %s: %w", c.name, err)
		}
		if err := c.demux.Write(typ, timestamp, body); err != nil {
			return media.Frame{}, fmt.Errorf("read %s: %w", c.name, err)
		}
	}
}

// place moves a frame to its time behind the rounds before.
func (c *conn) place(f media.Frame) media.Frame {
	if !c.started {
		c.started, c.first = true, f.DTS
	}
	c.any = true
	if last, ok := c.last[f.Track.ID]; ok {
		c.step[f.Track.ID] = f.DTS - last
	} else {
		c.begin[f.Track.ID] = f.DTS
	}
	c.last[f.Track.ID] = f.DTS
	f.DTS += c.loop
	f.PTS += c.loop
	return f
}

// rewind opens the file again. The next round comes after the length of this
// one's longest track; where all are equally long there is no break in any,
// whichever begins first.
func (c *conn) rewind() error {
	if c.file != nil {
		c.file.Close()
	}
	var round time.Duration
	for id, last := range c.last {
		round = max(round, last+c.step[id]-c.begin[id])
	}
	c.loop += round
	c.any = false
	clear(c.last)
	file, err := c.open()
	if err != nil {
		return fmt.Errorf("open %s: %w", c.name, err)
	}
	c.file, c.tags = file, flv.NewReader(file)
	return nil
}

func (c *conn) wait(dts time.Duration) error {
	if c.start.IsZero() {
		c.start = time.Now()
	}
	t := time.NewTimer(time.Until(c.start.Add(dts - c.first)))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-c.closed:
		return net.ErrClosed
	case <-c.deadline.Done():
		return fmt.Errorf("play %s: %w", c.name, os.ErrDeadlineExceeded)
	}
}

// addr is a file's name as the address of its publisher.
type addr string

func (a addr) Network() string { return "file" }
func (a addr) String() string  { return string(a) }
