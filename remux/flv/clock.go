package flv

import (
	"slices"
	"time"

	"github.com/miju-live/miju/remux/amf0"
)

// nameCuePoint is the function of cue points, and clockName the name of the one
// that AppendClock makes.
const (
	nameCuePoint = "onCuePoint"
	clockName    = "miju.clock"
)

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
// onCuePoint({name: "miju.clock", broadcast, mediaTime, wallClock}). Its timestamp
// is 0 wherever it stands, or ffmpeg would take it for a stream of data.
func AppendClock(dst []byte, c Clock) []byte {
	return appendTag(dst, TypeScript, amf0.Append(nil, amf0.String(nameCuePoint), amf0.ECMAArray{
		{Name: "name", Value: amf0.String(clockName)},
		{Name: "broadcast", Value: amf0.Number(c.Broadcast)},
		{Name: "mediaTime", Value: amf0.Number(milliseconds(c.Time))},
		{Name: "wallClock", Value: amf0.Number(c.Wall.UnixMilli())},
	}), 0)
}

// isClock reports whether the values of a cue point are those of a clock.
func isClock(values []byte) bool {
	v, err := amf0.NewDecoder(values).Next()
	properties, ok := v.(amf0.ECMAArray)
	if o, isObject := v.(amf0.Object); isObject {
		properties, ok = amf0.ECMAArray(o), true
	}
	return err == nil && ok && slices.ContainsFunc(properties, func(p amf0.Property) bool {
		return p.Name == "name" && p.Value == amf0.String(clockName)
	})
}
