package message

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/miju-live/miju/ingest/rtmp/chunk"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/amf0"
	"github.com/miju-live/miju/remux/flv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// part is one part of an aggregate, its back pointer included.
func part(typ byte, timestamp uint32, body string) string {
	n := len(body)
	head := []byte{typ, byte(n >> 16), byte(n >> 8), byte(n), byte(timestamp >> 16), byte(timestamp >> 8), byte(timestamp), byte(timestamp >> 24), 0, 0, 0}
	n += len(head)
	return string(head) + body + string([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

type short struct {
	typ       byte
	timestamp uint32
	body      string
}

var aggregates = []struct {
	name      string
	timestamp uint32
	in        string
	want      []short
	err       error
}{
	{"nothing", 5, "", nil, nil},
	{"one part", 5, part(8, 5, "abc"), []short{{8, 5, "abc"}}, nil},
	{"times that begin at 0 are moved to the aggregate's", 1000, part(8, 0, "a") + part(9, 10, "b") + part(8, 23, "c"), []short{{8, 1000, "a"}, {9, 1010, "b"}, {8, 1023, "c"}}, nil},
	{"times that need no move", 1000, part(8, 1000, "a") + part(9, 1010, "b"), []short{{8, 1000, "a"}, {9, 1010, "b"}}, nil},
	{"times above 24 bits", 0x01000010, part(8, 0x01000010, "a") + part(8, 0x01000030, "b"), []short{{8, 0x01000010, "a"}, {8, 0x01000030, "b"}}, nil},
	{"times over the wrap", 0xfffffff0, part(8, 0xfffffff0, "a") + part(8, 0x10, "b"), []short{{8, 0xfffffff0, "a"}, {8, 0x10, "b"}}, nil},
	{"a part out of order", 100, part(8, 50, "a") + part(8, 40, "b"), []short{{8, 100, "a"}, {8, 90, "b"}}, nil},
	{"an empty part", 5, part(8, 5, "") + part(9, 6, "b"), []short{{8, 5, ""}, {9, 6, "b"}}, nil},
	{"no back pointer at the end", 5, part(8, 5, "a")[:12], []short{{8, 5, "a"}}, nil},
	{"half a back pointer at the end", 5, part(8, 5, "a")[:14], []short{{8, 5, "a"}}, nil},
	{"an end inside a header", 5, part(8, 5, "a") + "\x08\x00", nil, ErrMalformed},
	{"an end inside a body", 5, part(8, 5, "abcdef")[:14], nil, ErrMalformed},
	{"a part that claims 16 MiB", 5, "\x08\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00abc", nil, ErrMalformed},
	{"far too many parts", 5, strings.Repeat(part(8, 5, ""), maxParts+1), nil, ErrTooLarge},
}

func TestAggregates(t *testing.T) {
	for _, c := range aggregates {
		t.Run(c.name, func(t *testing.T) {
			all, err := Parts(chunk.Message{Type: TypeAggregate, Timestamp: c.timestamp, Stream: 1, Body: []byte(c.in)})
			if !errors.Is(err, c.err) || len(all) != len(c.want) {
				t.Fatalf("%d parts, %v", len(all), err)
			}
			for i, m := range all {
				if got := (short{m.Type, m.Timestamp, string(m.Body)}); got != c.want[i] || m.Stream != 1 || cap(m.Body) != len(m.Body) {
					t.Errorf("part %d: %+v, want %+v", i, got, c.want[i])
				}
			}
		})
	}
}

func FuzzParts(f *testing.F) {
	for _, c := range aggregates {
		f.Add(c.timestamp, []byte(c.in[:min(len(c.in), 1000)]))
	}
	f.Fuzz(func(t *testing.T, timestamp uint32, in []byte) {
		all, err := Parts(chunk.Message{Timestamp: timestamp, Body: in})
		if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) {
			t.Fatal(err)
		}
		total := 0
		for _, m := range all {
			total += 11 + len(m.Body)
		}
		if total > len(in) || len(all) > 0 && all[0].Timestamp != timestamp {
			t.Fatalf("%d bytes in parts of %d", total, len(in))
		}
	})
}

func TestClock(t *testing.T) {
	const wrap = 1 << 32
	for _, c := range []struct {
		name string
		in   []uint32
		want []int64
	}{
		{"from 0", []uint32{0, 40, 33, 80}, []int64{0, 40, 33, 80}},
		{"one wrap", []uint32{0xffffff00, 0xffffffe0, 0x20, 0x40}, []int64{0xffffff00, 0xffffffe0, wrap + 0x20, wrap + 0x40}},
		{"out of order around a wrap", []uint32{0xfffffff0, 0x10, 0xfffffff8, 0x20, 0xffffffff, 0x30}, []int64{0xfffffff0, wrap + 0x10, 0xfffffff8, wrap + 0x20, 0xffffffff, wrap + 0x30}},
		{"two wraps", []uint32{0xfffffff0, 0x10, 0x7fffffff, 0xfffffff0, 0x10}, []int64{0xfffffff0, wrap + 0x10, wrap + 0x7fffffff, wrap + 0xfffffff0, 2*wrap + 0x10}},
		{"sequence headers at 0 and an encoder's uptime of weeks", []uint32{0, 0, 3_000_000_000, 3_000_000_040}, []int64{0, 0, 3_000_000_000, 3_000_000_040}},
		{"a jump back to 0 by an encoder that began again", []uint32{1_000_000, 0, 40}, []int64{1_000_000, 0, 40}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var clock Clock
			for i, in := range c.in {
				want := time.Duration(c.want[i]) * time.Millisecond
				if peek := clock.Peek(in); peek != want {
					t.Errorf("%d: peek %v, want %v", i, peek, want)
				}
				if got := clock.Time(in); got != want {
					t.Errorf("%d: %v, want %v", i, got, want)
				}
			}
		})
	}
}

// A hundred days of two tracks, sampled: what the clock says keeps rising.
func TestClockOverMonths(t *testing.T) {
	var clock Clock
	last := time.Duration(-1)
	for at := time.Duration(0); at < 100*24*time.Hour; at += 97*time.Second + time.Millisecond {
		for _, behind := range []time.Duration{0, 300 * time.Millisecond} { // sound behind picture
			d := max(at-behind, 0)
			if got := clock.Time(uint32(d / time.Millisecond)); got != d {
				t.Fatalf("at %v: %v", d, got)
			}
		}
		if got := clock.Peek(uint32(at / time.Millisecond)); got <= last {
			t.Fatalf("%v after %v", got, last)
		} else {
			last = got
		}
	}
}

// Metadata at timestamp 0 in the middle of a stream does not move its clock.
func TestDataLeavesTheClockAlone(t *testing.T) {
	var d Demuxer
	f := func(typ byte, timestamp uint32, body string) (media.Frame, bool) {
		t.Helper()
		if err := d.Add(chunk.Message{Type: typ, Timestamp: timestamp, Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
		f, ok, err := d.Next()
		if err != nil {
			t.Fatal(err)
		}
		return f, ok
	}
	f(TypeAudio, 0xfffffff0, "\xaf\x00\x11\x90")
	for _, step := range []struct {
		timestamp uint32
		want      time.Duration
	}{{0xfffffff0, 0xfffffff0}, {0x10, 1<<32 + 0x10}, {0x30, 1<<32 + 0x30}} {
		if _, ok := f(TypeData, 0, "\x02\x00\x0aonMetaData\x05"); ok {
			t.Error("metadata is no frame")
		}
		if got, ok := f(TypeAudio, step.timestamp, "\xaf\x01abc"); !ok || got.DTS != step.want*time.Millisecond {
			t.Errorf("%v, want %v", got.DTS, step.want*time.Millisecond)
		}
	}
}

// An aggregate's frames come one by one with their times; a command or another
// aggregate in it is nothing.
func TestAggregateOfFrames(t *testing.T) {
	var d Demuxer
	if err := d.Add(chunk.Message{Type: TypeAggregate, Timestamp: 5000, Body: []byte(
		part(TypeAudio, 0, "\xaf\x00\x11\x90") + part(TypeCommand, 0, "xyz") + part(TypeAudio, 0, "\xaf\x01abc") +
			part(TypeAggregate, 0, part(TypeAudio, 0, "\xaf\x01no")) + part(TypeAudio, 21, "\xaf\x01def"))}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		f, ok, err := d.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		got = append(got, f.DTS.String()+" "+string(f.Data))
	}
	if want := []string{"5s abc", "5.021s def"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if err := d.Add(chunk.Message{Type: TypeAggregate, Body: []byte("xyz")}); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
}

// A frame that is kept does not keep a message that is much larger.
func TestFramesHoldNoMoreThanThemselves(t *testing.T) {
	filler := strings.Repeat("x", 1<<20)
	for name, m := range map[string]chunk.Message{
		"a large message of one frame":      {Type: TypeAudio, Body: []byte("\x2f\xff\xfb\x90\x44" + filler)},
		"an aggregate":                      {Type: TypeAggregate, Body: []byte(part(TypeAudio, 0, "\x2f\xff\xfb\x90\x44abc") + part(99, 0, filler))},
		"one track of several":              {Type: TypeAudio, Body: []byte("\x95\x11.mp3\x00\x00\x00\x05\xff\xfb\x90\x44a\x01\x10\x00\x00" + filler)},
		"envelopes around data, many times": {Type: TypeData, Body: []byte(strings.Repeat("\x02\x00\x0d@setDataFrame", 10_000) + "\x02\x00\x01a")},
	} {
		t.Run(name, func(t *testing.T) {
			var d Demuxer
			if err := d.Add(m); err != nil {
				t.Fatal(err)
			}
			n := 0
			for {
				f, ok, err := d.Next()
				if err != nil {
					t.Fatal(err)
				}
				if !ok {
					break
				}
				n++
				if large := len(f.Data) > len(m.Body)/2; large != within(f.Data, m.Body) {
					t.Errorf("a frame of %d bytes of a message of %d: holds it %v", len(f.Data), len(m.Body), !large)
				}
			}
			if n == 0 {
				t.Error("no frame")
			}
		})
	}
}

// within reports whether data is a slice of body.
func within(data, body []byte) bool {
	for i := range body {
		if &body[i] == &data[0] {
			return true
		}
	}
	return false
}

func TestCommandsAreReadBack(t *testing.T) {
	for _, typ := range []byte{TypeCommand, TypeCommandAMF3} {
		c := Command{Name: "play", Transaction: 4, Args: []amf0.Value{amf0.Null{}, amf0.String("x"), amf0.Number(-2), amf0.Boolean(true), amf0.Object{{Name: "a", Value: amf0.String("b")}}}}
		var body []byte
		if typ == TypeCommandAMF3 {
			body = []byte{0}
		}
		got, err := ParseCommand(chunk.Message{Type: typ, Stream: 3, Body: c.Append(body)})
		o, ok := got.Object(4)
		if err != nil || got.Name != "play" || got.Transaction != 4 || got.Text(1) != "x" || got.Number(2) != -2 || !got.True(3) || !ok || o.Text("a") != "b" || got.Stream != 3 {
			t.Errorf("%+v, %v", got, err)
		}
		if got.Text(9) != "" || got.Number(1) != 0 || got.True(1) {
			t.Error("arguments that are not there")
		}
	}
}

// What is announced before frames follows their tracks.
func TestAnnouncer(t *testing.T) {
	s := mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2)}
	first := s.Next()
	var a Announcer
	heads := func(f media.Frame) string {
		all, ok := a.Before(&f)
		var types []byte
		for _, m := range all {
			types = append(types, '0'+m.Type%10, ' ')
		}
		if !ok {
			types = append(types, '-')
		}
		return string(types)
	}
	expect := func(f media.Frame, want string) {
		t.Helper()
		if got := heads(f); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	expect(first, "8 9 8 ")
	expect(first, "")
	again := first
	again.Track = mediatest.H264Track(1) // the same record
	expect(again, "")
	changed := first
	changed.Track = mediatest.H265Track(1)
	expect(changed, "9 ")
	expect(changed, "")
	hdr := first
	hdr.Track = mediatest.H265Track(1)
	hdr.Track.Color = &media.Color{BitDepth: 10, Primaries: 9, Transfer: 16, Matrix: 9}
	expect(hdr, "9 ") // the colours alone
	same := hdr
	color := *hdr.Track.Color
	same.Track = &media.Track{ID: 1, Codec: media.H265, Config: hdr.Track.Config, Color: &color}
	expect(same, "")
	uncarried := first
	uncarried.Track = &media.Track{ID: 1} // no codec
	expect(uncarried, "-")
	data := first
	data.Track = &media.Track{ID: 3, Codec: media.Script}
	expect(data, "")

	a = Announcer{Publish: true}
	alone := mediatest.Source{Audio: mediatest.AACTrack(2)}
	sound := alone.Next()
	all, ok := a.Before(&sound)
	if !ok || len(all) != 2 || !bytes.HasPrefix(all[0].Body, amf0.Append(nil, amf0.String("@setDataFrame"), amf0.String("onMetaData"))) || all[1].Type != TypeAudio {
		t.Errorf("%+v", all)
	}
	expect(first, "-") // pictures were not there at the first frame

	a = Announcer{}
	sound.Set = &media.TrackSet{Tracks: sound.Set.Tracks, Promised: []*media.Track{{ID: 1, Codec: media.H264}}}
	expect(sound, "8 8 ")
	inside := first
	inside.RandomAccess = false
	expect(inside, "-")
	expect(first, "9 ")
	expect(inside, "")
}

// A frame's message and its data are the body of its FLV tag.
func TestOfFrame(t *testing.T) {
	s := mediatest.Source{Video: mediatest.H265Track(1)}
	f := s.Next()
	f.DTS, f.PTS = 20_000_000*time.Millisecond, 20_000_040*time.Millisecond
	for _, p := range []flv.Packing{flv.Enhanced, flv.Legacy} {
		m := OfFrame(&f, p)
		tag := flv.AppendFrameHead(nil, &f, p)
		if m.Type != TypeVideo || m.Timestamp != 20_000_000 || m.Stream != StreamID || !bytes.Equal(m.Body, tag[11:]) {
			t.Errorf("%+v", m)
		}
	}
}
