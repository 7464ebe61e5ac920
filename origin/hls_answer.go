package origin

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Header values that many answers share; nobody changes a header's values in
// place. A map entry of its own for each would cost more than the rest of an
// answer.
var (
	typePlaylist = []string{"application/vnd.apple.mpegurl"}
	typeVideo    = []string{"video/mp4"}
	typeAudio    = []string{"audio/mp4"}
	noStore      = []string{"no-store"}
	immutable    = []string{"max-age=3600, immutable"}
	// immutablePrivate is for those whom nobody else may get it from.
	immutablePrivate = []string{"private, max-age=3600, immutable"}
	encodingGzip     = []string{"gzip"}
	varyEncoding     = []string{"Accept-Encoding"}
	varyBoth         = []string{"Origin", "Accept-Encoding"}
	rangesBytes      = []string{"bytes"}
	noSniff          = []string{"nosniff"}
)

// lateCacheControl names Cache-Control so that net/http, which writes headers in
// the order of their bytes, writes it behind X-Accel-Expires.
var lateCacheControl = strings.ToLower("Cache-Control")

// maxAges are the values of Cache-Control by seconds; below one second nothing
// may be kept unasked.
var (
	maxAges        = maxAgesWith("")
	maxAgesPrivate = maxAgesWith(private)
)

// private keeps what follows in Cache-Control from shared caches.
const private = "private, "

func maxAgesWith(before string) *[256][]string {
	all := [256][]string{{before + "no-cache"}}
	for i := 1; i < len(all); i++ {
		all[i] = []string{before + "max-age=" + strconv.Itoa(i)}
	}
	return &all
}

func maxAge(age time.Duration) []string        { return ageIn(maxAges, "", age) }
func maxAgePrivate(age time.Duration) []string { return ageIn(maxAgesPrivate, private, age) }

func ageIn(ready *[256][]string, before string, age time.Duration) []string {
	s := int(age / time.Second)
	if s < len(ready) {
		return ready[s]
	}
	return []string{before + "max-age=" + strconv.Itoa(s)}
}

// fileType is the header for a media type.
func fileType(s string) []string {
	switch s {
	case typeVideo[0]:
		return typeVideo
	case typeAudio[0]:
		return typeAudio
	}
	return []string{s}
}

// dated is the value of Date for one second.
type dated struct {
	unix  int64
	value []string
}

var lastDate atomic.Pointer[dated]

// date returns the value of Date. Where there is none net/http formats one for
// each answer, on a stack that has to grow for it.
func date() []string {
	now := time.Now()
	d := lastDate.Load()
	if d == nil || d.unix != now.Unix() {
		d = &dated{now.Unix(), []string{now.UTC().Format(http.TimeFormat)}}
		lastDate.Store(d)
	}
	return d.value
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

// send writes an answer of known size; length is that as a header.
func (h *hlsOrigin) send(w http.ResponseWriter, r *http.Request, length []string, chunks ...[]byte) {
	header := w.Header()
	header["Content-Length"] = length
	header["Date"] = date()
	if r.Method == http.MethodHead {
		return
	}
	if front, ok := w.(chunkWriter); ok {
		n, _ := front.WriteChunks(chunks) // a client that is gone is found out by front
		h.server.hlsBytes.Add(uint64(n))
		return
	}
	size := 0
	for _, chunk := range chunks {
		size += len(chunk)
	}
	if c := connOf(r.Context(), r.ProtoMajor); c != nil && size > oneWrite {
		c.hold()
		http.NewResponseController(w).Flush() // the head; a client that is gone is found out below
	}
	body := h.body(w, r)
	for _, chunk := range chunks {
		if _, err := body.Write(chunk); err != nil {
			return // the client is gone
		}
	}
}

// body is an answer's body, counted.
type body struct {
	http.ResponseWriter
	origin *hlsOrigin
	// deadline is that of a stream of HTTP/2. Those of HTTP/1 are the
	// connection's, see Listener.
	deadline deadliner
}

type deadliner interface {
	SetWriteDeadline(time.Time) error
}

func (h *hlsOrigin) body(w http.ResponseWriter, r *http.Request) body {
	b := body{ResponseWriter: w, origin: h}
	if r.ProtoMajor > 1 {
		b.deadline, _ = w.(deadliner)
	}
	return b
}

// Write implements io.Writer.
func (b body) Write(p []byte) (int, error) {
	if b.deadline != nil {
		b.deadline.SetWriteDeadline(time.Now().Add(b.origin.server.config.WriteTimeout)) // a stream that is gone says so below
	}
	n, err := b.ResponseWriter.Write(p)
	b.origin.server.hlsBytes.Add(uint64(n))
	return n, err
}

// WriteHeader implements http.ResponseWriter: a Range that cannot be had is
// an error like others.
func (b body) WriteHeader(status int) {
	if status >= http.StatusBadRequest {
		b.Header().Set("Cache-Control", "no-store")
		b.origin.server.failures[status].Add(1)
	}
	b.ResponseWriter.WriteHeader(status)
}
