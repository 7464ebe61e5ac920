package origin

import (
	"testing"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/amf0"
	"github.com/miju-live/miju/remux/flv"
	"github.com/miju-live/miju/stream"
)

// Every viewer gets a clock before its first frame and before the first of each
// second, the same bytes as all others.
func TestFLVClock(t *testing.T) {
	s := newSite(t)
	source := &mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2), GOP: 30}
	var newest time.Duration
	wall := time.UnixMilli(1_790_000_000_000)
	write := func(until time.Duration) {
		for newest < until {
			f := source.Next()
			set := *f.Set
			set.Anchor = media.Anchor{Wall: wall}
			f.Set, newest = &set, max(newest, f.DTS)
			s.pub.Write(f)
		}
	}
	write(1500 * time.Millisecond)
	_, body := s.open(t, "/live/x.flv")
	waitViewer(t, s)
	write(5 * time.Second)
	s.pub.Close()
	r := flv.NewReader(body)
	clocks, lastSecond := 0, time.Duration(-1)
	var clock map[string]float64 // the one before the next frame
	for after := ""; ; {
		typ, timestamp, b, err := r.ReadTag()
		if err != nil {
			break
		}
		switch {
		case typ != flv.TypeScript && b[1] != 0 && after == "clock" && timestamp/time.Second <= lastSecond:
			t.Errorf("a clock before the frame at %v", timestamp)
		case typ != flv.TypeScript && b[1] != 0 && after != "clock" && timestamp/time.Second > lastSecond:
			t.Errorf("no clock before the frame at %v", timestamp)
		}
		if after = ""; typ != flv.TypeScript {
			if b[1] != 0 {
				checkClock(t, clock, float64(timestamp.Milliseconds()), float64(s.pub.Stream().Started().UnixMilli()))
				clock = nil
				lastSecond = max(lastSecond, timestamp/time.Second)
			}
			continue
		}
		d := amf0.NewDecoder(b)
		if name, err := d.Next(); err != nil || name != amf0.String("onCuePoint") {
			continue // onMetaData
		}
		v, err := d.Next()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, p := range v.(amf0.ECMAArray) {
			n, _ := p.Value.(amf0.Number) // the name is none
			got[p.Name] = float64(n)
		}
		clock = got
		clocks++
		after = "clock"
	}
	if clocks != 5 && clocks != 4 {
		t.Errorf("%d clocks in four seconds", clocks)
	}
}

// checkClock compares a clock with the frame behind it, which is at a time.
func checkClock(t *testing.T, clock map[string]float64, at, broadcast float64) {
	t.Helper()
	if clock == nil {
		return
	}
	// The wall clock is that of the frame, which is between two milliseconds.
	if clock["mediaTime"] != at || clock["broadcast"] != broadcast || max(clock["wallClock"]-at-1.79e12, 1.79e12+at-clock["wallClock"]) > 1 {
		t.Errorf("at %v: %v", at, clock)
	}
}

// A clock that was made costs the next viewer nothing.
func TestFLVClockIsShared(t *testing.T) {
	pub := publishLive(t)
	source := &mediatest.Source{Video: mediatest.H264Track(1), GOP: 10}
	for range 30 {
		pub.Write(source.Next())
	}
	reader := pub.Stream().NewReader(stream.ReaderOptions{})
	defer reader.Close()
	batch, err := reader.NextBatch(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	first := frameChunk.clock(batch[0], pub.Stream())
	if again := frameChunk.clock(batch[0], pub.Stream()); &again[0][0] != &first[0][0] {
		t.Error("it was made twice")
	}
	if n := testing.AllocsPerRun(100, func() { frameChunk.clock(batch[0], pub.Stream()) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
