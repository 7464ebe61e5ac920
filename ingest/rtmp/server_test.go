package rtmp

import (
	"context"
	"log/slog"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/stream"
)

// One ffmpeg is live, another one is refused for that, and the shutdown ends
// the first.
func TestLifecycleOfPublishers(t *testing.T) {
	config := DefaultConfig()
	config.Listen = "127.0.0.1:0"
	l, err := NewServer(config).Listen()
	if err != nil {
		t.Fatal(err)
	}
	hub := stream.NewHub(stream.DefaultConfig(), nil)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	lifecycle := ingest.DefaultConfig()
	lifecycle.Takeover = ingest.TakeoverReject
	s := ingest.NewServer(lifecycle, hub, auth.Open{}, slog.New(slog.DiscardHandler))
	serving, shutdown := context.WithCancel(ctx)
	defer shutdown()
	served := make(chan error, 1)
	go func() { served <- s.Serve(serving, l) }()

	push := []string{"-hide_banner", "-loglevel", "error", "-re", "-stream_loop", "-1", "-i", clips + "h264-aac.flv", "-c", "copy", "-f", "flv", "rtmp://" + l.Addr().String() + "/live/x"}
	first := exec.CommandContext(ctx, "ffmpeg", push...)
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
		if st, err := hub.Lookup(key(t, "live/x")); err == nil && st.Tracks() != nil {
			tick.Stop()
			break
		}
		if ctx.Err() != nil {
			t.Fatal("the stream does not go live")
		}
	}
	said, err := run(t, "ffmpeg", push...)
	if err == nil || !strings.Contains(said, stream.ErrBusy.Error()) {
		t.Errorf("second publisher: %v: %s", err, said)
	}
	began := time.Now()
	shutdown()
	if err := <-served; err != nil || time.Since(began) > 3*time.Second {
		t.Errorf("Serve: %v after %v", err, time.Since(began))
	}
	if err := first.Wait(); err == nil {
		t.Error("the first ffmpeg ends as if all were well")
	}
	outcomes := s.Stats().Ended
	if outcomes[ingest.Outcome{Action: auth.Publish, Protocol: "rtmp", Reason: ingest.ReasonBusy}] != 1 ||
		outcomes[ingest.Outcome{Action: auth.Publish, Protocol: "rtmp", Reason: ingest.ReasonClosing, Admitted: true}] != 1 {
		t.Errorf("%v", outcomes)
	}
}
