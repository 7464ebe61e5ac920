package hls

import (
	"testing"
	"time"

	"github.com/miju-live/miju/media/mediatest"
)

// BenchmarkPlaylist renders the playlist of pictures of a stream that fills its
// window of 30 s, with parts of 200 ms, whole and as a delta update.
func BenchmarkPlaylist(b *testing.B) {
	source := &mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2), GOP: 60}
	m := NewMuxer(Config{Segment: 2 * time.Second, StartWait: 4 * time.Second, Part: 200 * time.Millisecond, Window: 30 * time.Second})
	for f := source.Next(); f.DTS < 40*time.Second; f = source.Next() {
		m.Write(&f)
		m.Window()
	}
	pictures := m.segmenters[0]
	skippable := pictures.skippable()
	if skippable == 0 {
		b.Fatal("nothing can be skipped")
	}
	for _, c := range []struct {
		name string
		skip int
	}{{"whole", 0}, {"delta", skippable}} {
		b.Run(c.name, func(b *testing.B) {
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				buf = pictures.appendPlaylist(buf[:0], c.skip)
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}
