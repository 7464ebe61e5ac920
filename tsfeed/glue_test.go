package tsfeed_test

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"testing"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/mpegts"
)

// clip returns the frames of a clip of testdata.
func clip(t *testing.T, name string) (all []media.Frame) {
	t.Helper()
	ts := command(t, nil, "ffmpeg", "-v", "error", "-i", "../testdata/"+name, "-c", "copy", "-f", "mpegts", "-")
	d := mpegts.NewDemuxer()
	if err := d.Write(ts); err != nil {
		t.Fatal(err)
	}
	d.Flush()
	tracks, _ := d.Tracks()
	set := &media.TrackSet{Tracks: tracks}
	for f, ok := d.Next(); ok; f, ok = d.Next() {
		f.Set = set
		if len(all) > 0 || f.RandomAccess && f.Track.Kind() == media.KindVideo {
			all = append(all, f)
		}
	}
	return all
}

// command returns what a program says and fails the test if it complains.
func command(t *testing.T, in []byte, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%s: %v\n%s", name, err, &stderr)
	}
	return out
}

// TestFFmpegReadsOverTheSeam: a viewer that lagged comes to what was packed for
// a newer one, and ffmpeg decodes every frame without a word.
func TestFFmpegReadsOverTheSeam(t *testing.T) {
	for _, name := range []string{"h264-bframes-aac.flv", "h265-aac.mp4"} {
		t.Run(name, func(t *testing.T) {
			frames := clip(t, name)
			p := publish(t)
			p.Write(frames[0])
			lagging := newViewer(t, "lagging", p.Stream())
			var out []byte
			read := func() error {
				err := lagging.read(t)
				for _, b := range lagging.bufs {
					out = append(out, b...)
				}
				return err
			}
			if err := read(); err != nil {
				t.Fatal(err)
			}
			for _, f := range frames[1 : len(frames)/2] {
				p.Write(f)
			}
			newer := newViewer(t, "newer", p.Stream())
			if err := newer.read(t); err != nil {
				t.Fatal(err)
			}
			for _, f := range frames[len(frames)/2:] {
				p.Write(f)
			}
			p.Close()
			for {
				err := read()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			seams := 0
			for i := 0; i < len(out); i += 188 {
				if out[i+3]&0x30 == 0x20 && out[i+5]&0x80 != 0 {
					seams++
				}
			}
			if seams == 0 || lagging.errors > 0 {
				t.Errorf("%d seams, %d continuity errors", seams, lagging.errors)
			}
			said := command(t, out, "ffmpeg", "-v", "warning", "-xerror", "-f", "mpegts", "-i", "-", "-c", "copy", "-f", "framecrc", "-")
			if got := bytes.Count(said, []byte("\n0,")) + bytes.Count(said, []byte("\n1,")); got != len(frames) {
				t.Errorf("ffmpeg finds %d frames of %d", got, len(frames))
			}
			command(t, out, "ffmpeg", "-v", "warning", "-xerror", "-f", "mpegts", "-i", "-", "-f", "null", "-")
		})
	}
}
