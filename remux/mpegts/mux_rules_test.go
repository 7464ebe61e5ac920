package mpegts

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
)

// mux writes frames, whose Set is set, as one reader would.
func mux(t *testing.T, frames []media.Frame) (out []byte, w *walk) {
	t.Helper()
	var state State
	w = &walk{}
	for i := range frames {
		p, err := NewProgram(frames[i].Set)
		if err != nil {
			t.Fatal(err)
		}
		b := AppendFrame(nil, state, p, &frames[i])
		state.Follow(p, &frames[i], SpanOf(b))
		w.read(t, b)
		out = append(out, b...)
	}
	return out, w
}

// synthetic takes n frames of a source, in order of DTS with sound moved by
// ahead.
func synthetic(s *mediatest.Source, n int, ahead time.Duration) (frames []media.Frame) {
	for range n {
		frames = append(frames, withoutZeros(s.Next()))
	}
	order := func(f media.Frame) time.Duration {
		if f.Track.Kind() == media.KindAudio {
			return f.DTS - ahead
		}
		return f.DTS
	}
	slices.SortStableFunc(frames, func(a, b media.Frame) int { return int(order(a) - order(b)) })
	// A reader begins with a picture.
	first := slices.IndexFunc(frames, func(f media.Frame) bool { return f.Track.Kind() == media.KindVideo || s.Video == nil })
	return frames[first:]
}

func TestClockReferences(t *testing.T) {
	video, audio := mediatest.H264Track(1), mediatest.AACTrack(2)
	slow, err := media.NewAACTrack(2, []byte{0x15, 0x88}) // 8 kHz: frames of 128 ms
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		source mediatest.Source
		ahead  time.Duration
	}{
		{"sound beside its picture", mediatest.Source{Video: video, Audio: audio}, 0},
		{"sound 300 ms ahead", mediatest.Source{Video: video, Audio: audio}, 300 * time.Millisecond},
		{"sound 400 ms late", mediatest.Source{Video: video, Audio: audio}, -400 * time.Millisecond},
		{"slow pictures, sound 300 ms ahead", mediatest.Source{Video: video, Audio: audio, FrameRate: 2, GOP: 4}, 300 * time.Millisecond},
		{"slow pictures, sound 200 ms late", mediatest.Source{Video: video, Audio: audio, FrameRate: 2, GOP: 4}, -200 * time.Millisecond},
		{"slow pictures and long frames of sound", mediatest.Source{Video: video, Audio: slow, FrameRate: 2, GOP: 4}, 0},
		{"slow pictures alone", mediatest.Source{Video: video, FrameRate: 3, GOP: 4}, 0},
		{"long frames of sound alone", mediatest.Source{Audio: slow}, 0},
		{"one picture a second", mediatest.Source{Video: video, FrameRate: 1, GOP: 2}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, w := mux(t, synthetic(&c.source, 400, c.ahead))
			w.checkPCRs(t)
			if len(w.pcrs) < 100 || w.breaks > 0 {
				t.Errorf("%d clock references, %d breaks", len(w.pcrs), w.breaks)
			}
		})
	}
}

// TestHoleInTheSound: sound that was away is no reason to put the clock ahead.
func TestHoleInTheSound(t *testing.T) {
	frames := synthetic(&mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2)}, 1000, 0)
	frames = slices.DeleteFunc(frames, func(f media.Frame) bool {
		return f.Track.Kind() == media.KindAudio && f.DTS > time.Second && f.DTS < 5*time.Second
	})
	_, w := mux(t, frames)
	w.checkPCRs(t)
}

// TestReferenceBeforeTheFirstPicture: where pictures join sound, clock references
// on their PID may come before the first of them, and count as little as others.
func TestReferenceBeforeTheFirstPicture(t *testing.T) {
	video, audio := mediatest.H264Track(1), mediatest.AACTrack(2)
	alone := &media.TrackSet{Tracks: []*media.Track{audio}}
	frames := synthetic(&mediatest.Source{Video: video, Audio: audio}, 300, 0)
	frames = slices.DeleteFunc(frames, func(f media.Frame) bool {
		return f.Track.Kind() == media.KindVideo && f.DTS < 1500*time.Millisecond
	})
	for i := range frames {
		if frames[i].DTS < time.Second {
			frames[i].Set = alone
		}
	}
	_, w := mux(t, frames)
	w.checkPCRs(t)
}

// TestReferencesOfAnother: a reader that lagged reads sound that was packed for
// one with other counters, with clock references on the PID of pictures that have
// stopped.
func TestReferencesOfAnother(t *testing.T) {
	frames := synthetic(&mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2)}, 300, 0)
	p, err := NewProgram(frames[0].Set)
	if err != nil {
		t.Fatal(err)
	}
	var maker, lagging State
	var w walk
	for i := range frames {
		f := &frames[i]
		if f.Track.Kind() == media.KindVideo && f.DTS > time.Second {
			continue
		}
		b := AppendFrame(nil, maker, p, f)
		span := SpanOf(b)
		maker.Follow(p, f, span)
		if f.DTS > 500*time.Millisecond && f.DTS < 1300*time.Millisecond {
			continue
		}
		w.read(t, Glue(nil, &lagging, span))
		w.read(t, b)
		lagging.Follow(p, f, span)
	}
}

// TestPauseAndNewEpoch: an encoder comes back after five seconds. The clock goes
// on, and the first reference says that it did not run meanwhile.
func TestPauseAndNewEpoch(t *testing.T) {
	frames := synthetic(&mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2)}, 200, 0)
	again := slices.Clone(frames)
	end := frames[len(frames)-1].DTS + 5*time.Second
	set := *frames[0].Set
	set.Epoch++
	for i := range again {
		again[i].DTS += end
		again[i].PTS += end
		again[i].Set = &set
	}
	out, w := mux(t, append(frames, again...))
	if w.breaks != 1 || w.late > 0 || len(w.pcrs) < 100 {
		t.Errorf("%d breaks, %d late frames, %d clock references", w.breaks, w.late, len(w.pcrs))
	}
	d, got, err := demux(out, 1316)
	if err != nil || len(got) != 400 || d.Stats().Gaps > 0 || d.Stats().Discarded > 0 {
		t.Errorf("%d frames, %v, %+v", len(got), err, d.Stats())
	}
}

// TestWrap: PTS, DTS and PCR go over 33 bits, 26.5 hours, as if nothing was.
func TestWrap(t *testing.T) {
	frames := synthetic(&mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2)}, 400, 0)
	for i := range frames {
		frames[i].DTS += duration(wrap) - 2*time.Second
		frames[i].PTS += duration(wrap) - 2*time.Second
	}
	out, w := mux(t, frames)
	wraps := 0
	for i := 1; i < len(w.pcrs); i++ {
		step := diff33(w.pcrs[i], w.pcrs[i-1])
		if step <= 0 || step > 9000 {
			t.Fatalf("clock reference %d is %d ticks after the one before", i, step)
		}
		if w.pcrs[i] < w.pcrs[i-1] {
			wraps++
		}
	}
	_, got, err := demux(out, 1316)
	if err != nil || wraps != 1 {
		t.Fatal(err, wraps)
	}
	compareFrames(t, frames, got)
}

// TestTicksStay: times that came from MPEG-TS are the same ticks again.
func TestTicksStay(t *testing.T) {
	for n := range int64(100_000) {
		if got := stamp(duration(n*7) - delay); got != n*7 {
			t.Fatalf("%d became %d", n*7, got)
		}
	}
}

// TestParameterSets: a random access point has each of them, whatever the
// encoder left in the picture.
func TestParameterSets(t *testing.T) {
	slice264, slice265 := []byte{0x65, 0x88, 0x80}, []byte{0x26, 1, 0xaf}
	for _, c := range []struct {
		name  string
		track *media.Track
		nalus [][]byte
		want  string // NAL unit types
	}{
		{"H.264 without", mediatest.H264Track(1), [][]byte{slice264}, "9 7 8 5"},
		{"H.264 with", mediatest.H264Track(1), [][]byte{mediatest.SPS264, mediatest.PPS264, slice264}, "9 7 8 5"},
		{"H.264 with SPS alone", mediatest.H264Track(1), [][]byte{mediatest.SPS264, slice264}, "9 7 8 7 5"},
		{"H.264 with a delimiter", mediatest.H264Track(1), [][]byte{{9, 0x10}, slice264}, "9 7 8 5"},
		{"H.265 without", mediatest.H265Track(1), [][]byte{slice265}, "35 32 33 34 19"},
		{"H.265 with", mediatest.H265Track(1), [][]byte{mediatest.VPS265, mediatest.SPS265, mediatest.PPS265, slice265}, "35 32 33 34 19"},
		{"H.265 with VPS alone", mediatest.H265Track(1), [][]byte{mediatest.VPS265, slice265}, "35 32 33 34 32 19"},
		{"H.265 with a delimiter", mediatest.H265Track(1), [][]byte{{0x46, 1, 0x10}, slice265}, "35 32 33 34 19"},
	} {
		f := media.Frame{Track: c.track, RandomAccess: true, Data: media.AppendLengthPrefixed(nil, c.nalus...)}
		nalus, ok := splitAnnexB(nil, payloadOf(&f))
		var got []string
		for _, n := range nalus {
			typ := typeH264(n)
			if c.track.Codec == media.H265 {
				typ = typeH265(n)
			}
			got = append(got, strconv.Itoa(int(typ)))
		}
		if s := strings.Join(got, " "); !ok || s != c.want {
			t.Errorf("%s: %s, want %s", c.name, s, c.want)
		}
	}
}

// TestSoundThatHasNoRoom is left out, and nothing else with it.
func TestSoundThatHasNoRoom(t *testing.T) {
	set := &media.TrackSet{Tracks: []*media.Track{mediatest.AACTrack(2)}}
	p, err := NewProgram(set)
	if err != nil {
		t.Fatal(err)
	}
	for size, want := range map[int]bool{0: false, 1: true, maxADTS - adtsSize: true, maxADTS - adtsSize + 1: false, 1 << 20: false} {
		f := media.Frame{Track: set.Tracks[0], Set: set, RandomAccess: true, Data: bytes.Repeat([]byte{1}, size)}
		if b := AppendFrame(nil, State{}, p, &f); len(b) > 0 != want {
			t.Errorf("%d bytes of AAC make %d bytes", size, len(b))
		}
	}
	opus := &media.Track{ID: 2, Codec: media.Opus, Channels: 2}
	f := media.Frame{Track: opus, Set: set, Data: bytes.Repeat([]byte{1}, 0xffff-maxInFront)}
	if b := payloadOf(&f); b != nil {
		t.Errorf("%d bytes of Opus in one PES packet", len(b))
	}
}

func TestAACThatADTSCannotSay(t *testing.T) {
	for name, c := range map[string]struct {
		config  []byte
		refused string
	}{
		"AAC-LC":                  {[]byte{0x11, 0x90}, ""},
		"HE-AAC":                  {[]byte{0x2b, 0x11, 0x88, 0x00}, ""},
		"channels in every frame": {[]byte{0x11, 0x80}, ""},
		"960 samples":             {[]byte{0x11, 0x94}, "960 samples"},
		"12345 Hz":                {[]byte{0x17, 0x80, 0x18, 0x1c, 0x90}, "12345 Hz"},
		"channels in the record, that ADTS cannot say": {[]byte{0x11, 0x80, 0x04, 0xc8, 0x44, 0x00, 0x20}, "order of their own"},
	} {
		track, err := media.NewAACTrack(2, c.config)
		if err != nil {
			t.Fatal(name, err)
		}
		_, err = NewProgram(&media.TrackSet{Tracks: []*media.Track{track}})
		if c.refused == "" && err != nil || c.refused != "" && (!errors.Is(err, media.ErrUnsupportedCodec) || !strings.Contains(err.Error(), c.refused)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzMux holds that frames of any bytes and times make whole packets whose
// counters and clock are right, and that the Demuxer finds nothing broken there.
func FuzzMux(f *testing.F) {
	f.Add([]byte{0, 0, 0, 3, 0x65, 0x88, 0x80}, uint16(33), uint16(1), true)
	f.Add(bytes.Repeat([]byte{0, 0, 0, 2, 0x41, 0x9a}, 60), uint16(90), uint16(4), true)
	f.Add(bytes.Repeat([]byte{0x21}, 170), uint16(21), uint16(900), false)
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 1}, uint16(5000), uint16(0), true)
	video, audio := mediatest.H264Track(1), mediatest.AACTrack(2)
	set := &media.TrackSet{Tracks: []*media.Track{video, audio}}
	p, err := NewProgram(set)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte, step, ahead uint16, both bool) {
		var state State
		var w walk
		d := NewDemuxer()
		packets := uint64(0)
		for i := range 20 {
			dts := time.Duration(i) * time.Duration(step) * time.Millisecond
			frame := media.Frame{Track: video, Set: set, RandomAccess: i%4 == 0, DTS: dts, PTS: dts + time.Duration(ahead)*time.Millisecond, Data: data[min(i, len(data)):]}
			if i%2 == 1 && both {
				frame.Track, frame.RandomAccess, frame.PTS = audio, true, dts
			}
			b := AppendFrame(nil, state, p, &frame)
			state.Follow(p, &frame, SpanOf(b))
			w.read(t, b)
			packets += uint64(len(b) / packetSize)
			if err := d.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		for i := 1; i < len(w.pcrs); i++ {
			if w.pcrs[i] < w.pcrs[i-1] {
				t.Fatalf("clock reference %d goes back", i)
			}
		}
		if st := d.Stats(); st.Gaps > 0 || st.Corrupt > 0 || st.Discarded > 0 || st.SyncLosses > 0 || st.Untimed > 0 {
			t.Fatalf("%+v", st)
		}
	})
}
