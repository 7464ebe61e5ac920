package media_test

import (
	"bytes"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/miju-live/miju/media"
)

// TestSilenceDecodes has ffmpeg decode a second of it: no error, the channels
// and the length that the track says, and nothing to hear.
func TestSilenceDecodes(t *testing.T) {
	for _, c := range []struct {
		rate, channels, wantRate, wantChannels int
	}{
		{48000, 1, 48000, 1},
		{44100, 2, 44100, 2},
		{22050, 3, 22050, 3},
		{48000, 4, 48000, 4},
		{48000, 5, 48000, 5},
		{48000, 6, 48000, 6},
		{96000, 8, 96000, 8},
		{0, 0, 48000, 2},
		{44101, 7, 48000, 2},
		{-1, -1, 48000, 2},
	} {
		t.Run(fmt.Sprintf("%d Hz, %d channels", c.rate, c.channels), func(t *testing.T) {
			track, err := media.NewSilentAACTrack(2, c.rate, c.channels)
			if err != nil || track.ID != 2 || track.SampleRate != c.wantRate || track.Channels != c.wantChannels {
				t.Fatalf("%+v, %v", track, err)
			}
			frame, samples, rate := media.Silence(track)
			if samples != 1024 || rate != c.wantRate {
				t.Fatalf("%d samples of %d Hz", samples, rate)
			}
			packets := mpeg4audio.ADTSPackets{}
			for range 50 {
				packets = append(packets, &mpeg4audio.ADTSPacket{
					Type: mpeg4audio.ObjectTypeAACLC, SampleRate: rate, ChannelConfig: config(t, track).ChannelConfig, AU: frame,
				})
			}
			stream, err := packets.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			pcm := decode(t, "aac", stream)
			if len(pcm) != 50*samples*track.Channels*2 || len(bytes.Trim(pcm, "\x00")) != 0 {
				t.Errorf("%d bytes of PCM", len(pcm))
			}
		})
	}
}

func config(t *testing.T, track *media.Track) mpeg4audio.AudioSpecificConfig {
	t.Helper()
	c, err := media.ParseAudioSpecificConfig(track.Config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// decode has ffmpeg make PCM of 16 bits of a stream of a format.
func decode(t *testing.T, format string, stream []byte) []byte {
	t.Helper()
	cmd := exec.Command("ffmpeg", "-v", "warning", "-xerror", "-f", format, "-i", "-", "-f", "s16le", "-")
	cmd.Stdin = bytes.NewReader(stream)
	var out, warnings bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &warnings
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, warnings.String())
	}
	// A raw stream has no times of its own to be estimated of.
	for line := range strings.Lines(warnings.String()) {
		if !regexp.MustCompile(`Estimating duration`).MatchString(line) {
			t.Error(line)
		}
	}
	return out.Bytes()
}

func TestNoSilence(t *testing.T) {
	pce := []byte{0x11, 0x80, 0x04, 0xc8, 0x44, 0x00, 0x20, 0x00, 0xc4, 0x0c, 0x4c, 0x61, 0x76, 0x63, 0x56, 0xe5, 0x00}
	inBand, err := media.NewAACTrack(2, pce)
	if err != nil {
		t.Fatal(err)
	}
	for _, track := range []*media.Track{
		{ID: 2, Codec: media.MP3, Channels: 2, SampleRate: 44100},
		{ID: 2, Codec: media.Opus, Config: media.OpusConfig(6), Channels: 6, SampleRate: 48000},
		{ID: 2, Codec: media.AAC, Config: []byte{0xff}},
		inBand,
	} {
		if frame, _, _ := media.Silence(track); frame != nil {
			t.Errorf("%v of %d channels: %x", track.Codec, track.Channels, frame)
		}
	}
}

func TestSilenceOfHEAACAndShortFrames(t *testing.T) {
	for _, c := range []struct {
		name          string
		config        []byte
		samples, rate int
	}{
		{"HE-AAC v1, 24 kHz core", []byte{0x2b, 0x11, 0x88, 0x00}, 1024, 24000},
		{"960 samples", []byte{0x11, 0x94}, 960, 48000},
	} {
		t.Run(c.name, func(t *testing.T) {
			track, err := media.NewAACTrack(2, c.config)
			if err != nil {
				t.Fatal(err)
			}
			frame, samples, rate := media.Silence(track)
			if frame == nil || samples != c.samples || rate != c.rate {
				t.Errorf("%x, %d samples of %d Hz", frame, samples, rate)
			}
		})
	}
}
