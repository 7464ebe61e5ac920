package media_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
)

func TestTracksFromTheirRecords(t *testing.T) {
	for _, c := range []struct {
		name          string
		track         *media.Track
		codecs        string
		width, height int
		frameRate     float64
		rate          int
	}{
		{"H.264", mediatest.H264Track(1), "avc1.64001f", 1280, 720, 30, 0},
		{"H.265: constraint bytes without emulation prevention", mediatest.H265Track(1), "hvc1.1.6.L120.90", 1920, 1080, 30, 0},
		{"AAC", mediatest.AACTrack(2), "mp4a.40.2", 0, 0, 0, 48000},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := c.track
			if got := tr.CodecString(); got != c.codecs {
				t.Errorf("codec string %q, want %q", got, c.codecs)
			}
			if tr.Width != c.width || tr.Height != c.height || tr.FrameRate != c.frameRate || tr.SampleRate != c.rate {
				t.Errorf("%+v", tr)
			}
		})
	}
}

func TestRecordsKeepTheirParameterSets(t *testing.T) {
	sps, pps, err := media.H264ParameterSets(mediatest.H264Track(1).Config)
	if err != nil || len(sps) != 1 || len(pps) != 1 || !bytes.Equal(sps[0], mediatest.SPS264) || !bytes.Equal(pps[0], mediatest.PPS264) {
		t.Errorf("H.264: %x %x %v", sps, pps, err)
	}
	vps, sps, pps, err := media.H265ParameterSets(mediatest.H265Track(1).Config)
	if err != nil || len(vps) != 1 || !bytes.Equal(vps[0], mediatest.VPS265) || !bytes.Equal(sps[0], mediatest.SPS265) || !bytes.Equal(pps[0], mediatest.PPS265) {
		t.Errorf("H.265: %x %x %x %v", vps, sps, pps, err)
	}
	if got := mediatest.H265Track(1).Config[1:13]; !bytes.Equal(got, []byte{1, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 120}) {
		t.Errorf("hvcC profile bytes % x", got)
	}
}

var badRecords = []struct {
	name  string
	parse func(int, []byte) (*media.Track, error)
	in    []byte
	want  error
}{
	{"avcC empty", media.NewH264Track, nil, media.ErrBadConfig},
	{"avcC of another version", media.NewH264Track, []byte{2, 100, 0, 31, 0xff, 0xe1, 0}, media.ErrBadConfig},
	{"avcC without SPS", media.NewH264Track, []byte{1, 100, 0, 31, 0xff, 0xe0, 0}, media.ErrBadConfig},
	{"avcC with SPS beyond its end", media.NewH264Track, []byte{1, 100, 0, 31, 0xff, 0xe1, 0xff, 0xff, 0x67}, media.ErrBadConfig},
	{"avcC with 2-byte sizes", media.NewH264Track, []byte{1, 100, 0, 31, 0xfd, 0xe1, 0}, media.ErrUnsupportedCodec},
	{"hvcC cut short", media.NewH265Track, make([]byte, 22), media.ErrBadConfig},
	{"hvcC of arrays beyond its end", media.NewH265Track, append(append([]byte{1}, make([]byte, 20)...), 0xff, 255, 0xa1, 0xff, 0xff), media.ErrBadConfig},
	{"AAC config empty", media.NewAACTrack, nil, media.ErrBadConfig},
	{"AAC config too long", media.NewAACTrack, make([]byte, 65), media.ErrBadConfig},
	{"av1C of another version", media.NewAV1Track, []byte{0x82, 0, 0, 0}, media.ErrBadConfig},
	{"av1C with a sequence header cut short", media.NewAV1Track, []byte{0x81, 0, 0, 0, 0x0a, 2, 0, 0}, media.ErrBadConfig},
	{"av1C with an OBU beyond its end", media.NewAV1Track, []byte{0x81, 0, 0, 0, 0x0a, 9, 0}, media.ErrBadConfig},
	{"av1C of 8 KiB", media.NewAV1Track, append([]byte{0x81, 0, 0, 0}, make([]byte, 8192)...), media.ErrBadConfig},
	{"vpcC cut short", media.NewVP9Track, []byte{0, 10, 0x82}, media.ErrBadConfig},
	{"vpcC of 9 bits", media.NewVP9Track, []byte{0, 10, 0x92, 1, 1, 1, 0, 0}, media.ErrBadConfig},
	{"vpcC of profile 4", media.NewVP9Track, []byte{4, 10, 0x82, 1, 1, 1, 0, 0}, media.ErrBadConfig},
	{"OpusHead cut short", media.NewOpusTrack, []byte("OpusHead\x01\x02"), media.ErrBadConfig},
	{"OpusHead without a channel", media.NewOpusTrack, []byte("OpusHead\x01\x00\x38\x01\x80\xbb\x00\x00\x00\x00\x00"), media.ErrBadConfig},
	{"OpusHead with half of a mapping", media.NewOpusTrack, []byte("OpusHead\x01\x06\x38\x01\x80\xbb\x00\x00\x00\x00\x01\x04\x02"), media.ErrBadConfig},
	{"STREAMINFO cut short", media.NewFLACTrack, []byte("fLaC\x80\x00\x00\x22\x10"), media.ErrBadConfig},
	{"STREAMINFO of zeros", media.NewFLACTrack, make([]byte, 34), media.ErrBadConfig},
	{"AC-3 without its sync word", media.NewAC3Track, []byte{0, 0x77, 0, 0, 0x1c, 0x40, 0x43, 0}, media.ErrBadConfig},
	{"AC-3 cut short", media.NewAC3Track, []byte{0x0b, 0x77, 0, 0, 0x1c}, media.ErrBadConfig},
	{"E-AC-3 that is AC-3", media.NewEAC3Track, []byte{0x0b, 0x77, 0, 0, 0x1c, 0x40, 0x43, 0}, media.ErrBadConfig},
	{"MP3 of layer II", media.NewMP3Track, []byte{0xff, 0xfd, 0x94, 0xc4}, media.ErrBadConfig},
	{"MP3 of no rate", media.NewMP3Track, []byte{0xff, 0xfb, 0x9c, 0xc4}, media.ErrBadConfig},
	{"MP3 cut short", media.NewMP3Track, []byte{0xff, 0xfb}, media.ErrBadConfig},
}

func TestBadRecordsAreRefused(t *testing.T) {
	for _, c := range badRecords {
		t.Run(c.name, func(t *testing.T) {
			if tr, err := c.parse(1, c.in); !errors.Is(err, c.want) {
				t.Errorf("%+v, error %v, want %v", tr, err, c.want)
			}
		})
	}
}

func FuzzRecords(f *testing.F) {
	for _, c := range badRecords {
		f.Add(c.in)
	}
	f.Add(mediatest.H264Track(1).Config)
	f.Add(mediatest.H265Track(1).Config)
	f.Add(mediatest.AACTrack(1).Config)
	for name := range mediatest.Codecs {
		f.Add(mediatest.Clip(f, name, 1)[0].Track.Config)
	}
	for _, s := range sequences {
		f.Add(append([]byte{0x81, 0, 0, 0, 0x0a, byte(len(s.payload))}, s.payload...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, parse := range []func(int, []byte) (*media.Track, error){
			media.NewH264Track, media.NewH265Track, media.NewAACTrack, media.NewAV1Track, media.NewVP9Track,
			media.NewOpusTrack, media.NewFLACTrack, media.NewAC3Track, media.NewEAC3Track, media.NewMP3Track,
		} {
			tr, err := parse(1, b)
			if err == nil {
				if tr.CodecString() == "" && tr.Codec != media.H264 && tr.Codec != media.H265 { // these may lack a PPS
					t.Fatalf("%x: %v without a codec string", b, tr.Codec)
				}
				media.SoundDuration(tr, nil)
			} else if !errors.Is(err, media.ErrBadConfig) && !errors.Is(err, media.ErrUnsupportedCodec) {
				t.Fatalf("%x: error %v has no sentinel", b, err)
			}
		}
	})
}

var accessUnits = []struct {
	name         string
	codec        media.Codec
	in           []byte
	randomAccess bool
	bad          bool
}{
	{"empty", media.H264, nil, false, false},
	{"IDR", media.H264, media.AppendLengthPrefixed(nil, []byte{6, 1}, []byte{0x65, 1}), true, false},
	{"non-IDR", media.H264, media.AppendLengthPrefixed(nil, []byte{0x41, 1}), false, false},
	{"CRA", media.H265, media.AppendLengthPrefixed(nil, []byte{21 << 1, 1, 2}), true, false},
	{"TRAIL_R", media.H265, media.AppendLengthPrefixed(nil, []byte{1 << 1, 1, 2}), false, false},
	{"empty NAL unit", media.H264, []byte{0, 0, 0, 0, 0, 0, 0, 1, 0x65}, true, false},
	{"size beyond the end", media.H264, []byte{0, 0, 0, 2, 0x65}, false, true},
	{"huge size", media.H264, []byte{0xff, 0xff, 0xff, 0xff, 0x65}, false, true},
	{"bytes left over", media.H264, []byte{0, 0, 0, 1, 0x65, 0}, false, true},
}

func TestCheckNALUs(t *testing.T) {
	for _, c := range accessUnits {
		t.Run(c.name, func(t *testing.T) {
			ra, err := media.CheckNALUs(c.codec, c.in)
			if ra != c.randomAccess || (err != nil) != c.bad {
				t.Errorf("%v, %v", ra, err)
			}
		})
	}
}

func FuzzCheckNALUs(f *testing.F) {
	for _, c := range accessUnits {
		f.Add(c.in)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := media.CheckNALUs(media.H264, b)
		n := 0
		for nalu := range media.NALUs(b) {
			n += 4 + len(nalu)
		}
		if n > len(b) {
			t.Fatalf("%d bytes of NAL units in %d (%v)", n, len(b), err)
		}
	})
}

// FuzzFrames reads frames of every codec, with and without what is known of
// their track.
func FuzzFrames(f *testing.F) {
	for _, c := range accessUnits {
		f.Add(c.in)
	}
	var tracks []*media.Track
	for name := range mediatest.Codecs {
		first := mediatest.Clip(f, name, 1)[0]
		f.Add(first.Data[:min(len(first.Data), 500)])
		tracks = append(tracks, first.Track, &media.Track{ID: 1, Codec: first.Track.Codec})
	}
	tracks = append(tracks, mediatest.H264Track(1), mediatest.H265Track(1), &media.Track{Codec: media.H264}, &media.Track{Codec: media.H265})
	f.Add(media.AppendLengthPrefixed(nil, mediatest.SPS264, mediatest.PPS264, []byte{0x65, 1}))
	f.Add(media.AppendLengthPrefixed(nil, mediatest.VPS265, mediatest.SPS265, mediatest.PPS265, []byte{19 << 1, 1, 2}))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, track := range tracks {
			if _, err := track.Check(b); err != nil {
				continue
			}
			fresh, err := track.Refresh(b)
			if err != nil && !errors.Is(err, media.ErrBadConfig) && !errors.Is(err, media.ErrUnsupportedCodec) {
				t.Fatalf("%v: error %v has no sentinel", track.Codec, err)
			}
			if again, err := fresh.Refresh(b); err == nil && again != fresh {
				t.Fatalf("%v: the same frame makes another track each time", track.Codec)
			}
			if d := media.SoundDuration(fresh, b); d < 0 {
				t.Fatal(d)
			}
			if fresh.Codec == media.AV1 {
				media.CompleteAV1(fresh, b)
			}
		}
	})
}

func TestTrackSet(t *testing.T) {
	video, audio := mediatest.H264Track(1), mediatest.AACTrack(2)
	s := &media.TrackSet{Tracks: []*media.Track{video, audio}, Anchor: media.Anchor{Wall: time.Unix(100, 0)}}
	if s.First(media.KindAudio) != audio || s.First(media.KindData) != nil || s.Lookup(1) != video || s.Lookup(3) != nil {
		t.Error("wrong track")
	}
	if (*media.TrackSet)(nil).First(media.KindVideo) != nil || (*media.TrackSet)(nil).Lookup(1) != nil {
		t.Error("a nil set holds tracks")
	}
	if got := s.Anchor.At(2 * time.Second); !got.Equal(time.Unix(102, 0)) {
		t.Error(got)
	}
	if d := media.AACFrameDuration(audio); d != 1024*time.Second/48000 {
		t.Error(d)
	}
}

func TestSourceInterleavesAndRepeatsRandomAccess(t *testing.T) {
	s := mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2), GOP: 10}
	var last time.Duration
	random := 0
	for range 200 {
		f := s.Next()
		if f.DTS < last {
			t.Fatalf("DTS %v after %v", f.DTS, last)
		}
		last = f.DTS
		if f.Track.Kind() == media.KindVideo {
			ra, err := media.CheckNALUs(media.H264, f.Data)
			if ra != f.RandomAccess || err != nil {
				t.Fatal(ra, err)
			}
			if ra {
				random++
			}
		}
	}
	if random < 5 {
		t.Fatal(random)
	}
}
