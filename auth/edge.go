package auth

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// EdgeHeader is where an edge that has checked who plays brings its secret.
const EdgeHeader = "Miju-Cdn-Secret"

// pathPrefix begins paths that have a token before the stream's own:
// /t/TOKEN/live/alice.m3u8. What is relative to such a path has the token, too.
const pathPrefix = "/t/"

// CutToken takes the token from the path of a request that has one, and puts it
// where TokenOf finds it.
func CutToken(r *http.Request) {
	token, path, ok := cutToken(r.URL.Path)
	if !ok {
		return
	}
	r.URL.Path, r.URL.RawPath = path, ""
	r.Header["Authorization"] = []string{"Bearer " + token}
}

func cutToken(path string) (token, rest string, ok bool) {
	behind, ok := strings.CutPrefix(path, pathPrefix)
	if !ok {
		return "", "", false
	}
	slash := strings.IndexByte(behind, '/')
	if slash <= 0 {
		return "", "", false
	}
	return behind[:slash], behind[slash:], true
}

// EdgeOf returns the secret that a request brings if it is of a trusted edge.
func EdgeOf(r *http.Request) string {
	if all := r.Header[EdgeHeader]; len(all) > 0 {
		return all[0]
	}
	return ""
}

const (
	// minEdgeSecret is the shortest secret of an edge, in bytes: it opens every
	// stream.
	minEdgeSecret = 16
	// edgePoll is how often the file of them is looked at.
	edgePoll = time.Second
)

// edges are the secrets of trusted edges, from a file that may change.
type edges struct {
	path    string
	secrets atomic.Pointer[[]string]
	// seen is what the file was like when it was read; it belongs to run.
	seen os.FileInfo
}

// newEdges reads the secrets. Without a path nobody is trusted.
func newEdges(path string) (*edges, error) {
	e := &edges{path: path}
	if path == "" {
		return e, nil
	}
	if err := e.read(); err != nil {
		return nil, fmt.Errorf("--cdn-secret: %w", err)
	}
	return e, nil
}

func (e *edges) read() error {
	info, err := os.Stat(e.path)
	if err != nil {
		return err
	}
	e.seen = info
	all, err := readSecrets(e.path)
	if err != nil {
		return err
	}
	for _, s := range all {
		if len(s) < minEdgeSecret {
			return fmt.Errorf("%s has a secret of %d characters, %d are the least", e.path, len(s), minEdgeSecret)
		}
	}
	e.secrets.Store(&all)
	return nil
}

// knows reports whether secret is one of an edge's.
func (e *edges) knows(secret string) bool {
	all := e.secrets.Load()
	if all == nil || secret == "" {
		return false
	}
	known := 0
	for _, s := range *all {
		known |= subtle.ConstantTimeCompare([]byte(s), []byte(secret))
	}
	return known == 1
}

// run reads the file again when it has changed, until ctx ends. While it is no
// good, what was read before holds.
func (e *edges) run(ctx context.Context, failed func(error)) {
	if e.path == "" {
		return
	}
	tick := time.NewTicker(edgePoll)
	defer tick.Stop()
	for last := ""; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		info, err := os.Stat(e.path)
		if err == nil && os.SameFile(info, e.seen) && info.ModTime().Equal(e.seen.ModTime()) && info.Size() == e.seen.Size() && last == "" {
			continue
		}
		if err = errors.Join(err, e.read()); err == nil {
			last = ""
		} else if err.Error() != last {
			last = err.Error()
			failed(err)
		}
	}
}

// byEdge reports whether a trusted edge has decided about r already: what is to be
// seen or read, never who speaks or publishes.
func (d *Doors) byEdge(r *Request) bool {
	return (r.Action == Play || r.Action == Chat && r.Reads) && d.edges.knows(r.Edge)
}
