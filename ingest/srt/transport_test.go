package srt

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miju-live/miju/ingest"
)

// TestFaultsOfTheContainerAreTold pushes a transport stream with data that is
// not carried and from which two packets of pictures are cut out.
func TestFaultsOfTheContainerAreTold(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "cut.ts")
	args := strings.Fields("-v error -i ../../testdata/h264-aac.flv -f data -i transport_test.go -t 3 -map 0:v -map 0:a -map 1:d -c copy -f mpegts")
	if out := client(t, "ffmpeg", append(args, file)...)(); out != "" {
		t.Fatal(out)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const size = 188
	cut := 0
	for at := len(b) / 2 / size * size; cut < 2; at -= 50 * size {
		for b[at+1]&0x1f != 1 || b[at+2] != 0 || b[at+3]&0x10 == 0 || b[at+1]&0x40 != 0 { // a picture's packet, not its first
			at += size
		}
		b = slices.Delete(b, at, at+size)
		cut++
	}
	l := listen(t)
	pushed := make(chan struct{})
	go func() { defer close(pushed); push(t, l, "publish:live/alice", b) }()
	c, _, err := accept(t, l)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Admit(); err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(c); err != io.EOF {
		t.Error(err)
	}
	<-pushed
	got := c.(ingest.Measured).Transport()
	if got.Faults["continuity_gaps"] != 2 || got.Dropped > 0 || len(got.Ignored) != 1 || !strings.Contains(got.Ignored[0], "0x06") {
		t.Errorf("%+v", got)
	}
}
