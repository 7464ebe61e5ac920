package stream_test

import (
	"errors"
	"io"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/stream"
)

// attended runs a hub, and returns what lets it look after parked readers.
func attended(t *testing.T, c stream.Config) (*stream.Publisher, func()) {
	t.Helper()
	hub, p := publish(t, c)
	var running sync.WaitGroup
	running.Go(func() { hub.Run(t.Context()) })
	t.Cleanup(running.Wait)
	return p, func() {
		time.Sleep(time.Second)
		synctest.Wait()
	}
}

// A parked reader keeps its place as long as it may, and jumps when it comes
// back afterwards.
func TestParkedReaders(t *testing.T) {
	for _, c := range []struct {
		name   string
		config func(*stream.Config)
		gop    int
		bytes  int
		write  int // frames while it is parked
		skips  uint64
		dts    time.Duration // of what it reads next
	}{
		{"a little behind", func(*stream.Config) {}, 30, 1000, 200, 0, time.Second / 30},
		{"over the time", func(c *stream.Config) { c.MaxLag = 3 * time.Second }, 30, 1000, 200, 1, 6 * time.Second},
		{"over the bytes", func(c *stream.Config) { c.MaxLagMiB = 1 }, 30, 10000, 200, 1, 6 * time.Second},
		{"far behind in the newest GOP", func(c *stream.Config) { c.MaxLag = time.Second }, 1000, 1000, 200, 0, time.Second / 30},
		{"in a GOP that grew too long", func(c *stream.Config) { c.MaxLag, c.MaxGOPDuration = time.Second, 3*time.Second }, 240, 1000, 260, 1, 8 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				config := stream.DefaultConfig()
				c.config(&config)
				p, look := attended(t, config)
				source := &mediatest.Source{Video: mediatest.H264Track(1), GOP: c.gop, FrameBytes: c.bytes}
				write(p, source, 1)
				r := p.Stream().NewReader(stream.ReaderOptions{})
				defer r.Close()
				batch, err := r.NextBatch(t.Context(), nil)
				if err != nil || len(batch) != 1 {
					t.Fatal(len(batch), err)
				}
				r.Park()
				look()
				for range c.write / 10 {
					write(p, source, 10)
					look()
				}
				r.Unpark()
				if e, err := r.Next(t.Context()); err != nil || e.Frame.DTS != c.dts || r.Skipped() != c.skips || p.Stream().Stats().Skips != c.skips {
					t.Errorf("%v after %d skips, %v", e.Frame.DTS, r.Skipped(), err)
				}
			})
		})
	}
}

func TestParkedReadersAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := stream.DefaultConfig()
		config.MaxLag = time.Second
		p, look := attended(t, config)
		source := &mediatest.Source{Video: mediatest.H264Track(1), GOP: 30}
		write(p, source, 1)
		kept, taken, left := p.Stream().NewReader(stream.ReaderOptions{}), p.Stream().NewReader(stream.ReaderOptions{}), p.Stream().NewReader(stream.ReaderOptions{})
		defer kept.Close()
		defer taken.Close()
		packager := p.Stream().NewReader(stream.ReaderOptions{All: true})
		defer packager.Close()
		taken.Park()
		left.Park()
		packager.Park()
		left.Close() // as one whose viewer has gone does
		write(p, source, 99)
		look()
		kept.Park()
		p.Close()
		look()
		for _, c := range []struct {
			name   string
			reader *stream.Reader
			frames int
			skips  uint64
		}{{"lags at the end", kept, 100, 0}, {"lagged before", taken, 0, 1}, {"packager", packager, 100, 0}} {
			c.reader.Unpark()
			frames := 0
			for {
				_, err := c.reader.Next(t.Context())
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				frames++
			}
			if frames != c.frames || c.reader.Skipped() != c.skips {
				t.Errorf("%s: %d frames, %d skips", c.name, frames, c.reader.Skipped())
			}
		}
	})
}

// However many readers are parked, in as many places: what they hold together
// is what one may lag.
func TestParkedReadersHoldLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := stream.DefaultConfig()
		config.MaxLagMiB = 4
		p, look := attended(t, config)
		source := &mediatest.Source{Video: mediatest.H264Track(1), GOP: 30, FrameBytes: 20000}
		var readers []*stream.Reader
		before := heap()
		for range 200 {
			write(p, source, 30)
			r := p.Stream().NewReader(stream.ReaderOptions{})
			defer r.Close()
			if _, err := r.NextBatch(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			r.Park()
			readers = append(readers, r)
			look()
		}
		// 115 MiB were written; they may lag 4 of them.
		if held := heap() - before; held > 8<<20 {
			t.Errorf("%d readers hold %d KiB", len(readers), held>>10)
		}
		runtime.KeepAlive(readers)
	})
}

// heap returns the bytes in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A batch is no larger than what may be lost with a viewer that takes nothing.
func TestBatchesEndAfterSomeBytes(t *testing.T) {
	_, p := publish(t, stream.DefaultConfig())
	source := &mediatest.Source{Video: mediatest.H264Track(1), GOP: 100, FrameBytes: 100 << 10}
	write(p, source, 20)
	large := source.Next()
	large.Data = make([]byte, 1<<20)
	p.Write(large)
	r := p.Stream().NewReader(stream.ReaderOptions{})
	defer r.Close()
	var batch []*stream.Entry
	frames := 0
	for frames < 21 {
		var err error
		if batch, err = r.NextBatch(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		if size := len(batch[0].Frame.Data); size < 1<<20 && len(batch) > 2 || size == 1<<20 && len(batch) > 1 {
			t.Errorf("%d frames from the %d-th on", len(batch), frames+1)
		}
		frames += len(batch)
	}
}

// BenchmarkPark is what each write to a viewer costs beside the write.
func BenchmarkPark(b *testing.B) {
	_, p := publish(b, stream.DefaultConfig())
	write(p, av(), 30)
	r := p.Stream().NewReader(stream.ReaderOptions{})
	defer r.Close()
	b.ReportAllocs()
	for b.Loop() {
		r.Park()
		r.Unpark()
	}
}
