package flv

import (
	"bytes"
	"testing"
	"time"

	"github.com/miju-live/miju/remux/amf0"
)

func TestClockTag(t *testing.T) {
	wall := time.UnixMilli(1_790_000_000_123)
	for _, at := range []time.Duration{
		0,
		61250*time.Millisecond + 400*time.Microsecond,
		1<<32*time.Millisecond + time.Second, // where FLV's timestamp has wrapped
	} {
		tag := AppendClock(nil, Clock{Broadcast: 7, Time: at, Wall: wall})
		r := NewReader(bytes.NewReader(append(AppendFileHeader(nil, true, false), tag...)))
		typ, timestamp, body, err := r.ReadTag()
		if err != nil || typ != TypeScript || timestamp != 0 {
			t.Fatalf("a tag of type %d at %v, %v", typ, timestamp, err)
		}
		d := amf0.NewDecoder(body)
		name, err1 := d.Next()
		value, err2 := d.Next()
		want := amf0.ECMAArray{
			{Name: "name", Value: amf0.String("miju.clock")},
			{Name: "broadcast", Value: amf0.Number(7)},
			{Name: "mediaTime", Value: amf0.Number(at.Milliseconds())},
			{Name: "wallClock", Value: amf0.Number(1_790_000_000_123)},
		}
		if name != amf0.String("onCuePoint") || !bytes.Equal(amf0.Append(nil, value), amf0.Append(nil, want)) || len(d.Rest()) > 0 {
			t.Errorf("%v %v (%v, %v), then %d bytes", name, value, err1, err2, len(d.Rest()))
		}
		var demuxer Demuxer
		if err := demuxer.Write(typ, timestamp, body); err != nil {
			t.Error(err)
		}
		if f, ok := demuxer.Next(); ok {
			t.Errorf("it is passed on as a frame of %v", f.Track.Codec)
		}
	}
}

// TestOtherCuePoints: what encoders mark is theirs.
func TestOtherCuePoints(t *testing.T) {
	for _, v := range []amf0.Value{
		amf0.ECMAArray{{Name: "name", Value: amf0.String("clock")}, {Name: "time", Value: amf0.Number(1)}},
		amf0.Object{{Name: "name", Value: amf0.Number(1)}},
		amf0.String("miju.clock"),
	} {
		var d Demuxer
		if err := d.Write(TypeScript, time.Second, amf0.Append(nil, amf0.String("onCuePoint"), v)); err != nil {
			t.Error(err)
		}
		if f, ok := d.Next(); !ok || f.DTS != time.Second {
			t.Errorf("%v is not passed on: %+v", v, f)
		}
	}
}
