package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miju-live/miju/remux/hls/hlstest"
)

// follower plays a live stream as the strictest of players would: it reloads
// every playlist by blocking, whole and as delta updates, fetches every part by
// the hint of it and every segment, and lets hlstest judge all of them.
type follower struct {
	base   string // URL of the multivariant playlist without its extension
	client *http.Client

	mu     sync.Mutex
	stream hlstest.Stream
	found  []string
	// late is the longest time between two states of a playlist.
	late                            time.Duration
	states, parts, segments, deltas int
	// texts are some of the playlists, whole and delta updates, if keep is set.
	keep  bool
	texts []string
}

func newFollower(s *testServer, name string, irregular bool) *follower {
	return &follower{
		base: s.url("/live/" + name), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 10}},
		stream: hlstest.Stream{Irregular: irregular},
	}
}

// follow plays for a while, or to the end of the stream, and returns what broke
// a rule.
func (f *follower) follow(ctx context.Context, d time.Duration) []string {
	defer f.client.CloseIdleConnections()
	a, err := f.get(ctx, ".m3u8", "application/vnd.apple.mpegurl")
	if err != nil {
		return []string{err.Error()}
	}
	m := f.stream.Multivariant(a)
	if m == nil {
		return f.stream.Close(a)
	}
	playing, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var renditions sync.WaitGroup
	for _, uri := range m.URIs() {
		renditions.Go(func() {
			r := rendition{follower: f, uri: uri, hinted: map[string]*hinted{}, files: map[string][]byte{}}
			if err := r.play(playing); err != nil && playing.Err() == nil {
				f.find("%s: %v", uri, err)
			}
			r.fetching.Wait()
		})
	}
	renditions.Wait()
	if a, err = f.get(ctx, ".m3u8", "application/vnd.apple.mpegurl"); err != nil {
		f.find("%v", err)
	}
	return append(f.found, f.stream.Close(a)...)
}

func (f *follower) find(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.found = append(f.found, fmt.Sprintf(format, args...))
}

// dir is that of all files, "alice/".
func (f *follower) dir() string { return f.base[strings.LastIndexByte(f.base, '/')+1:] + "/" }

// get returns what stands behind the stream's base URL.
func (f *follower) get(ctx context.Context, path, mediaType string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.base+path, nil)
	if err != nil {
		return nil, err
	}
	a, err := f.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		return nil, err
	}
	if a.StatusCode != http.StatusOK {
		return nil, &statusError{path, a.StatusCode}
	}
	list := strings.HasSuffix(mediaType, "mpegurl")
	if a.Header.Get("Content-Type") != mediaType || a.Header.Get("Cache-Control") == "" || list != a.Uncompressed {
		f.find("%s: headers %v, compressed %v", path, a.Header, a.Uncompressed)
	}
	return b, nil
}

// rendition is one media playlist that is followed.
type rendition struct {
	*follower
	uri      string // "alice/video.m3u8"
	fetching sync.WaitGroup
	hinted   map[string]*hinted
	files    map[string][]byte // initialization sections and parts that are needed yet
	whole    int64             // the last segment that was fetched
}

// hinted is a part that was asked for before it was there.
type hinted struct {
	done chan struct{}
	b    []byte
	err  error
}

func (r *rendition) play(ctx context.Context) error {
	l, err := r.reload(ctx, "", nil, nil)
	for at := time.Now(); err == nil && !l.Ended; {
		if err := r.fetch(ctx, l); err != nil {
			return err
		}
		query := fmt.Sprintf("?_HLS_msn=%d&_HLS_part=%d", l.End().MSN, l.End().Parts)
		if s := l.Segments[len(l.Segments)-1]; s.URI != "" { // it is whole
			query = fmt.Sprintf("?_HLS_msn=%d&_HLS_part=0", s.Number+1)
			if l.PartTarget == 0 {
				query = fmt.Sprintf("?_HLS_msn=%d", s.Number+1)
			}
		}
		before := l.End()
		if l, err = r.next(ctx, query); err != nil {
			break
		}
		if !before.Before(l.End()) && !l.Ended {
			return fmt.Errorf("%s is answered with %v", query, l.End())
		}
		r.mu.Lock()
		r.late = max(r.late, time.Since(at))
		r.mu.Unlock()
		at = time.Now()
	}
	if err != nil {
		return err
	}
	if err := r.fetch(ctx, l); err != nil {
		return err
	}
	return r.broken(ctx)
}

// broken checks, at the end of a stream, that hints which did not come true
// were answered so.
func (r *rendition) broken(ctx context.Context) error {
	for name, h := range r.hinted {
		select {
		case <-h.done:
		case <-ctx.Done():
			return fmt.Errorf("%s is never answered", name)
		}
		var status *statusError
		if !errors.As(h.err, &status) || status.status != http.StatusNotFound {
			return fmt.Errorf("%s, which did not come, is answered with %w", name, h.err)
		}
	}
	return nil
}

// soonest is what a busy machine needs to answer with what was there already.
const soonest = 100 * time.Millisecond

// next waits for the delta update of the next state and then takes the whole.
func (r *rendition) next(ctx context.Context, query string) (*hlstest.Playlist, error) {
	r.mu.Lock()
	ends := r.stream.Ends()
	r.mu.Unlock()
	var delta []byte
	for asked := time.Now(); ; {
		var err error
		delta, err = r.get(ctx, r.path()+query+"&_HLS_skip=YES", "application/vnd.apple.mpegurl")
		var status *statusError
		if errors.As(err, &status) && status.status == http.StatusServiceUnavailable && time.Since(asked) < patience {
			continue // nothing comes, as when nobody publishes
		}
		if err != nil {
			return nil, err
		}
		if time.Since(asked) < soonest { // it was there before others went on
			ends = nil
		}
		break
	}
	return r.reload(ctx, query, delta, ends)
}

func (r *rendition) path() string {
	return "/" + strings.TrimPrefix(r.uri, r.dir())
}

// reload looks at the whole playlist, and at the delta update that came before
// it if both are of one state. before is as hlstest.Stream.Look takes it.
func (r *rendition) reload(ctx context.Context, query string, delta []byte, before map[string]hlstest.Position) (*hlstest.Playlist, error) {
	b, err := r.get(ctx, r.path()+query, "application/vnd.apple.mpegurl")
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.stream.Look(r.uri, b, before)
	if l == nil {
		return nil, fmt.Errorf("no playlist:\n%s", b)
	}
	r.states++
	if delta != nil {
		if d, err := hlstest.Parse(delta); err != nil || d.End() == l.End() && d.Ended == l.Ended {
			r.stream.Rendition(r.uri).Delta(delta)
			r.deltas++
		}
	}
	if r.keep && (r.states%7 == 0 || l.Ended) && len(r.texts) < 500 {
		if r.texts = append(r.texts, string(b)); delta != nil {
			r.texts = append(r.texts, string(delta))
		}
	}
	return l, nil
}

// fetch fetches what a playlist has that was not there before, and asks for
// the hinted part.
func (r *rendition) fetch(ctx context.Context, l *hlstest.Playlist) error {
	if l.Hint != "" && r.hinted[l.Hint] == nil {
		h := &hinted{done: make(chan struct{})}
		r.hinted[l.Hint] = h
		r.fetching.Go(func() {
			h.b, h.err = r.file(ctx, l.Hint)
			close(h.done)
		})
	}
	for i := range l.Segments {
		s := &l.Segments[i]
		if s.Number <= r.whole {
			continue
		}
		if err := r.fetchParts(ctx, s); err != nil {
			return err
		}
		if s.URI != "" && !s.Gap {
			if err := r.fetchWhole(ctx, s); err != nil {
				return err
			}
		}
		if s.URI != "" {
			r.whole = s.Number
		}
	}
	return nil
}

func (r *rendition) fetchParts(ctx context.Context, s *hlstest.Segment) error {
	for _, p := range s.Parts {
		if r.files[p.URI] != nil {
			continue
		}
		if h := r.hinted[p.URI]; h != nil {
			<-h.done
			delete(r.hinted, p.URI)
			if h.err != nil {
				return fmt.Errorf("hinted part: %w", h.err)
			}
			r.files[p.URI] = h.b
			continue
		}
		b, err := r.file(ctx, p.URI)
		if err != nil {
			return err
		}
		r.files[p.URI] = b
	}
	return nil
}

func (r *rendition) fetchWhole(ctx context.Context, s *hlstest.Segment) error {
	if r.files[s.Map] == nil {
		b, err := r.file(ctx, s.Map)
		if err != nil {
			return err
		}
		r.files[s.Map] = b
	}
	b, err := r.file(ctx, s.URI)
	if err != nil {
		return err
	}
	f := hlstest.Fetched{Init: r.files[s.Map], Whole: b}
	for _, p := range s.Parts {
		f.Parts = append(f.Parts, r.files[p.URI])
		delete(r.files, p.URI)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stream.Rendition(r.uri).Fetched(s.Number, f)
	r.segments++
	r.parts += len(f.Parts)
	return nil
}

// file fetches a file that stands beside the playlist.
func (r *rendition) file(ctx context.Context, name string) ([]byte, error) {
	kind, _, _ := strings.Cut(name, "-")
	return r.get(ctx, "/"+name, strings.TrimRight(kind, "0123456789")+"/mp4")
}

// walk follows live/name for a while and reports what breaks a rule.
func (s *testServer) walk(t *testing.T, name string, d time.Duration, irregular bool) *follower {
	t.Helper()
	f := newFollower(s, name, irregular)
	f.report(t, f.follow(t.Context(), d))
	return f
}

// report fails the test for what was found.
func (f *follower) report(t *testing.T, found []string) {
	t.Helper()
	for i, what := range found {
		if i == 20 {
			t.Error("and more")
			break
		}
		t.Error(what[:min(len(what), 2000)])
	}
	t.Logf("%d states, %d delta updates, %d parts, %d segments; %v at most between two states", f.states, f.deltas, f.parts, f.segments, f.late.Round(time.Millisecond))
}
