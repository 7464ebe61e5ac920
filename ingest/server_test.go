package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripted is an encoder whose every word is in a test's hands: it reads from
// a channel, so that the lifecycle can be driven frame by frame.
type scripted struct {
	request  auth.Request
	refuse   error // of Handshake
	frames   chan media.Frame
	failure  error // of ReadFrame when frames is closed
	tracks   []*media.Track
	complete bool
	remote   net.Addr // 192.0.2.1 if nil
	silent   bool     // it never says what it wants

	deadline Deadline
	rejected error
	admitted bool
	closed   chan struct{}
	once     sync.Once
}

var _ Conn = (*scripted)(nil)

func newScripted(name string) *scripted {
	key, err := streamkey.Parse(name)
	return &scripted{
		request: auth.Request{Action: auth.Publish, Key: key, Protocol: "test"}, refuse: err,
		frames: make(chan media.Frame), failure: io.EOF, closed: make(chan struct{}),
	}
}

func (c *scripted) Protocol() string { return "test" }

func (c *scripted) RemoteAddr() net.Addr {
	if c.remote != nil {
		return c.remote
	}
	return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5}
}

func (c *scripted) Admit() error     { c.admitted = true; return nil }
func (c *scripted) Reject(err error) { c.rejected = err }
func (c *scripted) Close() error {
	c.once.Do(func() { close(c.closed); c.deadline.Set(time.Time{}) })
	return nil
}

func (c *scripted) Handshake(context.Context) (auth.Request, error) {
	if c.silent {
		<-c.deadline.Done()
		return auth.Request{}, os.ErrDeadlineExceeded
	}
	return c.request, c.refuse
}

func (c *scripted) Tracks() ([]*media.Track, bool) { return c.tracks, c.complete }

func (c *scripted) SetReadDeadline(t time.Time) error { c.deadline.Set(t); return nil }

func (c *scripted) ReadFrame() (media.Frame, error) {
	select {
	case f, ok := <-c.frames:
		if !ok {
			return f, c.failure
		}
		f.Arrival = time.Now()
		return f, nil
	case <-c.deadline.Done():
		return media.Frame{}, fmt.Errorf("read: %w", os.ErrDeadlineExceeded)
	}
}

// oneByOne is a listener that brings scripted connections.
type oneByOne struct {
	conns chan Conn
	done  chan struct{}
	once  sync.Once
}

func (l *oneByOne) Accept() (Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *oneByOne) Close() error { l.once.Do(func() { close(l.done) }); return nil }

type bench struct {
	server *Server
	hub    *stream.Hub
	conns  chan Conn
	stop   func()
}

func newBench(t *testing.T, a auth.Authorizer) *bench {
	t.Helper()
	hub := stream.NewHub(stream.DefaultConfig(), nil)
	b := &bench{server: NewServer(DefaultConfig(), hub, a, slog.New(slog.DiscardHandler)), hub: hub, conns: make(chan Conn)}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- b.server.Serve(ctx, &oneByOne{conns: b.conns, done: make(chan struct{})}) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *bench) send(c *scripted, frames ...media.Frame) {
	for _, f := range frames {
		c.frames <- f
	}
	synctest.Wait()
}

func (b *bench) last(t *testing.T) Ended {
	t.Helper()
	synctest.Wait()
	r := b.server.Recent()
	if len(r) == 0 {
		t.Fatal("no connection has ended")
	}
	return r[len(r)-1]
}

func TestStreamIsLiveWhenThePromisedTracksCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, auth.Open{})
		defer b.stop()
		c := newScripted("live/x")
		s := &mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2)}
		c.tracks, c.complete = []*media.Track{s.Video, s.Audio}, true
		b.conns <- c
		b.send(c, s.Next())
		if _, err := b.hub.Lookup(c.request.Key); !errors.Is(err, stream.ErrOffline) {
			t.Fatal("live before there was a sound")
		}
		b.send(c, s.Next())
		live, err := b.hub.Lookup(c.request.Key)
		if err != nil || len(live.Tracks().Tracks) != 2 || !c.admitted {
			t.Fatal(live, err)
		}
		close(c.frames)
		e := b.last(t)
		if _, err := b.hub.Lookup(c.request.Key); !errors.Is(err, stream.ErrOffline) || e.Reason != ReasonEnded || e.Error != "" || c.rejected != nil {
			t.Fatal(err, e, c.rejected)
		}
		if n := b.server.Stats().Ended[Outcome{auth.Publish, "test", ReasonEnded, true}]; n != 1 {
			t.Fatal(b.server.Stats())
		}
	})
}

func TestProbeEndsByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, auth.Open{})
		defer b.stop()
		c := newScripted("live/x")
		s := &mediatest.Source{Video: mediatest.H264Track(1)}
		c.tracks = []*media.Track{s.Video}
		b.conns <- c
		for range 30 {
			b.send(c, s.Next())
			if _, err := b.hub.Lookup(c.request.Key); !errors.Is(err, stream.ErrOffline) {
				t.Fatal("live before the probe ended")
			}
			time.Sleep(time.Second / 30) // of the bubble's clock
		}
		time.Sleep(time.Millisecond)
		b.send(c, s.Next(), s.Next())
		live, err := b.hub.Lookup(c.request.Key)
		if err != nil {
			t.Fatal(err)
		}
		if st := live.Stats(); st.Frames != 32 {
			t.Fatalf("%d frames: what the probe held back is lost", st.Frames)
		}
		close(c.frames)
	})
}

func TestRefusalsReachTheEncoderAndAreCounted(t *testing.T) {
	deny := authFunc(func(auth.Request) error { return fmt.Errorf("bad token: %w", auth.ErrDenied) })
	for _, c := range []struct {
		name   string
		auth   auth.Authorizer
		conn   func() *scripted
		reason Reason
	}{
		{"name with a parent directory", auth.Open{}, func() *scripted { return newScripted("live/../x") }, ReasonInvalidKey},
		{"denied", deny, func() *scripted { return newScripted("live/x") }, ReasonDenied},
		{"handshake fails", auth.Open{}, func() *scripted {
			c := newScripted("live/x")
			c.refuse = fmt.Errorf("%w: no RTMP", ErrBadRequest)
			return c
		}, ReasonBadRequest},
		{"unsupported codec", auth.Open{}, func() *scripted {
			c := newScripted("live/x")
			c.failure = fmt.Errorf("%w: Sorenson H.263", media.ErrUnsupportedCodec)
			close(c.frames)
			return c
		}, ReasonCodec},
		{"undecided", authFunc(func(auth.Request) error { return fmt.Errorf("no answer: %w", io.EOF) }), func() *scripted { return newScripted("live/x") }, ReasonUndecided},
		{"decided too late", authFunc(func(auth.Request) error { return context.DeadlineExceeded }), func() *scripted { return newScripted("live/x") }, ReasonUndecided},
		{"sends nothing", auth.Open{}, func() *scripted { return newScripted("live/x") }, ReasonTimeout},
		{"connection breaks", auth.Open{}, func() *scripted {
			c := newScripted("live/x")
			c.failure = io.ErrUnexpectedEOF
			close(c.frames)
			return c
		}, ReasonCut},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, c.auth)
				defer b.stop()
				conn := c.conn()
				b.conns <- conn
				<-conn.closed
				e := b.last(t)
				if e.Reason != c.reason || e.Error == "" || conn.rejected == nil {
					t.Errorf("%+v, rejected with %v", e, conn.rejected)
				}
				if n := b.server.Stats().Ended[Outcome{conn.request.Action, "test", c.reason, e.Admitted}]; n != 1 {
					t.Errorf("%+v", b.server.Stats())
				}
			})
		})
	}
}

// A balancer's look at the port is counted, and pushes no publisher out of what is
// remembered of those that ended.
func TestLooksAtThePortAreNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, auth.Open{})
		defer b.stop()
		published := newScripted("live/x")
		b.conns <- published
		b.send(published, (&mediatest.Source{Video: mediatest.H264Track(1)}).Next())
		close(published.frames)
		<-published.closed
		const looks = 2 * maxRecent
		for range looks {
			c := newScripted("live/x")
			c.request, c.refuse = auth.Request{}, fmt.Errorf("handshake: %w", io.EOF)
			b.conns <- c
			<-c.closed
		}
		synctest.Wait()
		if r := b.server.Recent(); len(r) != 1 || r[0].Key != published.request.Key {
			t.Errorf("%+v", r)
		}
		if n := b.server.Stats().Ended[Outcome{auth.Publish, "test", ReasonEnded, false}]; n != looks {
			t.Errorf("%d are counted", n)
		}
	})
}

type authFunc func(auth.Request) error

func (f authFunc) Authorize(_ context.Context, r auth.Request) (auth.Grant, error) {
	return auth.Grant{}, f(r)
}

func TestTooManyPublishers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, auth.Open{})
		defer b.stop()
		b.server.config.MaxPublishers = 1
		first, second := newScripted("live/x"), newScripted("live/y")
		b.conns <- first
		synctest.Wait()
		b.conns <- second
		<-second.closed
		if b.last(t).Reason != ReasonTooLarge {
			t.Fatal(b.last(t))
		}
		close(first.frames)
	})
}

func TestShutdownTellsPublishers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, auth.Open{})
		c := newScripted("live/x")
		b.conns <- c
		synctest.Wait()
		b.stop()
		if !errors.Is(c.rejected, ErrClosing) || b.last(t).Reason != ReasonClosing || b.server.Stats().Open != 0 {
			t.Fatal(c.rejected, b.last(t))
		}
	})
}

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		passed := func(d *Deadline) bool {
			select {
			case <-d.Done():
				return true
			default:
				return false
			}
		}
		var d Deadline
		waits := d.Done()
		d.Set(time.Now().Add(time.Hour))
		d.Set(time.Now().Add(time.Second)) // a waiter follows to an earlier one
		<-waits
		if !passed(&d) {
			t.Error("the deadline has passed and is forgotten")
		}
		d.Set(time.Now().Add(time.Second))
		if passed(&d) {
			t.Error("a new deadline has passed at once")
		}
		d.Set(time.Time{})
		time.Sleep(time.Minute)
		if passed(&d) {
			t.Error("a deadline that was taken away has passed")
		}
		d.Set(time.Now().Add(-time.Second))
		if !passed(&d) {
			t.Error("a deadline in the past has not passed")
		}
		d.Set(time.Time{})
		if passed(&d) {
			t.Error("a passed deadline cannot be taken away")
		}
	})
}
