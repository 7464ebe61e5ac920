package file

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/remux/flv"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestDemoPlaysInALoopWithoutABreak follows the demo for three rounds: paced
// by its timestamps, and with even steps across the seams.
func TestDemoPlaysInALoopWithoutABreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, err := streamkey.Join("live", "demo")
		if err != nil {
			t.Fatal(err)
		}
		hub := stream.NewHub(stream.DefaultConfig(), nil)
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error)
		s := ingest.NewServer(ingest.DefaultConfig(), hub, auth.Open{}, slog.New(slog.DiscardHandler))
		go func() {
			served <- s.Serve(ctx, Play(key, "demo", func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(Demo)), nil }))
		}()
		defer func() {
			cancel()
			if err := <-served; err != nil {
				t.Error(err)
			}
		}()
		begun := time.Now()
		live, err := hub.Await(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(live.Tracks().Tracks); n != 2 {
			t.Fatalf("%d tracks", n)
		}
		r := live.NewReader(stream.ReaderOptions{All: true, Wake: stream.WakeNow})
		defer r.Close()
		last := map[int]time.Duration{}
		for {
			e, err := r.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			f := &e.Frame
			if late := time.Since(begun) - f.DTS; late < -time.Millisecond || late > 100*time.Millisecond {
				t.Fatalf("frame of %v after %v", f.DTS, time.Since(begun))
			}
			if d, ok := last[f.Track.ID]; ok && (f.DTS <= d || f.DTS-d > 60*time.Millisecond) {
				t.Fatalf("%s at %v after %v", f.Track.Codec, f.DTS, d)
			}
			if last[f.Track.ID] = f.DTS; f.DTS > 50*time.Second {
				break
			}
		}
		if d := last[1] - last[2]; d.Abs() > 50*time.Millisecond {
			t.Errorf("after three rounds sound and picture are %v apart", d)
		}
		if st := s.Stats(); len(st.Repairs) != 0 {
			t.Errorf("repaired: %v", st.Repairs)
		}
	})
}

func TestFilesThatCannotBePlayed(t *testing.T) {
	for _, c := range []struct {
		name   string
		file   []byte
		reason ingest.Reason
	}{
		{"empty", nil, ingest.ReasonNoTracks},
		{"no frame", flv.AppendFileHeader(nil, true, true), ingest.ReasonNoTracks},
		{"no FLV", bytes.Repeat([]byte("MKV?"), 100), ingest.ReasonCut},
		{"missing", []byte("missing"), ingest.ReasonCut},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := Play(streamkey.Key{}, c.name, func() (io.ReadCloser, error) {
				if c.name == "missing" {
					return nil, errors.New("no such file")
				}
				return io.NopCloser(bytes.NewReader(c.file)), nil
			})
			defer l.Close()
			conn, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if f, err := conn.ReadFrame(); err == nil {
				t.Errorf("frame %+v", f)
			} else if c.reason == ingest.ReasonNoTracks && !errors.Is(err, ingest.ErrNoTracks) {
				t.Error(err)
			}
		})
	}
}
