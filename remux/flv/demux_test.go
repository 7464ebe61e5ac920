package flv_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/amf0"
	"github.com/miju-live/miju/remux/flv"
)

var (
	avcC = string(mediatest.H264Track(1).Config)
	hvcC = string(mediatest.H265Track(1).Config)
	asc  = string(mediatest.AACTrack(2).Config)
	idr  = "\x00\x00\x00\x02\x65\x88"
	p    = "\x00\x00\x00\x02\x41\x9a"
	irap = "\x00\x00\x00\x03\x26\x01\xaf"
)

// metadata makes the body of onMetaData.
func metadata(properties ...amf0.Property) string {
	return string(amf0.Append(nil, amf0.String("@setDataFrame"), amf0.String("onMetaData"), amf0.ECMAArray(properties)))
}

func num(name string, n float64) amf0.Property {
	return amf0.Property{Name: name, Value: amf0.Number(n)}
}

// A message is one body for a Demuxer.
type message struct {
	typ  byte
	body string
}

func v(body string) message { return message{flv.TypeVideo, body} }
func a(body string) message { return message{flv.TypeAudio, body} }
func s(body string) message { return message{flv.TypeScript, body} }

// carried holds messages of which the last is a frame of data.
var carried = []struct {
	name         string
	messages     []message
	track        int
	codec        media.Codec
	data         string
	offset       time.Duration
	randomAccess bool
}{
	{"H.264", []message{v("\x17\x00\x00\x00\x00" + avcC), v("\x17\x01\x00\x00\x28" + idr)}, 1, media.H264, idr, 40, true},
	{"H.264 inter", []message{v("\x17\x00\x00\x00\x00" + avcC), v("\x27\x01\x00\x00\x00" + p)}, 1, media.H264, p, 0, false},
	{"a key frame without IDR is no random access point", []message{v("\x17\x00\x00\x00\x00" + avcC), v("\x17\x01\x00\x00\x00" + p)}, 1, media.H264, p, 0, false},
	{"an inter frame is not, whatever is in it", []message{v("\x17\x00\x00\x00\x00" + avcC), v("\x27\x01\x00\x00\x00" + idr)}, 1, media.H264, idr, 0, false},
	{"a negative composition time", []message{v("\x17\x00\x00\x00\x00" + avcC), v("\x27\x01\xff\xff\xf6" + p)}, 1, media.H264, p, 0, false},
	{"H.265 legacy", []message{v("\x1c\x00\x00\x00\x00" + hvcC), v("\x1c\x01\x00\x00\x01" + irap)}, 1, media.H265, irap, 1, true},
	{"H.265 coded frames", []message{v("\x90hvc1" + hvcC), v("\x91hvc1\x00\x00\x02" + irap)}, 1, media.H265, irap, 2, true},
	{"H.265 coded frames X", []message{v("\x90hvc1" + hvcC), v("\x93hvc1" + irap)}, 1, media.H265, irap, 0, true},
	{"H.265 without a frame type", []message{v("\x80hvc1" + hvcC), v("\x83hvc1" + irap)}, 1, media.H265, irap, 0, true},
	{"H.264 in Enhanced RTMP", []message{v("\x90avc1" + avcC), v("\xa1avc1\x00\x00\x03" + p)}, 1, media.H264, p, 3, false},
	{"AAC", []message{a("\xaf\x00" + asc), a("\xaf\x01xyz")}, 2, media.AAC, "xyz", 0, true},
	{"AAC in Enhanced RTMP", []message{a("\x90mp4a" + asc), a("\x91mp4axyz")}, 2, media.AAC, "xyz", 0, true},
	{"script data", []message{s("\x02\x00\x06onText\x05")}, 3, media.Script, "\x02\x00\x06onText\x05", 0, true},
	{"script data in its envelope", []message{s("\x02\x00\x0d@setDataFrame\x02\x00\x06onText\x05")}, 3, media.Script, "\x02\x00\x06onText\x05", 0, true},
}

// demux writes one body and returns its first frame.
func demux(d *flv.Demuxer, typ byte, timestamp time.Duration, body []byte) (f media.Frame, ok bool, err error) {
	if err = d.Write(typ, timestamp, body); err != nil {
		return f, false, err
	}
	f, ok = d.Next()
	return f, ok, nil
}

func TestFramesOfEveryForm(t *testing.T) {
	const dts = 1234 * time.Millisecond
	for _, c := range carried {
		t.Run(c.name, func(t *testing.T) {
			var d flv.Demuxer
			for i, m := range c.messages {
				f, ok, err := demux(&d, m.typ, dts, []byte(m.body))
				last := i == len(c.messages)-1
				if err != nil || ok != last {
					t.Fatalf("message %d: %v, %v", i, ok, err)
				}
				if !last {
					continue
				}
				if string(f.Data) != c.data || f.DTS != dts || f.PTS != dts+c.offset*time.Millisecond || f.RandomAccess != c.randomAccess {
					t.Errorf("%+v", f)
				}
				if f.Track == nil || f.Track.ID != c.track || f.Track.Codec != c.codec {
					t.Errorf("%+v", f.Track)
				}
			}
		})
	}
}

// ignored holds messages that are neither a frame nor an error.
var ignored = []struct {
	name string
	in   message
}{
	{"silence", a("")},
	{"sound before its configuration", a("\xaf\x01xyz")},
	{"AAC sequence header without a record", a("\xaf\x00")},
	{"AAC frame of nothing", a("\xaf\x01")},
	{"AAC sequence end", a("\x92mp4a")},
	{"multichannel configuration", a("\x94mp4a\x00\x02")},
	{"a picture before its configuration", v("\x17\x01\x00\x00\x00" + idr)},
	{"no picture", v("")},
	{"H.264 sequence end", v("\x17\x02\x00\x00\x00")},
	{"H.264 sequence end, short", v("\x17\x02")},
	{"H.264 sequence header without a record", v("\x17\x00\x00\x00\x00")},
	{"video command", v("\x57\x00")},
	{"H.265 sequence end", v("\x92hvc1")},
	{"HDR metadata", v("\x94hvc1\x02\x00\x09colorInfo\x03\x00\x00\x09")},
	{"a command of Enhanced RTMP", v("\xd0\x00")},
	{"cleared metadata", s("\x02\x00\x0f@clearDataFrame\x02\x00\x0aonMetaData")},
	{"metadata without values", s("\x02\x00\x0aonMetaData")},
	{"metadata of null", s("\x02\x00\x0aonMetaData\x05")},
	{"another type", message{22, "xyz"}},
}

func TestWhatIsLeftOut(t *testing.T) {
	for _, c := range ignored {
		t.Run(c.name, func(t *testing.T) {
			var d flv.Demuxer
			if f, ok, err := demux(&d, c.in.typ, 0, []byte(c.in.body)); ok || err != nil {
				t.Errorf("%+v, %v, %v", f, ok, err)
			}
			if tracks, complete := d.Tracks(); len(tracks) > 0 || complete {
				t.Error(tracks, complete)
			}
		})
	}
}

// refused holds messages that end a publisher, and a word that says why.
var refused = []struct {
	name string
	in   message
	want error
	text string
}{
	{"VP8", v("\x91vp08"), media.ErrUnsupportedCodec, "VP8 (vp08) in Enhanced RTMP"},
	{"H.266", v("\x90vvc1\x01"), media.ErrUnsupportedCodec, "H.266 (vvc1)"},
	{"pictures as sound", a("\x91hvc1xyz"), media.ErrUnsupportedCodec, "H.265 as sound"},
	{"sound as pictures", v("\x91Opusxyz"), media.ErrUnsupportedCodec, "Opus as video"},
	{"a FourCC of no name", v("\x90\x00\xffx\"yz"), media.ErrUnsupportedCodec, `"\x00\xffx\""`},
	{"VP6", v("\x14\x00"), media.ErrUnsupportedCodec, "VP6 (id 4 in FLV)"},
	{"an id of no name", v("\x1f\x00\x00\x00\x00"), media.ErrUnsupportedCodec, "id 15"},
	{"a video packet type to come", v("\x98hvc1"), media.ErrUnsupportedCodec, "packet type 8"},
	{"Speex", a("\xb2\xff"), media.ErrUnsupportedCodec, "Speex"},
	{"G.711", a("\x72\xff"), media.ErrUnsupportedCodec, "G.711 A-law"},
	{"a sound packet type to come", a("\x98mp4a"), media.ErrUnsupportedCodec, "packet type 8"},
	{"H.264 with 2-byte sizes", v("\x17\x00\x00\x00\x00\x01\x64\x00\x1f\xfd\xe1\x00"), media.ErrUnsupportedCodec, "2-byte"},
	{"video tag cut short", v("\x17\x01\x00"), flv.ErrMalformed, "3 bytes"},
	{"extended video tag cut short", v("\x90hvc"), flv.ErrMalformed, "tag of Enhanced RTMP"},
	{"composition time cut short", v("\x91hvc1\x00"), flv.ErrMalformed, "coded frame"},
	{"AAC tag cut short", a("\xaf"), flv.ErrMalformed, "1 bytes"},
	{"extended sound tag cut short", a("\x90mp"), flv.ErrMalformed, "tag of Enhanced RTMP"},
	{"script data without a name", s("\x05"), flv.ErrMalformed, "name"},
	{"an envelope around nothing", s("\x02\x00\x0d@setDataFrame"), flv.ErrMalformed, "name"},
	{"metadata cut short", s("\x02\x00\x0aonMetaData\x08\x00"), flv.ErrMalformed, "onMetaData"},
	{"metadata nested 50,000 deep", s("\x02\x00\x0aonMetaData" + strings.Repeat("\x03\x00\x01a", 50_000)), amf0.ErrTooLarge, "deep"},
	{"script data of 1 MiB", s("\x02\x00\x01x" + strings.Repeat("\x05", 1<<20)), flv.ErrTooLarge, "bytes"},
}

func TestWhatIsRefused(t *testing.T) {
	for _, c := range refused {
		t.Run(c.name, func(t *testing.T) {
			var d flv.Demuxer
			_, ok, err := demux(&d, c.in.typ, 0, []byte(c.in.body))
			if ok || !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%v, %v", ok, err)
			}
		})
	}
}

func TestBrokenAccessUnitIsRefused(t *testing.T) {
	var d flv.Demuxer
	demux(&d, flv.TypeVideo, 0, []byte("\x17\x00\x00\x00\x00"+avcC))
	if _, ok, err := demux(&d, flv.TypeVideo, 0, []byte("\x17\x01\x00\x00\x00\x00\x00\x00\xff\x65")); ok || !errors.Is(err, flv.ErrMalformed) {
		t.Error(ok, err)
	}
}

func TestTracksStayUntilTheirRecordChanges(t *testing.T) {
	var d flv.Demuxer
	send := func(m message) {
		t.Helper()
		if _, _, err := demux(&d, m.typ, 0, []byte(m.body)); err != nil {
			t.Fatal(err)
		}
	}
	send(s(metadata(num("videocodecid", 7), num("videodatarate", 2500), num("audiocodecid", 10), num("audiodatarate", 160))))
	send(v("\x17\x00\x00\x00\x00" + avcC))
	send(a("\xaf\x00" + asc))
	before, complete := d.Tracks()
	if !complete || before[0].Bitrate != 2_500_000 || before[1].Bitrate != 160_000 {
		t.Fatal(complete, before[0], before[1])
	}
	send(s(metadata(num("videocodecid", 7), num("videodatarate", 2500), num("audiocodecid", 10), num("audiodatarate", 160))))
	send(v("\x17\x00\x00\x00\x00" + avcC))
	send(a("\xaf\x00" + asc))
	if again, _ := d.Tracks(); again[0] != before[0] || again[1] != before[1] {
		t.Error("the same records made new tracks")
	}
	send(v("\x1c\x00\x00\x00\x00" + hvcC))
	after, _ := d.Tracks()
	if after[0] == before[0] || after[0].ID != before[0].ID || after[0].Codec != media.H265 || before[0].Codec != media.H264 || after[1] != before[1] {
		t.Errorf("%+v, %+v", after[0], after[1])
	}
	send(s(metadata(num("videodatarate", 4000))))
	if tuned, _ := d.Tracks(); tuned[0].Bitrate != 4_000_000 || after[0].Bitrate != 2_500_000 || string(tuned[0].Config) != hvcC {
		t.Errorf("%+v", tuned[0])
	}
}

func TestPromises(t *testing.T) {
	text := func(name, s string) amf0.Property { return amf0.Property{Name: name, Value: amf0.String(s)} }
	for _, c := range []struct {
		name         string
		metadata     []amf0.Property
		video, audio bool // whether the promise waits for them
	}{
		{"both ids", []amf0.Property{num("videocodecid", 7), num("audiocodecid", 10)}, true, true},
		{"video alone", []amf0.Property{num("videocodecid", 7), num("width", 640)}, true, false},
		{"sound alone", []amf0.Property{num("audiocodecid", 10)}, false, true},
		{"a FourCC as a number", []amf0.Property{num("videocodecid", 1752589105)}, true, false},
		{"names", []amf0.Property{text("videocodecid", "avc1"), text("audiocodecid", "mp4a")}, true, true},
		{"0 is none", []amf0.Property{num("videocodecid", 7), num("audiocodecid", 0), num("audiosamplerate", 44100)}, true, false},
		{"a size promises video", []amf0.Property{num("width", 640), num("height", 360)}, true, false},
		{"flags of this server", []amf0.Property{{Name: "hasVideo", Value: amf0.Boolean(false)}, {Name: "hasAudio", Value: amf0.Boolean(true)}}, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d flv.Demuxer
			send := func(m message) bool {
				if _, _, err := demux(&d, m.typ, 0, []byte(m.body)); err != nil {
					t.Fatal(err)
				}
				_, complete := d.Tracks()
				return complete
			}
			if send(s(metadata(c.metadata...))) {
				t.Fatal("complete without a track")
			}
			if c.video && send(v("\x17\x00\x00\x00\x00"+avcC)) != !c.audio {
				t.Error("wrong after video")
			}
			if c.audio && !send(a("\xaf\x00"+asc)) {
				t.Error("incomplete after sound")
			}
		})
	}
}

func TestWithoutAPromiseTracksNeverAreComplete(t *testing.T) {
	var d flv.Demuxer
	for _, m := range []message{s(metadata(num("duration", 0))), v("\x17\x00\x00\x00\x00" + avcC), a("\xaf\x00" + asc)} {
		demux(&d, m.typ, 0, []byte(m.body))
	}
	if tracks, complete := d.Tracks(); len(tracks) != 2 || complete {
		t.Error(tracks, complete)
	}
}

func FuzzDemux(f *testing.F) {
	for _, c := range carried {
		for _, m := range c.messages {
			f.Add(m.typ, []byte(m.body))
		}
	}
	for _, c := range ignored {
		f.Add(c.in.typ, []byte(c.in.body))
	}
	for _, c := range refused {
		f.Add(c.in.typ, []byte(c.in.body)[:min(len(c.in.body), 500)])
	}
	f.Add(byte(flv.TypeScript), []byte(metadata(num("videocodecid", 7), num("framerate", 30))))
	f.Fuzz(func(t *testing.T, typ byte, b []byte) {
		var d flv.Demuxer
		for _, m := range []message{v("\x17\x00\x00\x00\x00" + avcC), a("\xaf\x00" + asc)} {
			demux(&d, m.typ, 0, []byte(m.body))
		}
		frame, ok, err := demux(&d, typ, time.Second, b)
		switch {
		case ok && (err != nil || frame.Track == nil || len(frame.Data) == 0 || len(frame.Data) > len(b) || frame.PTS < frame.DTS):
			t.Fatalf("%+v, %v", frame, err)
		case ok:
			for _, p := range []flv.Packing{flv.Enhanced, flv.Legacy} {
				tag := append(flv.AppendFrameHead(nil, &frame, p), frame.Data...)
				body(t, flv.AppendTrailer(tag, &frame, p))
			}
		case err != nil && !errors.Is(err, media.ErrUnsupportedCodec) && !errors.Is(err, media.ErrBadConfig) &&
			!errors.Is(err, flv.ErrMalformed) && !errors.Is(err, flv.ErrTooLarge):
			t.Fatalf("error %v has no sentinel", err)
		}
	})
}
