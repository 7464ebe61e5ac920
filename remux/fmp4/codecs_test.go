package fmp4_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	mcfmp4 "github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/fmp4"
)

// TestInitOfOtherCodecsReadByMediacommon has another parser read what stands in
// the sample entries.
func TestInitOfOtherCodecsReadByMediacommon(t *testing.T) {
	for name, check := range map[string]func(codecs.Codec, *media.Track) bool{
		"av1": func(c codecs.Codec, t *media.Track) bool {
			a, ok := c.(*codecs.AV1)
			return ok && bytes.HasSuffix(media.AV1Sequence(t.Config), a.SequenceHeader[1:])
		},
		"vp9": func(c codecs.Codec, t *media.Track) bool {
			v, ok := c.(*codecs.VP9)
			return ok && v.Width == 320 && v.Height == 180 && v.BitDepth == 8 && v.ChromaSubsampling == 1
		},
		"opus": func(c codecs.Codec, _ *media.Track) bool {
			o, ok := c.(*codecs.Opus)
			return ok && o.ChannelCount == 2
		},
		"flac": func(c codecs.Codec, t *media.Track) bool {
			f, ok := c.(*codecs.FLAC)
			if !ok {
				return false
			}
			info, err := f.StreamInfo.Marshal()
			return err == nil && bytes.Equal(info, t.Config)
		},
		"ac3": func(c codecs.Codec, _ *media.Track) bool {
			a, ok := c.(*codecs.AC3)
			return ok && a.SampleRate == 48000 && a.ChannelCount == 2 && a.Bsid == 8 && a.Acmod == 2
		},
		"eac3": func(c codecs.Codec, _ *media.Track) bool {
			a, ok := c.(*codecs.EAC3)
			return ok && a.SampleRate == 48000 && a.ChannelCount == 2 && a.Acmod == 2 && a.NumDepSub == 0
		},
		"mp3": func(c codecs.Codec, _ *media.Track) bool {
			m, ok := c.(*codecs.MPEG1Audio)
			return ok && m.SampleRate == 44100 && m.ChannelCount == 2
		},
	} {
		t.Run(name, func(t *testing.T) {
			track := mediatest.Clip(t, name, 1)[0].Track
			got, err := fmp4.AppendInit(nil, track)
			if err != nil {
				t.Fatal(err)
			}
			var i mcfmp4.Init
			if err := i.Unmarshal(bytes.NewReader(got)); err != nil {
				t.Fatal(err)
			}
			if len(i.Tracks) != 1 || i.Tracks[0].TimeScale != fmp4.Timescale(track) || !check(i.Tracks[0].Codec, track) {
				t.Errorf("read back %+v", i.Tracks[0].Codec)
			}
		})
	}
}

// TestFFmpegDecodesEveryCodec remuxes each clip and has ffmpeg decode it
// without a complaint, to the same pictures and sound as the clip itself.
func TestFFmpegDecodesEveryCodec(t *testing.T) {
	for name, codec := range mediatest.Codecs {
		t.Run(name, func(t *testing.T) {
			frames := mediatest.Clip(t, name, 1)
			out, err := fmp4.AppendInit(nil, frames[0].Track)
			if err != nil {
				t.Fatal(err)
			}
			scale := fmp4.Timescale(frames[0].Track)
			for i := 0; i < len(frames); i += 30 {
				var samples []fmp4.Sample
				at := func(i int) int64 {
					if i < len(frames) {
						return fmp4.Ticks(frames[i].DTS, scale)
					}
					last := &frames[len(frames)-1]
					return fmp4.Ticks(2*last.DTS-frames[len(frames)-2].DTS, scale)
				}
				for j := i; j < min(i+30, len(frames)); j++ {
					samples = append(samples, fmp4.Sample{Duration: uint32(at(j+1) - at(j)), Sync: frames[j].RandomAccess, Data: frames[j].Data})
				}
				out = fmp4.AppendPart(out, uint32(i/30+1), uint64(at(i)), samples)
			}
			file := filepath.Join(t.TempDir(), "out.mp4")
			if err := os.WriteFile(file, out, 0o600); err != nil {
				t.Fatal(err)
			}
			kind := "a"
			if codec.Kind() == media.KindVideo {
				kind = "v"
			}
			got, want := hashes(t, file, kind), hashes(t, "../../testdata/"+name+".mp4", kind)
			if len(got) < 25 || strings.Join(got, "") != strings.Join(want, "") {
				t.Errorf("%d decoded frames, want the clip's %d", len(got), len(want))
			}
		})
	}
}

// hashes decodes a file and returns a hash of each frame, without its time: a
// clip may say that its first samples are to be left out.
func hashes(t *testing.T, file, kind string) (all []string) {
	t.Helper()
	out := run(t, "ffmpeg", "-v", "error", "-xerror", "-ignore_editlist", "1", "-i", file, "-map", "0:"+kind, "-f", "framemd5", "-")
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "#") {
			all = append(all, line[strings.LastIndex(line, ",")+1:])
		}
	}
	return all
}

// TestFLACSampleSize: 24 bits, in the sample entry as in STREAMINFO.
func TestFLACSampleSize(t *testing.T) {
	init, err := fmp4.AppendInit(nil, mediatest.Clip(t, "flac", 1)[0].Track)
	if err != nil {
		t.Fatal(err)
	}
	if entry := boxPayload(t, init, "fLaC"); entry[18] != 0 || entry[19] != 24 {
		t.Errorf("% x", entry[:28])
	}
}

func TestColoursInTheirBoxes(t *testing.T) {
	track := *mediatest.Clip(t, "vp9", 1)[0].Track // whose frames say little of their colours
	plain, err := fmp4.AppendInit(nil, &track)
	if err != nil || bytes.Contains(plain, []byte("colr")) {
		t.Errorf("colours that nobody told, %v", err)
	}
	track.Color = &media.Color{
		BitDepth: 10, Primaries: 9, Transfer: media.TransferPQ, Matrix: 9,
		Mastering: &media.MasteringDisplay{
			RedX: 0.708, RedY: 0.292, GreenX: 0.17, GreenY: 0.797, BlueX: 0.131, BlueY: 0.046, WhiteX: 0.3127, WhiteY: 0.329,
			MaxLuminance: 1000, MinLuminance: 0.0001,
		},
		Light: &media.ContentLight{MaxCLL: 1000, MaxFALL: 1e9},
	}
	init, err := fmp4.AppendInit(nil, &track)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\x00\x00\x00\x13colrnclx\x00\x09\x00\x10\x00\x09\x00",
		"\x00\x00\x00\x20mdcv\x21\x34\x9b\xaa\x19\x96\x08\xfc\x8a\x48\x39\x08\x3d\x13\x40\x42\x00\x98\x96\x80\x00\x00\x00\x01",
		"\x00\x00\x00\x0cclli\x03\xe8\xff\xff",
	} {
		if !bytes.Contains(init, []byte(want)) {
			t.Errorf("no %q", want)
		}
	}
	file := filepath.Join(t.TempDir(), "init.mp4")
	if err := os.WriteFile(file, init, 0o600); err != nil {
		t.Fatal(err)
	}
	got := run(t, "ffprobe", "-v", "fatal", "-show_streams", file)
	for _, want := range []string{
		"color_space=bt2020nc", "color_transfer=smpte2084", "color_primaries=bt2020", "max_content=1000", "max_average=65535",
		"red_x=35400/50000", "white_point_y=16450/50000", "max_luminance=10000000/10000", "min_luminance=1/10000",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("ffprobe does not say %s", want)
		}
	}
}
