package bench

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	// answerWait is how long an answer may take: a blocked one up to three
	// target durations (RFC 8216bis, 6.2.5.2), which are seldom over 10 s.
	answerWait = 40 * time.Second
)

// fetcher asks for one thing after the other on a connection that it keeps.
type fetcher struct {
	dialer *dialer
	c      *conn
	host   string // of c
	stop   func() bool
}

// get asks for a resource, of which body is read up to its end.
func (f *fetcher) get(ctx context.Context, u *url.URL, headers []string, body func(*http.Response) error) error {
	if f.c != nil && f.host != u.Host {
		f.close()
	}
	kept := f.c != nil
	err := f.try(ctx, u, headers, body)
	if kind := kindOf(err); kept && ctx.Err() == nil && (kind == kindReset || kind == kindEnded) {
		return f.try(ctx, u, headers, body) // the server had closed the idle connection
	}
	return err
}

// try is one attempt. Without a connection behind it, it broke.
func (f *fetcher) try(ctx context.Context, u *url.URL, headers []string, body func(*http.Response) error) (err error) {
	if f.c == nil {
		if f.c, err = f.dialer.dial(ctx, u); err != nil {
			f.c = nil
			return err
		}
		c := f.c
		f.host = u.Host
		f.stop = context.AfterFunc(ctx, func() { c.Close() })
	}
	keep := false
	defer func() {
		if !keep {
			f.close()
		}
	}()
	if err := f.c.SetReadDeadline(time.Now().Add(answerWait)); err != nil {
		return err
	}
	if err := f.c.get(u, u.RequestURI(), headers...); err != nil {
		return err
	}
	r, err := f.c.answer()
	if err != nil {
		return unexpected(err)
	}
	defer r.Body.Close()
	err = body(r)
	if err == nil {
		_, err = io.Copy(io.Discard, r.Body) // as long as answerWait at most
		keep = err == nil && !r.Close
	}
	if err == nil && r.StatusCode != http.StatusOK && r.StatusCode != http.StatusPartialContent {
		err = refusalOf(r)
	}
	return err
}

func (f *fetcher) close() {
	if f.c != nil {
		f.stop()
		f.c.Close()
		f.c = nil
	}
}

// media fetches a file, or a range of it, and throws it away.
func (f *fetcher) media(ctx context.Context, base *url.URL, r resource) error {
	ref, err := base.Parse(r.uri)
	if err != nil {
		return fmt.Errorf("%w: a URI of a playlist: %w", errProtocol, withoutURL(err))
	}
	if defaultPorts[ref.Scheme] == "" {
		return fmt.Errorf("%w: a URI of a playlist begins with %.20q", errProtocol, ref.Scheme)
	}
	var headers []string
	if r.size > 0 {
		headers = []string{fmt.Sprintf("Range: bytes=%d-%d", r.begin, r.begin+r.size-1)}
	}
	return f.get(ctx, ref, headers, func(*http.Response) error { return nil })
}

// lists reads playlists, each of them once: all players of a URL get the same
// bytes, and to read them for each would cost more than anything else here.
type lists struct {
	seed maphash.Seed

	mu    sync.Mutex
	known map[uint64]*mediaList
	order []uint64
}

// maxLists bounds the playlists that are remembered.
const maxLists = 256

func newLists() *lists { return &lists{seed: maphash.MakeSeed(), known: map[uint64]*mediaList{}} }

// text reads a playlist's bytes, compressed or not.
func text(raw []byte, compressed bool) (string, error) {
	if !compressed {
		return string(raw), nil
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return "", fmt.Errorf("%w: %w", errProtocol, err)
	}
	var b strings.Builder
	n, err := io.Copy(&b, io.LimitReader(z, maxPlaylist+1))
	if err != nil {
		return "", fmt.Errorf("%w: %w", errProtocol, err)
	}
	return b.String(), checkSize(n)
}

// parse reads a media playlist.
func (l *lists) parse(raw []byte, compressed bool) (*mediaList, error) {
	sum := maphash.Bytes(l.seed, raw)
	l.mu.Lock()
	known := l.known[sum]
	l.mu.Unlock()
	if known != nil {
		return known, nil
	}
	s, err := text(raw, compressed)
	if err != nil {
		return nil, err
	}
	list, err := parseMedia(s)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known[sum] == nil {
		if len(l.order) == maxLists {
			delete(l.known, l.order[0])
			l.order = l.order[1:]
		}
		l.order = append(l.order, sum)
		l.known[sum] = list
	}
	return list, nil
}

// playlist fetches a playlist's bytes into buf, and says whether they are
// compressed.
func (f *fetcher) playlist(ctx context.Context, u *url.URL, buf *bytes.Buffer) (compressed bool, err error) {
	buf.Reset()
	err = f.get(ctx, u, acceptGzip, func(r *http.Response) error {
		buf.Reset()
		compressed = r.Header.Get("Content-Encoding") == "gzip"
		n, err := io.Copy(buf, io.LimitReader(r.Body, maxPlaylist+1))
		if err != nil {
			return err
		}
		return checkSize(n)
	})
	return compressed, err
}

func checkSize(n int64) error {
	if n > maxPlaylist {
		return fmt.Errorf("%w: a playlist of more than %d bytes", errProtocol, maxPlaylist)
	}
	return nil
}

var acceptGzip = []string{"Accept-Encoding: gzip"}
