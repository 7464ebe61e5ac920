// Package stream holds what is live: the hub, one GOP log a stream, and the
// cursors into it.
package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

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

	MaxViewers          int `flag:"max-viewers" group:"limits" help:"viewers of all streams and protocols at once but HLS, whose players come and go with each request; more are refused. 0: no limit" min:"0" max:"10000000"`
	MaxViewersPerStream int `flag:"max-viewers-per-stream" group:"limits" help:"the same for each stream. 0: no limit" min:"0" max:"10000000"`
	MaxEgress           int `flag:"max-egress" group:"limits" help:"what all viewers together are sent, in Mbit/s over the last 3 s: new ones that would bring it over this are refused, and new players of HLS while it is over. 0: no limit" min:"0" max:"10000000"`
}

// DefaultConfig keeps the 8.3 s GOP of an OBS that was never configured, and
// 30 s of 8 Mbit/s.
func DefaultConfig() Config {
	return Config{MaxLag: 8 * time.Second, MaxLagMiB: 32, MaxGOPDuration: 30 * time.Second, MaxGOPMiB: 32}
}

// Hub is the set of live streams, and the door for their viewers. It knows no
// protocol and no reader.
type Hub struct {
	config   Config
	onChange func(streamkey.Key)

	mu      sync.RWMutex
	streams map[streamkey.Key]*Stream
	closed  bool
	// live is closed when a stream goes live; nil while nobody awaits one.
	live chan struct{}
	// expiring counts the timers of suspended streams.
	expiring sync.WaitGroup

	published atomic.Uint64
	totals    counters
	audience  audience
	pace      atomic.Int64
}

// SetPace sets how often readers with WakeAuto wake, of all streams: at most once
// in this time, at every video frame if it is 0.
func (h *Hub) SetPace(d time.Duration) { h.pace.Store(int64(d)) }

// Pace returns what SetPace set.
func (h *Hub) Pace() time.Duration { return time.Duration(h.pace.Load()) }

// NewHub returns an empty hub. onChange, if not nil, is called after a key
// went live or ended, on the publisher's goroutine; two calls for one key may
// come at once, so it is a reason to look, not the news itself.
func NewHub(c Config, onChange func(streamkey.Key)) *Hub {
	if onChange == nil {
		onChange = func(streamkey.Key) {}
	}
	return &Hub{config: c, onChange: onChange, streams: map[streamkey.Key]*Stream{}, audience: audience{config: c}}
}

// Source says where a stream comes from, for people to read.
type Source struct {
	// Protocol is the ingest protocol: "rtmp", "srt", "file".
	Protocol string
	// RemoteAddr is the encoder's address.
	RemoteAddr string
}

// Publish takes key for a publisher, who must Close or Suspend what is
// returned. A stream that was suspended goes on, its readers with it; else a
// new one is live, and found by Lookup, from the first Write on. The error
// wraps ErrBusy if the key is taken.
func (h *Hub) Publish(key streamkey.Key, source Source) (*Publisher, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.streams[key]
	switch {
	case s != nil && s.publishing.Load():
		return nil, fmt.Errorf("publish %s: %w", key, ErrBusy)
	case s != nil && h.keep(s):
		s.resumed.Add(1)
	default:
		s = newStream(key, h)
		h.streams[key] = s
		h.published.Add(1)
	}
	s.publishing.Store(true)
	s.source.Store(&source)
	return &Publisher{hub: h, stream: s}, nil
}

// keep stops the timer of a suspended stream; false means that it is too late.
// The caller holds the lock.
func (h *Hub) keep(s *Stream) bool {
	if !s.expiry.Stop() {
		return false
	}
	h.expiring.Done()
	return true
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

// Await returns the live stream of key, and waits for it until ctx ends. The
// error wraps ErrOffline.
func (h *Hub) Await(ctx context.Context, key streamkey.Key) (*Stream, error) {
	for {
		h.mu.Lock()
		if h.live == nil {
			h.live = make(chan struct{})
		}
		changed := h.live
		h.mu.Unlock()
		s, err := h.Lookup(key)
		if err == nil {
			return s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, err
		}
	}
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
	// Viewers have a place now, EgressRate is what all are sent, in bits a
	// second over the last three. Refused counts those that were not admitted.
	Viewers    int64
	EgressRate float64
	Refused    map[Refusal]uint64
}

// Stats returns the hub's counters.
func (h *Hub) Stats() HubStats {
	st := HubStats{
		Published: h.published.Load(), Frames: h.totals.frames.Load(), Bytes: h.totals.bytes.Load(),
		Skips: h.totals.skips.Load(), GOPOverflows: h.totals.overflows.Load(),
	}
	h.audience.stats(&st)
	return st
}
