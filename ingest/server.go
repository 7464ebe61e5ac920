package ingest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// Config rules every publisher, whatever its protocol.
type Config struct {
	Probe            time.Duration `flag:"probe" group:"publishing" help:"wait this long for tracks that an encoder promised, or might bring, before the stream goes live" min:"0s" max:"30s"`
	PublishTimeout   time.Duration `flag:"publish-timeout" group:"publishing" help:"end a publisher that sends nothing for this long" min:"1s" max:"1h"`
	HandshakeTimeout time.Duration `flag:"handshake-timeout" group:"publishing" help:"close an encoder's connection that has not asked to publish within this time" min:"1s" max:"1m"`
	MaxPublishers    int           `flag:"max-publishers" group:"limits" help:"connections of encoders that are open at once, over all protocols" min:"1" max:"1000000"`
}

// DefaultConfig gives an encoder a second for its second track, and ten to
// be heard of again.
func DefaultConfig() Config {
	return Config{Probe: time.Second, PublishTimeout: 10 * time.Second, HandshakeTimeout: 10 * time.Second, MaxPublishers: 1000}
}

// Server runs the lifecycle of every publisher: admit, read frames, write
// them to the hub, time out, log, shut down.
type Server struct {
	config Config
	hub    *stream.Hub
	auth   auth.Authorizer
	log    *slog.Logger

	open    atomic.Int64
	repairs atomic.Uint64

	mu     sync.Mutex
	counts map[Outcome]uint64
	recent []Ended
}

// NewServer returns a server that writes what publishers send to hub.
func NewServer(c Config, hub *stream.Hub, a auth.Authorizer, log *slog.Logger) *Server {
	return &Server{config: c, hub: hub, auth: a, log: log, counts: map[Outcome]uint64{}}
}

// Serve accepts l's connections until ctx ends. It closes l, ends all
// publishers it has accepted and returns when the last is gone: nil after
// the end of ctx, else why l broke.
func (s *Server) Serve(ctx context.Context, l Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var conns sync.WaitGroup
	defer conns.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			conns.Go(func() { s.serve(ctx, conn) })
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			// Out of file descriptors, most likely: what is open goes on.
			s.log.Error("cannot accept a connection", "err", err)
			pause(ctx, 100*time.Millisecond)
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// serve is the life of one connection.
func (s *Server) serve(ctx context.Context, conn Conn) {
	defer conn.Close()
	defer s.open.Add(-1)
	e := Ended{Protocol: conn.Protocol(), RemoteAddr: conn.RemoteAddr().String()}
	err := ErrTooLarge
	if s.open.Add(1) <= int64(s.config.MaxPublishers) {
		// A past deadline, not Close: the encoder is still told why.
		stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })
		defer stop()
		err = s.publish(ctx, conn, &e)
	}
	if err == nil || errors.Is(err, io.EOF) && e.Admitted {
		err = io.EOF
	} else {
		conn.Reject(err)
	}
	s.end(e, err)
}

// publish takes a connection from its handshake to its end.
func (s *Server) publish(ctx context.Context, conn Conn, e *Ended) error {
	if err := conn.SetReadDeadline(time.Now().Add(s.config.HandshakeTimeout)); err != nil {
		return err
	}
	req, err := conn.Handshake(ctx)
	if ctx.Err() != nil {
		return ErrClosing
	}
	e.Key = req.Key
	if err != nil {
		return err
	}
	if req.Action != auth.Publish {
		return ErrNotPlayable
	}
	if _, err := s.auth.Authorize(ctx, req); err != nil {
		return err
	}
	pub, err := s.hub.Publish(req.Key, stream.Source{Protocol: e.Protocol, RemoteAddr: e.RemoteAddr})
	if err != nil {
		return err
	}
	defer pub.Close()
	if err := conn.Admit(); err != nil {
		return err
	}
	e.Admitted = true
	s.log.Info("publisher admitted", "stream", e.Key, "protocol", e.Protocol, "remote", e.RemoteAddr)
	return s.copyFrames(ctx, conn, pub, e)
}

// end logs and counts the end of a connection, once.
func (s *Server) end(e Ended, err error) {
	e.At = time.Now()
	e.Reason = reasonOf(err)
	if e.Reason != ReasonEnded {
		e.Error = err.Error()
	}
	s.mu.Lock()
	s.counts[Outcome{Protocol: e.Protocol, Reason: e.Reason, Admitted: e.Admitted}]++
	if len(s.recent) == maxRecent {
		s.recent = append(s.recent[:0], s.recent[1:]...)
	}
	s.recent = append(s.recent, e)
	s.mu.Unlock()

	attrs := []any{"stream", e.Key, "protocol", e.Protocol, "remote", e.RemoteAddr, "reason", e.Reason}
	if !e.Admitted {
		level := slog.LevelWarn
		if e.Reason == ReasonEnded { // a balancer that looks whether the port is open
			level = slog.LevelDebug
		}
		s.log.Log(context.Background(), level, "publisher refused", append(attrs, "err", err)...)
		return
	}
	attrs = append(attrs, "frames", e.Frames, "bytes", e.Bytes)
	if e.Reason == ReasonEnded || e.Reason == ReasonClosing {
		s.log.Info("publisher ended", attrs...)
		return
	}
	s.log.Warn("publisher ended", append(attrs, "err", err)...)
}

// maxRecent bounds what Recent remembers.
const maxRecent = 100

// Recent returns the connections that ended last, the newest last.
func (s *Server) Recent() []Ended {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Ended(nil), s.recent...)
}

// Stats are the counters of a Server since its start.
type Stats struct {
	// Open is the number of connections now, admitted or not.
	Open int64
	// TimestampRepairs counts frames whose timestamps had to be moved.
	TimestampRepairs uint64
	// Ended counts the connections that ended, by outcome.
	Ended map[Outcome]uint64
}

// Stats returns the counters of this moment.
func (s *Server) Stats() Stats {
	st := Stats{Open: s.open.Load(), TimestampRepairs: s.repairs.Load(), Ended: map[Outcome]uint64{}}
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
