package origin

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/streamkey"
)

const (
	// checkPath begins the URL that an edge asks before it answers by itself: behind
	// it stands what the viewer asks for, token and all.
	checkPath = "/api/check"
	// checkLife is for how long an edge may go by an answer, and refusalLife by one
	// that says no: what is revoked is revoked within this time.
	checkLife   = 10 * time.Second
	refusalLife = time.Second
)

// serveCheck answers whether a viewer may have a file, as the file's own URL
// would: with 200, or with what refuses it. The secret of an edge counts for nothing
// here: the question is the viewer's.
func (s *Server) serveCheck(w http.ResponseWriter, r *http.Request, file string) {
	asked := *r
	url := *r.URL
	url.Path, url.RawPath = file, ""
	asked.URL = &url
	auth.CutToken(&asked)
	q, ok := questionOf(url.Path)
	if !ok {
		s.notFound(w, "no_such_file", "there is no file of a stream behind "+checkPath)
		return
	}
	q.Token, q.Path, q.Query, q.RemoteAddr = auth.TokenOf(&asked), url.Path, url.RawQuery, r.RemoteAddr
	// A refusal may be kept as briefly as a cache can.
	w.Header()["Cache-Control"] = maxAge(refusalLife)
	g, ok := s.may(w, &asked, q)
	if !ok {
		return
	}
	defer g.End()
	life := checkLife
	if !g.Expires.IsZero() {
		life = min(life, time.Until(g.Expires))
	}
	w.Header()["Cache-Control"] = []string{"no-store"}
	if life >= time.Second {
		w.Header()["Cache-Control"] = []string{"max-age=" + strconv.Itoa(int(life/time.Second))}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write([]byte("yes\n")) // an edge that is gone has its answer
}

// questionOf returns what a request for a file of a stream asks of auth.
func questionOf(path string) (q auth.Request, ok bool) {
	app, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	name, file, below := strings.Cut(rest, "/")
	name, ext, _ := strings.Cut(name, ".")
	key, err := streamkey.Join(app, name)
	q = auth.Request{Action: auth.Play, Key: key}
	switch {
	case err != nil:
		return q, false
	case below && ext == "" && (file == "chat" || strings.HasPrefix(file, "chat/")):
		q.Action, q.Protocol, q.Reads = auth.Chat, "chat", true
	case below && ext == "":
		q.Protocol, q.Continues = "hls", true
	case !below && ext == "m3u8":
		q.Protocol = "hls"
	case !below && (ext == "flv" || ext == "ts"):
		q.Protocol = "http-" + ext
	default:
		return q, false
	}
	return q, true
}
