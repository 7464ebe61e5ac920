package flv

import (
	"time"

	"github.com/miju-live/miju/remux/amf0"
)

// nameClock is the function of the script tag that AppendClock makes.
const nameClock = "onClock"

// Clock tells players where they are: many show timestamps less that of the
// first frame that they got, and do not say which that was.
type Clock struct {
	// Broadcast is the number by which the chat knows this life of the stream.
	Broadcast int64
	// Time is the stream time of the tag, and of the next frame's decoding.
	Time time.Duration
	// Wall is the wall-clock time of Time.
	Wall time.Time
}

// AppendClock appends a whole script tag (E.4.4) with c, all in milliseconds:
// onClock({broadcast, mediaTime, wallClock}). The timestamp of FLV wraps, its
// mediaTime does not.
func AppendClock(dst []byte, c Clock) []byte {
	return appendTag(dst, TypeScript, amf0.Append(nil, amf0.String(nameClock), amf0.ECMAArray{
		{Name: "broadcast", Value: amf0.Number(c.Broadcast)},
		{Name: "mediaTime", Value: amf0.Number(milliseconds(c.Time))},
		{Name: "wallClock", Value: amf0.Number(c.Wall.UnixMilli())},
	}), c.Time)
}
