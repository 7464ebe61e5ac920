package mpegts_test

import (
	"testing"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/mpegts"
)

// BenchmarkAppendFrame makes packets of 10 kB pictures and of AAC, with the
// tables and clock references that they need.
func BenchmarkAppendFrame(b *testing.B) {
	source := &mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2), FrameBytes: 10_000}
	frames := make([]media.Frame, 600)
	total := 0
	for i := range frames {
		frames[i] = source.Next()
		total += len(frames[i].Data)
	}
	program, err := mpegts.NewProgram(frames[0].Set)
	if err != nil {
		b.Fatal(err)
	}
	var state mpegts.State
	buf := make([]byte, 0, 64<<10)
	b.SetBytes(int64(total / len(frames)))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		f := &frames[i%len(frames)]
		buf = mpegts.AppendFrame(buf[:0], state, program, f)
		state.Follow(program, f, buf)
		i++
	}
}
