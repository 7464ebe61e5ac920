package chatws

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/miju-live/miju/streamkey"
)

// maxRequest bounds the body of a request of the API, in bytes.
const maxRequest = 64 << 10

// API returns the handler of /api/v1/rooms, /api/v1/announcements,
// /api/v1/bans and /api/v1/mutes. It asks nobody's permission: it is for the
// operators' listener.
func (s *Server) API() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/rooms", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"rooms": s.Rooms()}, nil)
	})
	mux.HandleFunc("POST /api/v1/announcements", func(w http.ResponseWriter, r *http.Request) {
		var c Announce
		if read(w, r, &c) {
			rooms, members, err := s.AnnounceAll(c.Text)
			answer(w, map[string]int{"rooms": rooms, "delivered": members}, err)
		}
	})
	for path, kind := range map[string]SanctionKind{"bans": SanctionBan, "mutes": SanctionMute} {
		mux.HandleFunc("POST /api/v1/"+path, func(w http.ResponseWriter, r *http.Request) {
			var c Sanctioning
			if read(w, r, &c) {
				answer(w, done, s.SanctionEverywhere(kind, c))
			}
		})
		mux.HandleFunc("DELETE /api/v1/"+path, func(w http.ResponseWriter, r *http.Request) {
			answer(w, done, s.LiftEverywhere(kind, targetOf(r)))
		})
	}
	mux.HandleFunc("GET /api/v1/sanctions", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"sanctions": s.SanctionsOf(streamkey.Key{})}, nil)
	})
	s.roomAPI(mux)
	return mux
}

// done answers what has nothing to say.
var done = map[string]bool{"ok": true}

func (s *Server) roomAPI(mux *http.ServeMux) {
	route := func(method, path string, f func(http.ResponseWriter, *http.Request, streamkey.Key)) {
		mux.HandleFunc(method+" /api/v1/rooms/{app}/{name}"+path, func(w http.ResponseWriter, r *http.Request) {
			key, err := streamkey.Join(r.PathValue("app"), r.PathValue("name"))
			if err != nil {
				fail(w, http.StatusBadRequest, "invalid_room", err.Error())
				return
			}
			f(w, r, key)
		})
	}
	// act has a room obey the command that is the body.
	act := func(method, path string, empty func() Command) {
		route(method, path, func(w http.ResponseWriter, r *http.Request, key streamkey.Key) {
			if c := empty(); read(w, r, c) {
				answer(w, done, s.Act(key, c))
			}
		})
	}
	route("GET", "", func(w http.ResponseWriter, _ *http.Request, key streamkey.Key) {
		state, err := s.Room(key)
		answer(w, state, err)
	})
	route("POST", "/announcements", func(w http.ResponseWriter, r *http.Request, key streamkey.Key) {
		var c Announce
		if read(w, r, &c) {
			n, err := s.Announce(key, c.Text)
			answer(w, map[string]int{"delivered": n}, err)
		}
	})
	route("POST", "/events", func(w http.ResponseWriter, r *http.Request, key streamkey.Key) {
		var c struct {
			Name    string          `json:"name"`
			Payload json.RawMessage `json:"payload"`
		}
		if read(w, r, &c) {
			e, n, err := s.System(key, c.Name, c.Payload)
			if err != nil {
				answer(w, nil, err)
				return
			}
			answer(w, map[string]any{"id": e.ID, "epoch": s.epoch, "offset": e.Offset, "delivered": n}, nil)
		}
	})
	route("POST", "/kick", func(w http.ResponseWriter, r *http.Request, key streamkey.Key) {
		var c struct {
			User string `json:"user"`
		}
		if read(w, r, &c) {
			n, err := s.Kick(key, c.User)
			answer(w, map[string]int{"connections": n}, err)
		}
	})
	route("GET", "/sanctions", func(w http.ResponseWriter, _ *http.Request, key streamkey.Key) {
		answer(w, map[string]any{"sanctions": s.SanctionsOf(key)}, nil)
	})
	act("POST", "/bans", func() Command { return new(Ban) })
	act("POST", "/mutes", func() Command { return new(Mute) })
	act("PATCH", "/settings", func() Command { return new(Set) })
	act("PUT", "/pinned", func() Command { return new(Pin) })
	route("DELETE", "/pinned", func(w http.ResponseWriter, _ *http.Request, key streamkey.Key) {
		answer(w, done, s.Act(key, new(Unpin)))
	})
	route("DELETE", "/bans", func(w http.ResponseWriter, r *http.Request, key streamkey.Key) {
		answer(w, done, s.Act(key, &Unban{targetOf(r)}))
	})
	route("DELETE", "/mutes", func(w http.ResponseWriter, r *http.Request, key streamkey.Key) {
		answer(w, done, s.Act(key, &Unmute{targetOf(r)}))
	})
	route("DELETE", "/messages", func(w http.ResponseWriter, r *http.Request, key streamkey.Key) {
		if user := r.URL.Query().Get("user"); user != "" {
			answer(w, done, s.Act(key, &Delete{User: user}))
			return
		}
		answer(w, done, s.Act(key, new(Clear)))
	})
	route("DELETE", "/messages/{id}", func(w http.ResponseWriter, r *http.Request, key streamkey.Key) {
		answer(w, done, s.Act(key, &Delete{Message: r.PathValue("id")}))
	})
}

func targetOf(r *http.Request) Target {
	q := r.URL.Query()
	return Target{User: q.Get("user"), Network: q.Get("network")}
}

// read reads a request's body, or answers what is wrong with it.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		fail(w, http.StatusRequestEntityTooLarge, "too_large", "the body has over "+strconv.Itoa(maxRequest)+" bytes")
		return false
	}
	if err != nil {
		fail(w, http.StatusBadRequest, "bad_request", "the body must be a JSON object of what docs/chat.md says: "+err.Error())
		return false
	}
	return true
}

// answer answers with JSON, or with what an error means.
func answer(w http.ResponseWriter, body any, err error) {
	var refusal *Refusal
	switch {
	case errors.Is(err, ErrNoRoom):
		fail(w, http.StatusNotFound, "no_room", err.Error())
	case errors.As(err, &refusal) && refusal.Code == CodeNotFound:
		fail(w, http.StatusNotFound, string(refusal.Code), refusal.Message)
	case errors.As(err, &refusal):
		fail(w, http.StatusBadRequest, string(refusal.Code), refusal.Message)
	case err != nil:
		fail(w, http.StatusServiceUnavailable, "full", err.Error())
	default:
		b, err := json.MarshalIndent(body, "", "  ")
		if err != nil {
			fail(w, http.StatusInternalServerError, "internal", err.Error())
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.Write(append(b, '\n')) // a client that is gone has its answer
	}
}
