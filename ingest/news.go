package ingest

import (
	"github.com/miju-live/miju/stream"
)

// News is what has become of a stream. Those of a key come in their order, each
// before the next publisher of the key has its turn.
type News struct {
	Kind   NewsKind
	Stream *stream.Stream
	// Publisher, Reason: who brings its frames, or why it does not any more.
	Protocol, RemoteAddr, Subject string
	// Session names the publisher's connection.
	Session string
	Reason  Reason
}

// NewsKind says what has happened.
type NewsKind uint8

// The kinds: the stream has frames, for the first time or again; it waits for a
// publisher; it is over. A stream may be over without news after it was suspended:
// then the hub says so.
const (
	NewsLive NewsKind = iota + 1
	NewsSuspended
	NewsEnded
)

// Tell has f called with all news. It must be called before Serve, and f must not
// wait for anything.
func (s *Server) Tell(f func(News)) { s.news = f }

func (s *Server) tell(kind NewsKind, x *session, live *stream.Stream, why error) {
	if s.news == nil || live.Tracks() == nil {
		return
	}
	n := News{Kind: kind, Stream: live, Protocol: x.Protocol, RemoteAddr: x.RemoteAddr, Subject: x.subject, Session: x.id}
	if why != nil {
		n.Reason = reasonOf(why)
	}
	s.news(n)
}
