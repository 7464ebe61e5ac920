package stream_test

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/stream"
)

// BenchmarkWake is one frame on its way to readers that all sleep: an op ends
// when the last of them has it. They do nothing with it.
func BenchmarkWake(b *testing.B) {
	for _, readers := range []int{1, 1000} {
		b.Run(fmt.Sprintf("readers=%d", readers), func(b *testing.B) {
			_, p := publish(b, stream.DefaultConfig())
			s := &mediatest.Source{Video: mediatest.H264Track(1), GOP: 60}
			frames := make([]media.Frame, 6000)
			for i := range frames {
				frames[i] = s.Next()
			}
			var got atomic.Int64
			p.Write(frames[0])
			var all sync.WaitGroup
			for range readers {
				all.Go(func() {
					r := p.Stream().NewReader(stream.ReaderOptions{})
					defer r.Close()
					var batch []*stream.Entry
					for {
						var err error
						if batch, err = r.NextBatch(b.Context(), batch); err != nil {
							return
						}
						got.Add(int64(len(batch)))
					}
				})
			}
			await := func(n int64) {
				for got.Load() < n*int64(readers) {
					runtime.Gosched()
				}
			}
			await(1)
			b.ReportAllocs()
			n := int64(1)
			for b.Loop() {
				p.Write(frames[n%int64(len(frames))])
				n++
				await(n)
			}
			p.Close()
			all.Wait()
		})
	}
}
