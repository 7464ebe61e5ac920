package chatws

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/peer"
	"github.com/miju-live/miju/streamkey"
)

// The ways to read a room by plain HTTP: chunks and server-sent events.

// serveFile answers what is below /app/name/chat/.
func (s *Server) serveFile(w http.ResponseWriter, r *http.Request, key streamkey.Key, file string) {
	switch number, ok := chunkOf(file); {
	case file != "events" && file != "index.json" && !ok:
		fail(w, http.StatusNotFound, "not_found", "a chat has index.json, numbered chunks, and events")
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD, OPTIONS")
		fail(w, http.StatusMethodNotAllowed, "method", "this is for reading")
	case file == "events":
		s.serveEvents(w, r, key)
	case file == "index.json":
		s.serveIndex(w, r, key)
	default:
		s.serveChunk(w, r, key, number)
	}
}

// chunkOf reads the name of a chunk's file.
func chunkOf(file string) (int64, bool) {
	digits, ok := strings.CutSuffix(file, ".json")
	if !ok || len(digits) > 18 || digits == "" || digits[0] == '0' || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil
}

// mayRead asks whether the bearer of r's token may read the room, and answers
// if not.
func (s *Server) mayRead(w http.ResponseWriter, r *http.Request, key streamkey.Key) (auth.Grant, bool) {
	ctx, cancel := context.WithTimeout(r.Context(), authTimeout)
	defer cancel()
	g, err := s.auth.Authorize(ctx, auth.Request{
		Action: auth.Chat, Key: key, Token: auth.TokenOf(r), Edge: auth.EdgeOf(r), Reads: true, Protocol: "chat", RemoteAddr: r.RemoteAddr,
	})
	switch {
	case err == nil:
		return g, true
	case errors.Is(err, auth.ErrPaused):
		s.refused["undecided"].Add(1)
		w.Header().Set("Retry-After", strconv.Itoa(auth.PauseOf(err)))
		fail(w, http.StatusTooManyRequests, "paused", err.Error())
	case errors.Is(err, auth.ErrDenied):
		s.refused["denied"].Add(1)
		message := "you may not read this chat"
		if r := (*auth.Refusal)(nil); errors.As(err, &r) && r.Message != "" {
			message = r.Message
		}
		fail(w, http.StatusForbidden, "denied", message)
	default:
		s.undecided.Log(s.log, "cannot decide who may chat", err, "stream", key)
		s.refused["undecided"].Add(1)
		w.Header().Set("Retry-After", "5")
		fail(w, http.StatusServiceUnavailable, "undecided", "it cannot be decided now who may read this chat")
	}
	return g, false
}

// inFor calls f with a room under its lock, or answers that there is none to
// be had.
func (s *Server) inFor(w http.ResponseWriter, key streamkey.Key, from netip.Addr, f func(*room) error) bool {
	err := s.in(key, from, f)
	var refusal *Refusal
	switch {
	case err == nil:
		return true
	case errors.As(err, &refusal):
		s.refused[string(refusal.Code)].Add(1)
		w.Header().Set("Retry-After", strconv.Itoa(1+int(refusal.RetryAfter/time.Second)))
		fail(w, http.StatusTooManyRequests, "rate", refusal.Message)
	default:
		s.refused["full"].Add(1)
		w.Header().Set("Retry-After", "5")
		fail(w, http.StatusServiceUnavailable, "full", "there are too many rooms")
	}
	return false
}

// begin counts a request that may wait in, unless the server goes down.
func (s *Server) begin(w http.ResponseWriter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		w.Header().Set("Retry-After", "1")
		fail(w, http.StatusServiceUnavailable, "down", "the server is going away")
		return false
	}
	s.running.Add(1)
	s.start()
	return true
}

func (s *Server) serveIndex(w http.ResponseWriter, r *http.Request, key streamkey.Key) {
	g, ok := s.mayRead(w, r, key)
	if !ok || !s.begin(w) {
		return
	}
	defer s.running.Done()
	var index []byte
	if s.inFor(w, key, peer.Address(r.RemoteAddr), func(r *room) error {
		index = r.indexNow(time.Now())
		return nil
	}) {
		serveJSON(w, r, index, sharedWith(g, "max-age=1"))
	}
}

func (s *Server) serveChunk(w http.ResponseWriter, r *http.Request, key streamkey.Key, number int64) {
	g, ok := s.mayRead(w, r, key)
	if !ok || !s.begin(w) {
		return
	}
	defer s.running.Done()
	err := s.noChunk(number, time.Now())
	var b []byte
	if room := s.room(key); room != nil {
		b, err = room.chunk(r.Context(), number)
	}
	switch {
	case err == nil:
		serveJSON(w, r, b, sharedWith(g, "max-age=3600, immutable"))
	case errors.Is(err, errTooOld):
		failFor(w, http.StatusNotFound, "gone", "that chunk is gone, begin with index.json", "max-age=60")
	case errors.Is(err, errTooSoon):
		fail(w, http.StatusNotFound, "too_soon", "that chunk is more than one ahead")
	default:
		w.Header().Set("Retry-After", "1")
		fail(w, http.StatusServiceUnavailable, "down", "the server is going away")
	}
}

// sharedWith returns what a cache may do with an answer to g's bearer.
func sharedWith(g auth.Grant, cache string) string {
	if g.Private {
		return "private, " + cache
	}
	return cache
}

func serveJSON(w http.ResponseWriter, r *http.Request, b []byte, cache string) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", cache)
	h.Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		w.Write(b) // a client that is gone has its answer
	}
}
