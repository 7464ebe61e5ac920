package origin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/miju-live/miju/remux/hls"
	"github.com/miju-live/miju/streamkey"
)

const (
	playlistType = "application/vnd.apple.mpegurl"

	// startWait bounds how long a request waits for the first window: longer
	// than the longest first segment.
	startWait = 15 * time.Second
	// blockTargets is for how many target durations a request may block
	// (RFC 8216bis, 6.2.5.2).
	blockTargets = 3
	// fileAge is how long caches may keep parts, segments and initialization
	// sections. Their names are never used again.
	fileAge = time.Hour
)

// serveMultivariant answers /app/name.m3u8.
func (h *hlsOrigin) serveMultivariant(w http.ResponseWriter, r *http.Request, key streamkey.Key) {
	if _, s := h.state(w, r, key); s != nil {
		h.servePlaylist(w, r, s, s.playlists[""], s.window.TargetDuration()/2)
	}
}

// serveFile answers /app/name/file: a media playlist, an initialization
// section, a part or a segment.
func (h *hlsOrigin) serveFile(w http.ResponseWriter, r *http.Request, key streamkey.Key, file string) {
	if name, ok := strings.CutSuffix(file, ".m3u8"); ok {
		h.serveMedia(w, r, key, name)
		return
	}
	p, s := h.state(w, r, key)
	if s == nil {
		return
	}
	f, ok := s.window.File(file)
	if !ok && s.window.Hinted(file) && !s.ended {
		// The part that comes next is answered when it is whole.
		if s = h.block(w, r, p, s, func(s *hlsState) bool { return !s.window.Hinted(file) }); s == nil {
			return
		}
		f, ok = s.window.File(file)
	}
	if !ok {
		h.missing(w, s, directives{}, file)
		return
	}
	header := w.Header()
	header.Set("Content-Type", f.Type)
	header.Set("Cache-Control", cacheFor(fileAge)+", immutable")
	header.Set("Accept-Ranges", "bytes")
	if r.Header.Get("Range") != "" {
		body := h.body(w)
		http.ServeContent(body, r, "", time.Time{}, &chunkReader{file: f})
		body.end()
		return
	}
	h.send(w, r, f.Size, f.Chunks...)
}

// serveMedia answers a media playlist, when it is what the directives ask for.
func (h *hlsOrigin) serveMedia(w http.ResponseWriter, r *http.Request, key streamkey.Key, name string) {
	d, err := parseDirectives(r.URL.RawQuery)
	if err != nil {
		h.server.fail(w, http.StatusBadRequest, "bad_directive", err.Error())
		return
	}
	p, s := h.state(w, r, key)
	if s == nil {
		return
	}
	rendition := s.window.Rendition(name)
	if rendition == nil {
		h.missing(w, s, d, name+".m3u8")
		return
	}
	if rendition.TooFar(d.msn, d.part) {
		h.server.fail(w, http.StatusBadRequest, "too_far", "_HLS_msn and _HLS_part lie too far ahead of the stream")
		return
	}
	if d.block() && !rendition.Has(d.msn, d.part) {
		if s = h.block(w, r, p, s, func(s *hlsState) bool { return s.window.Rendition(name).Has(d.msn, d.part) }); s == nil {
			return
		}
		rendition = s.window.Rendition(name)
	}
	age := s.window.TargetDuration() / 2
	if d.block() {
		age = 6 * s.window.TargetDuration()
	}
	// A delta update would not reach back to a request from before the window.
	if d.skip && !s.ended && (!d.block() || rendition.Lists(d.msn)) {
		name += "?"
	}
	h.servePlaylist(w, r, s, s.playlists[name], age)
}

// state returns the stream's packager and its state once that has a window; it
// answers the request if there will be none.
func (h *hlsOrigin) state(w http.ResponseWriter, r *http.Request, key streamkey.Key) (*packager, *hlsState) {
	p := h.find(w, key)
	if p == nil {
		return nil, nil
	}
	return p, h.wait(w, r, p, startWait, func(s *hlsState) bool { return s.window != nil })
}

// block waits for a state that a request asks for; it answers the request if
// that does not come in time.
func (h *hlsOrigin) block(w http.ResponseWriter, r *http.Request, p *packager, s *hlsState, ok func(*hlsState) bool) *hlsState {
	return h.wait(w, r, p, blockTargets*s.window.TargetDuration(), ok)
}

func (h *hlsOrigin) wait(w http.ResponseWriter, r *http.Request, p *packager, most time.Duration, ok func(*hlsState) bool) *hlsState {
	if s := p.state.Load(); s.window != nil && ok(s) {
		return s
	}
	ctx, cancel := context.WithTimeout(r.Context(), most)
	defer cancel()
	s, err := p.wait(ctx, ok)
	switch {
	case err != nil && r.Context().Err() != nil: // nobody is there to answer
		return nil
	case err != nil:
		w.Header().Set("Retry-After", "1")
		h.server.fail(w, http.StatusServiceUnavailable, "not_ready", "the stream did not come that far in "+most.String())
		return nil
	case s.window == nil:
		h.server.offline(w, p.stream.Key())
		return nil
	}
	return s
}

// missing answers for a file that is not, or no longer, there.
func (h *hlsOrigin) missing(w http.ResponseWriter, s *hlsState, d directives, file string) {
	age := s.window.TargetDuration()
	switch {
	case s.ended:
		age = time.Second
	case d.any:
		age *= 4
	}
	w.Header().Set("Cache-Control", cacheFor(age))
	h.server.fail(w, http.StatusNotFound, "no_such_file", "there is no "+strconv.QuoteToASCII(file[:min(len(file), 100)])+" here")
}

func (h *hlsOrigin) servePlaylist(w http.ResponseWriter, r *http.Request, s *hlsState, l *playlist, age time.Duration) {
	if s.ended {
		age = time.Second // the key may start again
	}
	header := w.Header()
	header.Set("Content-Type", playlistType)
	header.Set("Cache-Control", cacheFor(age))
	header.Add("Vary", "Accept-Encoding")
	body := l.plain
	if acceptsGzip(r.Header) {
		header.Set("Content-Encoding", "gzip")
		body = l.gzip()
	}
	h.send(w, r, len(body), body)
}

func cacheFor(age time.Duration) string {
	if age < time.Second {
		return "no-cache"
	}
	return "max-age=" + strconv.Itoa(int(age/time.Second))
}

// acceptsGzip reports whether a client names gzip and does not refuse it by q=0.
func acceptsGzip(h http.Header) bool {
	for _, line := range h["Accept-Encoding"] {
		for token := range strings.SplitSeq(line, ",") {
			name, q, weighed := strings.Cut(strings.ReplaceAll(token, " ", ""), ";")
			if strings.EqualFold(name, "gzip") {
				return !weighed || strings.Trim(q, "q=0.") != ""
			}
		}
	}
	return false
}

// send writes an answer of known size.
func (h *hlsOrigin) send(w http.ResponseWriter, r *http.Request, size int, chunks ...[]byte) {
	w.Header().Set("Content-Length", strconv.Itoa(size))
	if r.Method == http.MethodHead {
		return
	}
	body := h.body(w)
	for _, c := range chunks {
		if _, err := body.Write(c); err != nil {
			return // the client is gone
		}
	}
	body.end()
}

// body is an answer's body. A client that takes nothing of it for the write
// timeout is disconnected.
type body struct {
	http.ResponseWriter
	control *http.ResponseController
	origin  *hlsOrigin
}

func (h *hlsOrigin) body(w http.ResponseWriter) body {
	return body{w, http.NewResponseController(w), h}
}

// Write implements io.Writer.
func (b body) Write(p []byte) (int, error) {
	b.control.SetWriteDeadline(time.Now().Add(b.origin.server.config.WriteTimeout)) // not every writer has one
	n, err := b.ResponseWriter.Write(p)
	b.origin.server.hlsBytes.Add(uint64(n))
	return n, err
}

// end sends what is left and frees the connection for other answers.
func (b body) end() {
	if b.control.Flush() == nil {
		b.control.SetWriteDeadline(time.Time{})
	}
}

// chunkReader reads a file for answers to a Range.
type chunkReader struct {
	file hls.File
	at   int64
}

var errSeek = errors.New("seek before the start")

// Read implements io.Reader.
func (c *chunkReader) Read(b []byte) (int, error) {
	skip := c.at
	for _, chunk := range c.file.Chunks {
		if skip < int64(len(chunk)) {
			n := copy(b, chunk[skip:])
			c.at += int64(n)
			return n, nil
		}
		skip -= int64(len(chunk))
	}
	return 0, io.EOF
}

// Seek implements io.Seeker.
func (c *chunkReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += c.at
	case io.SeekEnd:
		offset += int64(c.file.Size)
	}
	if offset < 0 {
		return 0, errSeek
	}
	c.at = offset
	return offset, nil
}
