// Package stream holds what is live: the hub, one GOP log a stream, and the
// cursors into it.
package stream

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/streamkey"
)

var (
	// ErrBusy means that the key has a publisher already.
	ErrBusy = errors.New("stream has a publisher already")
	// ErrOffline means that nothing is live under the key.
	ErrOffline = errors.New("stream is not live")
)

// Config bounds every stream of a hub.
type Config struct {
	MaxLag         time.Duration `flag:"max-lag" group:"limits" help:"a viewer this far behind jumps to the newest random access point" min:"500ms" max:"5m"`
	MaxLagMiB      int           `flag:"max-lag-mib" group:"limits" help:"a viewer this many MiB behind jumps to the newest random access point" min:"1" max:"1024"`
	MaxGOPDuration time.Duration `flag:"max-gop-duration" group:"limits" help:"a GOP longer than this is not kept for new viewers, who then wait for the next" min:"1s" max:"5m"`
	MaxGOPMiB      int           `flag:"max-gop-mib" group:"limits" help:"a GOP of more MiB than this is not kept for new viewers, who then wait for the next" min:"1" max:"1024"`
}

// DefaultConfig keeps the 8.3 s GOP of an OBS that was never configured, and
// 30 s of 8 Mbit/s.
func DefaultConfig() Config {
	return Config{MaxLag: 8 * time.Second, MaxLagMiB: 32, MaxGOPDuration: 30 * time.Second, MaxGOPMiB: 32}
}

// Hub is the set of live streams. It knows no protocol and no reader.
type Hub struct {
	config   Config
	onChange func(streamkey.Key)

	mu      sync.RWMutex
	streams map[streamkey.Key]*Stream

	published atomic.Uint64
	totals    counters
}

// NewHub returns an empty hub. onChange, if not nil, is called after a key
// went live or ended, on the publisher's goroutine; two calls for one key may
// come at once, so it is a reason to look, not the news itself.
func NewHub(c Config, onChange func(streamkey.Key)) *Hub {
	if onChange == nil {
		onChange = func(streamkey.Key) {}
	}
	return &Hub{config: c, onChange: onChange, streams: map[streamkey.Key]*Stream{}}
}

// Source says where a stream comes from, for people to read.
type Source struct {
	// Protocol is the ingest protocol: "rtmp", "srt", "file".
	Protocol string
	// RemoteAddr is the encoder's address.
	RemoteAddr string
}

// Publish takes key for a publisher, who must Close what is returned. The
// stream is live, and found by Lookup, from the first Write on. The error
// wraps ErrBusy if the key is taken.
func (h *Hub) Publish(key streamkey.Key, source Source) (*Publisher, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.streams[key] != nil {
		return nil, fmt.Errorf("publish %s: %w", key, ErrBusy)
	}
	s := newStream(key, source, h.config, &h.totals)
	h.streams[key] = s
	h.published.Add(1)
	return &Publisher{hub: h, stream: s}, nil
}

// Lookup returns the live stream of key. The error wraps ErrOffline.
func (h *Hub) Lookup(key streamkey.Key) (*Stream, error) {
	h.mu.RLock()
	s := h.streams[key]
	h.mu.RUnlock()
	if s == nil || !s.live() {
		return nil, fmt.Errorf("%s: %w", key, ErrOffline)
	}
	return s, nil
}

// Streams returns the live streams, ordered by key.
func (h *Hub) Streams() []*Stream {
	h.mu.RLock()
	all := make([]*Stream, 0, len(h.streams))
	for _, s := range h.streams {
		if s.live() {
			all = append(all, s)
		}
	}
	h.mu.RUnlock()
	slices.SortFunc(all, func(a, b *Stream) int { return cmp.Compare(a.key.String(), b.key.String()) })
	return all
}

// HubStats are the counters of a hub since its start.
type HubStats struct {
	// Published counts streams that ever got a publisher.
	Published uint64
	// Frames and Bytes count what publishers wrote.
	Frames, Bytes uint64
	// Skips counts jumps of lagging readers, GOPOverflows GOPs too large to keep.
	Skips, GOPOverflows uint64
}

// Stats returns the hub's counters.
func (h *Hub) Stats() HubStats {
	return HubStats{
		Published: h.published.Load(), Frames: h.totals.frames.Load(), Bytes: h.totals.bytes.Load(),
		Skips: h.totals.skips.Load(), GOPOverflows: h.totals.overflows.Load(),
	}
}

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
		p.hub.onChange(p.stream.key)
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
	h := p.hub
	h.mu.Lock()
	delete(h.streams, p.stream.key)
	h.mu.Unlock()
	wasLive := p.stream.live()
	p.stream.log.close()
	if wasLive {
		h.onChange(p.stream.key)
	}
}

// Stream is one live stream: its tracks and its GOP log.
type Stream struct {
	key     streamkey.Key
	source  Source
	started time.Time
	log     log
	readers atomic.Int64
}

func newStream(key streamkey.Key, source Source, c Config, totals *counters) *Stream {
	s := &Stream{key: key, source: source, started: time.Now()}
	s.log.init(c, totals)
	return s
}

// Key returns the stream's name.
func (s *Stream) Key() streamkey.Key { return s.key }

// Source returns where the stream comes from.
func (s *Stream) Source() Source { return s.source }

// Started returns when the publisher was admitted.
func (s *Stream) Started() time.Time { return s.started }

// Tracks returns the current tracks of a live stream.
func (s *Stream) Tracks() *media.TrackSet { return s.log.set.Load() }

// Now returns the stream time of this moment, by the stream's anchor: what
// an encoder without delay would be sending now.
func (s *Stream) Now() time.Duration {
	set := s.Tracks()
	if set == nil {
		return 0
	}
	return max(0, time.Since(set.Anchor.Wall))
}

// live reports whether the stream was ever written to. It is also true for a
// moment after its end, when the hub has dropped it.
func (s *Stream) live() bool { return s.log.set.Load() != nil }

// Stats are the figures of one stream.
type Stats struct {
	// Frames and Bytes count what the publisher wrote.
	Frames, Bytes uint64
	// Readers is the number of open readers, of every kind.
	Readers int64
	// Skips counts jumps of lagging readers, GOPOverflows GOPs too large to keep.
	Skips, GOPOverflows uint64
	// CachedBytes and CachedDuration are the size of the newest GOP as a new
	// viewer would get it.
	CachedBytes    uint64
	CachedDuration time.Duration
}

// Stats returns the stream's figures of this moment.
func (s *Stream) Stats() Stats {
	st := s.log.stats()
	st.Readers = s.readers.Load()
	return st
}
