package bench

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// lowLatency is a playlist of a server with parts: segments 10 to 12, and 13
// that grows.
const lowLatency = `#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:4
#EXT-X-PART-INF:PART-TARGET=0.5
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5,HOLD-BACK=12.0,CAN-SKIP-UNTIL=24.0
#EXT-X-MEDIA-SEQUENCE:10
#EXT-X-MAP:URI="init.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.000Z
#EXTINF:2.00000,
10.mp4
#EXTINF:2.00000,
11.mp4
#EXT-X-PART:DURATION=1.0,URI="12-0.mp4",INDEPENDENT=YES
#EXT-X-PART:DURATION=1.0,URI="12-1.mp4"
#EXTINF:2.00000,
12.mp4
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="init2.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T01:00:00.000+01:00
#EXT-X-PART:DURATION=0.5,URI="13-0.mp4",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.5,URI="13-1.mp4"
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="13-2.mp4"
#EXT-X-RENDITION-REPORT:URI="audio.m3u8",LAST-MSN=13,LAST-PART=1
`

// update is a delta update of the same with two segments left out.
var update = func() string {
	head, rest, _ := strings.Cut(lowLatency, "#EXT-X-MAP:URI=\"init.mp4\"\n")
	_, rest, _ = strings.Cut(rest, "11.mp4\n")
	return head + "#EXT-X-SKIP:SKIPPED-SEGMENTS=2\n" + rest
}()

const ranges = `#EXTM3U
#EXT-X-TARGETDURATION:4
#EXT-X-MAP:URI="all.mp4",BYTERANGE="100@0"
#EXTINF:4,
#EXT-X-BYTERANGE:1000@100
all.mp4
#EXTINF:4,title, with a comma
#EXT-X-BYTERANGE:500
all.mp4
#EXT-X-GAP
#EXTINF:4,
none.mp4
#EXT-X-ENDLIST
`

func TestParseMedia(t *testing.T) {
	l, err := parseMedia(lowLatency)
	if err != nil {
		t.Fatal(err)
	}
	if l.target != 4*time.Second || l.partTarget != time.Second/2 || !l.low() || !l.skips || l.ended || l.holdBack != 12*time.Second || l.partHoldBack != 1500*time.Millisecond || l.hint.uri != "13-2.mp4" {
		t.Errorf("%+v", l)
	}
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, want := range []struct {
		uri, init string
		number    int64
		date      time.Time
		parts     int
	}{
		{"10.mp4", "init.mp4", 10, day, 0},
		{"11.mp4", "init.mp4", 11, day.Add(2 * time.Second), 0},
		{"12.mp4", "init.mp4", 12, day.Add(4 * time.Second), 2},
		{"", "init2.mp4", 13, day, 2},
	} {
		if s := l.segments[i]; s.uri != want.uri || s.init.uri != want.init || s.number != want.number || !s.date.Equal(want.date) || len(s.parts) != want.parts {
			t.Errorf("%+v, want %+v", s, want)
		}
	}
	if d, err := parseMedia(update); err != nil || d.skipped != 2 || len(d.segments) != 2 || d.segments[0].number != 12 || d.segments[1].number != 13 {
		t.Errorf("%+v %v", d, err)
	}
	r, err := parseMedia(strings.ReplaceAll(ranges, "\n", "\r\n"))
	if err != nil || !r.ended || r.low() || r.segments[0].init != (resource{"all.mp4", 0, 100}) || r.segments[0].resource != (resource{"all.mp4", 100, 1000}) ||
		r.segments[1].resource != (resource{"all.mp4", 1100, 500}) || !r.segments[2].gap || r.segments[2].number != 2 {
		t.Errorf("%+v %v", r, err)
	}
}

// badLists are what no player could play.
var badLists = []string{
	"", "<html>", "#EXTM3U\n", "#EXTM3U\n#EXT-X-TARGETDURATION:x\n", "#EXTM3U\n#EXT-X-TARGETDURATION:-1\n", "#EXTM3U\n#EXT-X-TARGETDURATION:NaN\n",
	"#EXTM3U\n#EXT-X-TARGETDURATION:1e300\n", "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:-1\n",
	"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:9223372036854775807\n", "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-PART:URI=\"x\"\n",
	"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-PROGRAM-DATE-TIME:yesterday\n", "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-SKIP:\n",
	"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MAP:URI=\"x\",BYTERANGE=\"a@b\"\n",
	"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-SERVER-CONTROL:HOLD-BACK=x\n",
}

func TestBadPlaylists(t *testing.T) {
	for _, s := range badLists {
		if l, err := parseMedia(s); !errors.Is(err, errProtocol) {
			t.Errorf("%q: %+v %v", s, l, err)
		}
	}
}

func TestParseMultivariant(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       multivariant
		bad        bool
	}{
		{"with sound of its own", "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"b\",URI=\"other.m3u8\"\n" +
			"#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"x, y\",URI=\"first.m3u8\"\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",DEFAULT=YES,URI=\"second.m3u8\"\n" +
			"#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"a,b\",AUDIO=\"a\"\nhigh.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n", multivariant{"high.m3u8", "second.m3u8"}, false},
		{"without", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n\n#EXT-X-OTHER\nv.m3u8", multivariant{"v.m3u8", ""}, false},
		{"nothing", "#EXTM3U\n", multivariant{}, true},
	} {
		if m, err := parseMultivariant(c.text); m != c.want || (err != nil) != c.bad {
			t.Errorf("%s: %+v %v", c.name, m, err)
		}
	}
}

func TestPositions(t *testing.T) {
	l, err := parseMedia(lowLatency)
	if err != nil {
		t.Fatal(err)
	}
	d, err := parseMedia(update)
	if err != nil {
		t.Fatal(err)
	}
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		list  *mediaList
		at    position
		parts bool
		place place
		uri   string
		next  position
		date  time.Duration
	}{
		{l, position{10, 0}, true, here, "10.mp4", position{11, 0}, 0},
		{l, position{12, 1}, true, here, "12-1.mp4", position{12, 2}, 5 * time.Second},
		{l, position{12, 2}, true, here, "13-0.mp4", position{13, 1}, 0},
		{l, position{13, 1}, true, here, "13-1.mp4", position{13, 2}, time.Second / 2},
		{l, position{13, 2}, true, ahead, "", position{}, 0},
		{l, position{14, 0}, true, ahead, "", position{}, 0},
		{l, position{9, 0}, true, behind, "", position{}, 0},
		{l, position{12, 0}, false, here, "12.mp4", position{13, 0}, 4 * time.Second},
		{l, position{13, 0}, false, ahead, "", position{}, 0},
		{d, position{11, 0}, true, behind, "", position{}, 0},
		{d, position{12, 0}, true, here, "12-0.mp4", position{12, 1}, 0},
	} {
		p, where := c.list.at(c.at, c.parts)
		if where != c.place || p.uri != c.uri || p.next != c.next || c.list == l && c.uri != "" && !p.date.Equal(day.Add(c.date)) {
			t.Errorf("at %v (parts %v): %+v, %v", c.at, c.parts, p, where)
		}
	}
	// 1.5 s back is in the middle of 12, half a second behind where it begins.
	if p, lead := l.start(true); p != (position{12, 0}) || lead != 1500*time.Millisecond {
		t.Errorf("with parts it begins at %v, %v before", p, lead)
	}
	l.holdBack = 3 * time.Second
	if p, lead := l.start(false); p != (position{11, 0}) || lead != time.Second {
		t.Errorf("without parts it begins at %v, %v before", p, lead)
	}
	l.holdBack = 0
	if p, lead := l.start(false); p != (position{10, 0}) || lead != 0 {
		t.Errorf("with too little it begins at %v, %v before", p, lead)
	}
	if got := l.wanted(); got != (position{13, 2}) {
		t.Errorf("it wants %v", got)
	}
	if got := (&mediaList{sequence: 5}).wanted(); got != (position{5, 0}) {
		t.Errorf("of nothing it wants %v", got)
	}
}

func FuzzPlaylist(f *testing.F) {
	f.Add(lowLatency)
	f.Add(update)
	f.Add(ranges)
	for _, s := range badLists {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		parseMultivariant(s)
		l, err := parseMedia(s)
		if err != nil {
			if !errors.Is(err, errProtocol) {
				t.Error(err)
			}
			return
		}
		for _, parts := range []bool{true, false} {
			at, lead := l.start(parts)
			if lead < 0 {
				t.Errorf("begins %v late", lead)
			}
			// A player comes to an end, and forward all the time.
			for range len(s) + 1 {
				p, where := l.at(at, parts)
				if where != here {
					break
				}
				if p.next.number < at.number || p.next == at {
					t.Fatalf("from %v to %v", at, p.next)
				}
				at = p.next
			}
			if _, where := l.at(at, parts); where == here {
				t.Error("it never ends")
			}
		}
		l.wanted()
	})
}

func TestBuffer(t *testing.T) {
	began := time.Now()
	at := func(s float64) time.Time { return began.Add(time.Duration(s * float64(time.Second))) }
	second := time.Second
	t.Run("a player that has all in time", func(t *testing.T) {
		b := newBuffer(2)
		b.start(0, began, second/2)
		b.start(1, at(0.25), 0) // shows from 0.5 on, too
		if _, playing := b.add(0, second, at(0)); playing {
			t.Error("it plays without sound")
		}
		if ahead, playing := b.add(1, second, at(0)); !playing || ahead != 750*time.Millisecond {
			t.Errorf("%v ahead", ahead)
		}
		if ahead, _ := b.add(0, second, at(0.25)); ahead != 1250*time.Millisecond {
			t.Errorf("%v ahead", ahead)
		}
		if stalls, _ := b.take(at(0.5)); stalls != 0 {
			t.Errorf("%d stalls", stalls)
		}
	})
	t.Run("one that runs dry twice", func(t *testing.T) {
		b := newBuffer(1)
		b.add(0, second, at(0))
		b.look(at(1.5))
		b.add(0, second, at(2)) // a second late; shown until 3
		b.add(0, second, at(3.5))
		if stalls, stalled := b.take(at(3.5)); stalls != 2 || stalled != 1500*time.Millisecond {
			t.Errorf("%d stalls of %v", stalls, stalled)
		}
		b.finish()
		if stalls, stalled := b.take(at(9)); stalls+int(stalled) != 0 {
			t.Errorf("%d stalls of %v behind the end", stalls, stalled)
		}
	})
}

func TestListsAreReadOnce(t *testing.T) {
	l := newLists()
	first, err := l.parse([]byte(lowLatency), false)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := l.parse([]byte(lowLatency), false); err != nil || again != first {
		t.Errorf("%p is not %p, %v", again, first, err)
	}
	for i := range 2 * maxLists {
		if _, err := l.parse(fmt.Append(nil, lowLatency, "#", i), false); err != nil {
			t.Fatal(err)
		}
	}
	if len(l.known) != maxLists || len(l.order) != maxLists {
		t.Errorf("%d lists are remembered", len(l.known))
	}
	if again, err := l.parse([]byte(lowLatency), false); err != nil || again == first || !reflect.DeepEqual(again, first) {
		t.Error(err)
	}
	if _, err := l.parse([]byte("x"), true); !errors.Is(err, errProtocol) {
		t.Error(err)
	}
}
