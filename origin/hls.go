package origin

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/fmp4"
	"github.com/miju-live/miju/remux/hls"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// HLSConfig rules how streams are packaged for HLS.
type HLSConfig struct {
	Segment         time.Duration `flag:"hls-segment" group:"HLS" help:"least duration of a segment; it ends at the next random access point, and the target duration is twice this" min:"1s" max:"10s"`
	StartWait       time.Duration `flag:"hls-start-wait" group:"HLS" help:"if the second random access point of a stream does not come within this, its target duration is 10s" min:"1s" max:"10s"`
	Part            time.Duration `flag:"hls-part" group:"HLS" help:"duration of a part, rounded up to whole frames: shorter is less latency and more requests; 0 turns parts off, else 100ms at least" min:"0s" max:"1s"`
	Window          time.Duration `flag:"hls-window" group:"HLS" help:"how much of a stream its playlists list, which is how far viewers can rewind; at least six target durations" min:"10s" max:"24h"`
	MemoryMiB       int           `flag:"hls-memory" group:"HLS" help:"what the windows of all streams may hold in memory, in MiB; older segments go to files in --data-dir" min:"16" max:"1048576"`
	TokenInPlaylist bool          `flag:"hls-token-in-playlist" group:"HLS" help:"put the token of a playlist's request into the URIs of that playlist, for players do not pass it on; playlists are then shared by no cache"`
	Always          bool          `flag:"hls-always" group:"HLS" help:"package every stream from its start, not from its first HLS viewer on"`
	// Dir is where segments are stored that are more than MemoryMiB. It belongs
	// to one server, which empties it. If it is empty windows become shorter.
	Dir string
}

// minPart is the least --hls-part: under it requests cost more than they give.
const minPart = 100 * time.Millisecond

// Check reports what is wrong with the settings beyond their ranges.
func (c HLSConfig) Check() error {
	if c.Part > 0 && c.Part < minPart {
		return fmt.Errorf("--hls-part is %v, it may be 0 (no parts) or %v at least", c.Part, minPart)
	}
	return nil
}

// DefaultHLSConfig fits encoders that send a random access point every 1 to 4 s.
func DefaultHLSConfig() HLSConfig {
	return HLSConfig{Segment: 2 * time.Second, StartWait: 4 * time.Second, Part: 200 * time.Millisecond, Window: 30 * time.Second, MemoryMiB: 1024}
}

// hlsOrigin owns the packagers: one for each stream that someone watches as HLS.
type hlsOrigin struct {
	server *Server
	store  *hlsStore

	mu        sync.Mutex
	packagers map[streamkey.Key]*packager
	// next are the numbers that a key may begin with again, as long as the
	// clock does not give higher ones.
	next    map[streamkey.Key]hls.Numbers
	closed  bool
	running sync.WaitGroup

	hlsCounters
}

// hlsKind is what a request is for.
type hlsKind uint8

const (
	hlsMultivariant hlsKind = iota
	hlsMedia
	hlsInit
	hlsPart
	hlsSegment
	hlsKinds
)

var hlsKindNames = [hlsKinds]string{"multivariant", "playlist", "init", "part", "segment"}

// kindOf tells by a file's name what it is, if it is anything.
func kindOf(file string) hlsKind {
	switch _, rest, _ := strings.Cut(file, "-"); {
	case strings.HasPrefix(rest, "init-"):
		return hlsInit
	case strings.Contains(rest, "-"):
		return hlsPart
	}
	return hlsSegment
}

type hlsCounters struct {
	waiting                                                       atomic.Int64
	requests                                                      [hlsKinds]atomic.Uint64
	segments, parts, longParts, shortParts, forced, gaps, dropped atomic.Uint64
}

// HLSStats are the figures of all HLS packaging.
type HLSStats struct {
	// Packagers is the number of streams being packaged now, those included
	// that have just ended.
	Packagers int
	// Waiting are the requests that wait now for something that is not yet
	// there.
	Waiting int64
	// Held is how many bytes of segments are in memory, Stored how many
	// segments are in files.
	Held, Stored int64
	// Requests counts by what they were for: "multivariant", "playlist" (of a
	// rendition), "init", "part" and "segment".
	Requests map[string]uint64
	// Stats are the sums over all packagers since the start.
	hls.Stats
}

// HLSStats returns the figures of this moment.
func (s *Server) HLSStats() HLSStats {
	h := s.hls
	h.mu.Lock()
	n := len(h.packagers)
	h.mu.Unlock()
	requests := map[string]uint64{}
	for k, name := range hlsKindNames {
		requests[name] = h.requests[k].Load()
	}
	return HLSStats{Packagers: n, Waiting: h.waiting.Load(), Held: h.store.held.Load(), Stored: h.store.files.Load(), Requests: requests, Stats: hls.Stats{
		Segments: h.segments.Load(), Parts: h.parts.Load(), LongParts: h.longParts.Load(), ShortParts: h.shortParts.Load(),
		Forced: h.forced.Load(), Gaps: h.gaps.Load(), Dropped: h.dropped.Load(),
	}}
}

// add counts what a packager did between two moments.
func (c *hlsCounters) add(now, before hls.Stats) {
	c.segments.Add(now.Segments - before.Segments)
	c.parts.Add(now.Parts - before.Parts)
	c.longParts.Add(now.LongParts - before.LongParts)
	c.shortParts.Add(now.ShortParts - before.ShortParts)
	c.forced.Add(now.Forced - before.Forced)
	c.gaps.Add(now.Gaps - before.Gaps)
	c.dropped.Add(now.Dropped - before.Dropped)
}

func newHLSOrigin(s *Server) *hlsOrigin {
	return &hlsOrigin{server: s, store: newHLSStore(s.config.HLS), packagers: map[streamkey.Key]*packager{}, next: map[streamkey.Key]hls.Numbers{}}
}

// run ends the packagers when ctx ends, and returns when they are gone.
func (h *hlsOrigin) run(ctx context.Context) {
	<-ctx.Done()
	h.mu.Lock()
	h.closed = true
	for _, p := range h.packagers {
		p.cancel()
	}
	h.mu.Unlock()
	h.running.Wait()
}

// StreamChanged is to be called when a key went live or ended. It never waits.
func (s *Server) StreamChanged(key streamkey.Key) {
	if !s.config.HLS.Always {
		return
	}
	if live, err := s.hub.Lookup(key); err == nil && unsupported(live.Tracks()) == nil {
		s.hls.packager(key)
	}
}

// unsupported returns a default track that HLS cannot carry, nil if all are fine.
func unsupported(set *media.TrackSet) *media.Track {
	for _, k := range [...]media.Kind{media.KindVideo, media.KindAudio} {
		if t := set.First(k); t != nil && fmp4.Check(t) != nil {
			return t
		}
	}
	return nil
}

// packager returns the packager of a stream, started if need be, or of a
// stream that has just ended. It is nil if there is neither.
func (h *hlsOrigin) packager(key streamkey.Key) *packager {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.packagers[key]
	if p != nil && !p.ended() {
		return p
	}
	live, err := h.server.hub.Lookup(key)
	if err != nil || h.closed || p != nil && p.stream == live {
		return p
	}
	p = h.start(key, live, p)
	h.packagers[key] = p
	return p
}

// start begins to package a stream. old is the packager of the stream that was
// under the key before, nil if it is forgotten. The caller holds the lock.
func (h *hlsOrigin) start(key streamkey.Key, live *stream.Stream, old *packager) *packager {
	if old != nil {
		old.cancel()
	}
	first, next := firstNumbers(time.Now()), h.next[key]
	first.Segment = max(first.Segment, next.Segment)
	first.Discontinuity = max(first.Discontinuity, next.Discontinuity)
	c := h.server.config.HLS
	muxer := hls.NewMuxer(hls.Config{Segment: c.Segment, StartWait: c.StartWait, Part: c.Part, Window: c.Window, First: first, Prefix: key.Name() + "/"})
	// It follows the stream, not the request that happened to need it first.
	ctx, cancel := context.WithCancel(context.Background())
	p := &packager{stream: live, cancel: cancel, shelf: h.store.shelf(first.Segment, h.server.log.With("stream", key))}
	p.state.Store(&hlsState{changed: make(chan struct{})})
	h.running.Go(func() {
		defer cancel()
		p.run(ctx, h, muxer)
		h.mu.Lock()
		if h.packagers[key] == p {
			delete(h.packagers, key)
		}
		h.mu.Unlock()
	})
	return p
}

// remember keeps the numbers of a stream that has ended, and forgets those
// that the clock has passed.
func (h *hlsOrigin) remember(key streamkey.Key, n hls.Numbers) {
	clock := firstNumbers(time.Now())
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.next, func(_ streamkey.Key, n hls.Numbers) bool {
		return n.Segment <= clock.Segment && n.Discontinuity <= clock.Discontinuity
	})
	h.next[key] = n
}

// firstNumbers turns the wall clock into the first numbers of a packager, so
// that numbers rise over a restart of the server without anything kept. Four
// segments a second are more than there can be; some players read their
// numbers as 31 bits, which lasts until 2043. Discontinuities have one number
// in five minutes: more than there are of them, in the long run, and few enough
// for players that walk an array as long as the number.
func firstNumbers(now time.Time) hls.Numbers {
	since := max(0, now.Sub(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
	return hls.Numbers{Segment: 1 + int64(since/(250*time.Millisecond)), Discontinuity: int64(since / (5 * time.Minute))}
}

// find returns the packager that a request is for; it answers the request if
// there is none.
func (h *hlsOrigin) find(w http.ResponseWriter, key streamkey.Key) *packager {
	p := h.packager(key)
	if p == nil {
		h.server.offline(w, key)
		return nil
	}
	if t := unsupported(p.stream.Tracks()); t != nil {
		h.server.fail(w, http.StatusNotAcceptable, "unsupported_codec", "HLS cannot carry "+t.Codec.String())
		return nil
	}
	return p
}
