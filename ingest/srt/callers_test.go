package srt

import (
	"os"
	"testing"

	"github.com/miju-live/miju/ingest"
)

// TestStreamIDsOfRealCallers holds what users write into the URLs of ffmpeg
// and srt-live-transmit, which do not undo percent-encoding, against what it
// comes to.
func TestStreamIDsOfRealCallers(t *testing.T) {
	for _, c := range []struct{ name, written, want string }{
		{"standard form as it is", "#!::r=live/alice,m=publish,token=a.b", "publish live/alice a.b"},
		{"standard form, # encoded", "%23!::r=live/alice,m=publish,token=a.b", "publish live/alice a.b"},
		{"standard form, encoded as a whole", "%23%21%3A%3Ar%3Dlive%2Falice%2Cm%3Dpublish%2Ctoken%3Da.b", "publish live/alice a.b"},
		{"to play", "#!::m=request,r=live/alice", "play live/alice "},
		{"MediaMTX's", "publish:live/alice:bob:hunter2", "publish live/alice hunter2"},
		{"with a query", "publish:live/alice?token=a.b", "publish live/alice a.b"},
		{"a name", "live/alice", "publish live/alice "},
		{"none", "", "publish live/camera "},
	} {
		for _, program := range []string{"ffmpeg", "srt-live-transmit"} {
			t.Run(program+", "+c.name, func(t *testing.T) {
				l := listenWith(t, func(c *Config) { c.DefaultKey = "live/camera" })
				url := srtURL(l, "")
				if c.written != "" {
					url += "&streamid=" + c.written
				}
				args := []string{"-v", "error", "-i", "../../testdata/video-only.flv", "-c", "copy", "-f", "mpegts", url}
				if program != "ffmpeg" {
					args = []string{"-q", "-a:no", "-t", "5", "file://con", url}
				}
				r, w, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				defer w.Close()
				start(t, r, nil, program, args...)
				conn, request, err := accept(t, l)
				if got := request.Action.String() + " " + request.Key.String() + " " + request.Token; err != nil || got != c.want {
					t.Errorf("%s: %v, want %s", got, err, c.want)
				}
				conn.Reject(ingest.ErrClosing)
			})
		}
	}
}
