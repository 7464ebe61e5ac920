package mpegts

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
)

// walk holds packets against the container's rules: continuity of every PID,
// clock references never after what they time. It keeps their ticks.
type walk struct {
	counters map[uint16]uint8
	pcrs     []int64
	tables   int
	breaks   int // of the clock
	late     int // frames behind their clock
}

// checkPCRs holds clock references against the bound of their distance.
func (w *walk) checkPCRs(t *testing.T) {
	t.Helper()
	for i := 1; i < len(w.pcrs); i++ {
		if step := w.pcrs[i] - w.pcrs[i-1]; step <= 0 || step > 9000 {
			t.Fatalf("clock reference %d is %d ticks after the one before", i, step)
		}
	}
	if w.late > 0 {
		t.Errorf("%d frames are behind their clock", w.late)
	}
}

func (w *walk) read(t *testing.T, b []byte) {
	t.Helper()
	if len(b)%packetSize != 0 {
		t.Fatalf("%d bytes are no whole packets", len(b))
	}
	if w.counters == nil {
		w.counters = map[uint16]uint8{}
	}
	for ; len(b) > 0; b = b[packetSize:] {
		if b[0] != syncByte {
			t.Fatalf("% x is no packet", b[:4])
		}
		var p packet
		if err := p.unmarshal(b[:packetSize]); err != nil {
			t.Fatal(err)
		}
		if last, seen := w.counters[p.pid]; seen && !p.discontinuity {
			want := last
			if p.payload != nil {
				want = (last + 1) & 0x0f
			}
			if p.counter != want {
				t.Errorf("PID %#x: counter %d after %d", p.pid, p.counter, last)
			}
		}
		w.counters[p.pid] = p.counter
		if p.pid == pidPAT {
			w.tables++
		}
		if b[3]&0x20 != 0 && b[4] > 0 && b[5]&0x10 != 0 {
			w.pcrs = append(w.pcrs, int64(b[6])<<25|int64(b[7])<<17|int64(b[8])<<9|int64(b[9])<<1|int64(b[10])>>7)
			if p.discontinuity {
				w.breaks++
			}
		}
		if p.start && p.pid != pidPAT && p.pid != pidPMT {
			var h pes
			if err := h.unmarshal(p.payload); err != nil || !h.timed {
				t.Fatalf("PES header: %v, timed %v", err, h.timed)
			}
			if h.dts < w.pcrs[len(w.pcrs)-1] {
				w.late++
			}
		}
	}
}

func TestWhatIsMuxedCanBeDemuxed(t *testing.T) {
	for _, c := range []struct {
		name   string
		source *mediatest.Source
		frames int
	}{
		{"H.264 and AAC", &mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2)}, 600},
		{"H.265 alone", &mediatest.Source{Video: mediatest.H265Track(1)}, 200},
		{"AAC alone", &mediatest.Source{Audio: mediatest.AACTrack(2)}, 400},
		{"large pictures", &mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2), FrameBytes: 200_000}, 100},
		{"pictures that end at a packet's end", &mediatest.Source{Video: mediatest.H264Track(1), FrameBytes: 184*3 - 14 - 6}, 100},
		{"three pictures a second", &mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2), FrameRate: 3, GOP: 6}, 600},
	} {
		t.Run(c.name, func(t *testing.T) {
			var state State
			var w walk
			var sent []media.Frame
			d := NewDemuxer()
			var got []media.Frame
			var program *Program
			for range c.frames {
				f := withoutZeros(c.source.Next())
				if program == nil {
					var err error
					if program, err = NewProgram(f.Set); err != nil {
						t.Fatal(err)
					}
				}
				b := AppendFrame(nil, state, program, &f)
				state.Follow(program, &f, SpanOf(b))
				w.read(t, b)
				sent = append(sent, f)
				if err := d.Write(b); err != nil {
					t.Fatal(err)
				}
				for f, ok := d.Next(); ok; f, ok = d.Next() {
					got = append(got, f)
				}
			}
			d.Flush()
			for f, ok := d.Next(); ok; f, ok = d.Next() {
				got = append(got, f)
			}
			compareFrames(t, sent, got)
			w.checkPCRs(t)
			if len(w.pcrs) < 10 || w.tables < 1 {
				t.Errorf("%d clock references, %d tables", len(w.pcrs), w.tables)
			}
		})
	}
}

// withoutZeros makes a synthetic picture one that could be: NAL units hold no
// start codes.
func withoutZeros(f media.Frame) media.Frame {
	if f.Track.Kind() == media.KindVideo {
		for i := 6; i < len(f.Data); i++ {
			f.Data[i] |= 0x10
		}
	}
	return f
}

// compareFrames holds frames of each kind against what was sent: data, distance in
// time, random access.
func compareFrames(t *testing.T, sent, got []media.Frame) {
	t.Helper()
	for _, k := range []media.Kind{media.KindVideo, media.KindAudio} {
		a, b := of(sent, k), of(got, k)
		if len(a) != len(b) {
			t.Errorf("%d frames of %s, %d were sent", len(b), k, len(a))
		}
		for i := range min(len(a), len(b)) {
			apart := b[i].DTS - b[0].DTS - (a[i].DTS - a[0].DTS)
			if !bytes.HasSuffix(b[i].Data, a[i].Data) || apart.Abs() > 6*time.Microsecond || a[i].RandomAccess != b[i].RandomAccess ||
				(b[i].PTS-b[i].DTS-(a[i].PTS-a[i].DTS)).Abs() > 6*time.Microsecond {
				t.Fatalf("%s %d: %v apart, random access %v, %d bytes of %d", k, i, apart, b[i].RandomAccess, len(b[i].Data), len(a[i].Data))
			}
		}
	}
}

func of(frames []media.Frame, k media.Kind) (all []media.Frame) {
	for _, f := range frames {
		if f.Track.Kind() == k {
			all = append(all, f)
		}
	}
	return all
}

func TestPTSBehindDTS(t *testing.T) {
	s := &mediatest.Source{Video: mediatest.H264Track(1)}
	d := NewDemuxer()
	var state State
	for i := range 10 {
		f := s.Next()
		f.PTS += time.Duration(i%3) * 33 * time.Millisecond
		p, err := NewProgram(f.Set)
		if err != nil {
			t.Fatal(err)
		}
		b := AppendFrame(nil, state, p, &f)
		state.Follow(p, &f, SpanOf(b))
		if err := d.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	d.Flush()
	i := 0
	for f, ok := d.Next(); ok; f, ok = d.Next() {
		if want := time.Duration(i%3) * 33 * time.Millisecond; (f.PTS - f.DTS - want).Abs() > 6*time.Microsecond {
			t.Errorf("%d: %v", i, f.PTS-f.DTS)
		}
		i++
	}
	if i != 10 {
		t.Errorf("%d frames", i)
	}
}

func TestProgramNamesWhatItCannotCarry(t *testing.T) {
	set := &media.TrackSet{Tracks: []*media.Track{{ID: 1, Codec: media.AV1}}}
	if _, err := NewProgram(set); !errors.Is(err, media.ErrUnsupportedCodec) || !bytes.Contains([]byte(err.Error()), []byte("AV1")) {
		t.Error(err)
	}
	if _, err := NewProgram(&media.TrackSet{}); !errors.Is(err, media.ErrUnsupportedCodec) {
		t.Error(err)
	}
}

// TestVersionsDiffer: two programs whose types or descriptors differ must not
// share a version.
func TestVersionsDiffer(t *testing.T) {
	seen := map[uint8]string{}
	sounds := []*media.Track{
		nil,
		mediatest.AACTrack(2),
		{ID: 2, Codec: media.AC3},
		{ID: 2, Codec: media.EAC3},
		{ID: 2, Codec: media.MP3, SampleRate: 44100},
		{ID: 2, Codec: media.MP3, SampleRate: 22050},
		{ID: 2, Codec: media.Opus, Channels: 1},
		{ID: 2, Codec: media.Opus, Channels: 2},
		{ID: 2, Codec: media.Opus, Channels: 6},
		{ID: 2, Codec: media.Opus, Channels: 8},
	}
	for _, picture := range []*media.Track{nil, mediatest.H264Track(1), mediatest.H265Track(1)} {
		for _, sound := range sounds {
			set, name := &media.TrackSet{}, ""
			for _, track := range []*media.Track{picture, sound} {
				if track != nil {
					set.Tracks = append(set.Tracks, track)
					name += fmt.Sprint(track.Codec, track.SampleRate, track.Channels, " ")
				}
			}
			if name == "" {
				continue
			}
			p, err := NewProgram(set)
			if err != nil {
				t.Fatal(name, err)
			}
			if other := seen[p.version]; other != "" {
				t.Errorf("%s and %s have version %d", name, other, p.version)
			}
			seen[p.version] = name
		}
	}
}
