// Package origin serves live streams over HTTP for CDNs and players to pull.
package origin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/cors"
	"github.com/miju-live/miju/fanout"
	"github.com/miju-live/miju/origin/web"
	"github.com/miju-live/miju/peer"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// Config rules what viewers get.
type Config struct {
	FLVBatch     stream.Batch  `flag:"flv-batch" group:"latency" help:"write to viewers of HTTP-FLV and HTTP-TS at most this often: 0s is at every video frame, longer costs less CPU and adds as much delay; auto is 0s while the machine has room and up to 200ms when it is busy"`
	FLVJoin      FLVJoin       `flag:"flv-join" group:"latency" help:"what a new viewer of FLV begins with: gop is the current GOP from its start, which a player shows from there; live is the same pictures in an eighth of their time and without their sound, so that a player is at the live edge soon and buffers little"`
	WriteTimeout time.Duration `flag:"write-timeout" group:"limits" help:"disconnect a viewer that takes nothing for this long" min:"1s" max:"5m"`
	AllowOrigin  string        `flag:"http-allow-origin" group:"network" help:"web pages of other hosts that may play and chat here: * for all, or a list like https://a.example,https://b.example"`
	// FrameAncestors is for web.Ancestors.
	FrameAncestors string `flag:"http-frame-ancestors" group:"network" help:"pages that may show the watch page in a frame: self is this server's own, none, * is all, or a list like https://a.example,https://b.example, in which self may stand"`
	HLS            HLSConfig
}

// DefaultConfig writes at every video frame while there is room, and lets every
// page play.
func DefaultConfig() Config {
	return Config{FLVBatch: stream.BatchAuto, FLVJoin: JoinGOP, WriteTimeout: 10 * time.Second, AllowOrigin: "*", FrameAncestors: "self", HLS: DefaultHLSConfig()}
}

// Check reports what is wrong with c.
func (c Config) Check() error {
	if _, err := web.Ancestors(c.FrameAncestors); err != nil {
		return fmt.Errorf("--http-frame-ancestors: %w", err)
	}
	return c.HLS.Check()
}

// Server is the http.Handler of everything but chat. Requests end with their
// context, which must be a child of the one that ends with the server.
type Server struct {
	config Config
	hub    *stream.Hub
	auth   auth.Authorizer
	page   http.Handler
	log    *slog.Logger
	pages  cors.Pages

	hls *hlsOrigin
	flv fanout.Group

	viewers sync.WaitGroup
	// overloadLogged is when the log spoke of refused viewers last, in Unix
	// seconds.
	overloadLogged atomic.Int64
	undecided      auth.Undecided
	slowLines      peer.Lines // which viewers that were too slow are logged
	held           held
	counters
}

type counters struct {
	flvViewers, wsViewers, tsViewers atomic.Int64
	flvBytes, hlsBytes, tsBytes      atomic.Uint64
	slow                             atomic.Uint64
	failures                         [600]atomic.Uint64 // by HTTP status
}

var _ http.Handler = (*Server)(nil)

// NewServer returns a server of hub's streams. page answers for the watch
// page and its assets.
func NewServer(c Config, hub *stream.Hub, a auth.Authorizer, page http.Handler, log *slog.Logger) *Server {
	s := &Server{config: c, hub: hub, auth: a, page: page, log: log, pages: cors.Parse(c.AllowOrigin)}
	s.hls = newHLSOrigin(s)
	return s
}

// WaitViewers returns when the viewers are gone whose connections an
// http.Server does not know any more: those of FLV. They end with their stream
// or their request's context.
func (s *Server) WaitViewers() {
	s.viewers.Wait()
	s.flv.Wait()
}

// Stats are the figures of a Server.
type Stats struct {
	// FLVViewers, WebSocketFLVViewers and TSViewers are connected now.
	FLVViewers, WebSocketFLVViewers, TSViewers int64
	// FLVBytes went to both kinds of FLV viewers, HLSBytes to HLS players,
	// TSBytes to viewers of MPEG-TS over HTTP.
	FLVBytes, HLSBytes, TSBytes uint64
	// Slow counts viewers disconnected because they took nothing.
	Slow uint64
	// Failures counts answers by HTTP status, of 400 and above.
	Failures map[int]uint64
}

// Sent returns how many bytes went to viewers of all kinds.
func (s *Server) Sent() uint64 {
	return s.flvBytes.Load() + s.flv.Sent.Load() + s.hlsBytes.Load() + s.tsBytes.Load()
}

// Stats returns the figures of this moment.
func (s *Server) Stats() Stats {
	st := Stats{
		FLVViewers: s.flvViewers.Load(), WebSocketFLVViewers: s.wsViewers.Load(), TSViewers: s.tsViewers.Load(),
		FLVBytes: s.flvBytes.Load() + s.flv.Sent.Load(), HLSBytes: s.hlsBytes.Load(), TSBytes: s.tsBytes.Load(), Slow: s.slow.Load(), Failures: map[int]uint64{},
	}
	for status := range s.failures {
		if n := s.failures[status].Load(); n > 0 {
			st.Failures[status] = n
		}
	}
	return st
}

// ServeHTTP routes by the path's form: /app/name is the watch page,
// /app/name.ext an egress, /app/name/file a file of HLS, and /api/check before one
// of them the question whether it would be answered.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header()["X-Content-Type-Options"] = noSniff
	s.pages.Answer(w.Header(), r)
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		s.pages.Preflight(w)
		return
	default:
		w.Header().Set("Allow", "GET, HEAD, OPTIONS")
		s.fail(w, http.StatusMethodNotAllowed, "method_not_allowed", "GET, HEAD and OPTIONS are for this URL")
		return
	}
	if file, ok := strings.CutPrefix(r.URL.Path, checkPath); ok {
		s.serveCheck(w, r, file)
		return
	}
	rest, ok := strings.CutPrefix(r.URL.Path, "/")
	app, rest, more := strings.Cut(rest, "/")
	if !ok || !more || app == "assets" {
		s.page.ServeHTTP(w, r)
		return
	}
	name, file, below := strings.Cut(rest, "/")
	ext := ""
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 && !below {
		name, ext = name[:dot], name[dot+1:]
	}
	key, err := streamkey.Join(app, name)
	if err != nil {
		s.notFound(w, "invalid_stream", err.Error())
		return
	}
	switch {
	case below:
		if g, ok := s.mayPlay(w, r, key, "hls", true); ok {
			s.hls.serveFile(w, r, key, file, g)
		}
	case ext == "":
		s.page.ServeHTTP(w, r)
	case ext == "flv" && isWebSocket(r) && !s.pages.Connects(r.Header.Get("Origin"), r.Host):
		s.fail(w, http.StatusForbidden, "origin", "this page may not play here")
	case ext == "flv":
		s.serveWhile(w, r, key, "http-flv", s.serveFLV)
	case ext == "ts":
		s.serveWhile(w, r, key, "http-ts", s.serveTS)
	case ext == "m3u8":
		if g, ok := s.mayPlay(w, r, key, "hls", false); ok {
			s.hls.serveMultivariant(w, r, key, g)
		}
	default:
		s.notFound(w, "unknown_format", "streams are served as .flv, .ts and .m3u8")
	}
}

// serveWhile serves an answer without an end for as long as the viewer may have it.
func (s *Server) serveWhile(w http.ResponseWriter, r *http.Request, key streamkey.Key, protocol string, serve func(http.ResponseWriter, *http.Request, streamkey.Key)) {
	g, ok := s.mayPlay(w, r, key, protocol, false)
	if !ok {
		return
	}
	x := &granted{Grant: g}
	ctx, release := s.while(context.WithValue(r.Context(), grantedKey{}, x), g)
	defer release()
	serve(w, r.WithContext(ctx), key)
	if !x.detached {
		g.End()
	}
}

// mayPlay reports whether the viewer may play key; it answers the request if
// not. continues is for a file that a playlist lists.
func (s *Server) mayPlay(w http.ResponseWriter, r *http.Request, key streamkey.Key, protocol string, continues bool) (auth.Grant, bool) {
	return s.may(w, r, auth.Request{
		Action: auth.Play, Key: key, Token: auth.TokenOf(r), Path: r.URL.Path, Query: r.URL.RawQuery, Continues: continues,
		Edge: auth.EdgeOf(r), Protocol: protocol, RemoteAddr: r.RemoteAddr,
	})
}

// may reports what is permitted; it answers the request if nothing is.
func (s *Server) may(w http.ResponseWriter, r *http.Request, q auth.Request) (auth.Grant, bool) {
	g, err := s.auth.Authorize(r.Context(), q)
	switch {
	case err == nil:
		return g, true
	case errors.Is(err, auth.ErrPaused):
		w.Header().Set("Retry-After", strconv.Itoa(auth.PauseOf(err)))
		status := http.StatusTooManyRequests
		if strings.HasPrefix(r.RequestURI, checkPath) { // edges know yes and no
			status = http.StatusForbidden
		}
		s.fail(w, status, "paused", err.Error())
	case errors.Is(err, auth.ErrUnauthenticated):
		w.Header().Set("WWW-Authenticate", "Bearer")
		s.fail(w, http.StatusUnauthorized, "unauthenticated", err.Error())
	case errors.Is(err, auth.ErrDenied):
		s.fail(w, http.StatusForbidden, "denied", err.Error())
	default:
		s.undecided.Log(s.log, "cannot decide who may play", err, "stream", q.Key)
		s.fail(w, http.StatusServiceUnavailable, "undecided", "cannot decide now whether you may play this")
	}
	return auth.Grant{}, false
}

// failure is the JSON body of every error.
type failure struct {
	// Error is a word for programs, Message a sentence for people.
	Error   string `json:"error"`
	Message string `json:"message"`
}

// notFound answers 404 for what may exist a moment later: no cache may keep
// it for more than a second.
func (s *Server) notFound(w http.ResponseWriter, code, message string) {
	w.Header().Set("Cache-Control", "max-age=1")
	s.fail(w, http.StatusNotFound, code, message)
}

// tooSlow counts a viewer that took nothing.
func (s *Server) tooSlow(live *stream.Stream, protocol, remote string, skips uint64) {
	s.slow.Add(1)
	logged, passed := s.slowLines.Take(time.Now())
	if !logged {
		return
	}
	attrs := []any{"stream", live.Key(), "protocol", protocol, "remote", remote, "skips", skips}
	if passed > 0 {
		attrs = append(attrs, "unlogged", passed)
	}
	s.log.Info("viewer was too slow", attrs...)
}

// offline answers for a stream that is not live.
func (s *Server) offline(w http.ResponseWriter, key streamkey.Key) {
	s.notFound(w, "not_live", key.String()+" is not live")
}

// fail answers with an error and counts it. Nothing may have been written.
func (s *Server) fail(w http.ResponseWriter, status int, code, message string) {
	s.failures[status].Add(1)
	body, err := json.Marshal(failure{Error: code, Message: message})
	if err != nil {
		body = []byte(`{}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h["X-Content-Type-Options"] = noSniff
	if h.Get("Cache-Control") == "" && h[lateCacheControl] == nil {
		h["Cache-Control"] = noStore
	}
	w.WriteHeader(status)
	w.Write(append(body, '\n')) // a client that is gone has its answer
}

// Run does what outlives single requests, until ctx ends.
func (s *Server) Run(ctx context.Context) { s.hls.run(ctx) }
