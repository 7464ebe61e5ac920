package ingest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"sync/atomic"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/peer"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

const (
	// silence is for how long a publisher must not have been heard of to be
	// taken for dead when another one comes: a TCP connection may be half
	// open, and its encoder be the one that comes.
	silence = 2 * time.Second
	// guard is for how long one that replaced another live publisher cannot be
	// replaced in turn. It doubles with every replacement of a live one, up to
	// maxGuard, lest two encoders that both come back throw each other out for
	// ever.
	guard    = 10 * time.Second
	maxGuard = 10 * time.Minute
)

// session is one connection as the lifecycle sees it.
type session struct {
	Ended // what will be told of it

	conn Conn
	id   string // names it to others
	host string // of the peer
	// customer is whom newcomers are counted for: an address, or an IPv6 /64.
	customer string
	end      context.CancelCauseFunc
	action   auth.Action
	subject  string
	since    time.Time
	heard    atomic.Int64 // when the newest frame came, in Unix nanoseconds
	// newcomer says that it counts as one; it belongs to the session's goroutine.
	newcomer bool
	// left is closed once a publisher has let go of its stream.
	left chan struct{}
	// leaving says that it is about to, kicked that an operator wants its stream
	// gone, whyever it ends. The Server's lock is held to read or change them.
	leaving, kicked bool

	repairs repairs
	bitrate bitrate

	// replaced counts the live publishers that gave way one after the other
	// down to this one, which holds its place until guarded.
	replaced int
	guarded  time.Time
}

func newSession(conn Conn, end context.CancelCauseFunc) *session {
	x := &session{conn: conn, id: rand.Text(), end: end, action: auth.Publish, since: time.Now(), left: make(chan struct{})}
	x.Protocol, x.RemoteAddr = conn.Protocol(), conn.RemoteAddr().String()
	x.host = host(x.RemoteAddr)
	if x.customer = x.host; peer.Address(x.host).IsValid() {
		x.customer = peer.Customer(peer.Address(x.host)).String()
	}
	x.heard.Store(x.since.UnixNano())
	return x
}

// note counts a frame. It belongs to the session's goroutine. The error wraps
// ErrBitrate.
func (x *session) note(f *media.Frame) error {
	x.Frames++
	x.Bytes += uint64(len(f.Data))
	x.heard.Store(f.Arrival.UnixNano())
	total := x.Bytes
	if c, ok := x.conn.(Counted); ok {
		total = c.Received()
	}
	return x.bitrate.note(f.Arrival, total)
}

func (x *session) attrs() []any {
	return []any{"stream", x.Key, "protocol", x.Protocol, "remote", x.RemoteAddr}
}

// transportAttrs tells what was negotiated with the peer's transport.
func (x *session) transportAttrs() []any {
	if m, ok := x.conn.(Measured); ok {
		if t := m.Transport(); t.Latency > 0 {
			return []any{"latency", t.Latency}
		}
	}
	return nil
}

// cause says why ctx, a session's, has ended.
func cause(ctx context.Context) error {
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return ErrClosing
}

// take gets x its stream, from another publisher if that must give way. The
// error wraps stream.ErrBusy or ErrKicked.
func (s *Server) take(ctx context.Context, x *session) (*stream.Publisher, error) {
	for {
		pub, old, err := s.tryTake(x)
		if old == nil {
			return pub, err
		}
		select {
		case <-old.left:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: it does not let go", stream.ErrBusy)
		}
	}
}

// tryTake returns the session that x must wait for, which is told to go.
func (s *Server) tryTake(x *session) (*stream.Publisher, *session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if until, ok := s.holds[x.Key]; ok && time.Now().Before(until) {
		return nil, nil, fmt.Errorf("%w: come back in %v", ErrKicked, time.Until(until).Round(time.Second))
	}
	if old := s.publishers[x.Key]; old != nil {
		if old.leaving {
			return nil, old, nil
		}
		if err := s.mayReplace(old, x); err != nil {
			return nil, nil, err
		}
		old.end(ErrReplaced)
		return nil, old, nil
	}
	if len(s.publishers) >= s.config.MaxPublishers {
		return nil, nil, fmt.Errorf("%w: %d encoders publish", ErrTooLarge, s.config.MaxPublishers)
	}
	if err := s.overIngest(); err != nil {
		return nil, nil, err
	}
	pub, err := s.hub.Publish(x.Key, stream.Source{Protocol: x.Protocol, RemoteAddr: x.RemoteAddr})
	if err != nil {
		return nil, nil, err
	}
	s.publishers[x.Key] = x
	return pub, nil, nil
}

// mayReplace decides whether x takes the stream from old.
func (s *Server) mayReplace(old, x *session) error {
	now := time.Now()
	silent := now.Sub(time.Unix(0, old.heard.Load())) >= silence
	switch {
	case s.config.Takeover == TakeoverReject:
		return fmt.Errorf("%w, and --takeover is %s", stream.ErrBusy, TakeoverReject)
	case old.subject != x.subject:
		return fmt.Errorf("%w, with another credential", stream.ErrBusy)
	case silent:
		return nil
	case x.subject == "" && host(old.RemoteAddr) != host(x.RemoteAddr):
		return fmt.Errorf("%w, at another address", stream.ErrBusy)
	case now.Before(old.guarded):
		return fmt.Errorf("%w, which has just replaced another one; it may be replaced in %v", stream.ErrBusy, old.guarded.Sub(now).Round(time.Second))
	}
	x.replaced = old.replaced + 1
	x.guarded = now.Add(min(guard<<min(old.replaced, 16), maxGuard))
	return nil
}

func host(addr string) string {
	if h, _, err := net.SplitHostPort(addr); err == nil {
		return h
	}
	return addr
}

// leave says that x is about to let go of its stream, so that who comes waits
// for that. It reports whether x was kicked.
func (s *Server) leave(x *session) (kicked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x.leaving = true
	return x.kicked
}

// forget says that x has let go of its stream.
func (s *Server) forget(x *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.publishers, x.Key)
	close(x.left)
}

// Kick ends the stream of key and its publisher, and refuses publishers of key
// for as long as hold says. It reports whether there was such a stream; with a hold
// of 0 also whether there was a key that was kept closed, and is no longer.
func (s *Server) Kick(key streamkey.Key, hold time.Duration) bool {
	now := time.Now()
	s.mu.Lock()
	x := s.publishers[key]
	before, held := s.holds[key]
	maps.DeleteFunc(s.holds, func(_ streamkey.Key, until time.Time) bool { return !now.Before(until) })
	s.holds[key] = now.Add(hold)
	leaving := false
	if x != nil {
		x.kicked, leaving = true, x.leaving
	}
	s.mu.Unlock()
	switch {
	case leaving: // its stream may wait for it afterwards
		<-x.left
	case x != nil:
		x.end(ErrKicked)
		return true
	}
	if s.hub.Drop(key) || leaving {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.holds, key)
	if held = held && now.Before(before); held && hold > 0 {
		s.holds[key] = before
	}
	return held && hold == 0
}

// hold has EndCredential find x, until the function is called that it returns.
func (s *Server) hold(x *session, credential string) (release func()) {
	if credential == "" {
		return func() {}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.credentialed[credential] == nil {
		s.credentialed[credential] = map[*session]struct{}{}
	}
	s.credentialed[credential][x] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if delete(s.credentialed[credential], x); len(s.credentialed[credential]) == 0 {
			delete(s.credentialed, credential)
		}
	}
}

// EndCredential ends the publishers and players that a credential permits, for a
// reason that they are told.
func (s *Server) EndCredential(credential string, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for x := range s.credentialed[credential] {
		x.end(why)
	}
}

// Publishing is the connection that publishes a stream now.
type Publishing struct {
	Protocol   string
	RemoteAddr string
	Since      time.Time
	// Transport is nil where the transport cannot be measured.
	Transport *Transport
	// Repairs counts what had to be done to its frames, by kind.
	Repairs map[Repair]uint64
}

// Publishing returns the publisher of key, if there is one.
func (s *Server) Publishing(key streamkey.Key) (Publishing, bool) {
	s.mu.Lock()
	x := s.publishers[key]
	gone := x == nil || x.leaving
	s.mu.Unlock()
	if gone {
		return Publishing{}, false
	}
	p := Publishing{Protocol: x.Protocol, RemoteAddr: x.RemoteAddr, Since: x.since, Repairs: x.repairs.counts()}
	if m, ok := x.conn.(Measured); ok {
		t := m.Transport()
		p.Transport = &t
	}
	return p, true
}
