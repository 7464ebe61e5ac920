package stream

import (
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/streamkey"
)

// Publisher is the one writer of a stream. Its methods belong to one goroutine.
type Publisher struct {
	hub    *Hub
	stream *Stream
	closed bool
}

// Write appends f, whose Track and Set must be set and whose DTS must be
// above that of the track's last frame. It never waits for a reader. f and
// all it points to must not change afterwards.
func (p *Publisher) Write(f media.Frame) {
	first := !p.stream.live()
	p.stream.log.append(f)
	if first {
		p.hub.wentLive(p.stream)
	}
}

// Stream returns the stream that p writes.
func (p *Publisher) Stream() *Stream { return p.stream }

// Close ends the stream: readers get what is written, then io.EOF. The key
// is free afterwards.
func (p *Publisher) Close() {
	if p.closed {
		return
	}
	p.closed = true
	p.hub.mu.Lock()
	p.hub.end(p.stream)
}

// Suspend lets go of the stream and leaves it live: its readers wait, new ones
// begin with the last GOP, and the next Publish of the key goes on with it.
// Without one the stream ends after linger. A stream that nothing was ever
// written to ends at once. It reports whether the stream waits.
func (p *Publisher) Suspend(linger time.Duration) bool {
	if p.closed {
		return false
	}
	if linger <= 0 || !p.stream.live() {
		p.Close()
		return false
	}
	p.closed = true
	h, s := p.hub, p.stream
	h.mu.Lock()
	if h.closed {
		h.end(s)
		return false
	}
	s.publishing.Store(false)
	h.expiring.Add(1)
	s.expiry = time.AfterFunc(linger, func() {
		defer h.expiring.Done()
		h.mu.Lock()
		h.end(s)
	})
	h.mu.Unlock()
	return true
}

// end ends s. The caller holds the lock, which end gives back before it tells
// the news.
func (h *Hub) end(s *Stream) {
	if h.streams[s.key] == s { // not if its time ran out as the key was taken
		delete(h.streams, s.key)
	}
	s.publishing.Store(false)
	h.mu.Unlock()
	s.log.close()
	if s.live() {
		h.onChange(s.key)
	}
}

// wentLive tells the news that s is live.
func (h *Hub) wentLive(s *Stream) {
	h.mu.Lock()
	if h.live != nil {
		close(h.live)
		h.live = nil
	}
	h.mu.Unlock()
	h.onChange(s.key)
}

// Drop ends the stream of key if it is suspended, and reports whether it was.
func (h *Hub) Drop(key streamkey.Key) bool {
	h.mu.Lock()
	s := h.streams[key]
	if s == nil || s.publishing.Load() || !h.keep(s) {
		h.mu.Unlock()
		return false
	}
	h.end(s)
	return true
}

// Close ends the suspended streams, those too that will be, and returns when
// nobody is being told any more.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	for _, s := range h.streams {
		if !s.publishing.Load() && h.keep(s) {
			defer h.onChange(s.key)
			delete(h.streams, s.key)
			s.log.close()
		}
	}
	h.mu.Unlock()
	h.expiring.Wait()
}
