package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/stream"
)

var elsewhere = &net.TCPAddr{IP: net.IPv4(198, 51, 100, 7), Port: 9}

// encoder is a scripted connection with pictures to send.
type encoder struct {
	*scripted
	source *mediatest.Source
}

func newEncoder(remote net.Addr) *encoder {
	e := &encoder{newScripted("live/x"), &mediatest.Source{Video: mediatest.H264Track(1), GOP: 30}}
	e.remote = remote
	e.request.RemoteAddr = e.RemoteAddr().String()
	e.tracks, e.complete = []*media.Track{e.source.Video}, true
	return e
}

// publish connects e and sends n frames.
func (b *bench) publish(e *encoder, n int) {
	b.conns <- e.scripted
	synctest.Wait()
	for range n {
		b.send(e.scripted, e.source.Next())
	}
}

func subject(name string) auth.Authorizer {
	return grantFunc(func(auth.Request) (auth.Grant, error) { return auth.Grant{Subject: name}, nil })
}

type grantFunc func(auth.Request) (auth.Grant, error)

func (f grantFunc) Authorize(_ context.Context, r auth.Request) (auth.Grant, error) { return f(r) }

func TestTakeover(t *testing.T) {
	byAddress := grantFunc(func(r auth.Request) (auth.Grant, error) { return auth.Grant{Subject: "user at " + r.RemoteAddr}, nil })
	for _, c := range []struct {
		name     string
		takeover string
		auth     auth.Authorizer
		remote   net.Addr
		silence  time.Duration
		replaces bool
	}{
		{"same address", TakeoverReplace, auth.Open{}, nil, 0, true},
		{"other address", TakeoverReplace, auth.Open{}, elsewhere, 0, false},
		{"other address, the first silent for a second", TakeoverReplace, auth.Open{}, elsewhere, time.Second, false},
		{"other address, the first silent for two seconds", TakeoverReplace, auth.Open{}, elsewhere, 2 * time.Second, true},
		{"other address, same credential", TakeoverReplace, subject("alice"), elsewhere, 0, true},
		{"other credential", TakeoverReplace, byAddress, elsewhere, 5 * time.Second, false},
		{"--takeover=reject", TakeoverReject, auth.Open{}, nil, 5 * time.Second, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, c.auth)
				defer b.stop()
				b.server.config.Takeover = c.takeover
				first, second := newEncoder(nil), newEncoder(c.remote)
				b.publish(first, 10)
				live, err := b.hub.Lookup(first.request.Key)
				if err != nil {
					t.Fatal(err)
				}
				r := live.NewReader(stream.ReaderOptions{})
				defer r.Close()
				time.Sleep(c.silence)
				b.conns <- second.scripted
				synctest.Wait()
				if second.admitted != c.replaces {
					t.Fatalf("admitted %v, rejected with %v", second.admitted, second.rejected)
				}
				goesOn, gone, reason := second, first, ReasonReplaced
				if !c.replaces {
					goesOn, gone, reason = first, second, ReasonBusy
				}
				if b.last(t).Reason != reason || gone.rejected == nil || goesOn.rejected != nil {
					t.Fatalf("%+v, %v, %v", b.last(t), gone.rejected, goesOn.rejected)
				}
				if !c.replaces && !errors.Is(second.rejected, stream.ErrBusy) {
					t.Fatal(second.rejected)
				}
				for range 5 {
					b.send(goesOn.scripted, goesOn.source.Next())
				}
				if st := live.Stats(); st.Frames != 15 || live.Publishing() != true {
					t.Fatalf("%+v", st)
				}
				close(goesOn.frames)
			})
		})
	}
}

// TestTwoEncodersDoNotThrowEachOtherOutForEver has two encoders on one key,
// each coming back three seconds after it was thrown out or refused.
func TestTwoEncodersDoNotThrowEachOtherOutForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, auth.Open{})
		current := newEncoder(nil)
		b.publish(current, 1)
		replaced := 0
		for range time.Hour / (3 * time.Second) {
			for range 6 { // they are alive
				time.Sleep(time.Second / 2)
				b.send(current.scripted, current.source.Next())
			}
			next := newEncoder(nil)
			b.conns <- next.scripted
			synctest.Wait()
			if next.admitted {
				current = next
				replaced++
				b.send(current.scripted, current.source.Next())
			}
		}
		if replaced < 2 || replaced > 14 {
			t.Errorf("replaced %d times in an hour", replaced)
		}
		close(current.frames)
		synctest.Wait()
		b.stop()
	})
}

func TestStreamLingers(t *testing.T) {
	for _, c := range []struct {
		name    string
		failure error
		linger  time.Duration
		lingers bool
	}{
		{"cut off", io.ErrUnexpectedEOF, 15 * time.Second, true},
		{"breaks the protocol", fmt.Errorf("%w: nonsense", ErrBadRequest), 15 * time.Second, true},
		{"says goodbye", io.EOF, 15 * time.Second, false},
		{"unsupported codec", fmt.Errorf("%w: VP6", media.ErrUnsupportedCodec), 15 * time.Second, false},
		{"without linger", io.ErrUnexpectedEOF, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, auth.Open{})
				defer b.stop()
				defer b.hub.Close()
				b.server.config.PublishLinger = c.linger
				first := newEncoder(nil)
				b.publish(first, 10)
				live, err := b.hub.Lookup(first.request.Key)
				if err != nil {
					t.Fatal(err)
				}
				first.failure = c.failure
				close(first.frames)
				time.Sleep(3 * time.Second)
				if _, err := b.hub.Lookup(first.request.Key); (err == nil) != c.lingers {
					t.Fatal(err)
				}
				second := newEncoder(elsewhere)
				b.publish(second, 10)
				again, err := b.hub.Lookup(first.request.Key)
				if err != nil || (again == live) != c.lingers {
					t.Fatal(err)
				}
				close(second.frames)
			})
		})
	}
}

func TestResumedStreamKeepsItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, auth.Open{})
		defer b.stop()
		first := newEncoder(nil)
		b.publish(first, 40)
		live, err := b.hub.Lookup(first.request.Key)
		if err != nil {
			t.Fatal(err)
		}
		r := live.NewReader(stream.ReaderOptions{All: true, Wake: stream.WakeNow})
		defer r.Close()
		first.failure = io.ErrUnexpectedEOF
		close(first.frames)
		time.Sleep(3 * time.Second)
		second := newEncoder(nil)
		for range 7 {
			second.source.Next() // it comes back in the middle of a GOP
		}
		b.publish(second, 40)
		close(second.frames)
		synctest.Wait()
		last, epoch := time.Duration(-1), uint64(0)
		for {
			e, err := r.Next(t.Context())
			if err != nil {
				break
			}
			f := &e.Frame
			if f.DTS <= last || last >= 0 && f.DTS > last+time.Second {
				t.Fatalf("%v after %v", f.DTS, last)
			}
			if f.Set.Epoch != epoch {
				epoch = f.Set.Epoch
				if !f.RandomAccess {
					t.Error("the resumed stream begins in the middle of a GOP")
				}
			}
			last = f.DTS
		}
		if epoch != 1 {
			t.Errorf("epoch %d", epoch)
		}
	})
}

func TestKick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, auth.Open{})
		defer b.stop()
		first := newEncoder(nil)
		key := first.request.Key
		if b.server.Kick(key, time.Minute) {
			t.Error("kicked nobody")
		}
		b.publish(first, 5)
		if p, ok := b.server.Publishing(key); !ok || p.Protocol != "test" || p.RemoteAddr != "192.0.2.1:5" {
			t.Errorf("%+v %v", p, ok)
		}
		if !b.server.Kick(key, time.Minute) {
			t.Error("nobody kicked")
		}
		synctest.Wait()
		if _, err := b.hub.Lookup(key); err == nil || !errors.Is(first.rejected, ErrKicked) || b.last(t).Reason != ReasonKicked {
			t.Fatal(err, first.rejected)
		}
		time.Sleep(59 * time.Second)
		second := newEncoder(nil)
		b.conns <- second.scripted
		<-second.closed
		if !errors.Is(second.rejected, ErrKicked) {
			t.Fatal(second.rejected)
		}
		time.Sleep(time.Second)
		third := newEncoder(nil)
		b.publish(third, 5)
		third.failure = io.ErrUnexpectedEOF
		close(third.frames)
		synctest.Wait()
		if !b.server.Kick(key, 0) { // the stream that lingers
			t.Error("nothing kicked")
		}
		if _, err := b.hub.Lookup(key); err == nil {
			t.Error("the stream is still live")
		}
		fourth := newEncoder(nil)
		b.publish(fourth, 5)
		b.server.Kick(key, time.Hour)
		synctest.Wait()
		if b.server.Kick(key, time.Minute) {
			t.Error("kicked nobody")
		}
		fifth := newEncoder(nil)
		b.conns <- fifth.scripted
		if <-fifth.closed; !errors.Is(fifth.rejected, ErrKicked) {
			t.Error(fifth.rejected)
		}
		if !b.server.Kick(key, 0) || b.server.Kick(key, 0) {
			t.Error("the key is not opened again, or twice")
		}
		b.publish(newEncoder(nil), 5)
		if _, err := b.hub.Lookup(key); err != nil {
			t.Error(err)
		}
	})
}

// viewer is a scripted player.
type viewer struct {
	*scripted
	playing chan *stream.Stream
	leave   chan error
}

var _ Player = (*viewer)(nil)

func newViewer() *viewer {
	v := &viewer{newScripted("live/x"), make(chan *stream.Stream, 1), make(chan error)}
	v.request.Action = auth.Play
	return v
}

func (v *viewer) Play(ctx context.Context, s *stream.Stream) error {
	v.playing <- s
	select {
	case err := <-v.leave:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestPlayers(t *testing.T) {
	for _, c := range []struct {
		name   string
		wait   time.Duration
		live   bool // before the player comes
		come   bool // after it
		max    int
		leave  error
		reason Reason
		plays  bool
	}{
		{"leaves", 0, true, false, 1, nil, ReasonEnded, true},
		{"takes nothing", 0, true, false, 1, context.DeadlineExceeded, ReasonTimeout, true},
		{"no stream", 0, false, false, 1, nil, ReasonOffline, false},
		{"waits in vain", 5 * time.Second, false, false, 1, nil, ReasonOffline, false},
		{"waits for the stream", 5 * time.Second, false, true, 1, nil, ReasonEnded, true},
		{"one too many", 0, true, false, 0, nil, ReasonTooLarge, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, auth.Open{})
				defer b.stop()
				b.server.config.PlayWait, b.server.config.MaxPlayers = c.wait, c.max
				e := newEncoder(nil)
				if c.live {
					b.publish(e, 1)
				}
				v := newViewer()
				b.conns <- v
				time.Sleep(4 * time.Second)
				if c.come {
					b.publish(e, 1)
				}
				synctest.Wait()
				if c.plays {
					<-v.playing
					if st := b.server.Stats(); st.Players != 1 || st.Open != 1 {
						t.Errorf("%+v", st)
					}
					v.leave <- c.leave
				}
				<-v.closed
				synctest.Wait()
				st := b.server.Stats()
				if st.Ended[Outcome{auth.Play, "test", c.reason, c.plays}] != 1 || st.Players != 0 {
					t.Errorf("%+v, rejected with %v", st, v.rejected)
				}
				close(e.frames)
			})
		})
	}
}

func TestShutdownEndsPlayers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, auth.Open{})
		e := newEncoder(nil)
		b.publish(e, 1)
		v := newViewer()
		b.conns <- v
		<-v.playing
		b.stop()
		if !errors.Is(v.rejected, ErrClosing) {
			t.Error(v.rejected)
		}
	})
}
