package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"sync"
	"time"
)

const (
	// Of what fails a player tries again, so often in a row and so long apart.
	maxTries, tryAgain = 10, time.Second
	// The renditions of a player.
	videoRendition = 0
)

// errLost is the end of a player that could not go on.
var errLost = errors.New("too many errors in a row")

// hlsPlayer is one player.
type hlsPlayer struct {
	crowd  *hlsCrowd
	buffer *buffer
	asked  time.Time
	once   sync.Once // for the first thing that is shown
	plays  bool      // it was
	began  func()
}

// play plays until the stream ends, which is no error.
func (p *hlsPlayer) play(ctx context.Context, u *url.URL) error {
	f := &fetcher{dialer: p.crowd.dialer}
	defer f.close()
	p.asked = time.Now()
	var buf bytes.Buffer
	p.crowd.count(&p.crowd.playlists)
	compressed, err := f.playlist(ctx, u, &buf)
	if err != nil {
		return p.crowd.fail(ctx, err)
	}
	master, err := text(buf.Bytes(), compressed)
	if err != nil {
		return err
	}
	uris := []string{""} // the URL itself
	if !isMedia(master) {
		m, err := parseMultivariant(master)
		if err != nil {
			return err
		}
		uris[videoRendition] = m.video
		if m.audio != "" {
			uris = append(uris, m.audio)
		}
	}
	f.close()
	p.buffer = newBuffer(len(uris))
	p.crowd.enter(p)
	defer p.crowd.leave(p)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	ended := make([]error, 2*len(uris))
	for i, uri := range uris {
		ref, err := u.Parse(uri)
		if err != nil {
			cancel()
			all.Wait()
			return fmt.Errorf("%w: a URI of a playlist: %w", errProtocol, withoutURL(err))
		}
		r := &rendition{player: p, index: i, url: ref, changed: make(chan struct{}, 1)}
		for j, f := range []func(context.Context) error{r.reload, r.fetch} {
			all.Go(func() {
				if ended[2*i+j] = f(ctx); ended[2*i+j] != nil {
					cancel()
				}
			})
		}
	}
	all.Wait()
	for _, err := range ended {
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return ctx.Err()
}

// rendition is a player's following of one media playlist: a goroutine and a
// connection reload it, and others fetch what it lists.
type rendition struct {
	player *hlsPlayer
	index  int
	url    *url.URL

	mu      sync.Mutex
	list    *mediaList
	over    bool // no playlist comes any more
	full    bool // the whole playlist is needed, and no update
	changed chan struct{}
}

// set has a new playlist fetched from.
func (r *rendition) set(l *mediaList, over bool) {
	r.mu.Lock()
	if l != nil {
		r.list = l
	}
	r.over = over
	r.mu.Unlock()
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

func (r *rendition) get() (l *mediaList, over bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list, r.over
}

// reload reloads the playlist until it has ended.
func (r *rendition) reload(ctx context.Context) error {
	c := r.player.crowd
	f := &fetcher{dialer: c.dialer}
	defer f.close()
	defer r.set(nil, true)
	var buf bytes.Buffer
	var list *mediaList
	for tries := 0; ; {
		asked := time.Now()
		c.count(&c.playlists)
		compressed, err := f.playlist(ctx, r.directed(list), &buf)
		var next *mediaList
		if err == nil {
			next, err = c.lists.parse(buf.Bytes(), compressed)
		}
		if err != nil {
			if err := c.fail(ctx, err); tries == maxTries || ctx.Err() != nil {
				return errors.Join(errLost, err)
			}
			tries++
			if !sleep(ctx, tryAgain) {
				return ctx.Err()
			}
			continue
		}
		tries = 0
		same := next == list
		list = next
		r.set(list, false)
		if list.ended {
			return nil
		}
		if list.blocks && !same {
			continue
		}
		// RFC 8216, 6.3.4: a target duration after a change, else half of it.
		wait := list.target
		if same {
			wait /= 2
		}
		if !sleep(ctx, wait-time.Since(asked)) {
			return ctx.Err()
		}
	}
}

// directed is the URL of the next reload, which a server that can answers when
// there is something new (RFC 8216bis, 6.2.5).
func (r *rendition) directed(l *mediaList) *url.URL {
	if l == nil || !l.blocks {
		return r.url
	}
	u := *r.url
	q := u.Query()
	want := l.wanted()
	q.Set("_HLS_msn", strconv.FormatInt(want.number, 10))
	if l.low() && !r.player.crowd.config.Plain {
		q.Set("_HLS_part", strconv.Itoa(want.part))
	}
	r.mu.Lock()
	if l.skips && !r.full {
		q.Set("_HLS_skip", "YES")
	}
	r.full = false
	r.mu.Unlock()
	u.RawQuery = q.Encode()
	return &u
}

// fetch fetches what the playlists list, from the place where a player begins.
func (r *rendition) fetch(ctx context.Context) error {
	c := r.player.crowd
	f := &fetcher{dialer: c.dialer}
	defer f.close()
	t := track{rendition: r, fetcher: f}
	for tries := 0; ; {
		l, over := r.get()
		var err error
		moved := false
		if l != nil {
			moved, err = t.step(ctx, l)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			if tries++; tries > maxTries {
				return errors.Join(errLost, err)
			}
		case moved:
			tries = 0
		case over:
			r.player.buffer.finish()
			return nil
		}
		if moved && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.changed:
		case <-time.After(answerWait): // reload has an end of its own
		}
	}
}
