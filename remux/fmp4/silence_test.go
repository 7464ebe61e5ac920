package fmp4_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/fmp4"
)

// TestSilentOpusDecodes has ffmpeg decode a second of silence for mono and
// stereo tracks: no error, and nothing to hear.
func TestSilentOpusDecodes(t *testing.T) {
	for _, channels := range []byte{1, 2} {
		head := append([]byte("OpusHead\x01"), channels, 0, 0) // pre-skip 0
		head = binary.LittleEndian.AppendUint32(head, 48000)
		head = append(head, 0, 0, 0)
		track, err := media.NewOpusTrack(2, head)
		if err != nil {
			t.Fatal(err)
		}
		frame, n, rate := media.Silence(track)
		if frame == nil || rate != 48000 {
			t.Fatalf("%x of %d Hz", frame, rate)
		}
		var samples []fmp4.Sample
		for range 50 {
			samples = append(samples, fmp4.Sample{Duration: uint32(n), Sync: true, Data: frame})
		}
		file, err := fmp4.AppendInit(nil, track)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "silence.mp4")
		if err := os.WriteFile(path, fmp4.AppendPart(file, 1, 0, samples), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("ffmpeg", "-v", "warning", "-xerror", "-i", path, "-f", "s16le", "-")
		var pcm, warnings bytes.Buffer
		cmd.Stdout, cmd.Stderr = &pcm, &warnings
		if err := cmd.Run(); err != nil || warnings.Len() > 0 {
			t.Fatalf("%v: %s", err, warnings.String())
		}
		if pcm.Len() != 50*n*int(channels)*2 || len(bytes.Trim(pcm.Bytes(), "\x00")) > 0 {
			t.Errorf("%d channels: %d bytes", channels, pcm.Len())
		}
	}
}
