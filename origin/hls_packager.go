package origin

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"strconv"
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
	shelf  *shelf
	state  atomic.Pointer[hlsState]
}

// hlsState is a window and the news that there is a newer one. It is immutable.
type hlsState struct {
	window       *hls.Window // nil until there is one
	multivariant *playlist
	renditions   []*hlsRendition
	ended        bool
	changed      chan struct{} // closed when the next state is there
}

// hlsRendition is a rendition and the news that there is a newer form of it.
// Each has its own, so that those who wait for pictures sleep when sound comes.
type hlsRendition struct {
	*hls.Rendition
	full, delta *playlist
	changed     chan struct{} // closed when the next one, or the end, is there
	// late is closed when that does not come for a while: who waits then
	// begins to look at the clock. Thousands that wait have one timer.
	late  chan struct{}
	timer *time.Timer
}

// lateAfter is longer than a part may take.
const lateAfter = 1500 * time.Millisecond

// playlist is a rendered playlist, compressed by the first who asks for that.
type playlist struct {
	plain  []byte
	length []string // of plain, as a header
	once   sync.Once
	small  []byte
	packed []string // length of small
}

func newPlaylist(plain []byte) *playlist {
	return &playlist{plain: plain, length: []string{strconv.Itoa(len(plain))}}
}

func newRendition(r *hls.Rendition) *hlsRendition {
	n := &hlsRendition{Rendition: r, full: newPlaylist(r.Playlist()), changed: make(chan struct{}), late: make(chan struct{})}
	n.delta = n.full
	if d := r.Delta(); &d[0] != &n.full.plain[0] {
		n.delta = newPlaylist(d)
	}
	n.timer = time.AfterFunc(lateAfter, func() { close(n.late) })
	return n
}

// rendition returns a rendition by its name, nil if there is none.
func (s *hlsState) rendition(name string) *hlsRendition {
	for _, r := range s.renditions {
		if r.Name() == name {
			return r
		}
	}
	return nil
}

// run copies the stream into the muxer until it ends or ctx does.
func (p *packager) run(ctx context.Context, h *hlsOrigin, muxer *hls.Muxer) {
	log := h.server.log.With("stream", p.stream.Key())
	defer p.shelf.close()
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
			w := muxer.Window()
			p.publish(w)
			p.shelf.keep(muxer, w)
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
	old := p.state.Load()
	s := &hlsState{window: w, ended: w.Ended(), multivariant: old.multivariant, changed: make(chan struct{})}
	if b := w.Multivariant(); old.multivariant == nil || !bytes.Equal(b, old.multivariant.plain) {
		s.multivariant = newPlaylist(b)
	}
	for _, r := range w.Renditions() {
		n := old.rendition(r.Name())
		if n == nil || n.Rendition != r || s.ended {
			n = newRendition(r)
		}
		s.renditions = append(s.renditions, n)
	}
	p.swap(s)
}

// end publishes the last state; without a window there never was anything.
func (p *packager) end(w *hls.Window) {
	if w != nil && w.Ended() {
		p.publish(w)
	} else {
		p.swap(&hlsState{ended: true, changed: make(chan struct{})})
	}
	for _, r := range p.state.Load().renditions {
		r.timer.Stop() // nobody waits for more
	}
}

// swap makes s the state and wakes those who wait for what is new in it.
func (p *packager) swap(s *hlsState) {
	old := p.state.Swap(s)
	close(old.changed)
	for _, r := range old.renditions {
		if s.rendition(r.Name()) != r {
			r.timer.Stop()
			close(r.changed)
		}
	}
}

func (p *packager) ended() bool { return p.state.Load().ended }

// first returns the first state that has a window, or the last one.
func (p *packager) first(ctx context.Context) (*hlsState, error) {
	for {
		s := p.state.Load()
		if s.ended || s.window != nil {
			return s, nil
		}
		select {
		case <-s.changed:
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
}

// wanted is what a request waits for: a position in a rendition, or that its
// preload hint is another one.
type wanted struct {
	rendition string
	msn       int64
	part      int
	unhinted  string
}

func (n *wanted) met(s *hlsState, r *hlsRendition) bool {
	switch {
	case s.ended || r == nil:
		return true
	case n.unhinted != "":
		return !s.window.Hinted(n.unhinted)
	}
	return r.Has(n.msn, n.part)
}

var errLate = errors.New("the stream did not come that far")

// wait returns the first state that has what is wanted, or in which it cannot
// come any more. It fails with errLate after most, or with ctx.
func (p *packager) wait(ctx context.Context, n *wanted, most time.Duration) (*hlsState, error) {
	begun := time.Now()
	var timeout <-chan time.Time
	for {
		s := p.state.Load()
		r := s.rendition(n.rendition)
		if n.met(s, r) {
			return s, nil
		}
		late := r.late
		if timeout != nil {
			late = nil
		}
		select {
		case <-r.changed:
		case <-late:
			ctx = watch(ctx)
			timer := time.NewTimer(most - time.Since(begun))
			defer timer.Stop() // once, late is nil from now on
			timeout = timer.C
		case <-timeout:
			return s, errLate
		case <-ctx.Done():
			return s, ctx.Err()
		}
		if timeout == nil && time.Since(begun) >= most {
			return s, errLate
		}
	}
}

var gzips = sync.Pool{New: func() any { return gzip.NewWriter(io.Discard) }}

// gzip returns the playlist compressed, and the length of that as a header.
func (l *playlist) gzip() ([]byte, []string) {
	l.once.Do(func() {
		l.small = compress(l.plain)
		l.packed = []string{strconv.Itoa(len(l.small))}
	})
	return l.small, l.packed
}

func compress(plain []byte) []byte {
	var b bytes.Buffer
	b.Grow(len(plain) / 4)
	z := gzips.Get().(*gzip.Writer)
	defer gzips.Put(z)
	z.Reset(&b)
	z.Write(plain) // a bytes.Buffer takes everything
	z.Close()
	return b.Bytes()
}
