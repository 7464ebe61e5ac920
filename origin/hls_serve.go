package origin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/remux/hls"
	"github.com/miju-live/miju/streamkey"
)

const (
	// startWait bounds how long a request waits for the first window: longer
	// than the longest first segment.
	startWait = 15 * time.Second
	// blockTargets is for how many target durations a request may block
	// (RFC 8216bis, 6.2.5.2).
	blockTargets = 3
	// hlsExtension ends the names of all files but playlists.
	hlsExtension = ".mp4"
)

// serveMultivariant answers /app/name.m3u8.
func (h *hlsOrigin) serveMultivariant(w http.ResponseWriter, r *http.Request, key streamkey.Key, g auth.Grant) {
	h.requests[hlsMultivariant].Add(1)
	if !h.server.admitUncounted(w, key) {
		return
	}
	if _, s := h.state(w, r, key); s != nil {
		h.servePlaylist(w, r, s, s.multivariant, s.window.TargetDuration()/2, g)
	}
}

// serveFile answers /app/name/file: a media playlist, an initialization
// section, a part or a segment.
func (h *hlsOrigin) serveFile(w http.ResponseWriter, r *http.Request, key streamkey.Key, file string, g auth.Grant) {
	if name, ok := strings.CutSuffix(file, ".m3u8"); ok {
		h.serveMedia(w, r, key, name, g)
		return
	}
	h.requests[kindOf(file)].Add(1)
	p, s := h.state(w, r, key)
	if s == nil {
		return
	}
	f, ok := s.window.File(file)
	if !ok && s.window.Hinted(file) && !s.ended {
		// The part that comes next is answered when it is whole.
		rendition, _, _ := strings.Cut(file, "-")
		if s = h.block(w, r, p, s, &wanted{rendition: rendition, unhinted: file}); s == nil {
			return
		}
		f, ok = s.window.File(file)
	}
	if !ok {
		h.missing(w, s, directives{}, file)
		return
	}
	header := w.Header()
	header["Content-Type"] = fileType(f.Type)
	header["Cache-Control"] = immutable
	if g.Private {
		header["Cache-Control"] = immutablePrivate
	}
	header["Accept-Ranges"] = rangesBytes
	if f.Stored != "" {
		h.serveStored(w, r, p, s, f)
		return
	}
	if r.Header.Get("Range") != "" {
		http.ServeContent(h.body(w, r), r, "", time.Time{}, &chunkReader{file: f})
		return
	}
	h.send(w, r, []string{strconv.Itoa(f.Size)}, f.Chunks...)
}

// serveStored answers with what is in a file.
func (h *hlsOrigin) serveStored(w http.ResponseWriter, r *http.Request, p *packager, s *hlsState, f hls.File) {
	stored, err := p.shelf.open(f)
	if err != nil { // it has left the window while it was asked for
		h.missing(w, s, directives{}, f.Stored)
		return
	}
	defer stored.Close()
	http.ServeContent(h.body(w, r), r, "", time.Time{}, stored)
}

// serveMedia answers a media playlist, when it is what the directives ask for.
func (h *hlsOrigin) serveMedia(w http.ResponseWriter, r *http.Request, key streamkey.Key, name string, g auth.Grant) {
	h.requests[hlsMedia].Add(1)
	d, err := parseDirectives(r.URL.RawQuery)
	if err != nil {
		h.server.fail(w, http.StatusBadRequest, "bad_directive", err.Error())
		return
	}
	p, s := h.state(w, r, key)
	if s == nil {
		return
	}
	rendition := s.rendition(name)
	if rendition != nil && rendition.TooFar(d.msn, d.part) {
		h.server.fail(w, http.StatusBadRequest, "too_far", "_HLS_msn and _HLS_part lie too far ahead of the stream")
		return
	}
	if rendition != nil && d.block() && !rendition.Has(d.msn, d.part) {
		if s = h.block(w, r, p, s, &wanted{rendition: name, msn: d.msn, part: d.part}); s == nil {
			return
		}
		rendition = s.rendition(name)
	}
	if rendition == nil {
		h.missing(w, s, d, name+".m3u8")
		return
	}
	age := s.window.TargetDuration() / 2
	if d.block() {
		age = 6 * s.window.TargetDuration()
	}
	l := rendition.full
	// A delta update would not reach back to a request from before the window.
	if d.skip && !s.ended && (!d.block() || rendition.Lists(d.msn)) {
		l = rendition.delta
	}
	h.servePlaylist(w, r, s, l, age, g)
}

// state returns the stream's packager and its state once that has a window; it
// answers the request if there will be none.
func (h *hlsOrigin) state(w http.ResponseWriter, r *http.Request, key streamkey.Key) (*packager, *hlsState) {
	p := h.find(w, key)
	if p == nil {
		return nil, nil
	}
	if s := p.state.Load(); s.window != nil {
		return p, s
	}
	ctx, cancel := context.WithTimeout(r.Context(), startWait)
	defer cancel()
	h.waiting.Add(1)
	s, err := p.first(ctx)
	h.waiting.Add(-1)
	switch {
	case err != nil:
		h.late(w, err, startWait)
		return nil, nil
	case s.window == nil:
		h.server.offline(w, p.stream.Key())
		return nil, nil
	}
	return p, s
}

// block waits for what a request asks for; it answers the request if that does
// not come in time.
func (h *hlsOrigin) block(w http.ResponseWriter, r *http.Request, p *packager, s *hlsState, n *wanted) *hlsState {
	most := blockTargets * s.window.TargetDuration()
	h.waiting.Add(1)
	s, err := p.wait(r.Context(), n, most)
	h.waiting.Add(-1)
	switch {
	case err != nil:
		h.late(w, err, most)
		return nil
	case s.window == nil:
		h.server.offline(w, p.stream.Key())
		return nil
	}
	return s
}

// late answers a request that waited for too long, if its client is there yet.
func (h *hlsOrigin) late(w http.ResponseWriter, err error, waited time.Duration) {
	if errors.Is(err, errLate) || errors.Is(err, context.DeadlineExceeded) {
		w.Header().Set("Retry-After", "1")
		// No cache may keep it, but nginx would let all who wait for the same
		// wait once more, one after the other. It must read its own header
		// first, and net/http writes them in order of their bytes.
		w.Header().Set("X-Accel-Expires", "1")
		w.Header()[lateCacheControl] = noStore
		h.server.fail(w, http.StatusServiceUnavailable, "not_ready", "the stream did not come that far in "+waited.String())
	}
}

// missing answers for a file that is not, or no longer, there. Caches may
// remember that only of what will not come: names can be guessed, and a part
// that somebody asked for too early would be missing for all others.
func (h *hlsOrigin) missing(w http.ResponseWriter, s *hlsState, d directives, file string) {
	age := s.window.TargetDuration()
	switch {
	case s.ended:
		age = time.Second
	case strings.HasSuffix(file, hlsExtension) && !passed(s.window, file):
		age = 0
	case d.any:
		age *= 4
	}
	if age > 0 {
		w.Header()["Cache-Control"] = maxAge(age)
	}
	h.server.fail(w, http.StatusNotFound, "no_such_file", "there is no such file here")
}

// passed reports whether file names a part or a segment whose position lies
// behind every rendition's end.
func passed(w *hls.Window, file string) bool {
	_, position, _ := strings.Cut(strings.TrimSuffix(file, hlsExtension), "-")
	number, index, isPart := strings.Cut(position, "-")
	msn, ok := directiveNumber(number)
	part := int64(-1)
	if ok && isPart {
		part, ok = directiveNumber(index)
	}
	return ok && !slices.ContainsFunc(w.Renditions(), func(r *hls.Rendition) bool { return !r.Has(msn, int(min(part, 1e6))) })
}

func (h *hlsOrigin) servePlaylist(w http.ResponseWriter, r *http.Request, s *hlsState, l *playlist, age time.Duration, g auth.Grant) {
	if s.ended {
		age = time.Second // the key may start again
	}
	header := w.Header()
	header["Content-Type"] = typePlaylist
	header["Cache-Control"] = maxAge(age)
	header["Vary"] = varyEncoding
	if !h.server.pages.All() {
		header["Vary"] = varyBoth
	}
	if g.Private || h.server.config.HLS.TokenInPlaylist && !g.Edge {
		header["Cache-Control"] = maxAgePrivate(age)
	}
	if h.server.config.HLS.TokenInPlaylist && !g.Edge {
		if credentials := auth.Credentials(r.URL.RawQuery); credentials != "" {
			h.servePersonal(w, r, l, credentials)
			return
		}
	}
	body, length := l.plain, l.length
	if acceptsGzip(r.Header) {
		header["Content-Encoding"] = encodingGzip
		body, length = l.gzip()
	}
	h.send(w, r, length, body)
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
