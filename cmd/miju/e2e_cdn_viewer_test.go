package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A viewer plays LL-HLS as its text wants it played: it reads the multivariant
// playlist, reloads each rendition's playlist by blocking requests, asks for
// the part of the preload hint before it is there, and plays each part when
// its time has come, PART-HOLD-BACK behind the end of the first playlist that
// it had to wait for. It decodes nothing.

// llPart is a part as a playlist lists it; at is the wall-clock time of its
// first frame.
type llPart struct {
	uri      string
	at       time.Time
	duration time.Duration
}

// llPlaylist is what a viewer needs of a media playlist.
type llPlaylist struct {
	first    int64 // media sequence number
	init     string
	parts    []llPart
	hint     string
	next     string // the query that waits for the next part
	holdBack time.Duration
	ended    bool
}

func (l *llPlaylist) end() time.Time {
	last := l.parts[len(l.parts)-1]
	return last.at.Add(last.duration)
}

// attribute returns an attribute of a playlist's line, "" if it is not there.
func attribute(line, name string) string {
	_, rest, _ := strings.Cut(line, ":")
	for rest != "" {
		key, after, _ := strings.Cut(rest, "=")
		var value string
		if strings.HasPrefix(after, `"`) {
			value, after, _ = strings.Cut(after[1:], `"`)
			rest = strings.TrimPrefix(after, ",")
		} else {
			value, rest, _ = strings.Cut(after, ",")
		}
		if key == name {
			return value
		}
	}
	return ""
}

func seconds(s string) time.Duration {
	f, _ := strconv.ParseFloat(s, 64) // 0 is noticed
	return time.Duration(f * float64(time.Second))
}

func parsePlaylist(text string) (*llPlaylist, error) {
	l := &llPlaylist{}
	var at time.Time
	msn, part := int64(0), 0
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		tag, value, _ := strings.Cut(line, ":")
		switch tag {
		case "#EXT-X-SERVER-CONTROL":
			l.holdBack = seconds(attribute(line, "PART-HOLD-BACK"))
		case "#EXT-X-MEDIA-SEQUENCE":
			l.first, _ = strconv.ParseInt(value, 10, 64)
			msn = l.first
		case "#EXT-X-SKIP":
			n, _ := strconv.ParseInt(attribute(line, "SKIPPED-SEGMENTS"), 10, 64)
			msn += n
		case "#EXT-X-MAP":
			l.init = attribute(line, "URI")
		case "#EXT-X-PROGRAM-DATE-TIME":
			var err error
			if at, err = time.Parse(time.RFC3339, value); err != nil {
				return nil, err
			}
		case "#EXT-X-PART":
			p := llPart{attribute(line, "URI"), at, seconds(attribute(line, "DURATION"))}
			at = at.Add(p.duration)
			part++
			l.parts = append(l.parts, p)
		case "#EXT-X-PRELOAD-HINT":
			l.hint = attribute(line, "URI")
		case "#EXT-X-ENDLIST":
			l.ended = true
		default:
			if line != "" && line[0] != '#' {
				msn, part = msn+1, 0
			}
		}
	}
	l.next = fmt.Sprintf("?_HLS_msn=%d&_HLS_part=%d", msn, part)
	if len(l.parts) == 0 || l.first == 0 || l.holdBack == 0 || at.IsZero() {
		return nil, fmt.Errorf("no parts, number, hold back or time in %s", text)
	}
	return l, nil
}

// playlistBook parses each text once, since all viewers get the same ones.
type playlistBook struct {
	mu    sync.Mutex
	texts map[string]*llPlaylist
}

func (b *playlistBook) parse(packed []byte) (*llPlaylist, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.texts[string(packed)]; l != nil {
		return l, nil
	}
	text, err := unpack(packed)
	if err != nil {
		return nil, err
	}
	l, err := parsePlaylist(text)
	if err == nil {
		b.texts[string(packed)] = l
	}
	return l, err
}

func unpack(packed []byte) (string, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(z)
	return string(text), err
}

// keptConn is one connection that is kept between requests. It costs less
// than http.Client does, which counts with hundreds of viewers in one process.
type keptConn struct {
	addr string
	conn net.Conn
	r    *bufio.Reader
	body bytes.Buffer
}

// statusError is an answer that is not 200.
type statusError struct {
	path   string
	status int
}

func (e *statusError) Error() string { return fmt.Sprintf("%d for %s", e.status, e.path) }

func (c *keptConn) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// get returns the body of a path, valid until the next call.
func (c *keptConn) get(ctx context.Context, path string) ([]byte, error) {
	fresh := c.conn == nil
	if fresh {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.addr)
		if err != nil {
			return nil, err
		}
		c.conn, c.r = conn, bufio.NewReaderSize(conn, 4096)
	}
	conn := c.conn
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	body, err := c.exchange(path)
	var status *statusError
	if err != nil && !errors.As(err, &status) {
		c.close()
		if !fresh && ctx.Err() == nil { // it was closed while it was idle
			return c.get(ctx, path)
		}
	}
	return body, err
}

func (c *keptConn) exchange(path string) ([]byte, error) {
	if _, err := io.WriteString(c.conn, "GET "+path+" HTTP/1.1\r\nHost: edge\r\nAccept-Encoding: gzip\r\n\r\n"); err != nil {
		return nil, err
	}
	r, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	c.body.Reset()
	if _, err := c.body.ReadFrom(r.Body); err != nil {
		return nil, err
	}
	if r.Close {
		c.close()
	}
	if r.StatusCode != http.StatusOK {
		return nil, &statusError{path, r.StatusCode}
	}
	return c.body.Bytes(), nil
}

// llViewer is one viewer of one stream.
type llViewer struct {
	addr string // of the origin or an edge
	base string // path of the multivariant playlist without its extension
	book *playlistBook

	mu     sync.Mutex
	behind time.Duration // how far behind the wall clock it plays; 0: not yet
	stalls int
	failed []error
	// playlists and parts tell how long after its last frame's end a part was
	// listed, and was there.
	playlists, parts []time.Duration
}

// watch plays until ctx ends.
func (v *llViewer) watch(ctx context.Context) {
	c := &keptConn{addr: v.addr}
	defer c.close()
	text, err := v.multivariant(ctx, c)
	if err != nil {
		v.fail(ctx, err)
		return
	}
	var running sync.WaitGroup
	defer running.Wait()
	for line := range strings.Lines(text) {
		uri := strings.TrimSpace(line)
		if strings.HasPrefix(line, "#EXT-X-MEDIA:") {
			uri = attribute(uri, "URI")
		}
		if uri != "" && uri[0] != '#' {
			running.Go(func() { v.follow(ctx, v.base[:strings.LastIndexByte(v.base, '/')+1]+uri) })
		}
	}
}

func (v *llViewer) multivariant(ctx context.Context, c *keptConn) (string, error) {
	packed, err := c.get(ctx, v.base+".m3u8")
	if err != nil {
		return "", err
	}
	return unpack(packed)
}

func (v *llViewer) fail(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return // it was to end
	}
	v.mu.Lock()
	v.failed = append(v.failed, err)
	v.mu.Unlock()
}

// follow plays one rendition: here its playlist is reloaded, in a goroutine of
// its own its parts are fetched.
func (v *llViewer) follow(ctx context.Context, path string) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lists := make(chan listed, 100)
	var fetching sync.WaitGroup
	defer fetching.Wait()
	defer close(lists)
	fetching.Go(func() {
		if err := v.fetch(ctx, path[:strings.LastIndexByte(path, '/')+1], lists); err != nil {
			v.fail(ctx, err)
			cancel()
		}
	})
	c := &keptConn{addr: v.addr}
	defer c.close()
	for query := ""; ; {
		asked := time.Now()
		packed, err := c.get(ctx, path+query)
		if err != nil {
			v.fail(ctx, err)
			return
		}
		l, err := v.book.parse(packed)
		if err != nil {
			v.fail(ctx, err)
			return
		}
		now := time.Now()
		if query != "" && now.Sub(asked) > 20*time.Millisecond {
			v.begin(now, l)
		}
		select {
		case lists <- listed{l, now}:
		case <-ctx.Done():
			return
		}
		if l.ended {
			return
		}
		query = l.next + "&_HLS_skip=YES"
	}
}

// listed is a playlist and when it came.
type listed struct {
	*llPlaylist
	at time.Time
}

// begin starts playing, PART-HOLD-BACK before the end of what is there.
func (v *llViewer) begin(now time.Time, l *llPlaylist) {
	v.mu.Lock()
	if v.behind == 0 {
		v.behind = now.Sub(l.end()) + l.holdBack
	}
	v.mu.Unlock()
}

// fetch fetches the initialization section, then every part, the one of the
// hint ahead of its being listed.
func (v *llViewer) fetch(ctx context.Context, dir string, lists <-chan listed) error {
	c := &keptConn{addr: v.addr}
	defer c.close()
	inits, got := map[string]bool{}, map[string]time.Time{}
	var last time.Time // the end of what is there
	for l := range lists {
		if !inits[l.init] && l.init != "" {
			if _, err := c.get(ctx, dir+l.init); err != nil {
				return err
			}
			inits[l.init] = true
		}
		for _, p := range l.parts {
			if last.IsZero() || p.at.Before(last.Add(-time.Millisecond)) {
				continue
			}
			if _, ok := got[p.uri]; !ok {
				if _, err := c.get(ctx, dir+p.uri); err != nil {
					return err
				}
				got[p.uri] = time.Now()
			}
			v.have(p, got[p.uri], l.at)
			delete(got, p.uri)
		}
		last = l.end()
		if _, ok := got[l.hint]; !ok && !l.ended && len(lists) == 0 {
			if _, err := c.get(ctx, dir+l.hint); err != nil {
				return err
			}
			got[l.hint] = time.Now()
		}
	}
	return nil
}

// have takes note of a part: of how late it is, and whether playing had to
// wait for it.
func (v *llViewer) have(p llPart, fetched, listed time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.behind == 0 {
		return
	}
	end := p.at.Add(p.duration)
	v.parts = append(v.parts, fetched.Sub(end))
	v.playlists = append(v.playlists, listed.Sub(end))
	there := fetched
	if listed.After(there) {
		there = listed
	}
	if late := there.Sub(p.at.Add(v.behind)); late > 0 {
		v.stalls++
		v.behind += late
	}
}
