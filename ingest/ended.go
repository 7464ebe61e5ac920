package ingest

import (
	"context"
	"log/slog"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/streamkey"
)

// end logs and counts the end of a connection, once.
func (s *Server) end(x *session, err error) {
	e := x.Ended
	e.At = time.Now()
	e.Reason = reasonOf(err)
	if e.Reason != ReasonEnded {
		e.Error = err.Error()
	}
	s.mu.Lock()
	s.counts[Outcome{Action: x.action, Protocol: e.Protocol, Reason: e.Reason, Admitted: e.Admitted}]++
	if x.action == auth.Publish && !e.silent() {
		if len(s.recent) == maxRecent {
			s.recent = append(s.recent[:0], s.recent[1:]...)
		}
		s.recent = append(s.recent, e)
	}
	s.mu.Unlock()
	logged, passed := true, uint64(0)
	level := e.level(x.action)
	switch {
	case level != slog.LevelWarn:
	case !e.Admitted:
		logged, passed = s.refusals.Take(e.At)
	case x.action == auth.Play:
		logged, passed = s.stuck.Take(e.At)
	}
	if !logged {
		return
	}

	who := "publisher"
	if x.action == auth.Play {
		who = "player"
	}
	attrs := append(x.attrs(), "reason", e.Reason)
	if !e.clean() {
		attrs = append(attrs, "err", err)
	}
	if passed > 0 {
		attrs = append(attrs, "unlogged", passed)
	}
	what := " refused"
	if e.Admitted {
		what = " ended"
		if x.action == auth.Publish {
			attrs = append(attrs, "frames", e.Frames, "bytes", e.Bytes)
		}
	}
	s.log.Log(context.Background(), level, who+what, attrs...)
}

// silent reports whether a connection was closed before it said what it wanted, as
// balancers do that look every few seconds whether the port is open: what is worth
// remembering must not be pushed out by them.
func (e *Ended) silent() bool { return e.Reason == ReasonEnded && e.Key == (streamkey.Key{}) }

// clean reports whether nothing went wrong.
func (e *Ended) clean() bool { return e.Reason == ReasonEnded || e.Reason == ReasonClosing }

// level is how loudly the log speaks of the end of who asked for action.
func (e *Ended) level(action auth.Action) slog.Level {
	switch {
	case !e.Admitted && (e.Reason == ReasonEnded || action == auth.Play && e.Reason == ReasonOffline):
		return slog.LevelDebug // a look whether the port is open, a player that polls
	case !e.Admitted:
		return slog.LevelWarn
	case action == auth.Play && e.Reason != ReasonTimeout: // viewers come and go
		return slog.LevelDebug
	case e.clean():
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

// maxRecent bounds what Recent remembers.
const maxRecent = 100

// Recent returns the publishers' connections that ended last, the newest last.
func (s *Server) Recent() []Ended {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Ended(nil), s.recent...)
}

// Stats are the counters of a Server since its start.
type Stats struct {
	// Open is the number of connections now, admitted or not, without the
	// Players that were admitted.
	Open, Players int64
	// Repairs counts what had to be done to publishers' frames, by kind.
	Repairs map[Repair]uint64
	// Ended counts the connections that ended, by outcome.
	Ended map[Outcome]uint64
}

// Stats returns the counters of this moment.
func (s *Server) Stats() Stats {
	st := Stats{Open: s.open.Load(), Players: s.players.Load(), Repairs: s.repairs.counts(), Ended: map[Outcome]uint64{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, v := range s.counts {
		st.Ended[k] = v
	}
	return st
}

// Ended is one publisher's connection that is over.
type Ended struct {
	// Key is zero if the connection never came to name one.
	Key        streamkey.Key
	Protocol   string
	RemoteAddr string
	At         time.Time
	// Admitted is false for a connection that was refused.
	Admitted bool
	Reason   Reason
	// Error says why in words; empty for a clean end.
	Error         string
	Frames, Bytes uint64
}
