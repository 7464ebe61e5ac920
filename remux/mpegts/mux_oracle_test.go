package mpegts

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/asticode/go-astits"
	oracle "github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/codecs"

	"github.com/miju-live/miju/media"
)

// TestOthersReadWhatIsWritten has mediacommon and ffprobe read real frames of
// every codec: the same ones, at the same ticks, named as what they are.
func TestOthersReadWhatIsWritten(t *testing.T) {
	for _, c := range []struct{ clip, args, probe string }{
		{"h264-aac.flv", "", "h264||640|360 aac|48000|2"},
		{"h264-bframes-aac.flv", "", "h264||640|360 aac|48000|2"},
		{"h265-aac.mp4", "", "hevc||640|360 aac|48000|2"},
		{"video-only.flv", "", "h264||640|360"},
		{"audio-only.m4a", "", "aac|44100|2"},
		{"opus.mp4", "", "opus|48000|2"},
		{"ac3.mp4", "", "ac3|48000|2"},
		{"eac3.mp4", "", "eac3|48000|2"},
		{"mp3.mp4", "", "mp3|44100|2"},
		{"mp3.mp4", "-c:a libmp3lame -ar 22050 -ac 1", "mp3|22050|1"},
		{"audio-only.m4a", "-c:a aac -ar 16000 -ac 1 -t 5", "aac|16000|1"},
		{"audio-only.m4a", "-c:a ac3 -ac 6 -t 5", "ac3|44100|6"},
		{"audio-only.m4a", "-c:a libopus -ac 1 -t 5", "opus|48000|1"},
		{"audio-only.m4a", "-c:a libopus -ac 6 -mapping_family 1 -t 5", "opus|48000|6"},
	} {
		t.Run(c.clip+" "+c.args, func(t *testing.T) {
			args := []string{"-c", "copy", "-metadata:s:a:0", "language=deu"}
			if c.args != "" {
				args = append(strings.Fields(c.args), "-metadata:s:a:0", "language=deu")
			}
			d, frames, err := demux(transport(t, c.clip, args...), 1316)
			if err != nil || len(frames) < 75 || d.Stats() != (Stats{Packets: d.Stats().Packets}) {
				t.Fatal(len(frames), err, d.Stats())
			}
			out := remux(t, frames)
			decode(t, out)
			if got := probe(t, out); !strings.HasPrefix(got, c.probe) || strings.Contains(c.probe, "00") && !strings.HasSuffix(got, "deu") {
				t.Errorf("ffprobe sees %q, want %q in German", got, c.probe)
			}
			if !strings.Contains(c.probe, "mp3|22050") { // which mediacommon v2.9.3 cuts in the wrong places
				compareWithOracle(t, out, frames)
			}
		})
	}
}

// probe says what ffprobe finds: codec, rate, channels, width, height, language.
func probe(t *testing.T, b []byte) string {
	t.Helper()
	cmd := exec.Command("ffprobe", "-v", "error", "-show_entries", "stream=codec_name,sample_rate,channels,width,height:stream_tags=language",
		"-of", "compact=p=0:nk=1", "-f", "mpegts", "-")
	cmd.Stdin = bytes.NewReader(b)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil || said.Len() > 0 {
		t.Fatalf("ffprobe: %v: %s", err, said.String())
	}
	lines := strings.Fields(string(out))
	for i, l := range lines {
		// Pictures have no rate, and are in front.
		if name, size, ok := strings.Cut(l, "|"); ok && (name == "h264" || name == "hevc") {
			lines[i] = name + "||" + size
		}
	}
	return strings.Join(lines, " ")
}

// compareWithOracle holds what mediacommon reads against what was written.
func compareWithOracle(t *testing.T, out []byte, frames []media.Frame) {
	t.Helper()
	read := readAll(t, out)
	for _, k := range []media.Kind{media.KindVideo, media.KindAudio} {
		want := of(frames, k)
		if len(read[k]) != len(want) {
			t.Fatalf("mediacommon reads %d frames of %s, of %d", len(read[k]), k, len(want))
		}
		for i, f := range want {
			data := f.Data
			if k == media.KindVideo {
				nalus, _ := splitAnnexB(nil, payloadOf(&f))
				data = annexB(nalus[1:]...) // mediacommon leaves the delimiter out
			}
			if e := read[k][i]; e.dts != stamp(f.DTS) || e.pts != stamp(f.PTS) || !bytes.Equal(e.data, data) {
				t.Fatalf("%s %d: mediacommon reads %d bytes at %d+%d, %d bytes at %d+%d were written", k, i,
					len(e.data), e.dts, e.pts-e.dts, len(data), stamp(f.DTS), stamp(f.PTS)-stamp(f.DTS))
			}
		}
	}
}

// readAll reads every codec with mediacommon.
func readAll(t *testing.T, in []byte) map[media.Kind][]expected {
	t.Helper()
	r := &oracle.Reader{R: bytes.NewReader(in)}
	if err := r.Initialize(); err != nil {
		t.Fatal(err)
	}
	r.OnDecodeError(func(err error) { t.Errorf("mediacommon: %v", err) })
	all := map[media.Kind][]expected{}
	video := func(pts, dts int64, au [][]byte) error {
		all[media.KindVideo] = append(all[media.KindVideo], expected{dts, pts, annexB(au...)})
		return nil
	}
	one := func(pts int64, frame []byte) error {
		all[media.KindAudio] = append(all[media.KindAudio], expected{pts, pts, frame})
		return nil
	}
	each := func(pts int64, frames [][]byte) error {
		if len(frames) != 1 {
			t.Errorf("%d frames of sound in one PES packet", len(frames))
		}
		return one(pts, frames[0])
	}
	for _, track := range r.Tracks() {
		switch track.Codec.(type) {
		case *codecs.H264:
			r.OnDataH264(track, video)
		case *codecs.H265:
			r.OnDataH265(track, video)
		case *codecs.MPEG4Audio:
			r.OnDataMPEG4Audio(track, each)
		case *codecs.Opus:
			r.OnDataOpus(track, each)
		case *codecs.MPEG1Audio:
			r.OnDataMPEG1Audio(track, each)
		case *codecs.AC3:
			r.OnDataAC3(track, one)
		case *codecs.EAC3:
			r.OnDataEAC3(track, one)
		default:
			t.Errorf("mediacommon sees %T", track.Codec)
		}
	}
	for {
		err := r.Read()
		if errors.Is(err, astits.ErrNoMorePackets) || errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
