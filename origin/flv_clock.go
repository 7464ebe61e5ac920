package origin

import (
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/flv"
	"github.com/miju-live/miju/stream"
)

// clockEvery is the media time between two clock tags.
const clockEvery = time.Second

// clockTags decides before which frames a clock tag goes: the first, and the first
// of each second of the stream. So all viewers get the same tags at the same
// places, whenever they came.
type clockTags struct{ next time.Duration }

// due reports whether a tag goes before a frame that is sent with this DTS.
func (c *clockTags) due(dts time.Duration) bool {
	if dts < c.next {
		return false
	}
	c.next = dts.Truncate(clockEvery) + clockEvery
	return true
}

var clockKinds = func() (kinds [framings]stream.WireKind) {
	for i := range kinds {
		kinds[i] = stream.NewWireKind()
	}
	return kinds
}()

// clock returns the clock tag before a frame, made once for all viewers.
func (fr framing) clock(e *stream.Entry, live *stream.Stream) [][]byte {
	return e.Wire(clockKinds[fr], func(f *media.Frame) [][]byte {
		return [][]byte{fr.appendClock(nil, f, live)}
	})
}

func (fr framing) appendClock(dst []byte, f *media.Frame, live *stream.Stream) []byte {
	tag := flv.AppendClock(nil, flv.Clock{Broadcast: live.Started().UnixMilli(), Time: f.DTS, Wall: f.Set.Anchor.At(f.DTS)})
	dst = append(fr.appendOpen(dst, len(tag)), tag...)
	return fr.appendClose(dst)
}
