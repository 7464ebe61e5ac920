package stream_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/stream"
)

// BenchmarkWrite is what a frame costs its publisher, by the number of
// readers that wait for it.
func BenchmarkWrite(b *testing.B) {
	for _, readers := range []int{0, 1, 1000} {
		b.Run(fmt.Sprintf("readers=%d", readers), func(b *testing.B) {
			_, p := publish(b, stream.DefaultConfig())
			s := &mediatest.Source{Video: mediatest.H264Track(1), GOP: 60}
			frames := make([]media.Frame, 6000)
			for i := range frames {
				frames[i] = s.Next()
			}
			p.Write(frames[0])
			var wg sync.WaitGroup
			for range readers {
				wg.Go(func() {
					r := p.Stream().NewReader(stream.ReaderOptions{})
					defer r.Close()
					var batch []*stream.Entry
					var err error
					for err == nil {
						batch, err = r.NextBatch(b.Context(), batch)
					}
				})
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				p.Write(frames[i%len(frames)])
			}
			b.StopTimer()
			p.Close()
			wg.Wait()
		})
	}
}
