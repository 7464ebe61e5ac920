package flv_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"reflect"
	"testing"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/amf0"
	"github.com/miju-live/miju/remux/flv"
)

func TestFileHeaderIsTrueToItsTracks(t *testing.T) {
	for _, c := range []struct {
		video, audio bool
		flags        byte
	}{{true, true, 5}, {true, false, 1}, {false, true, 4}} {
		want := []byte{'F', 'L', 'V', 1, c.flags, 0, 0, 0, 9, 0, 0, 0, 0}
		if got := flv.AppendFileHeader(nil, c.video, c.audio); !bytes.Equal(got, want) {
			t.Errorf("%x", got)
		}
	}
}

func TestFrameHeads(t *testing.T) {
	h264, h265, aac := mediatest.H264Track(1), mediatest.H265Track(1), mediatest.AACTrack(2)
	ms := time.Millisecond
	for _, c := range []struct {
		name    string
		frame   media.Frame
		packing flv.Packing
		want    string
		size    uint32
	}{
		{
			"H.264 random access point",
			media.Frame{Track: h264, RandomAccess: true, DTS: 1000 * ms, PTS: 1040 * ms},
			flv.Enhanced, "\x09\x00\x00\x07\x00\x03\xe8\x00\x00\x00\x00\x17\x01\x00\x00\x28", 18,
		},
		{
			"timestamps beyond 24 bits",
			media.Frame{Track: h264, DTS: 0x12345678 * ms, PTS: 0x12345678 * ms},
			flv.Legacy, "\x09\x00\x00\x07\x34\x56\x78\x12\x00\x00\x00\x27\x01\x00\x00\x00", 18,
		},
		{
			"H.265 without composition time",
			media.Frame{Track: h265, RandomAccess: true},
			flv.Enhanced, "\x09\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\x93hvc1", 18,
		},
		{
			"H.265 with composition time",
			media.Frame{Track: h265, PTS: 33 * ms},
			flv.Enhanced, "\x09\x00\x00\x0a\x00\x00\x00\x00\x00\x00\x00\xa1hvc1\x00\x00\x21", 21,
		},
		{
			"H.265 legacy",
			media.Frame{Track: h265, RandomAccess: true},
			flv.Legacy, "\x09\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\x1c\x01\x00\x00\x00", 18,
		},
		{
			"times are rounded before they are subtracted",
			media.Frame{Track: h264, DTS: 33333 * time.Microsecond, PTS: 66666 * time.Microsecond},
			flv.Enhanced, "\x09\x00\x00\x07\x00\x00\x21\x00\x00\x00\x00\x27\x01\x00\x00\x22", 18,
		},
		{"AAC", media.Frame{Track: aac, RandomAccess: true}, flv.Enhanced, "\x08\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\xaf\x01", 15},
		{"script data", media.Frame{Track: &media.Track{ID: 3, Codec: media.Script}}, flv.Enhanced, "\x12\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00", 13},
		{"a time before 0", media.Frame{Track: aac, DTS: -5 * ms, PTS: -5 * ms}, flv.Enhanced, "\x08\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\xaf\x01", 15},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.frame.Data = []byte("xy")
			if got := flv.AppendFrameHead(nil, &c.frame, c.packing); string(got) != c.want {
				t.Errorf("head %x\nwant %x", got, c.want)
			}
			if got := binary.BigEndian.Uint32(flv.AppendTrailer(nil, &c.frame, c.packing)); got != c.size {
				t.Errorf("trailer %d, want %d", got, c.size)
			}
		})
	}
}

func TestMetadataTellsWhatExists(t *testing.T) {
	h265, aac := *mediatest.H265Track(1), *mediatest.AACTrack(2)
	h265.Bitrate, aac.Bitrate = 2_500_000, 128_000
	video := []amf0.Property{
		{Name: "width", Value: amf0.Number(1920)},
		{Name: "height", Value: amf0.Number(1080)},
		{Name: "framerate", Value: amf0.Number(30)},
		{Name: "videocodecid", Value: amf0.Number(1752589105)},
		{Name: "videodatarate", Value: amf0.Number(2500)},
	}
	audio := []amf0.Property{
		{Name: "audiocodecid", Value: amf0.Number(10)},
		{Name: "audiosamplerate", Value: amf0.Number(48000)},
		{Name: "audiosamplesize", Value: amf0.Number(16)},
		{Name: "audiochannels", Value: amf0.Number(2)},
		{Name: "stereo", Value: amf0.Boolean(true)},
		{Name: "audiodatarate", Value: amf0.Number(128)},
	}
	for _, c := range []struct {
		name   string
		tracks []*media.Track
		want   []amf0.Property
	}{
		{"both", []*media.Track{&h265, &aac}, append(append([]amf0.Property(nil), video...), audio...)},
		{"video only", []*media.Track{&h265}, video},
		{"sound only", []*media.Track{&aac}, audio},
		{"nothing", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			tag := flv.AppendMetadata(nil, c.tracks, flv.Enhanced)
			values, err := amf0.Decode(body(t, tag))
			if err != nil || len(values) != 2 || values[0] != amf0.String("onMetaData") {
				t.Fatal(values, err)
			}
			got := values[1].(amf0.ECMAArray)
			n := len(got)
			if !reflect.DeepEqual([]amf0.Property(got[2:n-1]), append([]amf0.Property{}, c.want...)) {
				t.Errorf("%v", got)
			}
			o := amf0.Object(got)
			if o.Get("hasVideo") != amf0.Boolean(c.name == "both" || c.name == "video only") || o.Text("encoder") != "Miju" {
				t.Errorf("%v", got)
			}
		})
	}
	legacy, err := amf0.Decode(body(t, flv.AppendMetadata(nil, []*media.Track{&h265}, flv.Legacy)))
	if o, _ := amf0.AsObject(legacy[1]); err != nil || o.Get("videocodecid") != amf0.Number(12) {
		t.Error(legacy, err)
	}
}

// body checks the tag around a body and returns it.
func body(t *testing.T, tag []byte) []byte {
	t.Helper()
	n := len(tag)
	if n < 15 || binary.BigEndian.Uint32(tag[n-4:]) != uint32(n-4) || int(tag[1])<<16|int(tag[2])<<8|int(tag[3]) != n-15 {
		t.Fatalf("tag %x", tag)
	}
	return tag[11 : n-4]
}

func TestWhatIsMuxedIsDemuxedAgain(t *testing.T) {
	for _, c := range []struct {
		name    string
		source  mediatest.Source
		packing flv.Packing
	}{
		{"H.264 and AAC", mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2)}, flv.Enhanced},
		{"H.265 and AAC", mediatest.Source{Video: mediatest.H265Track(1), Audio: mediatest.AACTrack(2)}, flv.Enhanced},
		{"H.265 legacy", mediatest.Source{Video: mediatest.H265Track(1)}, flv.Legacy},
		{"AAC", mediatest.Source{Audio: mediatest.AACTrack(2)}, flv.Enhanced},
	} {
		t.Run(c.name, func(t *testing.T) {
			frames, file := muxSome(&c.source, c.packing)
			r := flv.NewReader(bytes.NewReader(file))
			var d flv.Demuxer
			for i, want := range frames {
				got := nextFrame(t, r, &d)
				if !bytes.Equal(got.Data, want.Data) || got.RandomAccess != want.RandomAccess {
					t.Fatalf("frame %d differs", i)
				}
				if delta := got.DTS - want.DTS; delta.Abs() > time.Millisecond/2 {
					t.Fatalf("frame %d: DTS %v, want %v", i, got.DTS, want.DTS)
				}
				if delta := got.PTS - want.PTS; delta.Abs() > time.Millisecond/2 {
					t.Fatalf("frame %d: PTS %v, want %v", i, got.PTS, want.PTS)
				}
				if got.Track.ID != want.Track.ID || !bytes.Equal(got.Track.Config, want.Track.Config) || got.Track.Width != want.Track.Width {
					t.Fatalf("frame %d: track %+v", i, got.Track)
				}
			}
			if tracks, complete := d.Tracks(); !complete || len(tracks) != len(frames[0].Set.Tracks) {
				t.Error(tracks, complete)
			}
		})
	}
}

// muxSome makes a file of 200 frames, every third picture shown late.
func muxSome(s *mediatest.Source, p flv.Packing) (frames []media.Frame, file []byte) {
	for i := range 200 {
		f := s.Next()
		if f.Track.Kind() == media.KindVideo && i%3 == 0 {
			f.PTS += 80 * time.Millisecond
		}
		if i == 0 {
			file = flv.AppendFileHeader(nil, s.Video != nil, s.Audio != nil)
			file = flv.AppendMetadata(file, f.Set.Tracks, p)
			for _, t := range f.Set.Tracks {
				file = flv.AppendSequenceHeader(file, t, 0, p)
			}
		}
		frames = append(frames, f)
		file = flv.AppendFrameHead(file, &f, p)
		file = append(file, f.Data...)
		file = flv.AppendTrailer(file, &f, p)
	}
	return frames, file
}

func nextFrame(t *testing.T, r *flv.Reader, d *flv.Demuxer) media.Frame {
	t.Helper()
	for {
		typ, ts, b, err := r.ReadTag()
		if err != nil {
			t.Fatal(err)
		}
		f, ok, err := demux(d, typ, ts, b)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			return f
		}
	}
}

// TestClipsOfRealEncodersGoThrough muxes and demuxes every codec that has a
// clip: frame by frame the same, of a track that tells the same.
func TestClipsOfRealEncodersGoThrough(t *testing.T) {
	for name := range mediatest.Codecs {
		t.Run(name, func(t *testing.T) {
			id := flv.AudioTrack
			if mediatest.Codecs[name].Kind() == media.KindVideo {
				id = flv.VideoTrack
			}
			frames := mediatest.Clip(t, name, id)
			first := frames[0].Track
			video := first.Kind() == media.KindVideo
			file := flv.AppendFileHeader(nil, video, !video)
			file = flv.AppendMetadata(file, frames[0].Set.Tracks, flv.Enhanced)
			file = flv.AppendSequenceHeader(file, first, 0, flv.Enhanced)
			for i := range frames {
				f := &frames[i]
				file = flv.AppendFrameHead(file, f, flv.Enhanced)
				file = flv.AppendTrailer(append(file, f.Data...), f, flv.Enhanced)
			}
			r := flv.NewReader(bytes.NewReader(file))
			var d flv.Demuxer
			for i, want := range frames {
				got := nextFrame(t, r, &d)
				if !bytes.Equal(got.Data, want.Data) || got.RandomAccess != want.RandomAccess || (got.DTS-want.DTS).Abs() > time.Millisecond/2 {
					t.Fatalf("frame %d differs: %v at %v, want %v at %v", i, got.RandomAccess, got.DTS, want.RandomAccess, want.DTS)
				}
				g := got.Track
				if g.ID != id || g.Codec != first.Codec || !bytes.Equal(g.Config, first.Config) || g.Width != first.Width || g.Height != first.Height ||
					g.SampleRate != first.SampleRate || g.Channels != first.Channels || g.CodecString() != first.CodecString() {
					t.Fatalf("frame %d: track %+v, want %+v", i, g, first)
				}
			}
			if tracks, complete := d.Tracks(); !complete || len(tracks) != 1 || len(d.Promised()) != 0 {
				t.Error(tracks, complete)
			}
		})
	}
}

func TestFormsOfBodies(t *testing.T) {
	mp3 := func(rate, channels int) *media.Track {
		return &media.Track{Codec: media.MP3, SampleRate: rate, Channels: channels, Config: []byte{0xff, 0xfb, 0, 0}}
	}
	of := func(c media.Codec) *media.Track { return &media.Track{Codec: c, Config: []byte("CFG")} }
	for _, c := range []struct {
		name     string
		track    *media.Track
		p        flv.Packing
		sequence string
		head     string // of a random access point shown 2 ms late
		id       float64
	}{
		{"H.264", of(media.H264), flv.Enhanced, "\x17\x00\x00\x00\x00CFG", "\x17\x01\x00\x00\x02", 7},
		{"H.265", of(media.H265), flv.Enhanced, "\x90hvc1CFG", "\x91hvc1\x00\x00\x02", 1752589105},
		{"H.265 legacy", of(media.H265), flv.Legacy, "\x1c\x00\x00\x00\x00CFG", "\x1c\x01\x00\x00\x02", 12},
		{"AV1", of(media.AV1), flv.Legacy, "\x90av01CFG", "\x91av01", 1635135537},
		{"VP9", of(media.VP9), flv.Enhanced, "\x90vp09\x01\x00\x00\x00CFG", "\x91vp09", 1987063865},
		{"AAC", of(media.AAC), flv.Enhanced, "\xaf\x00CFG", "\xaf\x01", 10},
		{"Opus", of(media.Opus), flv.Enhanced, "\x90OpusCFG", "\x91Opus", 1332770163},
		{"FLAC", of(media.FLAC), flv.Enhanced, "\x90fLaCCFG", "\x91fLaC", 1716281667},
		{"AC-3", of(media.AC3), flv.Enhanced, "", "\x91ac-3", 1633889587},
		{"E-AC-3", of(media.EAC3), flv.Enhanced, "", "\x91ec-3", 1700998451},
		{"MP3, 44.1 kHz stereo", mp3(44100, 2), flv.Enhanced, "", "\x2f", 2},
		{"MP3, 48 kHz", mp3(48000, 2), flv.Enhanced, "", "\x2f", 2},
		{"MP3, 22.05 kHz mono", mp3(22050, 1), flv.Enhanced, "", "\x2a", 2},
		{"MP3, 8 kHz mono", mp3(8000, 1), flv.Enhanced, "", "\xe2", 14},
		{"MP3 of a rate without a code", mp3(32000, 2), flv.Enhanced, "", "\x91.mp3", 778924083},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := flv.AppendSequenceBody(nil, c.track, c.p); string(got) != c.sequence {
				t.Errorf("sequence %q, want %q", got, c.sequence)
			}
			f := media.Frame{Track: c.track, PTS: 2 * time.Millisecond, RandomAccess: true, Data: []byte("data")}
			if got := flv.AppendBodyHead(nil, &f, c.p); string(got) != c.head {
				t.Errorf("head %q, want %q", got, c.head)
			}
			values, err := amf0.Decode(flv.AppendMetadataBody(nil, []*media.Track{c.track}, c.p))
			if err != nil {
				t.Fatal(err)
			}
			o, _ := amf0.AsObject(values[1])
			if id := cmp.Or(o.Get("videocodecid"), o.Get("audiocodecid")); id != amf0.Number(c.id) {
				t.Errorf("id %v, want %v", id, c.id)
			}
			if !flv.Carries(c.track.Codec) {
				t.Error("is not carried")
			}
		})
	}
}

func TestSequenceHeaderOfScriptDataIsNothing(t *testing.T) {
	if got := flv.AppendSequenceHeader(nil, &media.Track{Codec: media.Script}, 0, flv.Enhanced); got != nil {
		t.Errorf("%x", got)
	}
	if flv.Carries(0) || flv.Carries(200) || !flv.Carries(media.H265) || !flv.Carries(media.MP3) {
		t.Error("carries the wrong codecs")
	}
}
