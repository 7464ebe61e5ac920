package stream_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// again returns a source that goes on behind what s has, in the next epoch.
func again(s *stream.Stream, f media.Frame) media.Frame {
	set := *f.Set
	set.Epoch = s.Tracks().Epoch + 1
	f.Set = &set
	shift := s.Newest() + time.Second/30
	f.DTS, f.PTS = f.DTS+shift, f.PTS+shift
	return f
}

func TestSuspendedStreamGoesOnWithItsReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, p := publish(t, stream.DefaultConfig())
		write(p, av(), 40)
		live := p.Stream()
		r := live.NewReader(stream.ReaderOptions{})
		defer r.Close()
		p.Suspend(15 * time.Second)
		p.Close() // is over already
		if live.Publishing() {
			t.Error("publishing while suspended")
		}
		time.Sleep(14 * time.Second)
		late := live.NewReader(stream.ReaderOptions{}) // gets the last GOP
		defer late.Close()
		if batch, err := late.NextBatch(t.Context(), nil); err != nil || !batch[0].Frame.RandomAccess {
			t.Fatal(batch, err)
		}
		next, err := hub.Publish(key(t), stream.Source{Protocol: "srt"})
		if err != nil || next.Stream() != live || live.Source().Protocol != "srt" || live.Stats().Resumed != 1 {
			t.Fatal(err, live.Source())
		}
		if _, err := hub.Publish(key(t), stream.Source{}); !errors.Is(err, stream.ErrBusy) {
			t.Fatal(err)
		}
		s := av()
		f := again(live, s.Next())
		set := f.Set
		next.Write(f)
		for range 10 {
			g := s.Next()
			g.Set = set
			g.DTS, g.PTS = g.DTS+f.DTS, g.PTS+f.DTS
			next.Write(g)
		}
		next.Close()
		all := drain(t, r)
		last := time.Duration(-1)
		epochs := map[uint64]bool{}
		for _, e := range all {
			epochs[e.Frame.Set.Epoch] = true
			if e.Frame.Track.Kind() == media.KindVideo {
				if e.Frame.DTS <= last {
					t.Fatalf("%v after %v", e.Frame.DTS, last)
				}
				last = e.Frame.DTS
			}
		}
		if len(epochs) != 2 || r.Skipped() != 0 {
			t.Fatalf("epochs %v, skipped %d", epochs, r.Skipped())
		}
	})
}

func TestSuspendedStreamEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := make(chan bool, 4)
		var hub *stream.Hub
		hub = stream.NewHub(stream.DefaultConfig(), func(k streamkey.Key) {
			_, err := hub.Lookup(k)
			told <- err == nil
		})
		p, err := hub.Publish(key(t), stream.Source{})
		if err != nil {
			t.Fatal(err)
		}
		write(p, av(), 5)
		r := p.Stream().NewReader(stream.ReaderOptions{})
		defer r.Close()
		start := time.Now()
		p.Suspend(15 * time.Second)
		drain(t, r)
		if waited := time.Since(start); waited != 15*time.Second {
			t.Errorf("ended after %v", waited)
		}
		synctest.Wait()
		if live, ended := <-told, <-told; !live || ended {
			t.Error(live, ended)
		}
		hub.Close()
	})
}

func TestStreamThatNeverWasLiveIsNotSuspended(t *testing.T) {
	hub, p := publish(t, stream.DefaultConfig())
	p.Suspend(time.Hour)
	again, err := hub.Publish(key(t), stream.Source{})
	if err != nil || again.Stream() == p.Stream() {
		t.Fatal(err)
	}
	again.Close()
}

func TestClosedHubSuspendsNothing(t *testing.T) {
	hub, p := publish(t, stream.DefaultConfig())
	write(p, av(), 5)
	other, err := streamkey.Parse("live/other")
	if err != nil {
		t.Fatal(err)
	}
	q, err := hub.Publish(other, stream.Source{})
	if err != nil {
		t.Fatal(err)
	}
	write(q, av(), 5)
	r, o := p.Stream().NewReader(stream.ReaderOptions{}), q.Stream().NewReader(stream.ReaderOptions{})
	defer r.Close()
	defer o.Close()
	p.Suspend(time.Hour)
	hub.Close()
	drain(t, r)
	q.Suspend(time.Hour)
	drain(t, o)
	if n := len(hub.Streams()); n != 0 {
		t.Fatalf("%d streams left", n)
	}
}

func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := stream.NewHub(stream.DefaultConfig(), nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := hub.Await(ctx, key(t)); !errors.Is(err, stream.ErrOffline) {
			t.Fatal(err)
		}
		type result struct {
			s   *stream.Stream
			err error
		}
		got := make(chan result)
		go func() {
			s, err := hub.Await(t.Context(), key(t))
			got <- result{s, err}
		}()
		synctest.Wait()
		p, err := hub.Publish(key(t), stream.Source{})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		write(p, av(), 1)
		if r := <-got; r.err != nil || r.s != p.Stream() {
			t.Fatal(r)
		}
	})
}

// TestResumeAtTheLastMoment has publishers come back just as the stream ends:
// either way there is one stream under the key, and the old readers end.
func TestResumeAtTheLastMoment(t *testing.T) {
	hub := stream.NewHub(stream.DefaultConfig(), nil)
	for range 200 {
		p, err := hub.Publish(key(t), stream.Source{})
		if err != nil {
			t.Fatal(err)
		}
		write(p, av(), 2)
		r := p.Stream().NewReader(stream.ReaderOptions{})
		p.Suspend(50 * time.Microsecond)
		q, err := hub.Publish(key(t), stream.Source{})
		if err != nil {
			t.Fatal(err)
		}
		q.Close()
		for err = nil; err == nil; {
			_, err = r.Next(t.Context())
		}
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		r.Close()
	}
	hub.Close()
}
