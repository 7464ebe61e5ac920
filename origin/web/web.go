// Package web is the watch page: a player and the chat, for browsers.
package web

import (
	"embed"
	"errors"
	"io/fs"
	"net/http"
	"strings"
)

// dist is what "make web" builds. The repository holds an empty folder, so
// that the server compiles without Node.
//
//go:embed all:dist
var dist embed.FS

// policy lets the page load its own files, play what MSE makes of blobs, and
// talk to its own origin; hls.js and mpegts.js run workers from blobs. Any
// page may not frame it: the chat's buttons are for those who see them.
const policy = "default-src 'self'; connect-src 'self' ws: wss:; media-src 'self' blob:; worker-src 'self' blob:; " +
	"script-src 'self'; img-src 'self' data:; style-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"

const unbuilt = `Miju serves this stream, but its watch page was not built into this binary.

Build it with Node 20.19 or newer:

    make build

Other players work without it: put .m3u8 (LL-HLS) or .flv (HTTP-FLV) behind this address.
`

const root = `Miju is running. A stream called live/alice is watched at /live/alice.
`

// Handler answers with the watch page for every path, but with the page's
// files below /assets/.
func Handler() http.Handler { return handler{dist} }

type handler struct{ files fs.FS }

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "same-origin")
	switch {
	case r.URL.Path == "/":
		text(w, http.StatusOK, root)
	case strings.HasPrefix(r.URL.Path, "/assets/"):
		h.asset(w, r)
	case strings.Count(r.URL.Path, "/") != 2:
		text(w, http.StatusNotFound, "There is nothing here. "+root)
	default:
		h.page(w, r)
	}
}

// asset serves a file whose name holds a hash of its content.
func (h handler) asset(w http.ResponseWriter, r *http.Request) {
	name := "dist" + r.URL.Path
	if info, err := fs.Stat(h.files, name); err != nil || info.IsDir() {
		text(w, http.StatusNotFound, "no such file\n")
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeFileFS(w, r, h.files, name)
}

func (h handler) page(w http.ResponseWriter, r *http.Request) {
	page, err := fs.ReadFile(h.files, "dist/index.html")
	if errors.Is(err, fs.ErrNotExist) {
		text(w, http.StatusServiceUnavailable, unbuilt)
		return
	}
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	if r.Method != http.MethodHead {
		w.Write(page) // a browser that is gone has its answer
	}
}

func text(w http.ResponseWriter, status int, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(status)
	w.Write([]byte(s)) // a browser that is gone has its answer
}
