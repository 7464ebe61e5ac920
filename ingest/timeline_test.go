package ingest

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
)

var (
	video = mediatest.H264Track(1)
	audio = mediatest.AACTrack(2)
	data  = &media.Track{ID: 3, Codec: media.Script}
	epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// in is a frame from an encoder: times in milliseconds, at is its arrival.
type in struct {
	track        *media.Track
	dts, pts, at int
}

func (i in) frame() media.Frame {
	return media.Frame{Track: i.track, DTS: ms(i.dts), PTS: ms(i.pts), RandomAccess: true, Arrival: epoch.Add(ms(i.at))}
}

// run is a timeline and what it made.
type run struct {
	*timeline
	frames  []media.Frame
	repairs map[Repair]int
}

func newRun(t *testing.T) *run {
	r := &run{repairs: map[Repair]int{}}
	last := map[int]time.Duration{}
	r.timeline = newTimeline(func(f media.Frame) {
		if before, seen := last[f.Track.ID]; seen && f.DTS < before+tick {
			t.Errorf("%v: DTS %v after %v", f.Track.Codec, f.DTS, before)
		}
		if f.PTS < f.DTS || f.Set.Lookup(f.Track.ID) != f.Track {
			t.Errorf("DTS %v, PTS %v, set %v", f.DTS, f.PTS, f.Set)
		}
		last[f.Track.ID] = f.DTS
		r.frames = append(r.frames, f)
	}, func(k Repair) { r.repairs[k]++ })
	return r
}

// play begins with the first frame and writes all.
func (r *run) play(frames ...media.Frame) {
	if r.set == nil {
		r.begin(frames[:1], []*media.Track{frames[0].Track}, nil, 0)
	}
	for _, f := range frames {
		r.write(f)
	}
}

// of returns the DTS of a track's frames, in milliseconds.
func (r *run) of(id int) (all []int) {
	for _, f := range r.frames {
		if f.Track.ID == id {
			all = append(all, int(f.DTS/time.Millisecond))
		}
	}
	return all
}

// wrap is 24 bits of milliseconds.
const wrap = 1 << 24

var timelines = []struct {
	name    string
	in      []in
	want    []int // DTS in stream time
	repairs map[Repair]int
}{
	{"begins at zero", []in{{video, 1400, 1480, 0}, {video, 1433, 1433, 33}}, []int{0, 33}, nil},
	{"sound from before the first picture is left out", []in{{video, 1400, 1400, 0}, {audio, 1390, 1390, 5}, {audio, 1411, 1411, 10}}, []int{0, 11}, nil},
	{"equal and straggling DTS", []in{{video, 0, 0, 0}, {video, 0, 0, 33}, {video, -20, -20, 66}, {video, 100, 100, 100}}, []int{0, 1, 2, 100}, map[Repair]int{RepairNotRising: 2}},
	{
		"encoder counts anew",
		[]in{{video, 100000, 100000, 0}, {video, 100033, 100033, 33}, {video, 0, 0, 66}, {audio, 3, 3, 70}, {video, 33, 33, 99}},
		[]int{0, 33, 66, 69, 99},
		map[Repair]int{RepairBack: 1},
	},
	{"PTS before DTS", []in{{video, 50, 10, 0}}, []int{0}, map[Repair]int{RepairNegative: 1}},
	{
		"24-bit wrap, sound still in the old time",
		[]in{
			{video, wrap - 40, wrap - 40, 0},
			{audio, wrap - 30, wrap - 30, 5},
			{video, wrap - 7, wrap - 7, 33},
			{video, 26, 26, 66},
			{audio, wrap - 7, wrap - 7, 67},
			{video, 60, 60, 100},
			{audio, 16, 16, 101},
			{audio, 39, 39, 102},
		},
		[]int{0, 10, 33, 66, 33, 100, 56, 79},
		map[Repair]int{RepairBack: 2},
	},
	{
		"forward by more than the time that passed",
		[]in{
			{video, 0, 0, 0}, {audio, 10, 10, 10}, {video, 33, 33, 33}, {video, 3600066, 3600066, 66}, {audio, 33, 33, 67}, {audio, 3600056, 3600056, 80}, {video, 3600100, 3600100, 100},
		},
		[]int{0, 10, 33, 66, 33, 56, 100},
		map[Repair]int{RepairForward: 2},
	},
	{"a still screen stays a gap", []in{{video, 0, 0, 0}, {video, 9000, 9000, 9000}, {video, 9033, 9033, 9033}}, []int{0, 9000, 9033}, nil},
	{
		"a still screen while the network stalls",
		[]in{{video, 0, 0, 0}, {video, 33, 33, 33}, {video, 66, 66, 7000}, {video, 5000, 5000, 7001}, {video, 5033, 5033, 7002}},
		[]int{0, 33, 66, 5000, 5033},
		nil,
	},
	{
		"a catch-up after the network stalled",
		[]in{{video, 0, 0, 0}, {video, 33, 33, 33}, {video, 900, 900, 4000}, {video, 1800, 1800, 4000}, {video, 2700, 2700, 4000}, {video, 3600, 3600, 4001}},
		[]int{0, 33, 900, 1800, 2700, 3600},
		nil,
	},
	{
		"sound seconds ahead waits for its pictures",
		[]in{{video, 0, 0, 0}, {audio, 3000, 3000, 5}, {video, 33, 33, 33}, {audio, 3021, 3021, 36}, {video, 2980, 2980, 2980}, {video, 3013, 3013, 3013}, {video, 3046, 3046, 3046}},
		[]int{0, 33, 2980, 3000, 3013, 3021, 3046},
		map[Repair]int{RepairSkew: 1},
	},
	{"sound with a time of its own", []in{{video, 0, 0, 0}, {video, 33, 33, 33}, {audio, 86400000, 86400000, 35}, {audio, 86400023, 86400023, 58}, {video, 66, 66, 66}}, []int{0, 33, 35, 58, 66}, map[Repair]int{RepairBase: 1}},
	{
		"only the sound jumps",
		[]in{{video, 0, 0, 0}, {audio, 0, 0, 0}, {video, 33, 33, 33}, {audio, 23, 23, 34}, {audio, 500023, 500023, 46}, {video, 66, 66, 66}, {audio, 500046, 500046, 69}, {video, 100, 100, 100}},
		[]int{0, 0, 33, 23, 46, 66, 69, 100},
		map[Repair]int{RepairForward: 1},
	},
	{
		"a single frame with a wild time",
		[]in{{video, 0, 0, 0}, {video, 33, 33, 33}, {video, 9999999, 9999999, 66}, {video, 100, 100, 100}, {video, 133, 133, 133}},
		[]int{0, 33, 66, 100, 133},
		map[Repair]int{RepairForward: 1, RepairBack: 1},
	},
	{
		"two times taking turns on one track",
		[]in{{video, 0, 0, 0}, {video, 70000, 70000, 33}, {video, 66, 66, 66}, {video, 70066, 70066, 100}, {video, 133, 133, 133}},
		[]int{0, 33, 66, 99, 133},
		map[Repair]int{RepairForward: 2, RepairBack: 2},
	},
	{
		"the tracks jump by a little more and a little less than is noticed",
		[]in{
			{video, 0, 0, 0}, {audio, 0, 0, 1}, {video, 33, 33, 33}, {audio, 23, 23, 34}, {video, 1096, 1096, 66}, {audio, 1046, 1046, 67}, {video, 1129, 1129, 99}, {audio, 1069, 1069, 100},
		},
		[]int{0, 0, 33, 23, 66, 24, 99, 39},
		map[Repair]int{RepairForward: 2, RepairNotRising: 1},
	},
	{"data without a time", []in{{video, 50000, 50000, 0}, {video, 50033, 50033, 33}, {data, 0, 0, 34}, {data, 0, 0, 35}, {video, 50066, 50066, 66}}, []int{0, 33, 33, 34, 66}, map[Repair]int{RepairNotRising: 1}},
}

func TestTimeline(t *testing.T) {
	for _, c := range timelines {
		t.Run(c.name, func(t *testing.T) {
			r := newRun(t)
			for _, f := range c.in {
				r.play(f.frame())
			}
			r.flush()
			var got []int
			for _, f := range r.frames {
				got = append(got, int(f.DTS/time.Millisecond))
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) || !maps.Equal(r.repairs, c.repairs) || r.set.Epoch != 0 {
				t.Errorf("got  %v, %v\nwant %v, %v", got, r.repairs, c.want, c.repairs)
			}
		})
	}
}

// TestNegativeCompositionKeepsTheOrder: an encoder whose DTS are two frames
// late still has its pictures shown when and in the order it says.
func TestNegativeCompositionKeepsTheOrder(t *testing.T) {
	r := newRun(t)
	shown := []int{66, 166, 100, 133, 266, 200, 233, 366, 300, 333}
	for i, pts := range shown {
		dts := 66 + i*1000/30
		r.play(in{video, dts, pts, dts}.frame())
	}
	var got []int
	for _, f := range r.frames {
		got = append(got, int((f.PTS+r.lanes[1].in)/time.Millisecond)-int(r.lanes[1].in/time.Millisecond)+66)
	}
	for i := range got {
		if d := got[i] - shown[i]; d < 0 || d > 2 {
			t.Errorf("shown at %v, not %v", got, shown)
			break
		}
	}
	if r.repairs[RepairNegative] == 0 {
		t.Error(r.repairs)
	}
}

func TestBrokenTimesKeepTheirTracksTogether(t *testing.T) {
	// Sound is 40 ms ahead; both wrap at 24 bits, an hour's stream.
	r := newRun(t)
	base := 1<<24 - 1800_000
	for n := range 3600 * 4 {
		at := n * 250
		v, a := (base+at)%(1<<24), (base+at+40)%(1<<24)
		r.play(in{video, v, v, at}.frame(), in{audio, a, a, at + 1}.frame())
	}
	videos, sounds := r.of(1), r.of(2)
	if len(videos) != len(sounds) || r.repairs[RepairBack] != 2 || len(r.repairs) != 1 {
		t.Fatal(len(videos), len(sounds), r.repairs)
	}
	for i := range videos {
		if videos[i] != i*250 || sounds[i] != i*250+40 {
			t.Fatalf("frame %d: %d and %d", i, videos[i], sounds[i])
		}
	}
}

func TestTracksOfATimeline(t *testing.T) {
	other, err := media.NewAACTrack(2, []byte{0x12, 0x10})
	if err != nil {
		t.Fatal(err)
	}
	r := newRun(t)
	r.play(in{video, 0, 0, 0}.frame(), in{video, 33, 33, 33}.frame())
	again := *video
	r.play(in{&again, 66, 66, 66}.frame())
	if r.frames[2].Set != r.frames[0].Set || r.frames[2].Track != video {
		t.Error("a track that is said again is a new one")
	}
	r.play(in{audio, 66, 66, 70}.frame(), in{video, 100, 100, 100}.frame(), in{other, 90, 90, 110}.frame())
	for i, want := range [][]*media.Track{{video}, {video}, {video}, {video, audio}, {video, audio}, {video, other}} {
		if got := r.frames[i].Set.Tracks; !slices.Equal(got, want) {
			t.Errorf("frame %d: %v", i, got)
		}
	}
}

func TestResume(t *testing.T) {
	prev := &media.TrackSet{Epoch: 4, Tracks: []*media.Track{video, audio}, Anchor: media.Anchor{Wall: epoch.Add(-time.Hour)}}
	newest := 100*time.Second + 1234567
	delta := func(i in) media.Frame { f := i.frame(); f.RandomAccess = false; return f }
	other := mediatest.H265Track(1)
	samev, samea := *video, *audio
	for _, c := range []struct {
		name   string
		tracks []*media.Track
		in     []media.Frame
		want   []int // above newest, in milliseconds
		set    []*media.Track
	}{
		{"same tracks", []*media.Track{&samev, &samea}, []media.Frame{in{&samev, 500, 500, 0}.frame(), in{&samea, 510, 510, 10}.frame(), delta(in{&samev, 533, 533, 33})}, []int{33, 43, 66}, []*media.Track{video, audio}},
		{"sound first, straggling pictures", []*media.Track{&samev, &samea}, []media.Frame{in{&samea, 510, 510, 0}.frame(), in{&samev, 500, 500, 10}.frame(), in{&samea, 531, 531, 20}.frame()}, []int{43, 33, 64}, []*media.Track{video, audio}},
		{
			"begins inside a GOP",
			[]*media.Track{&samev, &samea},
			[]media.Frame{delta(in{&samev, 400, 400, 0}), in{&samea, 410, 410, 10}.frame(), delta(in{&samev, 433, 433, 33}), in{&samev, 466, 466, 66}.frame(), delta(in{&samev, 500, 500, 100})},
			[]int{21, 77, 111},
			[]*media.Track{video, audio},
		},
		{"no random access point at all", []*media.Track{video}, []media.Frame{delta(in{video, 0, 0, 0}), delta(in{video, 9999, 9999, 9999}), delta(in{video, 10000, 10000, 10000}), delta(in{video, 10033, 10033, 10033})}, []int{33, 33, 66, 54}, []*media.Track{video, audio}},
		{"a picture from before the sound", []*media.Track{audio}, []media.Frame{in{audio, 510, 510, 0}.frame(), in{video, 480, 480, 10}.frame()}, []int{63, 33}, []*media.Track{video, audio}},
		{"another codec", []*media.Track{other, audio}, []media.Frame{in{other, 7, 7, 0}.frame(), in{audio, 7, 7, 0}.frame()}, []int{33, 33}, []*media.Track{other, audio}},
		{"without its sound", []*media.Track{video}, []media.Frame{in{video, 7, 7, 0}.frame()}, []int{33, 33}, []*media.Track{video, audio}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRun(t)
			if !r.begin(c.in, c.tracks, prev, newest) {
				t.Fatal("no frame of use")
			}
			for _, f := range c.in {
				r.write(f)
			}
			var got []int
			for _, f := range r.frames {
				got = append(got, int((f.DTS-newest)/time.Millisecond))
				if f.Set.Epoch != 5 || f.DTS < newest+tick {
					t.Errorf("epoch %d, DTS %v", f.Set.Epoch, f.DTS)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) || !slices.Equal(r.set.Tracks, c.set) {
				t.Errorf("got %v, tracks %v", got, r.set.Tracks)
			}
			first := r.frames[0]
			if d := r.set.Anchor.At(first.DTS).Sub(first.Arrival); d.Abs() > 40*time.Millisecond {
				t.Errorf("the anchor is off by %v", d)
			}
		})
	}
}
