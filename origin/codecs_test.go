package origin

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/flv"
)

// repeated returns the frames of a clip several times, one round behind the
// other.
func repeated(t *testing.T, name string, id, times int) []media.Frame {
	t.Helper()
	once := mediatest.Clip(t, name, id)
	last, before := once[len(once)-1], once[len(once)-2]
	round := 2*last.DTS - before.DTS
	var all []media.Frame
	for n := range times {
		for _, f := range once {
			f.DTS += time.Duration(n) * round
			f.PTS += time.Duration(n) * round
			all = append(all, f)
		}
	}
	return all
}

// TestHLSOfEveryCodecReadByFFmpeg: every frame comes, under its codec's name,
// and decodes.
func TestHLSOfEveryCodecReadByFFmpeg(t *testing.T) {
	for name, codecs := range map[string]string{
		"av1": "av01.0.00M.08", "vp9": "vp09.00.11.08", "opus": "Opus", "flac": "fLaC", "ac3": "ac-3", "eac3": "ec-3", "mp3": "mp4a.40.34",
	} {
		t.Run(name, func(t *testing.T) {
			all := repeated(t, name, 1, 3)
			url := serve(t, all)
			command(t, "ffmpeg", "-v", "error", "-xerror", "-i", url, "-f", "null", "-")
			got := string(command(t, "ffprobe", "-v", "error", "-count_packets", "-show_entries", "stream=codec_name,nb_read_packets", "-of", "compact=p=0", url))
			if want := fmt.Sprintf("codec_name=%s|nb_read_packets=%d", name, len(all)); !strings.Contains(got, want) {
				t.Errorf("no %s in\n%s", want, got)
			}
			if list := string(command(t, "curl", "-sS", url)); !strings.Contains(list, `CODECS="`+codecs+`"`) {
				t.Errorf("no %s in\n%s", codecs, list)
			}
		})
	}
}

// TestFLVOfEveryCodec: a viewer gets the frames of every codec, and can tell
// what they are.
func TestFLVOfEveryCodec(t *testing.T) {
	for name, codec := range mediatest.Codecs {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			frames := mediatest.Clip(t, name, 1)
			for _, f := range frames {
				s.pub.Write(f)
			}
			_, r := s.open(t, "/live/x.flv")
			waitViewer(t, s)
			s.pub.Close()
			got := demuxed(t, r)
			if len(got) == 0 || got[0].Track.Codec != codec || !bytes.Equal(got[0].Track.Config, frames[0].Track.Config) || !got[0].RandomAccess {
				t.Fatalf("%d frames", len(got))
			}
			if last := got[len(got)-1]; !bytes.Equal(last.Data, frames[len(frames)-1].Data) {
				t.Error("the last frame differs")
			}
		})
	}
}

// TestFLVOfSeveralTracks: a viewer gets the first of each kind, whatever else
// the encoder sends.
func TestFLVOfSeveralTracks(t *testing.T) {
	s := newSite(t)
	sources := []*mediatest.Source{
		{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2), GOP: 10},
		{Video: mediatest.H265Track(11), Audio: mediatest.AACTrack(12), GOP: 10, FrameBytes: 333},
	}
	set := &media.TrackSet{Tracks: []*media.Track{sources[0].Video, sources[0].Audio, sources[1].Video, sources[1].Audio}}
	for range 60 {
		for _, source := range sources {
			f := source.Next()
			f.Set = set
			s.pub.Write(f)
		}
	}
	_, r := s.open(t, "/live/x.flv")
	waitViewer(t, s)
	s.pub.Close()
	count := map[media.Codec]int{}
	for _, f := range demuxed(t, r) {
		count[f.Track.Codec]++
		if len(f.Data) == 333 {
			t.Error("a frame of another track")
		}
	}
	if count[media.H264] == 0 || count[media.AAC] == 0 || len(count) != 2 {
		t.Error(count)
	}
}

// demuxed reads an FLV stream to its end.
func demuxed(t *testing.T, r io.Reader) (all []media.Frame) {
	t.Helper()
	var d flv.Demuxer
	for tags := flv.NewReader(r); ; {
		typ, ts, body, err := tags.ReadTag()
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Write(typ, ts, body); err != nil {
			t.Fatal(err)
		}
		for f, ok := d.Next(); ok; f, ok = d.Next() {
			all = append(all, f)
		}
	}
}
