package origin

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miju-live/miju/remux/hls"
	"github.com/miju-live/miju/stream"
)

// endTargets is for how many target durations the window of an ended stream
// stays, so that players see its end and play what they lack.
const endTargets = 3

// packager follows one stream and holds the newest window of it.
type packager struct {
	stream *stream.Stream
	cancel context.CancelFunc
	state  atomic.Pointer[hlsState]
}

// hlsState is a window and the news that there is a newer one. It is immutable.
type hlsState struct {
	window *hls.Window // nil until there is one
	// playlists are the window's, by name; "?" behind a name is its delta update.
	playlists map[string]*playlist
	ended     bool
	changed   chan struct{} // closed when the next state is there
}

// playlist is a rendered playlist, compressed by the first who asks for that.
type playlist struct {
	plain []byte
	once  sync.Once
	small []byte
}

// run copies the stream into the muxer until it ends or ctx does.
func (p *packager) run(ctx context.Context, h *hlsOrigin, muxer *hls.Muxer) {
	log := h.server.log.With("stream", p.stream.Key())
	reader := p.stream.NewReader(stream.ReaderOptions{All: true, Wake: stream.WakeNow})
	var batch []*stream.Entry
	var err error
	var stats hls.Stats
	for {
		if batch, err = reader.NextBatch(ctx, batch); err != nil {
			break
		}
		changed := false
		for _, e := range batch {
			changed = muxer.Write(&e.Frame) || changed
		}
		if changed {
			p.publish(muxer.Window())
			now := muxer.Stats()
			warn(log, now, stats)
			h.add(now, stats)
			stats = now
		}
	}
	reader.Close()
	clear(batch[:cap(batch)])
	muxer.Close()
	h.add(muxer.Stats(), stats)
	h.remember(p.stream.Key(), muxer.Next()) // before anyone can see the end and start anew
	p.end(muxer.Window())
	if !errors.Is(err, io.EOF) {
		return // the server shuts down, or another stream took the key
	}
	stay := time.Second
	if w := p.state.Load().window; w != nil {
		stay = endTargets * w.TargetDuration()
	}
	timer := time.NewTimer(stay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// warn tells the operator, once a stream, what the encoder could do better.
func warn(log *slog.Logger, now, before hls.Stats) {
	if before.Forced == 0 && now.Forced > 0 {
		log.Warn("HLS segments are cut inside a GOP, players cannot start there: set the encoder's keyframe interval to 2 s")
	}
	if before.LongParts == 0 && now.LongParts > 0 {
		log.Warn("no video frame came for longer than an HLS part: a constant frame rate plays more smoothly")
	}
}

func (p *packager) publish(w *hls.Window) {
	s := &hlsState{window: w, ended: w.Ended(), playlists: map[string]*playlist{}, changed: make(chan struct{})}
	old := p.state.Load()
	s.add(old, "", w.Multivariant())
	for _, r := range w.Renditions() {
		s.add(old, r.Name(), r.Playlist())
		s.add(old, r.Name()+"?", r.Delta())
	}
	p.state.Store(s)
	close(old.changed)
}

// end publishes the last state; without a window there never was anything.
func (p *packager) end(w *hls.Window) {
	if w != nil && w.Ended() {
		p.publish(w)
		return
	}
	old := p.state.Load()
	p.state.Store(&hlsState{ended: true, changed: make(chan struct{})})
	close(old.changed)
}

func (p *packager) ended() bool { return p.state.Load().ended }

// add takes a playlist over from the state before if it is the same one.
func (s *hlsState) add(old *hlsState, name string, plain []byte) {
	if l := old.playlists[name]; l != nil && &l.plain[0] == &plain[0] {
		s.playlists[name] = l
		return
	}
	s.playlists[name] = &playlist{plain: plain}
}

// wait returns the first state of which ok says true. It ends with an error
// when ctx does, and returns the last state when the stream has ended.
func (p *packager) wait(ctx context.Context, ok func(*hlsState) bool) (*hlsState, error) {
	for {
		s := p.state.Load()
		if s.ended || ok(s) {
			return s, nil
		}
		select {
		case <-s.changed:
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
}

var gzips = sync.Pool{New: func() any { return gzip.NewWriter(io.Discard) }}

// gzip returns the playlist compressed.
func (l *playlist) gzip() []byte {
	l.once.Do(func() {
		var b bytes.Buffer
		b.Grow(len(l.plain) / 4)
		z := gzips.Get().(*gzip.Writer)
		defer gzips.Put(z)
		z.Reset(&b)
		z.Write(l.plain) // a bytes.Buffer takes everything
		z.Close()
		l.small = b.Bytes()
	})
	return l.small
}
