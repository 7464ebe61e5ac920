package mpegts

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
)

// describe makes one line a frame: track, DTS and PTS in ticks, and what the
// frame ends in.
func describe(f media.Frame) string {
	s := fmt.Sprintf("%d %d", f.Track.ID, ticks(f.DTS))
	if f.PTS != f.DTS {
		s += fmt.Sprintf("+%d", ticks(f.PTS)-ticks(f.DTS))
	}
	if f.RandomAccess && f.Track.Kind() == media.KindVideo {
		s += " RA"
	}
	return s + fmt.Sprintf(" %x", f.Data[len(f.Data)-1])
}

// ticks rounds to 90 kHz.
func ticks(d time.Duration) int64 { return (d.Nanoseconds()*9 + 50_000) / 100_000 }

// demux reads a whole stream in pieces.
func demux(in []byte, piece int) (*Demuxer, []media.Frame, error) {
	d := NewDemuxer()
	var frames []media.Frame
	var err error
	for len(in) > 0 && err == nil {
		n := min(piece, len(in))
		err = d.Write(in[:n])
		in = in[n:]
		for f, ok := d.Next(); ok; f, ok = d.Next() {
			frames = append(frames, f)
		}
	}
	d.Flush()
	for f, ok := d.Next(); ok; f, ok = d.Next() {
		frames = append(frames, f)
	}
	return d, frames, err
}

// start is what most cases begin with.
func start() *builder { return (&builder{}).pat().avPMT() }

// cut removes the n-th packet of a PID.
func (w *builder) cut(pid uint16, n int) *builder {
	for i := 0; i < len(w.out); i += packetSize {
		if uint16(w.out[i+1]&0x1f)<<8|uint16(w.out[i+2]) == pid {
			if n == 0 {
				w.out = slices.Delete(w.out, i, i+packetSize)
				return w
			}
			n--
		}
	}
	return w
}

// mark changes the last packet.
func (w *builder) mark(change func(packet []byte)) *builder {
	change(w.out[len(w.out)-packetSize:])
	return w
}

func (w *builder) raw(b ...byte) *builder {
	w.out = append(w.out, b...)
	return w
}

const wrap = 1 << 33

var big = bytes.Repeat([]byte{0x55}, 500)

var streams = []struct {
	name   string
	in     *builder
	frames string
	stats  Stats // Packets and Skipped are not compared
	err    error
}{
	{
		name:   "picture and sound",
		in:     start().picture(3000, 3000, true, 1).sound(3000, adts(7, 1), adts(7, 2)).picture(9000, 6000, false, 2).picture(6000, 9000, false, 3),
		frames: "2 3000 1|2 4920 2|1 3000 RA 1|1 6000+3000 2|1 9000 3",
	},
	{
		name:   "H.264 before its parameter sets is left out",
		in:     start().picture(0, 0, false, 1).picture(3000, 3000, true, 2).null(1),
		frames: "1 3000 RA 2",
		stats:  Stats{Undescribed: 1},
	},
	{
		name:   "a PES packet before the PMT is left out",
		in:     (&builder{}).picture(0, 0, true, 1).pat().avPMT().picture(3000, 3000, true, 2),
		frames: "1 3000 RA 2",
	},
	{
		name:   "tables come again",
		in:     start().picture(0, 0, true, 1).pat().avPMT().picture(3000, 3000, false, 2),
		frames: "1 0 RA 1|1 3000 2",
	},
	{
		name:   "times wrap at 33 bits, picture and sound on one line",
		in:     start().picture(wrap-3000, wrap-6000, true, 1).sound(wrap-960, adts(1)).picture(3000, wrap-3000, false, 2).sound(960, adts(2)).picture(0, 0, false, 3),
		frames: fmt.Sprintf("2 %d 1|1 %d+3000 RA 1|2 %d 2|1 %d+6000 2|1 %d 3", wrap-960, wrap-6000, wrap+960, wrap-3000, wrap),
	},
	{
		name:   "bytes before the first packet",
		in:     (&builder{}).raw(1, 2, syncByte, 4).pat().avPMT().picture(0, 0, true, 1),
		frames: "1 0 RA 1",
	},
	{
		name:   "bytes between packets",
		in:     start().picture(0, 0, true, 1).raw(1, 2, 3).null(3).picture(3000, 3000, false, 2),
		frames: "1 0 RA 1|1 3000 2",
		stats:  Stats{SyncLosses: 1},
	},
	{
		name:   "a packet is lost in a PES packet",
		in:     start().picture(0, 0, true, 1).packets(testVideo, pesPacket(0xe0, false, 3000, 3000, annexB(append([]byte{0x41}, big...)))).picture(6000, 6000, false, 3).cut(testVideo, 2),
		frames: "1 0 RA 1|1 6000 3",
		stats:  Stats{Gaps: 1, Discarded: 1},
	},
	{
		name:   "the first packet of a PES packet is lost, and whether the one before was whole",
		in:     start().picture(0, 0, true, 1).picture(1, 1, false, 2).packets(testVideo, pesPacket(0xe0, false, 3000, 3000, annexB(append([]byte{0x41}, big...)))).picture(6000, 6000, false, 3).cut(testVideo, 2),
		frames: "1 0 RA 1|1 6000 3",
		stats:  Stats{Gaps: 1, Discarded: 1},
	},
	{
		name: "the end of the last picture is lost",
		in: func() *builder {
			w := start().picture(0, 0, true, 1).packets(testVideo, pesPacket(0xe0, false, 3000, 3000, annexB(append([]byte{0x41}, big...))))
			return w.cut(testVideo, 3)
		}(),
		frames: "1 0 RA 1",
		stats:  Stats{Discarded: 1},
	},
	{
		name: "a packet comes twice",
		in: func() *builder {
			w := start().picture(0, 0, true, 1)
			w.out = append(w.out, w.out[len(w.out)-packetSize:]...)
			return w.picture(3000, 3000, false, 2)
		}(),
		frames: "1 0 RA 1|1 3000 2",
		stats:  Stats{Duplicates: 1},
	},
	{
		name: "the counter jumps where discontinuity_indicator says so",
		in: func() *builder {
			w := start().picture(0, 0, true, 1)
			w.counters[testVideo] += 5
			return w.picture(3000, 3000, false, 2).mark(func(p []byte) { p[5] |= 0x80 })
		}(),
		frames: "1 0 RA 1|1 3000 2",
	},
	{
		name:   "scrambled packets",
		in:     start().picture(0, 0, true, 1).mark(func(p []byte) { p[3] |= 0x80 }).sound(0, adts(1)),
		frames: "2 0 1",
		stats:  Stats{Scrambled: 1},
	},
	{
		name:   "packets that are marked as corrupt",
		in:     start().picture(0, 0, true, 1).mark(func(p []byte) { p[1] |= 0x80 }).sound(0, adts(1)),
		frames: "2 0 1",
		stats:  Stats{Corrupt: 1},
	},
	{
		name:   "an adaptation field beyond its packet",
		in:     start().picture(0, 0, true, 1).mark(func(p []byte) { p[4] = 184 }).sound(0, adts(1)),
		frames: "2 0 1",
		stats:  Stats{Corrupt: 1},
	},
	{
		name:   "a PES packet shorter than it says",
		in:     start().packets(testAudio, pesPacket(0xc0, true, 0, 0, slices.Concat(adts(1), big))[:100]).sound(1920, adts(2)),
		frames: "2 1920 2",
		stats:  Stats{Discarded: 1},
	},
	{
		name:   "a PES packet that is none",
		in:     start().packets(testVideo, []byte("no start code here")).picture(3000, 3000, true, 1),
		frames: "1 3000 RA 1",
		stats:  Stats{Discarded: 1},
	},
	{
		name: "a PES packet without PTS",
		in: func() *builder {
			b := pesPacket(0xe0, false, 0, 0, annexB([]byte{0x65, 1}))
			b[7] = 0
			return start().packets(testVideo, b).picture(3000, 3000, true, 1)
		}(),
		frames: "1 3000 RA 1",
		stats:  Stats{Untimed: 1},
	},
	{
		name:   "a PTS before its DTS, and one far after it",
		in:     start().picture(3000, 6000, true, 1).picture(wrap/4, 9000, false, 2).picture(12000, 12000, false, 3),
		frames: "1 6000 RA 1|1 9000 2|1 12000 3",
	},
	{
		name:   "no start code in a picture",
		in:     start().packets(testVideo, pesPacket(0xe0, false, 0, 0, []byte{1, 2, 3})).picture(3000, 3000, true, 1),
		frames: "1 3000 RA 1",
		stats:  Stats{Malformed: 1},
	},
	{
		name:   "more NAL units than a picture may have",
		in:     start().packets(testVideo, pesPacket(0xe0, false, 0, 0, bytes.Repeat([]byte{0, 0, 1, 0x65}, maxNALUs+1))).picture(3000, 3000, true, 1),
		frames: "1 3000 RA 1",
		stats:  Stats{Malformed: 1},
	},
	{
		name: "broken parameter sets",
		in: start().packets(testVideo, pesPacket(0xe0, false, 0, 0, annexB([]byte{0x67, 1}, []byte{0x68, 2}, []byte{0x65, 3}))).
			picture(3000, 3000, true, 1),
		frames: "1 3000 RA 1",
		stats:  Stats{Malformed: 1, Undescribed: 1},
	},
	{
		name:   "ADTS frames that straddle PES packets",
		in:     start().sound(0, adts(7, 1), adts(7, 2)[:4]).sound(3840, adts(7, 2)[4:], adts(7, 3)),
		frames: "2 0 1|2 1920 2|2 3840 3",
	},
	{
		name:   "a loss between the halves of an ADTS frame",
		in:     start().sound(0, adts(7, 1), adts(7, 2)[:4]).sound(1, adts(7, 2)[4:]).sound(5760, adts(7, 3)).cut(testAudio, 1),
		frames: "2 0 1|2 5760 3",
		stats:  Stats{Gaps: 1},
	},
	{
		name:   "bytes between ADTS frames",
		in:     start().sound(0, adts(7, 1), []byte{9, 9, 0xff}, adts(7, 2)).sound(3840, adts(7, 3)),
		frames: "2 0 2|2 3840 3",
		stats:  Stats{Malformed: 1},
	},
	{
		name:   "ADTS with a CRC",
		in:     start().sound(0, append([]byte{0xff, 0xf0, 0x4c, 0x80, 1, 0x7f, 0xfc, 0xcc, 0xcc}, 7, 1)),
		frames: "2 0 1",
	},
	{
		name:   "times rounded to milliseconds are counted smoothly",
		in:     start().sound(0, adts(1)).sound(1890, adts(2)).sound(3870, adts(3)).sound(5760, adts(4)),
		frames: "2 0 1|2 1920 2|2 3840 3|2 5760 4",
	},
	{
		name:   "a hole in the sound stays a hole",
		in:     start().sound(0, adts(1)).sound(90000, adts(2)),
		frames: "2 0 1|2 90000 2",
	},
	{
		name:   "sound that comes 25 ms early does not go back",
		in:     start().sound(9000, adts(1), adts(2)).sound(9000+2*1920-2250, adts(3), adts(4)),
		frames: "2 9000 1|2 10920 2|2 11010 3|2 12510 4",
	},
	{
		name:   "sound of a new timeline goes back",
		in:     start().sound(900000, adts(1)).sound(0, adts(2)),
		frames: "2 900000 1|2 0 2",
	},
	{
		name:   "a section with a wrong CRC",
		in:     (&builder{}).pat().mark(func(p []byte) { p[packetSize-1] ^= 1 }).pat().avPMT().sound(0, adts(1)),
		frames: "2 0 1",
		stats:  Stats{BadSections: 1},
	},
	{
		name:   "a section of more than 1024 bytes",
		in:     (&builder{}).pat().packets(testPMT, []byte{0, tablePMT, 0xbf, 0xff}).avPMT().sound(0, adts(1)),
		frames: "2 0 1",
		stats:  Stats{BadSections: 1},
	},
	{
		name:   "a pointer_field beyond its packet",
		in:     (&builder{}).pat().packets(testPMT, []byte{200, tablePMT}).avPMT().sound(0, adts(1)),
		frames: "2 0 1",
		stats:  Stats{BadSections: 1},
	},
	{
		name:   "a PMT over several packets",
		in:     (&builder{}).pat().pmt(append(many(0x06, 60), streamTypeAAC, testAudio)...).sound(0, adts(1)),
		frames: "2 0 1",
	},
	{
		name:   "a PMT that lists more streams than are followed",
		in:     (&builder{}).pat().pmt(append([]uint16{streamTypeAAC, testAudio}, many(streamTypeAAC, 60)...)...).sound(0, adts(1)),
		frames: "2 0 1",
	},
	{
		name: "no program that is known",
		in:   (&builder{}).pat().pmt(0x02, 0x100, 0x11, 0x101).null(2),
		err:  ErrNoTracks,
	},
	{
		name: "no packets",
		in:   (&builder{}).raw(make([]byte, maxUnsynced+1000)...),
		err:  ErrNotTS,
	},
	{
		name: "a picture without end",
		in:   start().packets(testVideo, make([]byte, maxVideoPES+packetSize)),
		err:  ErrTooLarge,
	},
	{
		name: "sound without end",
		in:   start().packets(testAudio, make([]byte, maxAudioPES+packetSize)),
		err:  ErrTooLarge,
	},
}

func many(streamType uint16, n int) []uint16 {
	var s []uint16
	for i := range n {
		s = append(s, streamType, uint16(0x200+i))
	}
	return s
}

func TestDemuxer(t *testing.T) {
	for _, c := range streams {
		t.Run(c.name, func(t *testing.T) {
			in := c.in.null(3).out
			for _, piece := range []int{len(in), 1316, packetSize, 1} {
				if piece == 1 && len(in) > 1<<20 {
					continue
				}
				d, frames, err := demux(in, piece)
				var lines []string
				for _, f := range frames {
					lines = append(lines, describe(f))
				}
				if got := strings.Join(lines, "|"); got != c.frames {
					t.Errorf("in pieces of %d:\n got %s\nwant %s", piece, got, c.frames)
				}
				if !errors.Is(err, c.err) {
					t.Errorf("error %v, want %v", err, c.err)
				}
				got := d.Stats()
				got.Packets, got.Skipped = 0, 0
				if got != c.stats {
					t.Errorf("stats %+v, want %+v", got, c.stats)
				}
			}
		})
	}
}

func TestErrorsAndIgnoredNameTheStreams(t *testing.T) {
	_, _, err := demux((&builder{}).pat().pmt(0x02, 0x100, 0x11, 0x101).null(3).out, packetSize)
	if err == nil || err.Error() != "no known track: the program has only MPEG-2 video (0x02), AAC in LATM (0x11)" {
		t.Error(err)
	}
	d, _, err := demux((&builder{}).pat().pmt(0x1b, 0x100, 0x82, 0x101).null(3).out, packetSize)
	if got := d.Ignored(); err != nil || !slices.Equal(got, []string{"DTS audio (0x82)"}) {
		t.Error(got, err)
	}
	for _, c := range []struct {
		name string
		info esInfo
	}{
		{"E-AC-3 audio (0x06)", esInfo{streamType: 6, descriptors: []byte{0x0a, 4, 'e', 'n', 'g', 0, 0x7a, 1, 0}}},
		{"Opus audio (0x06)", esInfo{streamType: 6, descriptors: []byte("\x05\x04Opus\x7f\x02\x80\x02")}},
		{"private data (0x06)", esInfo{streamType: 6, descriptors: []byte{0x05, 200, 1}}},
		{"unknown stream type (0xfe)", esInfo{streamType: 0xfe}},
	} {
		if got := c.info.name(); got != c.name {
			t.Errorf("%q, want %q", got, c.name)
		}
	}
}

func TestTracksFollowThePMT(t *testing.T) {
	d := NewDemuxer()
	w := &builder{}
	step := func(what string, add func(), ids string, complete bool) {
		t.Helper()
		w.out = nil
		add()
		w.null(1)
		if err := d.Write(w.out); err != nil {
			t.Fatal(err)
		}
		tracks, c := d.Tracks()
		var got []string
		for _, tr := range tracks {
			got = append(got, fmt.Sprint(tr.ID, " ", tr.Codec))
		}
		if strings.Join(got, ", ") != ids || c != complete {
			t.Errorf("%s: %v, complete %v", what, got, c)
		}
	}
	step("nothing", func() { w.null(3) }, "", false)
	step("PMT", func() { w.pat().avPMT() }, "", false)
	step("sound", func() { w.sound(0, adts(1)) }, "2 AAC", false)
	step("picture", func() { w.picture(0, 0, true, 1).picture(3000, 3000, false, 2) }, "1 H.264, 2 AAC", true)
	step("a PMT with one stream more", func() {
		w.version++
		w.pmt(streamTypeH264, testVideo, streamTypeAAC, testAudio, streamTypeAAC, 0x102)
	}, "1 H.264, 2 AAC", false)
	step("its first frame", func() { w.packets(0x102, pesPacket(0xc1, true, 0, 0, adts(1))) }, "1 H.264, 2 AAC, 3 AAC", true)
	step("the first sound ends", func() {
		w.version++
		w.pmt(streamTypeH264, testVideo, streamTypeAAC, 0x102)
	}, "1 H.264, 3 AAC", true)
	step("a PMT of an empty program", func() { w.version++; w.pmt() }, "", false)
}

func TestParameterSetsMakeTracks(t *testing.T) {
	otherPPS := append(slices.Clone(mediatest.PPS264), 0x80)
	secondPPS := []byte{0x68, 0x4b, 0xec, 0xb2, 0x2c} // pic_parameter_set_id 1
	idr, sei := []byte{0x65, 0x88, 1}, []byte{6, 5, 1, 0, 0x80}
	d, frames, err := demux(start().
		packets(testVideo, pesPacket(0xe0, false, 0, 0, annexB([]byte{9, 0x10}, mediatest.SPS264, mediatest.PPS264, sei, idr, []byte{12, 0xff, 0x80}))).
		packets(testVideo, pesPacket(0xe0, false, 1, 1, annexB(mediatest.SPS264, mediatest.PPS264, secondPPS, idr))).
		packets(testVideo, pesPacket(0xe0, false, 2, 2, annexB(mediatest.SPS264, otherPPS, idr))).out, packetSize)
	if err != nil || len(frames) != 3 || d.Stats().Malformed != 0 {
		t.Fatal(len(frames), err, d.Stats())
	}
	if want := media.AppendLengthPrefixed(nil, sei, idr); !bytes.Equal(frames[0].Data, want) {
		t.Errorf("parameter sets, delimiter and filler data are not left out: % x", frames[0].Data)
	}
	if want := media.AppendLengthPrefixed(nil, secondPPS, idr); !bytes.Equal(frames[1].Data, want) {
		t.Errorf("the PPS beside the record's is not kept: % x", frames[1].Data)
	}
	if frames[0].Track != frames[1].Track {
		t.Error("a new track though nothing changed")
	}
	if frames[2].Track == frames[1].Track || frames[2].Track.ID != 1 {
		t.Error("no new track though the PPS changed")
	}
	_, pps, err := media.H264ParameterSets(frames[2].Track.Config)
	if err != nil || len(pps) != 1 || !bytes.Equal(pps[0], otherPPS) {
		t.Errorf("%x %v", pps, err)
	}
}

// FuzzDemuxer holds that any bytes, cut anywhere, give the same well-formed
// frames.
func FuzzDemuxer(f *testing.F) {
	for _, c := range streams {
		if len(c.in.out) < 64<<10 {
			f.Add(c.in.out)
		}
	}
	few := start().picture(0, 0, true, 1).picture(3000, 3000, false, 2).null(3)
	f.Add(spread(few.out, 4, 192))
	f.Add(spread(few.out, 0, 204))
	if clip, err := os.ReadFile("testdata/h265.ts"); err == nil {
		f.Add(clip)
	} else {
		f.Error(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, frames, err := demux(b, max(len(b), 1))
		d2, again, err2 := demux(b, 100)
		if len(frames) != len(again) || (err == nil) != (err2 == nil) || err == nil && d.Stats().Packets != d2.Stats().Packets {
			t.Fatalf("%d frames (%v) in one piece, %d (%v) in many", len(frames), err, len(again), err2)
		}
		size := 0
		for i, fr := range frames {
			size += len(fr.Data)
			if fr.Track == nil || fr.PTS < fr.DTS || len(fr.Data) == 0 || !bytes.Equal(fr.Data, again[i].Data) || fr.DTS != again[i].DTS {
				t.Fatalf("frame %d: %+v", i, fr)
			}
			if fr.Track.Kind() == media.KindVideo {
				if ra, err := media.CheckNALUs(fr.Track.Codec, fr.Data); err != nil || ra != fr.RandomAccess {
					t.Fatalf("frame %d: %v", i, err)
				}
			}
		}
		if size > 2*len(b) {
			t.Fatalf("%d bytes of frames from %d", size, len(b))
		}
		tracks, _ := d.Tracks()
		if len(tracks) > maxStreams {
			t.Fatalf("%d tracks", len(tracks))
		}
	})
}
