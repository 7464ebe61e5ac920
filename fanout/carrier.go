package fanout

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/miju-live/miju/stream"
)

// maxCarried is how many viewers one goroutine writes to. A write takes about
// 6 µs, so the last one waits for less than half a millisecond for the others.
const maxCarried = 64

// carrier writes the same bytes to viewers that are at the same place.
type carrier struct {
	group  *Group
	stream *stream.Stream
	cancel context.CancelFunc
	full   atomic.Bool

	// mu is held during a round of writes, none of which waits.
	mu      sync.Mutex
	reader  *stream.Reader // ahead of at only while a round is about to begin
	at      uint64         // what is written: a Place
	muxer   Muxer
	before  Muxer // what muxer was at the beginning of the round
	viewers []*viewer
	// ahead are viewers that have read what the carrier has not: it catches up
	// with them.
	ahead []*viewer
	ended bool
}

// answer is what a viewer hears that asks to be carried.
type answer uint8

const (
	refused answer = iota
	taken
	tooLate // the carrier is ahead
)

// bytesPool holds what a round writes, in one piece: a copy of some kilobytes
// costs less than handing the kernel many pieces for each viewer.
var bytesPool = sync.Pool{New: func() any { return new([]byte) }}

// maxPooled bounds the pieces that are kept, in bytes.
const maxPooled = 1 << 20

func newCarrier(g *Group, s *stream.Stream, first *viewer) *carrier {
	ctx, cancel := context.WithCancel(context.Background())
	c := &carrier{
		group: g, stream: s, cancel: cancel,
		reader: first.reader.Twin(), at: first.reader.Place(), muxer: first.muxer.Twin(), before: first.muxer.Twin(), viewers: []*viewer{first},
	}
	first.reader.Rest()
	g.running.Go(func() { c.run(ctx) })
	return c
}

// take has the viewer carried, if it is where the carrier is or a little ahead.
func (c *carrier) take(v *viewer) answer {
	if c.full.Load() {
		return refused
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	place := v.reader.Place()
	switch {
	case c.ended || len(c.viewers)+len(c.ahead) >= maxCarried:
		return refused
	case !c.muxer.Same(v.muxer):
		return refused
	case place < c.at:
		return tooLate
	case place > c.at:
		c.ahead = append(c.ahead, v)
	default:
		c.viewers = append(c.viewers, v)
		v.reader.Rest()
	}
	c.count()
	return taken
}

// count notes whether there is room. The caller holds the lock.
func (c *carrier) count() { c.full.Store(len(c.viewers)+len(c.ahead) >= maxCarried) }

// leave forgets a viewer whose time is over.
func (c *carrier) leave(v *viewer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	is := func(o *viewer) bool { return o == v }
	c.viewers, c.ahead = slices.DeleteFunc(c.viewers, is), slices.DeleteFunc(c.ahead, is)
	c.count()
	if len(c.viewers)+len(c.ahead) == 0 {
		c.cancel()
	}
}

func (c *carrier) run(ctx context.Context) {
	defer c.cancel()
	var batch []*stream.Entry
	for {
		var err error
		batch, err = c.reader.NextBatch(ctx, batch)
		if c.round(batch, err != nil) {
			continue
		}
		clear(batch[:cap(batch)])
		c.group.drop(c)
		return
	}
}

// round writes a batch to all viewers, and reports whether any is left.
func (c *carrier) round(batch []*stream.Entry, last bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last {
		c.handAllBack()
		c.ended = true
		return false
	}
	c.at = c.reader.Place()
	c.write(batch)
	c.admit()
	c.count()
	c.ended = len(c.viewers)+len(c.ahead) == 0
	return !c.ended
}

// write writes to each viewer what there is room for. Who has room for less
// goes on alone.
func (c *carrier) write(batch []*stream.Entry) {
	whole := bytesPool.Get().(*[]byte)
	b := (*whole)[:0]
	c.before.Become(c.muxer)
	for _, e := range batch {
		b = c.muxer.AppendBytes(b, e)
	}
	sent := 0
	var bufs [][]byte // b in shared pieces
	c.viewers = slices.DeleteFunc(c.viewers, func(v *viewer) bool {
		if len(b) == 0 {
			return false
		}
		n, err := v.try.TryWrite(b)
		sent += n
		if err == nil && n == len(b) {
			return false
		}
		if bufs == nil {
			for _, e := range batch {
				bufs = c.before.Append(bufs, e)
			}
		}
		c.handBack(v, handover{rest: behind(bufs, n), err: err})
		return true
	})
	c.group.Sent.Add(uint64(sent))
	if cap(b) <= maxPooled {
		*whole = b
		bytesPool.Put(whole)
	}
}

// behind returns what of bufs comes after n bytes.
func behind(bufs [][]byte, n int) [][]byte {
	i := 0
	for ; i < len(bufs) && n >= len(bufs[i]); i++ {
		n -= len(bufs[i])
	}
	rest := slices.Clone(bufs[i:])
	if n > 0 {
		rest[0] = rest[0][n:]
	}
	return rest
}

// handBack has a viewer go on alone, from here.
func (c *carrier) handBack(v *viewer, h handover) {
	v.reader.Follow(c.reader)
	v.muxer = c.muxer.Twin()
	v.back <- h
}

// handAllBack has all go on alone. What ends them, they find by themselves.
func (c *carrier) handAllBack() {
	for _, v := range c.viewers {
		c.handBack(v, handover{})
	}
	for _, v := range c.ahead {
		v.back <- handover{}
	}
	c.viewers, c.ahead = nil, nil
}

// admit carries those that the carrier has caught up with, and lets go of those
// that it has passed.
func (c *carrier) admit() {
	c.ahead = slices.DeleteFunc(c.ahead, func(v *viewer) bool {
		switch place := v.reader.Place(); {
		case place > c.at:
			return false
		case place == c.at && c.muxer.Same(v.muxer):
			c.viewers = append(c.viewers, v)
			v.reader.Rest()
		default:
			v.back <- handover{}
		}
		return true
	})
}

// drop forgets a carrier that has ended.
func (g *Group) drop(c *carrier) {
	g.mu.Lock()
	defer g.mu.Unlock()
	left := slices.DeleteFunc(g.carriers[c.stream], func(o *carrier) bool { return o == c })
	if g.carriers[c.stream] = left; len(left) == 0 {
		delete(g.carriers, c.stream)
	}
}
