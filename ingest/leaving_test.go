package ingest

import (
	"errors"
	"io"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// stuck is an encoder that does not hear that it must go, as one that a write
// waits for.
type stuck struct {
	*encoder
	free chan struct{}
}

func (c *stuck) ReadFrame() (media.Frame, error) {
	select {
	case f := <-c.frames:
		f.Arrival = time.Now()
		return f, nil
	case <-c.free:
		return media.Frame{}, io.ErrUnexpectedEOF
	}
}

// A stream is ended by the operator, too, if its publisher is about to give way
// to another one.
func TestKickWhileOneTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, auth.Open{})
		defer b.stop()
		first := &stuck{newEncoder(nil), make(chan struct{})}
		b.conns <- first
		synctest.Wait()
		for range 5 {
			b.send(first.scripted, first.source.Next())
		}
		second := newEncoder(nil)
		b.conns <- second.scripted
		synctest.Wait()
		if !b.server.Kick(first.request.Key, time.Minute) {
			t.Error("nobody kicked")
		}
		close(first.free)
		<-second.closed
		if !errors.Is(first.rejected, ErrReplaced) || !errors.Is(second.rejected, ErrKicked) {
			t.Errorf("rejected with %v and %v", first.rejected, second.rejected)
		}
		if _, err := b.hub.Lookup(first.request.Key); !errors.Is(err, stream.ErrOffline) {
			t.Error("the stream that was kicked is still live")
		}
	})
}

// An encoder that comes back at once, while the server lets go of its stream,
// goes on with it.
func TestNobodyIsRefusedWhileOneLeaves(t *testing.T) {
	b := newBench(t, auth.Open{})
	defer b.stop()
	var crowd sync.WaitGroup
	defer crowd.Wait()
	done := make(chan struct{})
	defer close(done)
	for range 2 { // that the hub is busy makes its answers slower
		crowd.Go(func() {
			other, _ := streamkey.Parse("live/other")
			for {
				select {
				case <-done:
					return
				default:
					if pub, err := b.hub.Publish(other, stream.Source{}); err == nil {
						pub.Close()
					}
				}
			}
		})
	}
	c := newEncoder(nil)
	key := c.request.Key
	b.conns <- c.scripted
	for range 1000 {
		c.frames <- c.source.Next()
		next := newEncoder(nil)
		c.failure = io.ErrUnexpectedEOF
		close(c.frames)
		runtime.Gosched()
		b.conns <- next.scripted
		<-c.closed
		select {
		case next.frames <- next.source.Next():
		case <-next.closed:
			t.Fatal(next.rejected)
		}
		b.server.mu.Lock()
		b.server.publishers[key].guarded = time.Time{}
		b.server.mu.Unlock()
		c = next
	}
	close(c.frames)
	<-c.closed
}
