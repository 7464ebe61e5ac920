// Package web is the watch page: a player and the chat, for browsers.
package web

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// dist is what "make web" builds. The repository holds an empty folder, so
// that the server compiles without Node.
//
//go:embed all:dist
var dist embed.FS

// policy lets the page load its own files, play what MSE makes of blobs, and
// talk to its own origin; hls.js and mpegts.js run workers from blobs. What it may
// be framed by comes behind it, and before it where else it may connect to.
const policy = "; default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"media-src 'self' blob:; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors "

// host is one that may stand in a policy.
var host = regexp.MustCompile(`^[a-zA-Z0-9.:\[\]-]{1,255}$`)

// connections lets the page talk to the host that it was asked of. Before version
// 16 Safari did not take WebSockets there for the page's own origin.
func connections(h string) string {
	if !host.MatchString(h) {
		return "connect-src 'self'"
	}
	return "connect-src 'self' ws://" + h + " wss://" + h
}

// ancestor is an origin, or the hosts of one, as frame-ancestors has them
// (Content Security Policy Level 3, 2.3.1).
var ancestor = regexp.MustCompile(`^(https?://)?(\*\.)?[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?(:([0-9]+|\*))?$`)

// Ancestors reads which pages may show the watch page in a frame: self, none, *
// or a list of origins, as Content-Security-Policy has it.
func Ancestors(list string) (string, error) {
	var all []string
	for a := range strings.SplitSeq(list, ",") {
		switch a = strings.TrimSuffix(strings.TrimSpace(a), "/"); {
		case a == "":
		case a == "self", a == "none":
			all = append(all, "'"+a+"'")
		case a == "*" || ancestor.MatchString(a):
			all = append(all, a)
		default:
			return "", fmt.Errorf("%.100q is no origin like https://a.example, nor self, none or *", a)
		}
	}
	switch {
	case len(all) == 0:
		return "'none'", nil
	case len(all) > 1 && slices.Contains(all, "'none'"):
		return "", errors.New("none cannot stand beside others")
	}
	return strings.Join(all, " "), nil
}

const unbuilt = `Miju serves this stream, but its watch page was not built into this binary.

Build it with Node 20.19 or newer:

    make build

Other players work without it: put .m3u8 (LL-HLS) or .flv (HTTP-FLV) behind this address.
`

const root = `Miju is running. A stream called live/alice is watched at /live/alice.
`

// Handler answers with the watch page for every path, but with the page's
// files below /assets/. ancestors is what Ancestors returns.
func Handler(ancestors string) http.Handler { return handler{dist, policy + ancestors} }

type handler struct {
	files  fs.FS
	policy string
}

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	// The page's URL may hold a token. Nobody is told it, not even this server
	// again: edges before it write logs.
	w.Header().Set("Referrer-Policy", "no-referrer")
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
	w.Header().Set("Content-Security-Policy", connections(r.Host)+h.policy)
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
