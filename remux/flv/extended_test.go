package flv_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/amf0"
	"github.com/miju-live/miju/remux/flv"
)

var (
	opusHead = string(media.OpusConfig(2))
	mp3Frame = "\xff\xfb\x94\xc4data"
	ac3Frame = "\x0b\x77\x00\x00\x1c\x40\xe1\x00data"
	av1Key   = "\x32\x01\x10"
	// av1C has its sequence header, vpcC never does.
	av1C = func() string {
		c, err := media.AV1Config([]byte("\x0a\x0b\x00\x00\x00\x42\xa7\xbf\xe6\x2e\xdf\xc8\x42"))
		if err != nil {
			panic(err)
		}
		return string(c)
	}()
	av1Sequence = string(media.AV1Sequence([]byte(av1C)))
	vpcC        = "\x00\x0a\x82\x02\x02\x02\x00\x00"
	// vp9Key is the header of a key frame of 320x180.
	vp9Key = "\x82\x49\x83\x42\x00\x13\xf0\x0b\x30data"
)

// lines writes messages and returns what came of them: a line a frame.
func lines(t *testing.T, d *flv.Demuxer, messages ...message) []string {
	t.Helper()
	var all []string
	for i, m := range messages {
		if err := d.Write(m.typ, 10*time.Millisecond, []byte(m.body)); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		for f, ok := d.Next(); ok; f, ok = d.Next() {
			random := ""
			if f.RandomAccess {
				random = " random access"
			}
			all = append(all, fmt.Sprintf("%d %s %v+%v %q%s", f.Track.ID, f.Track.Codec, f.DTS, f.PTS-f.DTS, f.Data, random))
		}
	}
	return all
}

// size24 is a track of a multitrack body behind its size.
func size24(data string) string {
	return string([]byte{byte(len(data) >> 16), byte(len(data) >> 8), byte(len(data))}) + data
}

var extendedBodies = []struct {
	name     string
	messages []message
	want     []string
}{
	{"AV1", []message{v("\x90av01" + av1C), v("\x91av01" + av1Key)}, []string{`1 AV1 10ms+0s "` + quote(av1Sequence+av1Key) + `" random access`}},
	{"AV1 without a frame type, its own sequence header", []message{v("\x80av01" + av1C), v("\x81av01\x12\x00" + av1Sequence + av1Key)}, []string{`1 AV1 10ms+0s "` + quote(av1Sequence+av1Key) + `" random access`}},
	{"AV1, inter", []message{v("\x90av01" + av1C), v("\xa1av01\x32\x01\x30")}, []string{`1 AV1 10ms+0s "2\x010"`}},
	{"AV1 whose record says nothing", []message{v("\x90av01\x81\x00\x0c\x00"), v("\xa1av01\x32\x01\x30"), v("\x91av01" + av1Sequence + av1Key)}, []string{`1 AV1 10ms+0s "` + quote(av1Sequence+av1Key) + `" random access`}},
	{"AV1 as in MPEG-TS", []message{v("\x95av01\x80\x04\x81\x00\x0c\x00"), v("\x91av01" + av1Sequence + av1Key)}, []string{`1 AV1 10ms+0s "` + quote(av1Sequence+av1Key) + `" random access`}},
	{"AV1 by its custom id", []message{v("\x1d\x00\x00\x00\x00" + av1C), v("\x1d\x01\x00\x00\x00" + av1Key)}, []string{`1 AV1 10ms+0s "` + quote(av1Sequence+av1Key) + `" random access`}},
	{"VP9", []message{v("\x90vp09" + vpcC), v("\x91vp09" + vp9Key)}, []string{`1 VP9 10ms+0s "` + quote(vp9Key) + `" random access`}},
	{"VP9, record as in its box", []message{v("\x90vp09\x01\x00\x00\x00" + vpcC), v("\x91vp09" + vp9Key)}, []string{`1 VP9 10ms+0s "` + quote(vp9Key) + `" random access`}},
	{"Opus", []message{a("\x90Opus" + opusHead), a("\x91Opusxyz")}, []string{`2 Opus 10ms+0s "xyz" random access`}},
	{"Opus without its header", []message{a("\x90Opus"), a("\x91Opusxyz")}, []string{`2 Opus 10ms+0s "xyz" random access`}},
	{"Opus by its custom id", []message{a("\xdf\x00" + opusHead), a("\xdf\x01xyz")}, []string{`2 Opus 10ms+0s "xyz" random access`}},
	{"Opus by its custom id, bare", []message{a("\xdfxyz")}, []string{`2 Opus 10ms+0s "xyz" random access`}},
	{"AC-3", []message{a("\x90ac-3"), a("\x91ac-3" + ac3Frame)}, []string{`2 AC-3 10ms+0s "` + quote(ac3Frame) + `" random access`}},
	{"MP3", []message{a("\x2f" + mp3Frame)}, []string{`2 MP3 10ms+0s "` + quote(mp3Frame) + `" random access`}},
	{"MP3 of 8 kHz", []message{a("\xe2\xff\xe3\x48\xc4")}, []string{`2 MP3 10ms+0s "\xff\xe3H\xc4" random access`}},
	{"MP3 in Enhanced RTMP", []message{a("\x91.mp3" + mp3Frame), a("\x92.mp3")}, []string{`2 MP3 10ms+0s "` + quote(mp3Frame) + `" random access`}},
	{"MP3 frame of nonsense", []message{a("\x2f" + mp3Frame), a("\x2fnonsense")}, []string{`2 MP3 10ms+0s "` + quote(mp3Frame) + `" random access`}},

	{"nanoseconds of a picture", []message{v("\x90hvc1" + hvcC), v("\x97\x02\x01\x00\x00\x01hvc1\x00\x00\x02" + irap)}, []string{`1 H.265 10.065536ms+2ms "` + quote(irap) + `" random access`}},
	{"nanoseconds of sound", []message{a("\x97\x02\x00\x00\x00\x00mp4a" + asc), a("\x97\x03\x0f\x42\x3f\xff\x01mp4axyz")}, []string{`2 AAC 10.999999ms+0s "xyz" random access`}},
	{"more nanoseconds than a millisecond", []message{a("\x90mp4a" + asc), a("\x97\x02\xff\xff\xff\x01mp4axyz")}, []string{`2 AAC 10.999999ms+0s "xyz" random access`}},
	{"an unknown modifier, then nanoseconds", []message{a("\x90mp4a" + asc), a("\x97\x00\xaa\x57\x02\x00\x00\x05\x01mp4axyz")}, []string{`2 AAC 10.000005ms+0s "xyz" random access`}},
	{"a modifier of 300 bytes", []message{a("\x90mp4a" + asc), a("\x97\xff\x01\x2b" + strings.Repeat("m", 300) + "\x51mp4axyz")}, []string{`2 AAC 10ms+0s "xyz" random access`}},
	{"nanoseconds of too few bytes", []message{a("\x90mp4a" + asc), a("\x97\x01\x00\x05\x01mp4axyz")}, []string{`2 AAC 10ms+0s "xyz" random access`}},

	{
		"one track, as OBS sends it",
		[]message{v("\x96\x00avc1\x02" + avcC), v("\x96\x01avc1\x02\x00\x00\x03" + idr), v("\xa6\x03avc1\x02" + p), v("\x96\x02avc1\x02")},
		[]string{`21 H.264 10ms+3ms "` + quote(idr) + `" random access`, `21 H.264 10ms+0s "` + quote(p) + `"`},
	},
	{
		"many tracks of one codec",
		[]message{
			v("\x96\x10hvc1\x00" + size24(hvcC) + "\x01" + size24(hvcC)),
			v("\x96\x11hvc1\x01" + size24("\x00\x00\x01"+irap) + "\x00" + size24("\x00\x00\x02"+irap)),
		},
		[]string{`11 H.265 10ms+1ms "` + quote(irap) + `" random access`, `1 H.265 10ms+2ms "` + quote(irap) + `" random access`},
	},
	{
		"many tracks of many codecs",
		[]message{
			a("\x95\x20mp4a\x00" + size24(asc) + "Opus\x05" + size24(opusHead) + "ac-3\x01" + size24("")),
			a("\x95\x21mp4a\x00" + size24("aac") + "Opus\x05" + size24("opus") + "ac-3\x01" + size24(ac3Frame)),
		},
		[]string{`2 AAC 10ms+0s "aac" random access`, `52 Opus 10ms+0s "opus" random access`, `12 AC-3 10ms+0s "` + quote(ac3Frame) + `" random access`},
	},
	{
		"nanoseconds of many tracks",
		[]message{a("\x95\x10mp4a\x00" + size24(asc) + "\xff" + size24(asc)), a("\x97\x02\x00\x00\x07\x05\x11mp4a\x00" + size24("x") + "\xff" + size24("y"))},
		[]string{`2 AAC 10.000007ms+0s "x" random access`, `2552 AAC 10.000007ms+0s "y" random access`},
	},
	{"channels of Opus", []message{a("\x94Opus\x01\x06\x00\x00\x00\x3f"), a("\x90Opus"), a("\x91Opusxyz")}, []string{`2 Opus 10ms+0s "xyz" random access`}},

	{
		"metadata of another track, as FFmpeg 8.1 sends it",
		[]message{
			v("\x90hvc1" + hvcC), v("\x96\x00av01\x01" + av1C), v("\xd4av01" + colorInfo(amf0.Object{{Name: "colorConfig", Value: amf0.Object{}}})), v("\x93hvc1" + irap),
			a("\xaf\x00" + asc), a("\x94Opus\x01\x02\x00\x00\x00\x03"), a("\x92Opus"), a("\xaf\x01xyz"),
		},
		[]string{`1 H.265 10ms+0s "` + quote(irap) + `" random access`, `2 AAC 10ms+0s "xyz" random access`},
	},
	{"H.264 without a sequence header", []message{v("\x27\x01\x00\x00\x00" + p), v("\x17\x01\x00\x00\x00" + inBand264), v("\x27\x01\x00\x00\x00" + p)}, []string{`1 H.264 10ms+0s "` + quote(inBand264) + `" random access`, `1 H.264 10ms+0s "` + quote(p) + `"`}},
	{"H.264 with a sequence header of nonsense", []message{v("\x17\x00\x00\x00\x00\x01\x64\x00"), v("\x17\x01\x00\x00\x00" + inBand264)}, []string{`1 H.264 10ms+0s "` + quote(inBand264) + `" random access`}},
	{"H.265 without a sequence header", []message{v("\x93hvc1" + inBand265)}, []string{`1 H.265 10ms+0s "` + quote(inBand265) + `" random access`}},
	{"AAC with a bad first configuration", []message{a("\xaf\x00\xff\xff"), a("\xaf\x01no"), a("\xaf\x00" + asc), a("\xaf\x01yes")}, []string{`2 AAC 10ms+0s "yes" random access`}},
	{"AAC with a bad later configuration", []message{a("\xaf\x00" + asc), a("\xaf\x00\xff\xff"), a("\xaf\x01yes")}, []string{`2 AAC 10ms+0s "yes" random access`}},
	{"another codec on the same track", []message{a("\xaf\x00" + asc), a("\xaf\x01one"), a("\x90Opus" + opusHead), a("\xaf\x01lost"), a("\x90Opus" + opusHead), a("\x91Opustwo")}, []string{`2 AAC 10ms+0s "one" random access`, `2 Opus 10ms+0s "two" random access`}},
}

var (
	inBand264 = string(media.AppendLengthPrefixed(nil, mediatest.SPS264, mediatest.PPS264, []byte{0x65, 0x88}))
	inBand265 = string(media.AppendLengthPrefixed(nil, mediatest.VPS265, mediatest.SPS265, mediatest.PPS265, []byte{0x26, 1, 0xaf}))
)

func quote(s string) string {
	q := fmt.Sprintf("%q", s)
	return q[1 : len(q)-1]
}

func TestBodiesOfEnhancedRTMP(t *testing.T) {
	for _, c := range extendedBodies {
		t.Run(c.name, func(t *testing.T) {
			var d flv.Demuxer
			if got, want := strings.Join(lines(t, &d, c.messages...), "\n"), strings.Join(c.want, "\n"); got != want {
				t.Errorf("frames\n%s\nwant\n%s", got, want)
			}
		})
	}
}

var brokenBodies = []struct {
	name string
	in   message
	want error
	text string
}{
	{"no FourCC behind a modifier", v("\x97\x00\xaa\x01hv"), flv.ErrMalformed, "tag of Enhanced RTMP"},
	{"modifier cut short", v("\x97\x05\x00"), flv.ErrMalformed, "ModEx"},
	{"modifier without a size", v("\x97"), flv.ErrMalformed, "ModEx"},
	{"modifier of 16 bits cut short", a("\x97\xff\x01"), flv.ErrMalformed, "ModEx"},
	{"modifiers without end", a("\x97" + strings.Repeat("\x00\xaa\x57", 17) + "\x00\xaa\x51mp4a"), flv.ErrTooLarge, "modifiers"},
	{"a packet of several tracks inside another", a("\x95\x05mp4a\x00"), flv.ErrMalformed, "packet type 5"},
	{"a modifier inside of several tracks", v("\x96\x17hvc1\x00"), flv.ErrMalformed, "packet type 7"},
	{"a form of several tracks to come", v("\x96\x31hvc1\x00"), media.ErrUnsupportedCodec, "multitrack form 3"},
	{"several tracks of nothing", v("\x96"), flv.ErrMalformed, "multitrack"},
	{"several tracks without a FourCC", v("\x96\x11hv"), flv.ErrMalformed, "tag of Enhanced RTMP"},
	{"several tracks without a track", v("\x96\x11hvc1"), flv.ErrMalformed, "track of a multitrack packet"},
	{"a track without a size", v("\x96\x11hvc1\x00\x00"), flv.ErrMalformed, "size of a track"},
	{"a track beyond the end", v("\x96\x11hvc1\x00\x00\x00\x09abc"), flv.ErrMalformed, "track of 9 bytes in 3"},
	{"a second track without its FourCC", a("\x95\x21mp4a\x00" + size24("x") + "mp"), flv.ErrMalformed, "tag of Enhanced RTMP"},
	{"VP8 on a second track", v("\x96\x01vp08\x01"), media.ErrUnsupportedCodec, "VP8"},
	{"17 tracks in a packet", a("\x95\x11mp4a" + strings.Repeat("\x00"+size24("x"), 17)), flv.ErrTooLarge, "16 tracks"},
	{"a sequence header of 64 KiB", v("\x17\x00\x00\x00\x00" + avcC + strings.Repeat("x", 64<<10)), flv.ErrTooLarge, "sequence header"},
	{"AV1 of nonsense", v("\x91av01\xb2\x01\x10"), flv.ErrMalformed, "AV1"},
	{"VP9 of nonsense", v("\x91vp09\x00\x01\x10"), flv.ErrMalformed, "VP9"},
}

func TestBrokenBodiesOfEnhancedRTMP(t *testing.T) {
	for _, c := range brokenBodies {
		t.Run(c.name, func(t *testing.T) {
			var d flv.Demuxer
			if err := d.Write(c.in.typ, 0, []byte(c.in.body)); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestTracksAreBounded(t *testing.T) {
	var d flv.Demuxer
	for n := range flv.MaxTracks {
		lines(t, &d, a("\x95\x00mp4a"+string([]byte{byte(n)})+asc))
	}
	if err := d.Write(flv.TypeVideo, 0, []byte("\x17\x00\x00\x00\x00"+avcC)); !errors.Is(err, flv.ErrTooLarge) {
		t.Error(err)
	}
	if tracks, _ := d.Tracks(); len(tracks) != flv.MaxTracks || tracks[0].ID != flv.AudioTrack || tracks[15].ID != 152 {
		t.Error(tracks)
	}
}

// A sequence header that is of no use is an error where nothing else tells.
func TestNothingTellsOfTheTrack(t *testing.T) {
	for _, c := range []struct {
		name     string
		header   message
		frame    message
		frames   int
		want     string
		withBoth bool
	}{
		{"H.264", v("\x17\x00\x00\x00\x00\x01\x64"), v("\x17\x01\x00\x00\x00" + idr), 1, "avcC", false},
		{"H.265", v("\x90hvc1\x01"), v("\x93hvc1" + irap), 1, "hvcC", false},
		{"AAC alone", a("\xaf\x00\xff\xff"), a("\xaf\x01xyz"), 251, "AudioSpecificConfig", false},
		{"AAC beside pictures", a("\xaf\x00\xff\xff"), a("\xaf\x01xyz"), 1000, "", true},
		{"MP3 alone", a("\x2fnonsense"), a("\x2fnonsense"), 250, "MP3 header", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d flv.Demuxer
			if c.withBoth {
				lines(t, &d, v("\x17\x00\x00\x00\x00"+avcC))
			}
			lines(t, &d, c.header)
			for i := range c.frames {
				err := d.Write(c.frame.typ, 0, []byte(c.frame.body))
				last := i == c.frames-1
				if c.want == "" || !last {
					if err != nil {
						t.Fatalf("frame %d: %v", i, err)
					}
				} else if !errors.Is(err, media.ErrBadConfig) || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("frame %d: %v", i, err)
				}
				if f, ok := d.Next(); ok {
					t.Fatalf("frame %d: %+v", i, f)
				}
			}
		})
	}
}

func TestParameterSetsThatChangeInsideOfTheStream(t *testing.T) {
	other := []byte(string(mediatest.SPS264))
	other[3] = 0x28 // another level
	changed := string(media.AppendLengthPrefixed(nil, other, mediatest.PPS264, []byte{0x65, 0x88}))
	var d flv.Demuxer
	header := v("\x17\x00\x00\x00\x00" + avcC)
	track := func(m ...message) *media.Track {
		t.Helper()
		lines(t, &d, m...)
		tracks, _ := d.Tracks()
		return tracks[0]
	}
	first := track(header, v("\x17\x01\x00\x00\x00"+inBand264))
	if first.CodecString() != "avc1.64001f" {
		t.Error(first)
	}
	second := track(v("\x17\x01\x00\x00\x00" + changed))
	if second == first || second.CodecString() != "avc1.640028" || second.ID != first.ID {
		t.Errorf("%+v", second)
	}
	if again := track(header, v("\x17\x01\x00\x00\x00"+changed)); again != second {
		t.Error("a sequence header that is repeated undoes what the stream says")
	}
	if back := track(v("\x17\x00\x00\x00\x00" + string(second.Config))); back != second {
		t.Errorf("a sequence header that says the same made another track")
	}
}

// colorInfo makes what a Metadata packet holds.
func colorInfo(v amf0.Value) string { return string(amf0.Append(nil, amf0.String("colorInfo"), v)) }

func TestColours(t *testing.T) {
	info := amf0.Object{
		{Name: "colorConfig", Value: amf0.Object{num("bitDepth", 10), num("colorPrimaries", 9), num("transferCharacteristics", 16), num("matrixCoefficients", 9)}},
		{Name: "hdrCll", Value: amf0.ECMAArray{num("maxFall", 400), num("maxCLL", 1000)}},
		{Name: "hdrMdcv", Value: amf0.Object{
			num("redX", 0.68), num("redY", 0.32), num("greenX", 0.265), num("greenY", 0.69), num("blueX", 0.15), num("blueY", 0.06),
			num("whitePointX", 0.3127), num("whitePointY", 0.329), num("maxLuminance", 1000), num("minLuminance", 0.0001),
		}},
	}
	var d flv.Demuxer
	before := lines(t, &d, v("\x94hvc1"+colorInfo(info)), v("\x90hvc1"+hvcC), v("\x93hvc1"+irap))
	tracks, _ := d.Tracks()
	hdr := tracks[0]
	c := hdr.Color
	if len(before) != 1 || c == nil || c.BitDepth != 10 || c.Primaries != 9 || c.Transfer != media.TransferPQ || c.Matrix != 9 ||
		c.Light.MaxCLL != 1000 || c.Light.MaxFALL != 400 || c.Mastering.GreenX != 0.265 || c.Mastering.WhiteY != 0.329 || c.Mastering.MinLuminance != 0.0001 {
		t.Fatalf("%+v", c)
	}
	// Written and read again it is the same, in another connection.
	var e flv.Demuxer
	lines(t, &e, v(string(flv.AppendColorBody(nil, hdr, flv.Enhanced))), v(string(flv.AppendSequenceBody(nil, hdr, flv.Enhanced))))
	if again, _ := e.Tracks(); !again[0].Color.Equal(c) {
		t.Errorf("%+v", again[0].Color)
	}
	if got := flv.AppendColorBody(nil, hdr, flv.Legacy); got != nil {
		t.Errorf("legacy H.265 with %q", got)
	}
	sdr := *hdr
	sdr.Color = &media.Color{BitDepth: 8, Primaries: 1, Transfer: 1, Matrix: 1}
	if got := flv.AppendColorBody(nil, &sdr, flv.Enhanced); got != nil {
		t.Errorf("colours that are not HDR's with %q", got)
	}
	for _, s := range []struct {
		name string
		in   string
		same bool
	}{
		{"the same again", colorInfo(info), true},
		{"nothing readable", "\x02\x00\x09color", true},
		{"something else", string(amf0.Append(nil, amf0.String("other"), amf0.Null{})), true},
		{"taken back", colorInfo(amf0.Undefined{}), false},
		{"numbers that are none", colorInfo(amf0.Object{{Name: "hdrCll", Value: amf0.Object{num("maxCLL", -1)}}, {Name: "colorConfig", Value: amf0.Object{num("colorPrimaries", 1e9)}}}), false},
	} {
		t.Run(s.name, func(t *testing.T) {
			lines(t, &d, v("\x94hvc1"+colorInfo(info)))
			before, _ := d.Tracks()
			lines(t, &d, v("\xd4hvc1"+s.in)) // of any frame type
			after, _ := d.Tracks()
			if (before[0] == after[0]) != s.same {
				t.Errorf("%+v", after[0].Color)
			}
			if c := after[0].Color; !s.same && c.Described() {
				t.Errorf("%+v", c)
			}
		})
	}
}

func TestMetadataOfSeveralTracks(t *testing.T) {
	var d flv.Demuxer
	m := s(metadata(
		num("videocodecid", 7), num("framerate", 30), num("videodatarate", 6000), num("audiocodecid", 10), num("audiosamplerate", 48000), num("audiochannels", 2),
		amf0.Property{Name: "videoTrackIdInfoMap", Value: amf0.Object{
			{Name: "1", Value: amf0.Object{num("videocodecid", 1752589105), num("videodatarate", 2500)}},
			{Name: "0", Value: amf0.Object{}},
			{Name: "256", Value: amf0.Object{}},
			{Name: "two", Value: amf0.Object{}},
			{Name: "3", Value: amf0.Number(3)},
		}},
		amf0.Property{Name: "audioTrackIdInfoMap", Value: amf0.ECMAArray{{Name: "1", Value: amf0.Object{num("channels", 6)}}}},
	))
	lines(t, &d, m)
	var promised []string
	for _, p := range d.Promised() {
		promised = append(promised, fmt.Sprint(p.ID, p.Codec, p.Bitrate, p.FrameRate, p.SampleRate, p.Channels))
	}
	want := "1 H.264 6000000 30 0 0, 2 AAC 0 0 48000 2, 11 H.265 2500000 30 0 0, 12 AAC 0 0 48000 6"
	if got := strings.Join(promised, ", "); got != want {
		t.Errorf("promised %s, want %s", got, want)
	}
	for i, m := range []message{v("\x17\x00\x00\x00\x00" + avcC), a("\xaf\x00" + asc), v("\x96\x00hvc1\x01" + hvcC), a("\x95\x00mp4a\x01" + asc)} {
		if _, complete := d.Tracks(); complete {
			t.Errorf("complete before message %d", i)
		}
		lines(t, &d, m)
	}
	tracks, complete := d.Tracks()
	if !complete || len(tracks) != 4 || tracks[2].Bitrate != 2500000 || tracks[0].Bitrate != 6000000 || len(d.Promised()) != 0 {
		t.Error(tracks, complete)
	}
}

func FuzzEnhanced(f *testing.F) {
	for _, c := range extendedBodies {
		for _, m := range c.messages {
			f.Add(m.typ == flv.TypeVideo, []byte(m.body)[:min(len(m.body), 600)])
		}
	}
	for _, c := range brokenBodies {
		f.Add(c.in.typ == flv.TypeVideo, []byte(c.in.body)[:min(len(c.in.body), 600)])
	}
	f.Fuzz(func(t *testing.T, video bool, b []byte) {
		var d flv.Demuxer
		for _, m := range []message{v("\x90hvc1" + hvcC), v("\x96\x00av01\x01" + av1C), a("\x90mp4a" + asc), a("\x95\x00Opus\x01" + opusHead)} {
			if err := d.Write(m.typ, 0, []byte(m.body)); err != nil {
				t.Fatal(err)
			}
		}
		typ := byte(flv.TypeAudio)
		if video {
			typ = flv.TypeVideo
		}
		for range 2 {
			err := d.Write(typ, time.Second, b)
			if err != nil && !errors.Is(err, media.ErrUnsupportedCodec) && !errors.Is(err, media.ErrBadConfig) && !errors.Is(err, flv.ErrMalformed) && !errors.Is(err, flv.ErrTooLarge) {
				t.Fatalf("error %v has no sentinel", err)
			}
			for frame, ok := d.Next(); ok; frame, ok = d.Next() {
				if frame.Track == nil || len(frame.Data) == 0 || frame.PTS < frame.DTS || frame.DTS < time.Second || frame.DTS > time.Second+time.Millisecond {
					t.Fatalf("%+v", frame)
				}
				tag := append(flv.AppendFrameHead(nil, &frame, flv.Enhanced), frame.Data...)
				body(t, flv.AppendTrailer(tag, &frame, flv.Enhanced))
			}
			tracks, _ := d.Tracks()
			for i, tr := range tracks {
				if i > 0 && tracks[i-1].ID >= tr.ID {
					t.Fatal("tracks out of order")
				}
				flv.AppendColorBody(nil, tr, flv.Enhanced)
			}
		}
	})
}
