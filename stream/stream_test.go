package stream_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func key(t testing.TB) streamkey.Key {
	t.Helper()
	k, err := streamkey.Join("live", "x")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func publish(t testing.TB, c stream.Config) (*stream.Hub, *stream.Publisher) {
	t.Helper()
	hub := stream.NewHub(c, nil)
	p, err := hub.Publish(key(t), stream.Source{Protocol: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return hub, p
}

func av() *mediatest.Source {
	return &mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2), GOP: 30}
}

// write writes the source's frames up to and including the n-th video frame
// from here, or n frames if the source has no video.
func write(p *stream.Publisher, s *mediatest.Source, n int) {
	for n > 0 {
		f := s.Next()
		p.Write(f)
		if s.Video == nil || f.Track.Kind() == media.KindVideo {
			n--
		}
	}
}

func drain(t *testing.T, r *stream.Reader) []*stream.Entry {
	t.Helper()
	var all []*stream.Entry
	for {
		batch, err := r.NextBatch(t.Context(), nil)
		all = append(all, batch...)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestOnePublisherAKey(t *testing.T) {
	hub, p := publish(t, stream.DefaultConfig())
	if _, err := hub.Publish(key(t), stream.Source{}); !errors.Is(err, stream.ErrBusy) {
		t.Fatalf("second publisher: %v", err)
	}
	if _, err := hub.Lookup(key(t)); !errors.Is(err, stream.ErrOffline) {
		t.Fatalf("before the first frame: %v", err)
	}
	write(p, av(), 1)
	s, err := hub.Lookup(key(t))
	if err != nil || len(hub.Streams()) != 1 || len(s.Tracks().Tracks) != 2 {
		t.Fatal(s, err)
	}
	p.Close()
	if _, err := hub.Lookup(key(t)); !errors.Is(err, stream.ErrOffline) {
		t.Fatalf("after the end: %v", err)
	}
	again, err := hub.Publish(key(t), stream.Source{})
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestChangesAreTold(t *testing.T) {
	var told []bool
	var hub *stream.Hub
	hub = stream.NewHub(stream.DefaultConfig(), func(k streamkey.Key) {
		_, err := hub.Lookup(k)
		told = append(told, err == nil)
	})
	p, err := hub.Publish(key(t), stream.Source{})
	if err != nil {
		t.Fatal(err)
	}
	write(p, av(), 5)
	p.Close()
	p.Close()
	unused, err := hub.Publish(key(t), stream.Source{})
	if err != nil {
		t.Fatal(err)
	}
	unused.Close() // was never live: no news
	if len(told) != 2 || !told[0] || told[1] {
		t.Fatal(told)
	}
}

func TestReaderBeginsAtTheNewestRandomAccessPoint(t *testing.T) {
	for _, c := range []struct {
		name    string
		source  *mediatest.Source
		options stream.ReaderOptions
		frames  int
		first   time.Duration
	}{
		{"video and audio", av(), stream.ReaderOptions{}, 75, 2 * time.Second},
		{"every track", av(), stream.ReaderOptions{All: true, Wake: stream.WakeNow}, 75, 2 * time.Second},
		{"video only", &mediatest.Source{Video: mediatest.H265Track(1), GOP: 30}, stream.ReaderOptions{}, 75, 2 * time.Second},
		{"audio of both", av(), stream.ReaderOptions{Tracks: []int{2}}, 75, 94 * 1024 * time.Second / 48000},
		{"audio only, a second back at most", &mediatest.Source{Audio: mediatest.AACTrack(2)}, stream.ReaderOptions{}, 100, 94 * 1024 * time.Second / 48000},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, p := publish(t, stream.DefaultConfig())
			write(p, c.source, c.frames)
			r := p.Stream().NewReader(c.options)
			defer r.Close()
			write(p, c.source, 30)
			p.Close()
			all := drain(t, r)
			if f := all[0].Frame; !f.RandomAccess || f.DTS != c.first {
				t.Errorf("first frame: %s at %v, random access %v; want %v", f.Track.Codec, f.DTS, f.RandomAccess, c.first)
			}
			last := map[int]time.Duration{}
			for _, e := range all {
				f := &e.Frame
				if f.DTS < all[0].Frame.DTS {
					t.Errorf("%s at %v, before the beginning", f.Track.Codec, f.DTS)
				}
				if d, ok := last[f.Track.ID]; ok && f.DTS <= d {
					t.Errorf("%s at %v after %v", f.Track.Codec, f.DTS, d)
				}
				last[f.Track.ID] = f.DTS
			}
		})
	}
}

func TestReaderWithoutRandomAccessPointWaitsForTheNext(t *testing.T) {
	c := stream.DefaultConfig()
	c.MaxGOPMiB = 1
	_, p := publish(t, c)
	s := &mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2), GOP: 1000, FrameBytes: 20 << 10}
	write(p, s, 200) // 4 MB without a random access point
	st := p.Stream().Stats()
	if st.CachedBytes != 0 || st.GOPOverflows == 0 {
		t.Fatalf("%+v", st)
	}
	r := p.Stream().NewReader(stream.ReaderOptions{})
	defer r.Close()
	write(p, s, 810)
	p.Close()
	all := drain(t, r)
	if f := all[0].Frame; f.Track.Kind() != media.KindVideo || !f.RandomAccess {
		t.Fatalf("first: %s, random access %v", f.Track.Codec, f.RandomAccess)
	}
}

func TestLongGOPByTimeIsNotKept(t *testing.T) {
	c := stream.DefaultConfig()
	c.MaxGOPDuration = 2 * time.Second
	_, p := publish(t, c)
	write(p, &mediatest.Source{Video: mediatest.H264Track(1), GOP: 1000}, 100)
	if st := p.Stream().Stats(); st.CachedDuration != 0 || st.GOPOverflows != 1 {
		t.Fatalf("%+v", st)
	}
}

// Frames of a byte each are no way around the bound: what they take in memory
// is a hundred times what they hold.
func TestTinyFramesCount(t *testing.T) {
	c := stream.DefaultConfig()
	c.MaxGOPMiB, c.MaxLagMiB = 1, 1
	_, p := publish(t, c)
	s := av()
	write(p, s, 1)
	r := p.Stream().NewReader(stream.ReaderOptions{})
	defer r.Close()
	if _, err := r.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	tiny := s.Next()
	for tiny.Track.Kind() != media.KindAudio {
		tiny = s.Next()
	}
	tiny.Data = tiny.Data[:1]
	for range 20_000 {
		tiny.DTS += time.Millisecond
		tiny.PTS = tiny.DTS
		p.Write(tiny)
	}
	if st := p.Stream().Stats(); st.GOPOverflows != 1 || st.CachedBytes != 0 {
		t.Errorf("a GOP of 20000 frames is kept: %+v", st)
	}
	write(p, s, 30) // up to the next random access point
	if first, err := r.Next(t.Context()); err != nil || r.Skipped() != 1 || !first.Frame.RandomAccess || first.Frame.Track.Kind() != media.KindVideo {
		t.Errorf("a reader that is 20000 frames behind skipped %d times: %v", r.Skipped(), err)
	}
}

func TestLaggingReaderJumpsToTheNewestRandomAccessPoint(t *testing.T) {
	c := stream.DefaultConfig()
	c.MaxLag = 3 * time.Second
	hub, p := publish(t, c)
	s := av()
	write(p, s, 1)
	r := p.Stream().NewReader(stream.ReaderOptions{})
	defer r.Close()
	packager := p.Stream().NewReader(stream.ReaderOptions{All: true})
	defer packager.Close()
	if _, err := r.NextBatch(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	write(p, s, 60) // two seconds: late, but allowed
	batch, err := r.NextBatch(t.Context(), nil)
	if err != nil || r.Skipped() != 0 || batch[0].Frame.DTS > 50*time.Millisecond {
		t.Fatal(batch[0].Frame.DTS, r.Skipped(), err)
	}
	write(p, s, 160)
	batch, err = r.NextBatch(t.Context(), batch)
	if f := batch[0].Frame; err != nil || r.Skipped() != 1 || !f.RandomAccess || f.DTS != 7*time.Second || f.Track.Kind() != media.KindVideo {
		t.Fatal(f.DTS, r.Skipped(), err)
	}
	if hub.Stats().Skips != 1 || p.Stream().Stats().Skips != 1 {
		t.Fatal(hub.Stats())
	}
	p.Close()
	if all := drain(t, packager); len(all) < 221 || packager.Skipped() != 0 {
		t.Fatalf("the packager got %d frames and %d skips", len(all), packager.Skipped())
	}
}

func TestReaderInsideALongGOPIsLeftThere(t *testing.T) {
	c := stream.DefaultConfig()
	c.MaxLag = time.Second
	_, p := publish(t, c)
	s := &mediatest.Source{Video: mediatest.H264Track(1), GOP: 250}
	write(p, s, 200)
	r := p.Stream().NewReader(stream.ReaderOptions{})
	defer r.Close()
	p.Write(s.Next())
	batch, err := r.NextBatch(t.Context(), nil)
	if err != nil || batch[0].Frame.DTS != 0 || r.Skipped() != 0 {
		t.Fatal(batch[0].Frame.DTS, r.Skipped(), err)
	}
}

// TestWakeUps shows at which frames each pace wakes: the reader's batches are
// counted while a live source writes one frame at a time.
func TestWakeUps(t *testing.T) {
	for _, c := range []struct {
		name     string
		source   func() *mediatest.Source
		options  stream.ReaderOptions
		min, max int // batches in two seconds
	}{
		{"at video frames", av, stream.ReaderOptions{}, 58, 61},
		{"at every frame", av, stream.ReaderOptions{Wake: stream.WakeNow}, 150, 155},
		{"every 100 ms", av, stream.ReaderOptions{Wake: 100 * time.Millisecond}, 14, 21},
		{"audio only", func() *mediatest.Source { return &mediatest.Source{Audio: mediatest.AACTrack(2)} }, stream.ReaderOptions{}, 92, 95},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, p := publish(t, stream.DefaultConfig())
				s := c.source()
				first := s.Next()
				p.Write(first)
				r := p.Stream().NewReader(c.options)
				defer r.Close()
				batches, frames := 0, 0
				done := make(chan struct{})
				go func() {
					defer close(done)
					var batch []*stream.Entry
					var err error
					for {
						if batch, err = r.NextBatch(t.Context(), batch); err != nil {
							return
						}
						batches++
						frames += len(batch)
					}
				}()
				written := 1
				for f := s.Next(); f.DTS < 2*time.Second; f = s.Next() {
					p.Write(f)
					written++
					synctest.Wait() // the reader is asleep again
				}
				p.Close()
				<-done
				if batches < c.min || batches > c.max || frames != written {
					t.Errorf("%d batches, want %d to %d; %d frames of %d", batches, c.min, c.max, frames, written)
				}
			})
		})
	}
}

func TestSoundGoesOnWhenPicturesPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p := publish(t, stream.DefaultConfig())
		s := av()
		write(p, s, 1)
		r := p.Stream().NewReader(stream.ReaderOptions{})
		defer r.Close()
		if _, err := r.NextBatch(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		got := make(chan int)
		go func() {
			batch, _ := r.NextBatch(t.Context(), nil)
			got <- len(batch)
		}()
		for f := s.Next(); f.DTS < 600*time.Millisecond; f = s.Next() {
			if f.Track.Kind() == media.KindAudio {
				p.Write(f)
			}
		}
		if n := <-got; n < 20 {
			t.Fatalf("%d frames", n)
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p := publish(t, stream.DefaultConfig())
		write(p, av(), 1)
		r := p.Stream().NewReader(stream.ReaderOptions{Wake: stream.WakeNow})
		defer r.Close()
		if _, err := r.NextBatch(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	})
}

func TestWireBytesAreMadeOnceAndShared(t *testing.T) {
	_, p := publish(t, stream.DefaultConfig())
	write(p, av(), 1)
	a, b := stream.NewWireKind(), stream.NewWireKind()
	var mu sync.Mutex
	made := 0
	build := func(f *media.Frame) [][]byte {
		mu.Lock()
		made++
		mu.Unlock()
		return [][]byte{f.Data}
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			r := p.Stream().NewReader(stream.ReaderOptions{})
			defer r.Close()
			e, err := r.Next(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			for _, kind := range []stream.WireKind{a, b} {
				if w := e.Wire(kind, build); &w[0][0] != &e.Frame.Data[0] {
					t.Error("bytes of another frame")
				}
			}
		})
	}
	wg.Wait()
	if made != 2 {
		t.Fatalf("made %d times for two kinds", made)
	}
}

// TestManyReadersUnderLoad has readers come and go while frames are written:
// each must see rising timestamps from a random access point on.
func TestManyReadersUnderLoad(t *testing.T) {
	c := stream.DefaultConfig()
	c.MaxLag = time.Hour
	_, p := publish(t, c)
	s := av()
	write(p, s, 1)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for round := 0; ; round++ {
				r := p.Stream().NewReader(stream.ReaderOptions{Wake: time.Duration(i%4-1) * 50 * time.Millisecond})
				var batch []*stream.Entry
				last := map[int]time.Duration{}
				for range 20 + i {
					var err error
					if batch, err = r.NextBatch(t.Context(), batch); err != nil {
						r.Close()
						return
					}
					for _, e := range batch {
						f := &e.Frame
						d, seen := last[f.Track.ID]
						if seen && f.DTS <= d || len(last) == 0 && (!f.RandomAccess || f.Track.ID != 1) {
							t.Errorf("%s at %v after %v", f.Track.Codec, f.DTS, d)
						}
						last[f.Track.ID] = f.DTS
					}
				}
				r.Close()
			}
		})
	}
	write(p, s, 3000)
	p.Close()
	wg.Wait()
	if n := p.Stream().Stats().Readers; n != 0 {
		t.Fatalf("%d readers left", n)
	}
}
