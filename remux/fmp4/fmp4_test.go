package fmp4_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mcfmp4 "github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4/seekablebuffer"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/fmp4"
)

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		name  string
		time  time.Duration
		scale uint32
		ticks int64
	}{
		{"zero", 0, 90000, 0},
		{"a third of a frame's nanoseconds rounds up", 33366666 * time.Nanosecond, 90000, 3003},
		{"a millisecond of 44.1 kHz", time.Millisecond, 44100, 44},
		{"negative rounds to nearest too", -33366666 * time.Nanosecond, 90000, -3003},
		{"ten years do not overflow", 87600 * time.Hour, 96000, 87600 * 3600 * 96000},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := fmp4.Ticks(c.time, c.scale); got != c.ticks {
				t.Errorf("Ticks(%v, %d) = %d, want %d", c.time, c.scale, got, c.ticks)
			}
			if back := fmp4.Duration(c.ticks, c.scale); (back - c.time).Abs() > time.Second/time.Duration(c.scale) {
				t.Errorf("Duration(%d, %d) = %v, want about %v", c.ticks, c.scale, back, c.time)
			}
		})
	}
}

func TestInitReadByMediacommon(t *testing.T) {
	hev := mediatest.H265Track(1)
	aac := mediatest.AACTrack(2)
	aac.Language = "deu"
	for _, c := range []struct {
		name   string
		track  *media.Track
		scale  uint32
		record string
		check  func(codecs.Codec) bool
	}{
		{"H.264", mediatest.H264Track(1), 90000, "avcC", func(c codecs.Codec) bool {
			h, ok := c.(*codecs.H264)
			return ok && bytes.Equal(h.SPS, mediatest.SPS264) && bytes.Equal(h.PPS, mediatest.PPS264)
		}},
		{"H.265 as hvc1", hev, 90000, "hvc1", func(c codecs.Codec) bool {
			h, ok := c.(*codecs.H265)
			return ok && bytes.Equal(h.SPS, mediatest.SPS265) && bytes.Equal(h.VPS, mediatest.VPS265)
		}},
		{"AAC", aac, 48000, "esds", func(c codecs.Codec) bool {
			a, ok := c.(*codecs.MPEG4Audio)
			return ok && a.Config.SampleRate == 48000 && a.Config.ChannelConfig == 2
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := fmp4.AppendInit([]byte("before"), c.track)
			if err != nil {
				t.Fatal(err)
			}
			got, found := bytes.CutPrefix(got, []byte("before"))
			if !found {
				t.Fatal("what stood in dst is gone")
			}
			var i mcfmp4.Init
			if err := i.Unmarshal(bytes.NewReader(got)); err != nil {
				t.Fatal(err)
			}
			if len(i.Tracks) != 1 || i.Tracks[0].TimeScale != c.scale || !c.check(i.Tracks[0].Codec) {
				t.Errorf("read back: %+v", i.Tracks[0])
			}
			if !bytes.Contains(got, []byte(c.record)) || !bytes.Contains(got, c.track.Config) {
				t.Errorf("no %s with the encoder's own record", c.record)
			}
		})
	}
}

func TestInitRefusals(t *testing.T) {
	for _, c := range []struct {
		name  string
		track *media.Track
		err   error
	}{
		{"a codec that is not carried", &media.Track{Codec: media.Script, Config: []byte{1}}, media.ErrUnsupportedCodec},
		{"no record", &media.Track{Codec: media.H264}, fmp4.ErrConfigSize},
		{"a record that one size byte cannot tell", &media.Track{Codec: media.AAC, Config: make([]byte, 200)}, fmp4.ErrConfigSize},
	} {
		t.Run(c.name, func(t *testing.T) {
			dst, err := fmp4.AppendInit([]byte{1}, c.track)
			if !errors.Is(err, c.err) || len(dst) != 1 {
				t.Errorf("AppendInit = %d bytes, %v", len(dst), err)
			}
		})
	}
}

var partCases = []struct {
	name    string
	base    uint64
	samples []fmp4.Sample
}{
	{"one sound frame", 0, []fmp4.Sample{{Duration: 1024, Sync: true, Data: []byte("a")}}},
	{"sound of one duration, past 32 bits", 1 << 33, []fmp4.Sample{
		{Duration: 1024, Sync: true, Data: []byte("ab")},
		{Duration: 1024, Sync: true, Data: []byte("c")},
	}},
	{"pictures without reordering", 90000, []fmp4.Sample{
		{Duration: 2970, Sync: true, Data: []byte("key")},
		{Duration: 3060, Data: []byte("inter")},
	}},
	{"B-frames with negative composition times", 7, []fmp4.Sample{
		{Duration: 3000, CompositionTime: 3000, Data: []byte("P")},
		{Duration: 3000, CompositionTime: -3000, Data: []byte("B")},
		{Duration: 3001, CompositionTime: 0, Sync: true, Data: []byte("I")},
	}},
}

func TestPartReadByMediacommon(t *testing.T) {
	for _, c := range partCases {
		t.Run(c.name, func(t *testing.T) {
			b := fmp4.AppendPart(nil, 9, c.base, c.samples)
			if size := fmp4.PartSize(c.samples); len(b) > size || len(b) < size-8 {
				t.Errorf("part of %d bytes, PartSize %d", len(b), size)
			}
			// Twice, as in a segment: offsets count from each moof.
			two := fmp4.AppendPart(b, 10, c.base, c.samples)
			var parts mcfmp4.Parts
			if err := parts.Unmarshal(two); err != nil {
				t.Fatal(err)
			}
			if len(parts) != 2 || parts[0].SequenceNumber != 9 || parts[1].SequenceNumber != 10 {
				t.Fatalf("read back %d parts", len(parts))
			}
			for _, p := range parts {
				tr := p.Tracks[0]
				if tr.ID != 1 || tr.BaseTime != c.base || len(tr.Samples) != len(c.samples) {
					t.Fatalf("track %d at %d with %d samples", tr.ID, tr.BaseTime, len(tr.Samples))
				}
				for i, s := range tr.Samples {
					want := c.samples[i]
					if s.Duration != want.Duration || s.PTSOffset != want.CompositionTime ||
						s.IsNonSyncSample == want.Sync || !bytes.Equal(s.Payload, want.Data) {
						t.Errorf("sample %d read back as %+v, want %+v", i, s, want)
					}
				}
			}
		})
	}
}

func TestPartAllocatesOnce(t *testing.T) {
	s := partCases[3].samples
	if n := testing.AllocsPerRun(100, func() {
		fmp4.AppendPart(make([]byte, 0, fmp4.PartSize(s)), 1, 0, s)
	}); n > 1 {
		t.Errorf("%v allocations a part", n)
	}
}

// TestFFprobeReadsClip has another reader look at what is remuxed of a clip
// that ffmpeg made: every frame, its times, and no complaint.
func TestFFprobeReadsClip(t *testing.T) {
	if _, err := exec.LookPath("ffprobe"); err != nil {
		t.Fatal("ffprobe is not installed: make tools")
	}
	clip := "../../testdata/h265-aac.mp4"
	dir := t.TempDir()
	fragmented := filepath.Join(dir, "in.mp4")
	run(t, "ffmpeg", "-v", "error", "-i", clip, "-map", "0:v", "-c", "copy", "-movflags", "frag_keyframe+empty_moov+default_base_moof", fragmented)
	raw, err := os.ReadFile(fragmented)
	if err != nil {
		t.Fatal(err)
	}
	var parts mcfmp4.Parts
	moof := bytes.Index(raw, []byte("moof")) - 4
	mfra := bytes.LastIndex(raw, []byte("mfra")) - 4
	if err := parts.Unmarshal(raw[moof:mfra]); err != nil {
		t.Fatal(err)
	}
	track, err := media.NewH265Track(1, boxPayload(t, raw, "hvcC"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := fmp4.AppendInit(nil, track)
	if err != nil {
		t.Fatal(err)
	}
	frames := 0
	for i, p := range parts {
		var samples []fmp4.Sample
		scale := videoScaleOf(t, raw)
		for _, s := range p.Tracks[0].Samples {
			samples = append(samples, fmp4.Sample{
				Duration: s.Duration * fmp4.VideoTimescale / scale, CompositionTime: int32(int64(s.PTSOffset) * fmp4.VideoTimescale / int64(scale)),
				Sync: !s.IsNonSyncSample, Data: s.Payload,
			})
		}
		frames += len(samples)
		out = fmp4.AppendPart(out, uint32(i+1), p.Tracks[0].BaseTime*fmp4.VideoTimescale/uint64(scale), samples)
	}
	remuxed := filepath.Join(dir, "out.mp4")
	if err := os.WriteFile(remuxed, out, 0o600); err != nil {
		t.Fatal(err)
	}
	got := run(t, "ffprobe", "-v", "warning", "-show_entries", "stream=codec_name,codec_tag_string,width,height:packet=pts,dts,flags", "-of", "csv", remuxed)
	if n := strings.Count(got, "packet,"); n != frames || frames < 100 {
		t.Errorf("ffprobe reads %d packets of %d", n, frames)
	}
	if !strings.Contains(got, "stream,hevc,hvc1,640,360") {
		t.Errorf("ffprobe says %s", got[max(0, len(got)-200):])
	}
	run(t, "ffmpeg", "-v", "error", "-xerror", "-i", remuxed, "-f", "null", "-")
}

// run fails the test on a bad exit and on anything said to stderr.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%s: %v\n%s", name, err, &stderr)
	}
	return string(out)
}

func boxPayload(t *testing.T, file []byte, typ string) []byte {
	t.Helper()
	i := bytes.Index(file, []byte(typ))
	if i < 4 {
		t.Fatalf("no %s", typ)
	}
	return file[i+4 : i-4+int(binary.BigEndian.Uint32(file[i-4:]))]
}

// videoScaleOf reads the timescale of the first mdhd.
func videoScaleOf(t *testing.T, file []byte) uint32 {
	t.Helper()
	return binary.BigEndian.Uint32(boxPayload(t, file, "mdhd")[12:])
}

func benchSamples() []fmp4.Sample {
	samples := make([]fmp4.Sample, 6)
	for i := range samples {
		samples[i] = fmp4.Sample{Duration: 3000, CompositionTime: 3000, Sync: i == 0, Data: make([]byte, 10_000)}
	}
	return samples
}

func BenchmarkPart(b *testing.B) {
	samples := benchSamples()
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			fmp4.AppendPart(make([]byte, 0, fmp4.PartSize(samples)), 1, 0, samples)
		}
	})
	b.Run("mediacommon", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			track := &mcfmp4.PartTrack{ID: 1}
			for _, s := range samples {
				track.Samples = append(track.Samples, &mcfmp4.Sample{
					Duration: s.Duration, PTSOffset: s.CompositionTime, IsNonSyncSample: !s.Sync, Payload: s.Data,
				})
			}
			var buf seekablebuffer.Buffer
			if err := (mcfmp4.Part{SequenceNumber: 1, Tracks: []*mcfmp4.PartTrack{track}}).Marshal(&buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}
