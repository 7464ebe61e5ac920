package stream_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/stream"
)

// TestNowStandsStillWithItsStream: the clock runs with the frames, a second
// past the newest, and goes on with the next epoch's anchor.
func TestNowStandsStillWithItsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p := publish(t, stream.DefaultConfig())
		live := p.Stream()
		now := func(want time.Duration) {
			t.Helper()
			if got := live.Now(); got != want {
				t.Errorf("stream time %v, not %v", got, want)
			}
		}
		now(0)
		track := mediatest.H264Track(1)
		write := func(set *media.TrackSet, dts time.Duration) {
			p.Write(media.Frame{Track: track, Set: set, DTS: dts, PTS: dts, RandomAccess: true, Arrival: time.Now()})
		}
		set := media.TrackSet{Tracks: []*media.Track{track}, Anchor: media.Anchor{Wall: time.Now()}}
		write(&set, 0)
		now(0)
		time.Sleep(800 * time.Millisecond)
		now(800 * time.Millisecond)
		time.Sleep(5 * time.Second)
		now(time.Second)
		write(&set, 5700*time.Millisecond)
		now(5800 * time.Millisecond)
		slewed := set
		slewed.Anchor.Wall = set.Anchor.Wall.Add(time.Millisecond)
		write(&slewed, 5750*time.Millisecond)
		now(5799 * time.Millisecond)
		p.Suspend(time.Minute)
		time.Sleep(30 * time.Second)
		now(6750 * time.Millisecond)
	})
}

// TestSlewedAnchorWakesNobody: a set that differs in its anchor alone leaves
// readers to their pace, one with other tracks does not.
func TestSlewedAnchorWakesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p := publish(t, stream.DefaultConfig())
		s := &mediatest.Source{Video: mediatest.H264Track(1)}
		f := s.Next()
		p.Write(f)
		r := p.Stream().NewReader(stream.ReaderOptions{Wake: 300 * time.Millisecond})
		defer r.Close()
		drained := make(chan int)
		go func() {
			defer close(drained)
			for {
				b, err := r.NextBatch(t.Context(), nil)
				if err != nil {
					return
				}
				drained <- len(b)
			}
		}()
		<-drained
		send := func(set media.TrackSet) {
			f := s.Next()
			f.Set = &set
			p.Write(f)
			synctest.Wait()
		}
		slewed := *f.Set
		slewed.Anchor.Wall = slewed.Anchor.Wall.Add(time.Millisecond)
		send(slewed)
		select {
		case <-drained:
			t.Error("woken by an anchor")
		default:
		}
		more := slewed
		more.Tracks = append(more.Tracks[:1:1], mediatest.AACTrack(2))
		send(more)
		if n := <-drained; n != 2 {
			t.Errorf("%d frames", n)
		}
		p.Close()
		<-drained
	})
}
