// Package admin is the operators' HTTP: API, metrics, health.
package admin

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// Config is what an operator sets of this listener.
type Config struct {
	Listen string `flag:"admin" group:"network" help:"address of the operators' API, metrics and health; empty turns it off. Anywhere but on a loopback address it asks for a bearer token with the action admin"`
	Hosts  string `flag:"admin-hosts" group:"network" help:"further host names under which the admin listener may be reached, like miju.internal,miju-0; IP addresses and localhost always may"`
}

// DefaultConfig listens on the loopback address only.
func DefaultConfig() Config { return Config{Listen: "127.0.0.1:8081"} }

// Sources are what the API reports on and acts on.
type Sources struct {
	Hub *stream.Hub
	// Ended returns the publishers that ended last, the newest last.
	Ended func() []EndedPublisher
	// Publisher returns the connection that publishes a stream, nil if there is
	// none now.
	Publisher func(streamkey.Key) *Publisher
	// Kick ends a stream and its publisher and refuses publishers for a while.
	// It reports whether there was such a stream.
	Kick func(key streamkey.Key, hold time.Duration) bool
	// Chat answers what concerns chat rooms.
	Chat http.Handler
	// Metrics answers Prometheus.
	Metrics http.Handler
	// Doors decides who may use the listener; nil lets everybody, as on a
	// loopback address.
	Doors auth.Authorizer
}

// Publisher is a connection that publishes.
type Publisher struct {
	Protocol string    `json:"protocol"`
	Remote   string    `json:"remote"`
	Since    time.Time `json:"since"`
	// Transport is left out where it cannot be measured.
	Transport *Transport `json:"transport,omitempty"`
	// Repairs counts by kind what had to be done to its frames.
	Repairs map[string]uint64 `json:"repairs,omitempty"`
}

// Transport is how the network under a publisher fares. Times are in
// milliseconds.
type Transport struct {
	LatencyMillis  float64 `json:"latencyMillis"`
	RTTMillis      float64 `json:"rttMillis"`
	BufferedMillis float64 `json:"bufferedMillis"`
	Packets        uint64  `json:"packets"`
	Lost           uint64  `json:"lost"`
	Retransmitted  uint64  `json:"retransmitted"`
	Dropped        uint64  `json:"dropped"`
	// Faults counts by kind what was wrong with the MPEG-TS inside, Ignored
	// names the elementary streams that are not carried.
	Faults  map[string]uint64 `json:"faults,omitempty"`
	Ignored []string          `json:"ignored,omitempty"`
}

// EndedPublisher is a publisher's connection that is over.
type EndedPublisher struct {
	Stream   string    `json:"stream,omitempty"`
	Protocol string    `json:"protocol"`
	Remote   string    `json:"remote"`
	At       time.Time `json:"at"`
	Admitted bool      `json:"admitted"`
	Reason   string    `json:"reason"`
	Error    string    `json:"error,omitempty"`
	Frames   uint64    `json:"frames"`
	Bytes    uint64    `json:"bytes"`
}

// New returns the handler of the admin listener.
func New(c Config, s Sources, log *slog.Logger) http.Handler {
	api := &api{sources: s, log: log}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /api/v1/streams", api.streams)
	mux.HandleFunc("DELETE /api/v1/streams/{app}/{name}", api.kick)
	for _, path := range []string{"rooms", "rooms/", "announcements", "bans", "mutes", "sanctions"} {
		mux.Handle("/api/v1/"+path, s.Chat)
	}
	mux.Handle("GET /metrics", s.Metrics)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return guard(c.Hosts, api.door(mux))
}

// door asks for a bearer token, which no page can send by itself. That the
// server lives is told to everybody.
func (a *api) door(next http.Handler) http.Handler {
	if a.sources.Doors == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			next.ServeHTTP(w, r)
			return
		}
		var token string
		if scheme, rest, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "bearer") {
			token = strings.TrimSpace(rest)
		}
		_, err := a.sources.Doors.Authorize(r.Context(), auth.Request{
			Action: auth.Admin, Token: token, Protocol: "admin", RemoteAddr: r.RemoteAddr,
		})
		switch {
		case err == nil:
			next.ServeHTTP(w, r)
		case errors.Is(err, auth.ErrPaused):
			w.Header().Set("Retry-After", strconv.Itoa(auth.PauseOf(err)))
			refuse(w, http.StatusTooManyRequests, "paused", err.Error())
		case errors.Is(err, auth.ErrUnauthenticated):
			w.Header().Set("WWW-Authenticate", "Bearer")
			refuse(w, http.StatusUnauthorized, "unauthenticated", err.Error())
		case errors.Is(err, auth.ErrDenied):
			refuse(w, http.StatusForbidden, "denied", err.Error())
		default:
			a.undecided.Log(a.log, "cannot decide who is an operator", err)
			refuse(w, http.StatusServiceUnavailable, "undecided", "it cannot be decided now who is an operator")
		}
	})
}

// Loopback reports whether an address to listen on can be reached from this
// machine only.
func Loopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	ip := net.ParseIP(host)
	return err == nil && (strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback())
}

// guard keeps web pages out. A page in an operator's browser can make it ask
// any address; what gives it away is the Host of a rebound DNS name, the
// Origin of a cross-origin request and, where neither shows, Sec-Fetch-Site.
func guard(hosts string, next http.Handler) http.Handler {
	allowed := []string{"localhost"}
	for h := range strings.SplitSeq(hosts, ",") {
		if h = strings.TrimSpace(h); h != "" {
			allowed = append(allowed, strings.ToLower(h))
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		site := r.Header.Get("Sec-Fetch-Site")
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		switch {
		case !knownHost(r.Host, allowed):
			refuse(w, http.StatusMisdirectedRequest, "unknown_host", "this listener does not answer for that host name; see --admin-hosts")
		case origin != "" && origin != "http://"+r.Host && origin != "https://"+r.Host,
			site == "cross-site", site == "same-site":
			refuse(w, http.StatusForbidden, "cross_origin", "web pages may not reach the admin listener")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func knownHost(host string, allowed []string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if host == "" { // HTTP/1.0, as HAProxy looks after health: no browser leaves it out
		return true
	}
	return net.ParseIP(host) != nil || slices.Contains(allowed, host)
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	answer(w, status, map[string]string{"error": code, "message": message})
}

func answer(w http.ResponseWriter, status int, body any) {
	b, err := json.MarshalIndent(body, "", "  ")
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":"internal"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}

type api struct {
	undecided auth.Undecided
	sources   Sources
	log       *slog.Logger
}
