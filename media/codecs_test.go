package media_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
)

// TestClipsOfRealEncoders reads what ffmpeg's encoders made: size, rate, codec
// string, random access points and how long frames last.
func TestClipsOfRealEncoders(t *testing.T) {
	for _, c := range []struct {
		name     string
		codecs   string
		size     int // width or sample rate
		channels int
		frames   int
		random   int
		duration time.Duration // of a frame, sound only
	}{
		{"av1", "av01.0.00M.08", 320, 0, 90, 3, 0},
		{"vp9", "vp09.00.11.08", 320, 0, 90, 3, 0},
		{"opus", "Opus", 48000, 2, 151, 151, 20 * time.Millisecond},
		{"flac", "fLaC", 44100, 1, 29, 29, 4608 * time.Second / 44100},
		{"ac3", "ac-3", 48000, 2, 94, 94, 32 * time.Millisecond},
		{"eac3", "ec-3", 48000, 2, 94, 94, 32 * time.Millisecond},
		{"mp3", "mp4a.40.34", 44100, 2, 116, 116, 1152 * time.Second / 44100},
	} {
		t.Run(c.name, func(t *testing.T) {
			frames := mediatest.Clip(t, c.name, 7)
			track := frames[0].Track
			random := 0
			for i, f := range frames {
				if f.RandomAccess {
					random++
				}
				if f.Track != track {
					t.Fatalf("frame %d makes another track: %+v", i, f.Track)
				}
				if d := media.SoundDuration(track, f.Data); d != c.duration {
					t.Fatalf("frame %d lasts %v", i, d)
				}
			}
			if len(frames) != c.frames || random != c.random {
				t.Errorf("%d frames, %d random access points", len(frames), random)
			}
			if d := media.SoundDuration(track, nil); d != c.duration {
				t.Errorf("frames usually last %v", d)
			}
			if got := track.CodecString(); got != c.codecs || track.ID != 7 || track.Codec != mediatest.Codecs[c.name] {
				t.Errorf("codec string %q of %+v", got, track)
			}
			if track.Width+track.SampleRate != c.size || track.Channels != c.channels {
				t.Errorf("%+v", track)
			}
		})
	}
}

// TestAV1SequenceAgreesWithMediacommon compares two parsers of the same header.
func TestAV1SequenceAgreesWithMediacommon(t *testing.T) {
	track := mediatest.Clip(t, "av1", 1)[0].Track
	var want av1.SequenceHeader
	if err := want.Unmarshal(media.AV1Sequence(track.Config)); err != nil {
		t.Fatal(err)
	}
	if track.Width != want.Width() || track.Height != want.Height() {
		t.Errorf("%dx%d, want %dx%d", track.Width, track.Height, want.Width(), want.Height())
	}
	config, err := media.AV1Config(media.AV1Sequence(track.Config))
	if err != nil || !bytes.Equal(config, track.Config) {
		t.Errorf("record %x, %v, want the encoder's %x", config, err, track.Config)
	}
}

// bits makes bytes of zeros and ones.
func bits(s string) []byte {
	s = strings.ReplaceAll(s, " ", "")
	b := make([]byte, (len(s)+7)/8)
	for i, c := range s {
		if c == '1' {
			b[i/8] |= 0x80 >> (i % 8)
		}
	}
	return b
}

var sequences = []struct {
	name          string
	payload       []byte
	width, height int
	rate          float64
	codecs        string
}{
	{
		"HDR10 with a decoder model, timing and initial delay",
		bits("000 0 0 1" + // profile, still, reduced, timing
			strings.Repeat("0", 31) + "1" + strings.Repeat("0", 26) + "111100" + "1 1" + // 1/60 s, equal pictures
			"1 00100" + strings.Repeat("0", 32) + strings.Repeat("0", 10) + // decoder model, delays of 5 bits
			"1 00000" + "000000000000 01101 1 1 00001 00010 0 1 1001" + // delay present, one point: level 13, high tier
			"1011 1011 111011111111 100001101111 0" + // 3840x2160
			"000 0000 0 1 1 000" + // no order hint; choose both
			"1 0 1 00001001 00010000 00001001 0 01 0"), // 10 bits, BT.2020, PQ
		3840, 2160, 60, "av01.0.13H.10.0.111.09.16.09.0",
	},
	{
		"4:4:4 without timing",
		bits("001 0 0 0 0 00000 000000000000 00100 0111 0111 11111111 10000000 0 000 0000 1 00 0 1 0 111 000 0 0 0 0 0"),
		256, 129, 0, "av01.1.04M.08",
	},
	{
		"monochrome, a still picture's header",
		bits("000 1 1 00001 0111 0111 00001111 00001111 000 000 0 1 0 1 0"),
		16, 16, 0, "av01.0.01M.08",
	},
}

func TestAV1SequenceHeaders(t *testing.T) {
	for _, c := range sequences {
		t.Run(c.name, func(t *testing.T) {
			config, err := media.AV1Config(append([]byte{0x0a, byte(len(c.payload))}, c.payload...))
			if err != nil {
				t.Fatal(err)
			}
			track, err := media.NewAV1Track(1, config)
			if err != nil || track.Width != c.width || track.Height != c.height || track.FrameRate != c.rate || track.CodecString() != c.codecs {
				t.Errorf("%+v, %s, %v", track, track.CodecString(), err)
			}
		})
	}
}

func TestAV1TemporalUnits(t *testing.T) {
	sequence := media.AV1Sequence(mediatest.Clip(t, "av1", 1)[0].Track.Config)
	short := &media.Track{ID: 1, Codec: media.AV1, Config: []byte{0x81, 0, 0x0c, 0}}
	whole := mediatest.Clip(t, "av1", 1)[0].Track
	for _, c := range []struct {
		name         string
		track        *media.Track
		data         string
		randomAccess bool
		bad          bool
	}{
		{"key frame behind its sequence header", short, string(sequence) + "\x32\x01\x10", true, false},
		{"key frame of a record with one", whole, "\x32\x01\x10", true, false},
		{"key frame of a record without", short, "\x32\x01\x10", false, false},
		{"key frame that is not shown", whole, "\x32\x01\x00", false, false},
		{"inter frame", whole, "\x32\x01\x30", false, false},
		{"a frame shown again", whole, "\x1a\x01\x90", false, false},
		{"the last OBU without a size", whole, "\x12\x00\x30\x10", true, false},
		{"with an extension", whole, "\x36\x08\x01\x10", true, false},
		{"size beyond the end", whole, "\x32\x05\x10", false, true},
		{"size without an end", whole, "\x32\xff\xff", false, true},
		{"forbidden bit", whole, "\xb2\x01\x10", false, true},
		{"extension cut off", whole, "\x36", false, true},
		{"nothing", whole, "", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if ra, err := c.track.Check([]byte(c.data)); ra != c.randomAccess || (err != nil) != c.bad {
				t.Errorf("%v, %v", ra, err)
			}
		})
	}
	got := media.CompleteAV1(whole, []byte("\x32\x01\x10"))
	if string(got) != string(sequence)+"\x32\x01\x10" || string(media.CompleteAV1(whole, got)) != string(got) {
		t.Errorf("completed to %x", got)
	}
}

func TestOpusHeads(t *testing.T) {
	swapped := []byte("OpusHead\x01\x02\x01\x38\x00\x00\xbb\x80\x00\x00\x00")
	for _, c := range []struct {
		name string
		head []byte
		want string
	}{
		{"as the RFC wants it", media.OpusConfig(2), string(media.OpusConfig(2))},
		{"in network order", swapped, string(media.OpusConfig(2))},
		{"something behind it", append(media.OpusConfig(1), 1, 2), string(media.OpusConfig(1))},
		{"5.1", media.OpusConfig(6), string(media.OpusConfig(6))},
	} {
		t.Run(c.name, func(t *testing.T) {
			track, err := media.NewOpusTrack(1, c.head)
			if err != nil || string(track.Config) != c.want || track.SampleRate != 48000 || track.Channels != int(c.want[9]) {
				t.Errorf("%+v, %v", track, err)
			}
		})
	}
	for channels := -1; channels < 10; channels++ {
		if _, err := media.NewOpusTrack(1, media.OpusConfig(channels)); err != nil {
			t.Error(channels, err)
		}
	}
}

func TestFLACStreamInfoInEveryWrap(t *testing.T) {
	bare := mediatest.Clip(t, "flac", 1)[0].Track.Config
	block := append([]byte{0x80, 0, 0, 34}, bare...)
	for _, in := range [][]byte{bare, block, append([]byte("fLaC"), block...), append(append([]byte("fLaC\x00\x00\x00\x22"), bare...), 0x84, 0, 0, 0)} {
		if track, err := media.NewFLACTrack(1, in); err != nil || !bytes.Equal(track.Config, bare) {
			t.Errorf("%x: %+v, %v", in[:8], track, err)
		}
	}
}

func TestVP9RecordsInEveryWrap(t *testing.T) {
	frame := mediatest.Clip(t, "vp9", 1)[0]
	bare := frame.Track.Config
	for _, in := range [][]byte{bare, append([]byte{1, 0, 0, 0}, bare...)} {
		track, err := media.NewVP9Track(1, in)
		if err != nil || !bytes.Equal(track.Config, bare) || track.Width != 0 {
			t.Errorf("%x: %+v, %v", in, track, err)
		}
	}
	// A stream without a record has one made of its first key frame.
	made, err := (&media.Track{ID: 1, Codec: media.VP9}).Refresh(frame.Data)
	if err != nil || made.Width != 320 || made.Height != 180 || made.CodecString() != "vp09.00.11.08" {
		t.Errorf("%+v, %v", made, err)
	}
}

func TestSoundFromFrameHeaders(t *testing.T) {
	for _, c := range []struct {
		name           string
		codec          media.Codec
		frame          []byte
		rate, channels int
		duration       time.Duration
		config         string
	}{
		{"MP3, 48 kHz mono", media.MP3, []byte{0xff, 0xfb, 0x94, 0xc4}, 48000, 1, 24 * time.Millisecond, "\xff\xfb\x04\xc0"},
		{"MP3 of MPEG-2", media.MP3, []byte{0xff, 0xf2, 0x84, 0x44}, 24000, 2, 24 * time.Millisecond, "\xff\xf3\x04\x00"},
		{"MP3 of MPEG-2.5, 8 kHz", media.MP3, []byte{0xff, 0xe3, 0x48, 0x00}, 8000, 2, 72 * time.Millisecond, "\xff\xe3\x08\x00"},
		{"AC-3 5.1", media.AC3, []byte{0x0b, 0x77, 0, 0, 0x1c, 0x40, 0xe1, 0}, 48000, 6, 32 * time.Millisecond, "\x10\x3d\xc0"},
		{
			"E-AC-3 5.1 and two channels behind", media.EAC3,
			append(bits("0000101101110111 00 000 00000000100 00 11 111 1 10000 00000 0 0"+strings.Repeat("0", 28)),
				bits("0000101101110111 01 000 00000000100 00 11 010 0 10000 00000 0 1 0000001000000000"+strings.Repeat("0", 13))...),
			48000, 8, 32 * time.Millisecond, "\x00\x00\x20\x0f\x02\x02",
		},
		{"E-AC-3 of one block", media.EAC3, bits("0000101101110111 00 000 00000000011 00 00 010 0 10000 000000000000"), 48000, 2, 256 * time.Second / 48000, "\x00\x00\x20\x04\x00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			track, err := (&media.Track{ID: 2, Codec: c.codec}).Refresh(c.frame)
			if err != nil {
				t.Fatal(err)
			}
			if track.SampleRate != c.rate || track.Channels != c.channels || string(track.Config) != c.config {
				t.Errorf("%+v, record %x", track, track.Config)
			}
			if d := media.SoundDuration(track, c.frame); d != c.duration {
				t.Error(d)
			}
			if again, err := track.Refresh(c.frame); again != track || err != nil {
				t.Error("the same frame makes another track", err)
			}
		})
	}
}

func TestParameterSetsInTheStream(t *testing.T) {
	sps2 := bytes.Clone(mediatest.SPS264)
	sps2[3] = 0x28 // another level
	sets := func(nalus ...[]byte) []byte {
		return media.AppendLengthPrefixed(nil, append(nalus, []byte{0x65, 1})...)
	}
	bare := &media.Track{ID: 4, Codec: media.H264}
	made, err := bare.Refresh(sets(mediatest.SPS264, mediatest.PPS264))
	if err != nil || made.ID != 4 || made.Width != 1280 || !bytes.Equal(made.Config, mediatest.H264Track(1).Config) {
		t.Fatalf("%+v, %v", made, err)
	}
	made.Name = "camera"
	for _, c := range []struct {
		name string
		in   []byte
		same bool
	}{
		{"none", sets(), true},
		{"those of the record", sets(mediatest.SPS264, mediatest.PPS264), true},
		{"another SPS", sets(sps2, mediatest.PPS264), false},
		{"another SPS alone", sets(sps2), false},
		{"another PPS alone", sets([]byte{0x68, 0xee, 0x3c, 0x80}), true},
		{"an SPS of nonsense", sets([]byte{0x67, 1, 2, 3, 4}), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := made.Refresh(c.in)
			if (got == made) != c.same || got.Name != "camera" {
				t.Errorf("%+v, %v", got, err)
			}
			if err != nil && !errors.Is(err, media.ErrBadConfig) {
				t.Error(err)
			}
		})
	}
	if got, err := bare.Refresh(sets(mediatest.SPS264)); got != bare || !errors.Is(err, media.ErrBadConfig) {
		t.Error("a record without a PPS", got, err)
	}
	hevc := media.AppendLengthPrefixed(nil, mediatest.VPS265, mediatest.SPS265, mediatest.PPS265, []byte{19 << 1, 1, 2})
	if got, err := (&media.Track{ID: 1, Codec: media.H265}).Refresh(hevc); err != nil || !bytes.Equal(got.Config, mediatest.H265Track(1).Config) {
		t.Errorf("%+v, %v", got, err)
	}
}
