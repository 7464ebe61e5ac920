package mpegts

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
)

// spread puts packets stride bytes apart, behind so many other bytes.
func spread(in []byte, before, stride int) (out []byte) {
	for ; len(in) >= packetSize; in = in[packetSize:] {
		out = append(out, bytes.Repeat([]byte{0x11}, before)...)
		out = append(out, in[:packetSize]...)
		out = append(out, bytes.Repeat([]byte{0x22}, stride-packetSize-before)...)
	}
	return out
}

// TestPacketsOfOtherSizes reads packets behind time codes and before error
// correction, with garbage between them, in pieces.
func TestPacketsOfOtherSizes(t *testing.T) {
	in := start()
	for i := range byte(50) {
		in.picture(int64(i)*3000, int64(i)*3000, i == 0, i)
	}
	in.null(3)
	for _, c := range []struct{ before, stride int }{{0, 188}, {4, 192}, {0, 204}} {
		t.Run(fmt.Sprint(c.stride), func(t *testing.T) {
			whole := spread(in.out, c.before, c.stride)
			damaged := slices.Insert(slices.Clone(whole), 30*c.stride, bytes.Repeat([]byte{0x47, 1, 2}, 400)...)
			for _, piece := range []int{len(damaged), 7 * c.stride, 100, 1} {
				d, frames, err := demux(whole, piece)
				if st := d.Stats(); err != nil || len(frames) != 50 || st.SyncLosses > 0 || st.Skipped != uint64(c.before) {
					t.Errorf("in pieces of %d: %d frames, %v, %+v", piece, len(frames), err, st)
				}
				d, frames, err = demux(damaged, piece)
				if st := d.Stats(); err != nil || len(frames) < 48 || st.SyncLosses == 0 || st.SyncLosses > 3 {
					t.Errorf("damaged, in pieces of %d: %d frames, %v, %+v", piece, len(frames), err, st)
				}
			}
		})
	}
}

func TestScrambledStreamsAreRefusedByName(t *testing.T) {
	scramble := func(w *builder, pids ...uint16) {
		for i := 0; i < len(w.out); i += packetSize {
			if slices.Contains(pids, uint16(w.out[i+1]&0x1f)<<8|uint16(w.out[i+2])) {
				w.out[i+3] |= 0x80
			}
		}
	}
	long := func() *builder {
		w := start()
		for i := range maxScrambled + 1 {
			w.picture(int64(i)*3000, int64(i)*3000, i == 0, 1).sound(int64(i)*1920, adts(1))
		}
		return w
	}
	w := long()
	scramble(w, testVideo, testAudio)
	if _, _, err := demux(w.out, 1316); !errors.Is(err, ErrNoTracks) || !strings.Contains(err.Error(), "H.264, scrambled") {
		t.Error(err)
	}
	w = long()
	scramble(w, testVideo)
	d, frames, err := demux(w.out, 1316)
	if tracks, complete := d.Tracks(); err != nil || len(tracks) != 1 || !complete || len(frames) != maxScrambled+1 {
		t.Errorf("%v, complete %v, %d frames, %v", tracks, complete, len(frames), err)
	}
	if got := d.Ignored(); !slices.Equal(got, []string{"H.264, scrambled"}) {
		t.Error(got)
	}
}

// TestScrambledForAWhile: a stream that was clear before goes on when it is clear
// again, however many packets could not be read meanwhile.
func TestScrambledForAWhile(t *testing.T) {
	w := start()
	const n = 4 * maxScrambled
	for i := range n {
		at := len(w.out)
		w.picture(int64(i)*3000, int64(i)*3000, i%100 == 0, 1)
		for ; at < len(w.out) && i >= maxScrambled && i < 2*maxScrambled; at += packetSize {
			w.out[at+3] |= 0x80
		}
		w.sound(int64(i)*1920, adts(1))
	}
	d, frames, err := demux(w.out, 1316)
	pictures := 0
	for _, f := range frames {
		if f.Track.Kind() == media.KindVideo {
			pictures++
		}
	}
	// The newest picture before the gap has no end.
	if err != nil || pictures < n-maxScrambled-1 || len(d.Ignored()) > 0 || d.Stats().Scrambled < maxScrambled {
		t.Errorf("%v, %d pictures, without %v, %+v", err, pictures, d.Ignored(), d.Stats())
	}
}

// TestTablesChange holds what a changed PAT or PMT does to a stream that runs.
func TestTablesChange(t *testing.T) {
	programs := func(w *builder, list ...uint16) {
		var body []byte
		for i := 0; i < len(list); i += 2 {
			body = append(body, byte(list[i]>>8), byte(list[i]), 0xe0|byte(list[i+1]>>8), byte(list[i+1]))
		}
		w.section(pidPAT, tablePAT, 1, body)
	}
	for _, c := range []struct {
		name   string
		change func(w *builder)
		frames string
	}{
		{"a PMT with a stream more and the same version", func(w *builder) {
			w.pmt(streamTypeH264, testVideo, streamTypeAAC, testAudio).sound(3000, adts(5))
		}, "2 3000 5|1 0 RA 1|1 9000 2"},
		{"another PID for the pictures", func(w *builder) {
			w.pmt(streamTypeH264, 0x200)
			w.packets(0x200, pesPacket(0xe0, true, 5000, 5000, annexB(mediatest.SPS264, mediatest.PPS264, []byte{0x65, 0x88, 9})))
		}, "1 0 RA 1|1 5000 RA 9"},
		{"a second program, listed first", func(w *builder) { programs(w, 3, 0x1100, 7, testPMT) }, "1 0 RA 1|1 9000 2"},
		{"the program is gone for another", func(w *builder) {
			programs(w, 3, 0x1100)
			w.section(0x1100, tablePMT, 3, []byte{0xe1, 0, 0xf0, 0, streamTypeAAC, 0xe3, 0, 0xf0, 0})
			w.packets(0x300, pesPacket(0xc0, true, 4000, 4000, adts(8)))
		}, "1 0 RA 1|2 4000 8"},
		{"a PAT of nothing", func(w *builder) { programs(w) }, "1 0 RA 1|1 9000 2"},
		{"a PMT of another program on the same PID", func(w *builder) {
			w.section(testPMT, tablePMT, 9, []byte{0xe1, 0, 0xf0, 0, streamTypeAAC, 0xe3, 0, 0xf0, 0})
		}, "1 0 RA 1|1 9000 2"},
	} {
		w := (&builder{}).pat().pmt(streamTypeH264, testVideo).picture(0, 0, true, 1)
		c.change(w)
		_, frames, err := demux(w.picture(9000, 9000, false, 2).null(3).out, 1316)
		var lines []string
		for _, f := range frames {
			lines = append(lines, describe(f))
		}
		if got := strings.Join(lines, "|"); got != c.frames || err != nil {
			t.Errorf("%s:\n got %s, %v\nwant %s", c.name, got, err, c.frames)
		}
	}
}

// TestSoundThatComesLate: five seconds after the PMT named it.
func TestSoundThatComesLate(t *testing.T) {
	w := start()
	for i := range int64(150) {
		w.picture(i*3000, i*3000, i == 0, 1)
	}
	d := NewDemuxer()
	if err := d.Write(w.out); err != nil {
		t.Fatal(err)
	}
	if _, complete := d.Tracks(); complete || len(d.Promised()) != 1 {
		t.Error("sound was not waited for")
	}
	w.out = nil
	if err := d.Write(w.sound(450000, adts(1)).out); err != nil {
		t.Fatal(err)
	}
	if tracks, complete := d.Tracks(); !complete || len(tracks) != 2 {
		t.Error(tracks, complete)
	}
}

// TestPicturesNeedNotWaitForTheNext: once an encoder has shown that it stuffs
// the end of a picture and nothing else, the end is known when it comes.
func TestPicturesNeedNotWaitForTheNext(t *testing.T) {
	d := NewDemuxer()
	next := int64(0)
	picture := func(w *builder) int {
		t.Helper()
		if err := d.Write(w.picture(next*3000, next*3000, next == 0, 1).out); err != nil {
			t.Fatal(err)
		}
		next++
		n := 0
		for _, ok := d.Next(); ok; _, ok = d.Next() {
			n++
		}
		w.out = nil
		return n
	}
	w := start()
	total := 0
	for range trustEnding + 1 {
		total += picture(w)
	}
	if total != trustEnding+1 {
		t.Errorf("%d pictures of %d: the last one was waited for", total, trustEnding+1)
	}
	for range 100 {
		if n := picture(w); n != 1 {
			t.Fatalf("%d pictures at once", n)
		}
	}
	// It stuffs a picture's middle: the picture is lost, and trust for ever.
	slice := annexB(append([]byte{0x41, 0x9a}, big...))
	half := pesPacket(0xe0, false, next*3000, next*3000, slice)
	w.packet(testVideo, true, half[:100])
	w.packet(testVideo, false, half[100:200])
	next++
	if n := picture(w); n != 1 {
		t.Errorf("%d pictures, the one that was cut among them", n)
	}
	if d.Stats().Malformed != 1 {
		t.Errorf("%+v", d.Stats())
	}
	if n := picture(w); n != 1 || d.ends(testVideo) {
		t.Errorf("%d pictures, trusted %v", n, d.ends(testVideo))
	}
	if st := d.Stats(); st.Gaps > 0 || st.Discarded > 0 {
		t.Errorf("%+v", st)
	}
}

// ends reports whether the end of a PES packet is known from its stuffing.
func (d *Demuxer) ends(pid uint16) bool { return d.streams[pid].ending.tells() }

func TestStuffedFields(t *testing.T) {
	for name, c := range map[string]struct {
		field []byte
		want  bool
	}{
		"of no length":                  {nil, true},
		"flags alone":                   {[]byte{0}, false},
		"flags and a byte":              {[]byte{0, 0xff}, true},
		"a clock reference":             {[]byte{0x10, 1, 2, 3, 4, 5, 6}, false},
		"a clock reference and a byte":  {[]byte{0x10, 1, 2, 3, 4, 5, 6, 0xff}, true},
		"all":                           {slices.Concat([]byte{0x1f}, make([]byte, 13), []byte{2, 8, 8, 1, 9}), false},
		"private data beyond the field": {[]byte{0x02, 200, 1}, false},
	} {
		if got := stuffed(c.field); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestLanguages(t *testing.T) {
	for name, c := range map[string]struct{ descriptors, want string }{
		"German":          {"\x0a\x04deu\x00", "deu"},
		"in capitals":     {"\x0a\x04DEU\x00", "deu"},
		"behind another":  {"\x05\x04Opus\x0a\x04spa\x01", "spa"},
		"undetermined":    {"\x0a\x04und\x00", ""},
		"none":            {"", ""},
		"no letters":      {"\x0a\x04\x00\x01\x02\x00", ""},
		"too short":       {"\x0a\x02de", ""},
		"beyond its size": {"\x0a\x40deu\x00", ""},
	} {
		if got := (&esInfo{descriptors: []byte(c.descriptors)}).language(); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
	track := &media.Track{ID: 2, Codec: media.MP3, SampleRate: 44100, Language: "fra"}
	p, err := NewProgram(&media.TrackSet{Tracks: []*media.Track{track}})
	if err != nil {
		t.Fatal(err)
	}
	d := NewDemuxer()
	if err := d.Write((&builder{out: AppendTables(nil, State{}, p)}).null(3).out); err != nil {
		t.Fatal(err)
	}
	if got := d.streams[pidAudio].info.language(); got != "fra" {
		t.Errorf("%q came back", got)
	}
}

// TestSubstreamsWithoutEnd: E-AC-3 frames that all depend on one must not cost
// more than their bytes.
func TestSubstreamsWithoutEnd(t *testing.T) {
	chain := bytes.Repeat([]byte{0x0b, 0x77, 0x40, 0x01, 0x3f, 0x80, 0, 0}, maxAudioPES/8)
	chain[2] = 0
	s := &soundParser{id: 2, codec: media.EAC3}
	began := time.Now()
	var st Stats
	s.frames(nil, &pes{timed: true, payload: chain}, &st)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("%v", took)
	}
}

// TestOddBeginnings of what is otherwise a stream like any other.
func TestOddBeginnings(t *testing.T) {
	bad := adts(7, 1)
	bad[2] |= 0x3c // a sample rate that there is none of
	for _, c := range []struct {
		name   string
		in     *builder
		frames string
	}{
		{"a bad first ADTS header", start().sound(0, bad, adts(7, 2)).sound(3840, adts(7, 3)), "2 0 2|2 3840 3"},
		{"a first ADTS frame that says it is longer", start().sound(0, []byte{0xff, 0xf1, 0x4c, 0x80, 3, 0x1f, 0xfc, 1}, adts(7, 2)).sound(3840, adts(7, 3), adts(7, 4)), ""},
		{"a PES packet from its middle", func() *builder {
			w := start()
			w.packet(testVideo, false, []byte{1, 2, 3})
			w.packet(testAudio, false, []byte{1, 2, 3})
			return w.sound(0, adts(1)).picture(0, 0, true, 1)
		}(), "2 0 1|1 0 RA 1"},
		{"a PES packet of an ADTS frame's end", start().sound(0, adts(7, 1)[4:], adts(7, 2), adts(7, 3)), "2 0 2|2 1920 3"},
	} {
		_, frames, err := demux(c.in.null(3).out, packetSize)
		var lines []string
		for _, f := range frames {
			lines = append(lines, describe(f))
		}
		if got := strings.Join(lines, "|"); err != nil || c.frames != "" && got != c.frames || len(frames) == 0 {
			t.Errorf("%s:\n got %s, %v\nwant %s", c.name, got, err, c.frames)
		}
	}
}

// TestJumpWithoutPayload: a packet that only says where the counter goes on
// loses nothing, of tables and of streams.
func TestJumpWithoutPayload(t *testing.T) {
	w := start().picture(0, 0, true, 1).sound(0, adts(1))
	for i, pid := range []uint16{pidPAT, testPMT, testVideo, testAudio} {
		w.counters[pid] += uint8(3 + i)
		before := (w.counters[pid] - 1) & 0x0f
		w.out = append(w.out, syncByte, byte(pid>>8), byte(pid), 0x20|before, packetSize-5, 0x80)
		w.out = append(w.out, bytes.Repeat([]byte{0xff}, packetSize-6)...)
	}
	d, frames, err := demux(w.pat().avPMT().picture(3000, 3000, false, 2).sound(1920, adts(2)).null(3).out, packetSize)
	if err != nil || len(frames) != 4 || d.Stats().Gaps != 0 || d.Stats().Discarded != 0 {
		t.Errorf("%d frames, %v, %+v", len(frames), err, d.Stats())
	}
}
