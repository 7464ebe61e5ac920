package bench

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// HLSConfig is a load of HLS players.
type HLSConfig struct {
	Load
	Streams int  `flag:"streams" min:"1" max:"100000" help:"streams that the players spread over: {i} in the URL is from 1 to this"`
	Plain   bool `flag:"plain" help:"play whole segments, as players without low latency do"`
}

// DefaultHLS is a short look at a server.
func DefaultHLS() HLSConfig {
	return HLSConfig{Load: Load{N: 50, Duration: 20 * time.Second, Ramp: 50}, Streams: 1}
}

// HLSReport is what HLS players saw.
type HLSReport struct {
	Run
	Players int            `json:"players" text:"players"`
	Joined  int            `json:"joined" text:"began to play"`
	Playing int            `json:"playing" text:"played at the end"`
	Refused map[string]int `json:"refused" text:"refused, by status"`
	Failed  map[string]int `json:"failed" text:"failed, by cause"`
	// Lost had begun and could not go on.
	Lost int `json:"lost" text:"gave up later"`
	// Join is from the request of the multivariant playlist until there is
	// something to show of all renditions.
	Join Quantiles `json:"join_ms" text:"request to first picture" unit:"ms"`
	// Requests are those of the window, of them Playlists of playlists and Media of
	// parts, segments and initialization sections.
	Requests    int64   `json:"requests" text:"requests"`
	Playlists   int64   `json:"playlist_requests" text:"of them of playlists"`
	Media       int64   `json:"media_requests" text:"of them of media"`
	RequestsPer float64 `json:"requests_per_s" text:"which is" unit:"a second"`
	// Errors are answers other than 200 and 206, by status, and broken
	// connections, in the window.
	Errors map[string]int `json:"errors" text:"errors"`
	// Fetch is of parts and segments that a playlist listed already.
	Fetch       Quantiles `json:"fetch_ms" text:"fetching what was listed" unit:"ms"`
	Bytes       int64     `json:"bytes" text:"received in all" unit:"bytes"`
	WindowBytes int64     `json:"window_bytes" text:"received in the window" unit:"bytes"`
	MbitPerS    float64   `json:"mbit_per_s" text:"delivered" unit:"Mbit/s"`
	// Edge is how old the begin of a part (or segment) is when all of it has
	// come: nobody can be nearer to live. Latency is how old what is shown is
	// then. Both are by PROGRAM-DATE-TIME against the clock here.
	Edge    Quantiles `json:"edge_ms" text:"age of a part when it has come" unit:"ms"`
	Latency Quantiles `json:"latency_ms" text:"behind live, as played" unit:"ms"`
	// Stalls are times when a player had nothing to show.
	Stalls         int     `json:"stalls" text:"stalls (nothing to show)"`
	StalledSeconds float64 `json:"stalled_s" text:"of all players together" unit:"s"`
	// Jumps are players so far behind that the playlist had gone on without them.
	Jumps int `json:"jumps" text:"jumps to the live edge"`
	End
}

// HLS runs a load of players. The report tells what was measured even if there
// is an error, which wraps ErrNothing if nobody began to play.
func HLS(ctx context.Context, c HLSConfig) (*HLSReport, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	targets, err := c.targets(c.Streams, "http", "https")
	if err != nil {
		return nil, err
	}
	if err := fit(c.N*playerConnections, targets); err != nil {
		return nil, err
	}
	h := &hlsCrowd{config: &c, targets: targets, lists: newLists(), players: map[*hlsPlayer]bool{}}
	h.dialer = c.dialer(&h.bytes)
	w, err := c.run(ctx, h)
	if err != nil {
		return nil, err
	}
	r := h.report(&w)
	if r.Joined == 0 {
		err = fmt.Errorf("%w: no player got anything to show", ErrNothing)
	}
	return r, err
}

// playerConnections is how many connections a player has: two for each of two
// renditions.
const playerConnections = 4

// hlsCrowd is all players of a load.
type hlsCrowd struct {
	config  *HLSConfig
	targets []*url.URL
	dialer  *dialer
	lists   *lists

	failures         failures // of those that never played
	errors           failures // of requests
	join, fetched    hist
	edge, latency    hist
	bytes            atomic.Int64
	playlists, media atomic.Int64
	joined, lost     atomic.Int64
	jumps            atomic.Int64

	mu      sync.Mutex
	players map[*hlsPlayer]bool
	stalls  int
	stalled time.Duration

	before, inside int64 // bytes
	endPlaying     int
	endPlaylists   int64
	endMedia       int64
	endErrors      map[string]int
	endStalls      int
	endStalled     time.Duration
}

func (h *hlsCrowd) count(of *atomic.Int64) { of.Add(1) }

// fail counts an error of a request, if there is one, and returns it.
func (h *hlsCrowd) fail(ctx context.Context, err error) error {
	if err != nil && ctx.Err() == nil {
		h.errors.add(err)
	}
	return err
}

// member is a player.
func (h *hlsCrowd) member(ctx context.Context, i int, began func()) {
	defer began()
	p := &hlsPlayer{crowd: h, began: began}
	err := p.play(ctx, h.targets[i%len(h.targets)])
	switch {
	case ctx.Err() != nil:
	case !p.plays:
		if err == nil {
			err = errors.New("the stream has ended")
		}
		h.failures.add(err)
	case err != nil:
		h.lost.Add(1)
		h.failures.note(err)
	}
}

// playing takes note that a player has begun to play.
func (p *hlsPlayer) playing(now time.Time) {
	p.once.Do(func() {
		p.plays = true
		p.crowd.join.add(now.Sub(p.asked))
		p.crowd.joined.Add(1)
		p.began()
	})
}

func (h *hlsCrowd) enter(p *hlsPlayer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.players[p] = true
}

func (h *hlsCrowd) leave(p *hlsPlayer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.collect(p)
	delete(h.players, p)
}

// collect takes the stalls of a player.
func (h *hlsCrowd) collect(p *hlsPlayer) {
	stalls, stalled := p.buffer.take(time.Now())
	h.stalls += stalls
	h.stalled += stalled
}

func (h *hlsCrowd) collectAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for p := range h.players {
		h.collect(p)
	}
}

func (h *hlsCrowd) active() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.players)
}

func (h *hlsCrowd) begin() {
	h.collectAll()
	h.mu.Lock()
	h.stalls, h.stalled = 0, 0
	h.mu.Unlock()
	h.before = h.bytes.Load()
	for _, n := range []*atomic.Int64{&h.playlists, &h.media, &h.jumps} {
		n.Store(0)
	}
	h.errors.reset()
	for _, q := range []*hist{&h.fetched, &h.edge, &h.latency} {
		q.reset()
	}
}

func (h *hlsCrowd) end() {
	h.collectAll()
	h.inside = h.bytes.Load() - h.before
	h.endPlaying, h.endPlaylists, h.endMedia = h.active(), h.playlists.Load(), h.media.Load()
	h.endErrors = h.errors.all()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.endStalls, h.endStalled = h.stalls, h.stalled
}

func (h *hlsCrowd) status() string {
	h.collectAll()
	h.mu.Lock()
	stalls := h.stalls
	h.mu.Unlock()
	return fmt.Sprintf("%d of %d players, %d requests, %.1f MB, %d stalls, %d errors, %d failed, %d lost", h.active(), h.config.N,
		h.playlists.Load()+h.media.Load(), float64(h.bytes.Load())/1e6, stalls, h.errors.sum(), h.failures.sum(), h.lost.Load())
}

func (h *hlsCrowd) report(w *measured) *HLSReport {
	seconds := w.took.Seconds()
	r := &HLSReport{
		Run: h.config.head("hls", w), Players: h.config.N, Joined: int(h.joined.Load()), Playing: h.endPlaying,
		Lost: int(h.lost.Load()), Join: h.join.quantiles(),
		Requests: h.endPlaylists + h.endMedia, Playlists: h.endPlaylists, Media: h.endMedia,
		Errors: h.endErrors, Fetch: h.fetched.quantiles(), Bytes: h.bytes.Load(), WindowBytes: h.inside,
		MbitPerS: round4(ratio(float64(h.inside)*8/1e6, seconds)), Edge: h.edge.quantiles(), Latency: h.latency.quantiles(),
		Stalls: h.endStalls, StalledSeconds: round4(h.endStalled.Seconds()), Jumps: int(h.jumps.Load()),
	}
	r.Refused, r.Failed = h.failures.totals()
	r.RequestsPer = round4(ratio(float64(r.Requests), seconds))
	w.each(r.Joined, func(s *ServerUse) **float64 { return &s.PerRequest }, 1e6, float64(r.Requests))
	w.each(r.Joined, func(s *ServerUse) **float64 { return &s.PerGB }, 1e9, float64(h.inside))
	w.each(r.Joined, func(s *ServerUse) **float64 { return &s.CorePercent }, 100/seconds, float64(h.endPlaying))
	r.End = w.tail(&h.failures)
	return r
}
