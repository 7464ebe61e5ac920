package stream_test

import (
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// twoStreams are live streams of one hub.
func twoStreams(t testing.TB, c stream.Config) (hub *stream.Hub, a, b *stream.Stream) {
	t.Helper()
	hub, p := publish(t, c)
	write(p, av(), 30)
	other, err := streamkey.Join("live", "y")
	if err != nil {
		t.Fatal(err)
	}
	q, err := hub.Publish(other, stream.Source{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	write(q, av(), 30)
	return hub, p.Stream(), q.Stream()
}

// admit has n more viewers come to s, and returns those who may.
func admit(t testing.TB, s *stream.Stream, n int, want error) (all []*stream.Viewer) {
	t.Helper()
	for range n {
		v, err := s.Admit()
		switch {
		case err == nil:
			all = append(all, v)
		case !errors.Is(err, want) || !errors.Is(err, stream.ErrOverloaded):
			t.Fatalf("%v, want %v", err, want)
		}
	}
	return all
}

func TestPlacesOfViewers(t *testing.T) {
	for _, c := range []struct {
		name          string
		max, each     int
		inA, inB      int
		why, becauseB error
	}{
		{"no limit", 0, 0, 100, 100, nil, nil},
		{"of all streams", 30, 0, 30, 0, stream.RefusedByViewers, stream.RefusedByViewers},
		{"of a stream", 0, 30, 30, 30, stream.RefusedByStreamViewers, stream.RefusedByStreamViewers},
		{"of both", 50, 30, 30, 20, stream.RefusedByStreamViewers, stream.RefusedByViewers},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := stream.DefaultConfig()
			config.MaxViewers, config.MaxViewersPerStream = c.max, c.each
			hub, a, b := twoStreams(t, config)
			inA, inB := admit(t, a, 100, c.why), admit(t, b, 100, c.becauseB)
			st := hub.Stats()
			if len(inA) != c.inA || len(inB) != c.inB || a.Stats().Viewers != int64(c.inA) || b.Stats().Viewers != int64(c.inB) || st.Viewers != int64(c.inA+c.inB) {
				t.Errorf("%d and %d viewers, %+v", len(inA), len(inB), st)
			}
			refused := uint64(0)
			for _, n := range st.Refused {
				refused += n
			}
			if len(st.Refused) != 3 || refused != uint64(200-c.inA-c.inB) {
				t.Errorf("refused %v", st.Refused)
			}
			// A place that is given back, however often, is one place.
			inA[0].Leave()
			inA[0].Leave()
			if again := admit(t, a, 1, nil); len(again) != 1 {
				t.Error("no place for who comes after")
			}
			if _, err := a.Admit(); (err != nil) != (c.max+c.each > 0) {
				t.Errorf("a second one: %v", err)
			}
		})
	}
}

func TestPlacesAreCountedExactly(t *testing.T) {
	config := stream.DefaultConfig()
	config.MaxViewers = 5
	hub, a, b := twoStreams(t, config)
	var inside, most, came atomic.Int64
	var all sync.WaitGroup
	for i := range 20 {
		s := a
		if i%2 == 0 {
			s = b
		}
		all.Go(func() {
			for range 500 {
				v, err := s.Admit()
				if err != nil {
					continue
				}
				came.Add(1)
				for n := inside.Add(1); ; {
					if old := most.Load(); n <= old || most.CompareAndSwap(old, n) {
						break
					}
				}
				inside.Add(-1)
				v.Leave()
			}
		})
	}
	all.Wait()
	if most.Load() > 5 || came.Load() == 0 || hub.Stats().Viewers != 0 || a.Stats().Viewers != 0 || b.Stats().Viewers != 0 {
		t.Errorf("%d at once, %d in all, %d left", most.Load(), came.Load(), hub.Stats().Viewers)
	}
}

// line is a hub whose viewers get what their stream brings.
type line struct {
	*stream.Hub
	stream   *stream.Stream
	rate     float64 // of one viewer, in bits a second
	watching int
	sent     atomic.Uint64
}

// newLine has room for so many viewers.
func newLine(t *testing.T, viewers float64) *line {
	// A stream of so many bytes that its viewers are some whole number of Mbit/s.
	config := stream.DefaultConfig()
	source := &mediatest.Source{Video: mediatest.H264Track(1), FrameBytes: 50000, GOP: 30}
	probe, p := publish(t, config)
	write(p, source, 301)
	rate := float64(probe.Stats().Bytes) * 8 / p.Stream().Newest().Seconds()
	config.MaxEgress = int(math.Round(rate * viewers / 1e6))
	hub, q := publish(t, config)
	source = &mediatest.Source{Video: mediatest.H264Track(1), FrameBytes: 50000, GOP: 30}
	write(q, source, 301)
	l := &line{Hub: hub, stream: q.Stream(), rate: rate}
	hub.CountEgress(l.sent.Load)
	hub.CountEgress(func() uint64 { return 12345 }) // of a protocol that nobody uses
	var running sync.WaitGroup
	running.Go(func() { hub.Run(t.Context()) })
	t.Cleanup(running.Wait)
	synctest.Wait()
	return l
}

// pass lets time pass, in which who watches is sent what there is.
func (l *line) pass(d time.Duration) {
	const step = 100 * time.Millisecond
	for ; d > 0; d -= step {
		l.sent.Add(uint64(l.rate * float64(l.watching) / 8 * step.Seconds()))
		time.Sleep(step)
		synctest.Wait()
	}
}

// come has one more viewer come, and reports whether it may.
func (l *line) come(t *testing.T) bool {
	t.Helper()
	n := len(admit(t, l.stream, 1, stream.RefusedByEgress))
	l.watching += n
	return n == 1
}

func TestEgressIsMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, 10.5)
		l.watching = 4
		l.pass(4 * time.Second)
		if r := l.Stats().EgressRate / l.rate; r < 3.99 || r > 4.01 {
			t.Errorf("the rate of %.2f viewers", r)
		}
		l.watching = 0
		l.pass(1500 * time.Millisecond)
		if r := l.Stats().EgressRate / l.rate; r < 1.9 || r > 2.1 {
			t.Errorf("%.2f after half of the time that is looked at", r)
		}
		l.pass(2 * time.Second)
		if r := l.Stats().EgressRate; r != 0 {
			t.Errorf("%v bit/s to nobody", r)
		}
	})
}

// A crowd at one moment gets no more places than one that comes bit by bit, and
// that one no fewer.
func TestEgressHasAsManyPlacesForACrowd(t *testing.T) {
	for _, c := range []struct {
		name  string
		every time.Duration
	}{
		{"at once", 0},
		{"ten a second", 100 * time.Millisecond},
		{"one in 700 ms", 700 * time.Millisecond},
		{"one in five seconds", 5 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLine(t, 10.5)
				for range 50 {
					l.come(t)
					l.pass(c.every)
				}
				if l.watching != 10 {
					t.Errorf("%d places of 10", l.watching)
				}
				l.pass(5 * time.Second)
				if l.come(t) {
					t.Error("one more comes in later")
				}
			})
		})
	}
}

func TestEgressHasPlacesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, 10.5)
		// Who leaves at once has promised nothing.
		for range 1000 {
			v, err := l.stream.Admit()
			if err != nil {
				t.Fatal(err)
			}
			v.Leave()
		}
		l.watching = 12 // more than there is room for: players of HLS
		l.pass(5 * time.Second)
		if l.come(t) {
			t.Error("a viewer comes in over the limit")
		}
		if err := l.stream.AdmitUncounted(); !errors.Is(err, stream.RefusedByEgress) {
			t.Error(err)
		}
		l.watching = 10 // no room for one more, and not over the limit
		l.pass(5 * time.Second)
		if l.come(t) {
			t.Error("a viewer comes in that brings it over the limit")
		}
		if err := l.stream.AdmitUncounted(); err != nil {
			t.Error(err)
		}
		l.watching = 5
		l.pass(5 * time.Second)
		for range 5 {
			if !l.come(t) {
				t.Errorf("no place beside %d", l.watching)
			}
		}
		if st := l.Stats(); st.Viewers != 5 || st.Refused[stream.RefusedByEgress] != 3 {
			t.Errorf("%+v", st)
		}
	})
}

func BenchmarkAdmit(b *testing.B) {
	_, p := publish(b, stream.DefaultConfig())
	write(p, av(), 30)
	b.ReportAllocs()
	for b.Loop() {
		v, err := p.Stream().Admit()
		if err != nil {
			b.Fatal(err)
		}
		v.Leave()
	}
}
