package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/peer"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// Config rules every publisher, whatever its protocol.
type Config struct {
	Probe             time.Duration `flag:"probe" group:"publishing" help:"wait this long for tracks that an encoder promised, or might bring, before the stream goes live" min:"0s" max:"30s"`
	PublishTimeout    time.Duration `flag:"publish-timeout" group:"publishing" help:"end a publisher that sends nothing for this long" min:"1s" max:"1h"`
	PublishLinger     time.Duration `flag:"publish-linger" group:"publishing" help:"keep a stream and its viewers this long when its encoder is cut off, for it to come back; 0 ends them at once" min:"0s" max:"10m"`
	Takeover          string        `flag:"takeover" group:"publishing" help:"what a second encoder on a stream does: replace (if it is the same one by its grant or address, or the first has been silent for 2 s) or reject"`
	HandshakeTimeout  time.Duration `flag:"handshake-timeout" group:"publishing" help:"close an encoder's connection that has not asked to publish within this time" min:"1s" max:"1m"`
	PlayWait          time.Duration `flag:"play-wait" group:"publishing" help:"let an RTMP or SRT player that comes before its stream wait this long for it (SRT: 2 s at most, callers wait no longer)" min:"0s" max:"10m"`
	MaxPublishers     int           `flag:"max-publishers" group:"limits" help:"encoders that publish at once, over all protocols" min:"1" max:"1000000"`
	MaxNewcomers      int           `flag:"max-newcomers" group:"limits" help:"connections of encoders from one address that have not brought a frame yet, lest one peer holds the places of all" min:"1" max:"1000000"`
	MaxPublishBitrate int           `flag:"max-publish-bitrate" group:"limits" help:"what one publisher may send, in kbit/s; one that is over it in the mean of 10 s is ended. 0: no limit" min:"0" max:"10000000"`
	MaxIngest         int           `flag:"max-ingest" group:"limits" help:"what all publishers together may send, in Mbit/s over the last seconds: while it is as much, new ones are refused. 0: no limit" min:"0" max:"10000000"`
	MaxPlayers        int           `flag:"max-players" group:"limits" help:"RTMP and SRT players that are connected at once" min:"1" max:"1000000"`
}

// The values of Config.Takeover.
const (
	TakeoverReplace = "replace"
	TakeoverReject  = "reject"
)

// DefaultConfig gives an encoder a second for its second track, ten to be
// heard of again, and fifteen to come back.
func DefaultConfig() Config {
	return Config{
		Probe: time.Second, PublishTimeout: 10 * time.Second, PublishLinger: 15 * time.Second, Takeover: TakeoverReplace,
		HandshakeTimeout: 10 * time.Second, MaxPublishers: 1000, MaxNewcomers: 250, MaxPlayers: 10000,
	}
}

// Check returns what is wrong with c beyond its ranges.
func (c Config) Check() error {
	if c.Takeover != TakeoverReplace && c.Takeover != TakeoverReject {
		return fmt.Errorf("--takeover is %q, it may be %s or %s", c.Takeover, TakeoverReplace, TakeoverReject)
	}
	return nil
}

// Server runs the lifecycle of every publisher: admit, read frames, write
// them to the hub, time out, log, shut down. It admits players of the same
// protocols, too.
type Server struct {
	config Config
	hub    *stream.Hub
	auth   auth.Authorizer
	log    *slog.Logger

	open, players atomic.Int64
	newcomers     newcomers
	repairs       repairs
	news          func(News)

	mu sync.Mutex
	// publishers has the session that holds a key.
	publishers map[streamkey.Key]*session
	// credentialed are publishers and players, by the credential that permits them.
	credentialed map[string]map[*session]struct{}
	// holds are the keys that an operator keeps closed, until when.
	holds  map[streamkey.Key]time.Time
	counts map[Outcome]uint64
	recent []Ended
	// refusals and stuck decide which refused connections, and which players that
	// were ended for taking nothing, are logged.
	refusals, stuck peer.Lines
}

// NewServer returns a server that writes what publishers send to hub.
func NewServer(c Config, hub *stream.Hub, a auth.Authorizer, log *slog.Logger) *Server {
	return &Server{
		config: c, hub: hub, auth: a, log: log,
		publishers: map[streamkey.Key]*session{}, credentialed: map[string]map[*session]struct{}{}, holds: map[streamkey.Key]time.Time{}, counts: map[Outcome]uint64{},
	}
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
	// What ends the session is the cause of its context; a past deadline, not
	// Close, then wakes it, for the peer is still told why.
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	x := newSession(conn, end)
	defer s.arrived(x)
	s.open.Add(1)
	err := s.run(ctx, end, conn, x)
	if err == nil || errors.Is(err, io.EOF) && x.Admitted {
		err = io.EOF
	} else {
		conn.Reject(err)
	}
	s.end(x, err)
}

// run takes a connection from its handshake to its end.
func (s *Server) run(ctx context.Context, end context.CancelCauseFunc, conn Conn, x *session) error {
	if err := conn.SetReadDeadline(time.Now().Add(s.config.HandshakeTimeout)); err != nil {
		return err
	}
	if err := s.meet(x); err != nil {
		return err
	}
	req, err := conn.Handshake(ctx)
	if ctx.Err() != nil {
		return cause(ctx)
	}
	if x.Key = req.Key; req.Action != 0 {
		x.action = req.Action
	}
	if err != nil {
		return err
	}
	deciding, cancel := ctx, context.CancelFunc(func() {})
	if c, ok := conn.(Hurried); ok {
		deciding, cancel = context.WithDeadline(ctx, c.AnswerBy())
	}
	defer cancel()
	req.Session = x.id
	grant, err := s.auth.Authorize(deciding, req)
	s.newcomers.know(x)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return cause(ctx)
	case errors.Is(err, auth.ErrDenied):
		return err
	default:
		return undecided{err}
	}
	grant.Ended = sync.OnceFunc(grant.End)
	defer grant.End()
	x.subject = grant.Subject
	if !req.Internal {
		x.bitrate.limit = limitOf(s.config.MaxPublishBitrate, grant.MaxBitrate)
	}
	defer s.hold(x, grant.Credential)()
	if !grant.Expires.IsZero() {
		expiry := time.AfterFunc(time.Until(grant.Expires), func() { end(auth.ErrExpired) })
		defer expiry.Stop()
	}
	switch req.Action {
	case auth.Publish:
		return s.publish(ctx, deciding, conn, x, grant)
	case auth.Play:
		return s.play(ctx, deciding, conn, x)
	}
	return fmt.Errorf("%w: %s is not for encoders", ErrBadRequest, req.Action)
}

// publish admits a publisher and copies its frames until it ends, or must.
func (s *Server) publish(ctx, deciding context.Context, conn Conn, x *session, grant auth.Grant) (err error) {
	pub, err := s.take(deciding, x)
	if err != nil {
		return err
	}
	// The stream is let go of before the peer is told, so that nobody waits
	// for the peer.
	defer func() {
		if kicked := s.leave(x); lingers(err) && !kicked {
			if pub.Suspend(s.config.PublishLinger) {
				s.tell(NewsSuspended, x, pub.Stream(), err)
			} else {
				s.tell(NewsEnded, x, pub.Stream(), err)
			}
		} else {
			pub.Close()
			s.tell(NewsEnded, x, pub.Stream(), cmp.Or(err, io.EOF))
		}
		grant.End() // before the next one has its turn
		s.forget(x)
	}()
	pub.Stream().LimitViewers(grant.MaxViewers)
	if err := conn.Admit(); err != nil {
		return err
	}
	x.Admitted = true
	s.log.Info("publisher admitted", append(x.attrs(), x.transportAttrs()...)...)
	return s.copyFrames(ctx, conn, pub, x)
}

// lingers reports whether a stream waits for its publisher to come back: not
// if that said goodbye, nor if this server or its operator has ended it, nor
// if it would only bring again what cannot be carried.
func lingers(err error) bool {
	for _, end := range []error{io.EOF, ErrClosing, ErrKicked, media.ErrUnsupportedCodec} {
		if errors.Is(err, end) {
			return false
		}
	}
	return err != nil
}
