package chatws

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

const (
	// chunkDuration is what a chunk covers.
	chunkDuration = time.Second
	// chunksKept is how long chunks stay, and for how long after the last
	// request for one a room goes on making them.
	chunksKept = time.Minute
	// maxChunkBytes bounds what the chunks of a room hold, beside the newest.
	maxChunkBytes = 4 << 20
	// indexKept is for how long an index is given to all who ask.
	indexKept = 250 * time.Millisecond
)

var (
	errTooSoon = errors.New("that chunk is not begun")
	errTooOld  = errors.New("that chunk is gone")
	errDown    = errors.New("the server is going away")
)

// chunks is a room's events cut into pieces of a second, that a CDN can carry.
// They begin with the first request for the index. What a chunk holds is
// settled by when events happen, not by who asks when.
type chunks struct {
	asked   time.Time
	first   int64    // the number of whole[0]
	whole   [][]byte // as they are served
	bytes   int
	current int64 // the number of the one that is being filled
	open    []json.RawMessage
	end     Position

	index   []byte
	indexed time.Time
}

// chunkNumber is the number of the chunk that now is in. Numbers go by the
// epoch, so they rise over starts of the server; and by a clock that nobody
// sets within one.
func (s *Server) chunkNumber(now time.Time) int64 {
	return s.epoch/chunkDuration.Milliseconds() + int64(now.Sub(s.born)/chunkDuration)
}

// chunkEnd is how long after now the chunk of a number is whole.
func (s *Server) chunkEnd(number int64, now time.Time) time.Duration {
	end := time.Duration(number+1-s.epoch/chunkDuration.Milliseconds()) * chunkDuration
	return end - now.Sub(s.born)
}

// noChunk says why there is no chunk of a number where nobody asked for the
// index. What is still to come must be in no cache as gone: the next who asks
// for the index is sent to it.
func (s *Server) noChunk(number int64, now time.Time) error {
	if number >= s.chunkNumber(now) {
		return errTooSoon
	}
	return errTooOld
}

func newChunks(number int64, at Position, now time.Time) *chunks {
	return &chunks{asked: now, first: number, current: number, end: at}
}

// add puts an event into the chunk that is being filled.
func (c *chunks) add(event []byte, at Position) {
	c.open = append(c.open, event)
	c.end = at
}

// advance makes whole what is before number.
func (c *chunks) advance(number int64) {
	if number-c.current > int64(chunksKept/chunkDuration) {
		// Nobody asked for longer than anything is kept.
		c.whole, c.bytes, c.open = nil, 0, nil
		c.first, c.current = number, number
		return
	}
	for c.current < number {
		b := append(encode(&Chunk{Number: c.current, Position: c.end, Events: append([]json.RawMessage{}, c.open...)}), '\n')
		c.whole = append(c.whole, b)
		c.bytes += len(b)
		c.open = nil
		c.current++
	}
	for len(c.whole) > int(chunksKept/chunkDuration) || c.bytes > maxChunkBytes && len(c.whole) > 1 {
		c.bytes -= len(c.whole[0])
		c.whole[0] = nil
		c.whole = c.whole[1:]
		c.first++
	}
}

// get returns a whole chunk, nil for the one that is being filled.
func (c *chunks) get(number int64) ([]byte, error) {
	switch {
	case number > c.current+1:
		return nil, errTooSoon
	case number >= c.current:
		return nil, nil
	case number < c.first:
		return nil, errTooOld
	}
	return c.whole[number-c.first], nil
}

// chunk returns a chunk of the room, and waits for it if it is the next.
func (r *room) chunk(ctx context.Context, number int64) ([]byte, error) {
	for {
		b, wait, err := r.chunkNow(number, time.Now())
		if b != nil || err != nil {
			return b, err
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, ctx.Err()
		case <-r.server.closing:
			t.Stop()
			return nil, errDown
		}
	}
}

func (r *room) chunkNow(number int64, now time.Time) ([]byte, time.Duration, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.chunks == nil {
		return nil, 0, r.server.noChunk(number, now)
	}
	r.chunks.asked = now
	r.chunks.advance(r.server.chunkNumber(now))
	b, err := r.chunks.get(number)
	return b, r.server.chunkEnd(number, now), err
}

// indexNow returns the file that readers of chunks begin with, and begins to
// make chunks.
func (r *room) indexNow(now time.Time) []byte {
	number := r.server.chunkNumber(now)
	edge := r.look(now)
	c := r.chunks
	if c == nil {
		c = newChunks(number, r.position(), now)
		r.chunks = c
	}
	c.asked = now
	c.advance(number)
	if c.index != nil && now.Sub(c.indexed) < indexKept {
		return c.index
	}
	i := &Index{Position: r.position(), Duration: chunkDuration.Milliseconds(), Next: c.current, State: r.state(edge), Events: []json.RawMessage{}}
	for _, e := range r.log.newest(r.server.config.History) {
		i.Events = append(i.Events, e)
	}
	c.index, c.indexed = append(encode(i), '\n'), now
	return c.index
}
