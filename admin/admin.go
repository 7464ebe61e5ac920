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
	"strings"
	"time"

	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// Config is what an operator sets of this listener.
type Config struct {
	Listen string `flag:"admin" group:"network" help:"address of the operators' API, metrics and health; empty turns it off. Keep it away from the internet"`
	Hosts  string `flag:"admin-hosts" group:"network" help:"further host names under which the admin listener may be reached, like miju.internal,miju-0; IP addresses and localhost always may"`
}

// DefaultConfig listens on the loopback address only.
func DefaultConfig() Config { return Config{Listen: "127.0.0.1:8081"} }

// ErrNoRoom is returned by Sources.Announce for a room without members.
var ErrNoRoom = errors.New("nobody is in the room")

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
	// Rooms returns the chat rooms with members.
	Rooms func() []Room
	// Announce sends a system message to a room and says to how many members.
	Announce func(key streamkey.Key, text string) (int, error)
	// Metrics answers Prometheus.
	Metrics http.Handler
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

// Room is a chat room and how many are in it.
type Room struct {
	Key    streamkey.Key `json:"room"`
	Online int           `json:"online"`
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
	mux.HandleFunc("GET /api/v1/rooms", api.rooms)
	mux.HandleFunc("POST /api/v1/rooms/{app}/{name}/announcements", api.announce)
	mux.Handle("GET /metrics", s.Metrics)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return guard(c.Hosts, mux)
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
		switch {
		case !knownHost(r.Host, allowed):
			refuse(w, http.StatusMisdirectedRequest, "unknown_host", "this listener does not answer for that host name; see --admin-hosts")
		case origin != "" && origin != "http://"+r.Host && origin != "https://"+r.Host,
			site == "cross-site", site == "same-site":
			refuse(w, http.StatusForbidden, "cross_origin", "web pages may not reach the admin listener")
		default:
			w.Header().Set("X-Content-Type-Options", "nosniff")
			next.ServeHTTP(w, r)
		}
	})
}

func knownHost(host string, allowed []string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
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
	sources Sources
	log     *slog.Logger
}

func (a *api) rooms(w http.ResponseWriter, _ *http.Request) {
	rooms := a.sources.Rooms()
	if rooms == nil {
		rooms = []Room{}
	}
	answer(w, http.StatusOK, map[string]any{"rooms": rooms})
}

// maxAnnouncement bounds the body of an announcement, in bytes.
const maxAnnouncement = 16 << 10

func (a *api) announce(w http.ResponseWriter, r *http.Request) {
	key, err := streamkey.Join(r.PathValue("app"), r.PathValue("name"))
	if err != nil {
		refuse(w, http.StatusBadRequest, "invalid_room", err.Error())
		return
	}
	var body struct {
		Text string `json:"text"`
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAnnouncement))
	d.DisallowUnknownFields()
	if err := d.Decode(&body); err != nil || strings.TrimSpace(body.Text) == "" {
		refuse(w, http.StatusBadRequest, "bad_request", `the body must be {"text": "…"} with a text`)
		return
	}
	n, err := a.sources.Announce(key, body.Text)
	switch {
	case errors.Is(err, ErrNoRoom):
		refuse(w, http.StatusNotFound, "no_room", err.Error())
	case err != nil:
		refuse(w, http.StatusBadRequest, "refused", err.Error())
	default:
		a.log.Info("announcement", "stream", key, "members", n)
		answer(w, http.StatusOK, map[string]int{"delivered": n})
	}
}
