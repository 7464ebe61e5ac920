package srt

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/ingest/srt/srttest"
	"github.com/miju-live/miju/stream"
)

// site is a listener under the server that it is written for.
type site struct {
	listener *Listener
	hub      *stream.Hub
	server   *ingest.Server
}

func newSite(t *testing.T, change func(*Config, *ingest.Config)) *site {
	t.Helper()
	ic := ingest.DefaultConfig()
	ic.PublishLinger, ic.Probe = 0, 0
	l := listenWith(t, func(c *Config) { change(c, &ic) })
	s := &site{listener: l, hub: stream.NewHub(stream.DefaultConfig(), nil)}
	s.server = ingest.NewServer(ic, s.hub, auth.Open{}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s
}

// await waits until what holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 30 s", what)
		}
	}
}

// TestFiftyPublishers pushes fifty streams at once and compares each with
// what was sent.
func TestFiftyPublishers(t *testing.T) {
	file, want := muxed(t, "h264-aac.flv", "8")
	s := newSite(t, func(*Config, *ingest.Config) {})
	ts, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const publishers = 50
	var wait sync.WaitGroup
	for i := range publishers {
		wait.Go(func() { push(t, s.listener, fmt.Sprintf("publish:live/n%d", i), ts) })
	}
	wait.Wait()
	await(t, "the end of all", func() bool { return s.server.Stats().Open == 0 })
	if n := s.hub.Stats(); n.Published != publishers || n.Frames < publishers*uint64(len(want)-2) {
		t.Errorf("%+v, want %d frames each", n, len(want))
	}
	for _, e := range s.server.Recent() {
		if e.Reason != ingest.ReasonEnded || int(e.Frames) < len(want)-2 {
			t.Errorf("%+v", e)
		}
	}
}

// push sends a transport stream, as fast as it plays, and again what is lost.
// The latency is for machines that are busy.
func push(t *testing.T, l *Listener, streamID string, ts []byte) {
	c, err := srttest.Call(l.Addr(), streamID, 4*time.Second)
	if err != nil {
		t.Error(err)
		return
	}
	c.Record()
	var wait sync.WaitGroup
	defer wait.Wait()
	defer c.Leave()
	wait.Go(c.Repeat)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	begin := time.Now()
	for rest := ts; len(rest) > 0; <-tick.C {
		n := min(payloadSize, len(rest))
		c.Send(rest[:n], time.Since(begin))
		rest = rest[n:]
	}
	// That the last is lost shows only when something follows.
	for tries := 0; c.Unacknowledged() > 0 && tries < 100; tries++ {
		c.Send(nil, time.Since(begin))
		<-tick.C
	}
}

// TestChurn connects, publishes and kills encoders in every way, and looks
// for what they leave behind.
func TestChurn(t *testing.T) {
	rounds := 1000
	if os.Getenv("MIJU_SOAK") != "" {
		rounds = 20000
	}
	file, _ := muxed(t, "h264-aac.flv", "8")
	ts, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, func(_ *Config, c *ingest.Config) { c.MaxPublishers, c.MaxNewcomers = 1e6, 1e6 })
	churn(t, s, 50, ts[:100*188])
	goroutines, heap := footprint()
	admitted := s.hub.Stats().Published
	churn(t, s, rounds, ts[:100*188])
	t.Logf("%d streams, %+v", s.hub.Stats().Published-admitted, s.server.Stats().Ended)
	if s.hub.Stats().Published-admitted < uint64(rounds)*3/4 {
		t.Error("most publishers never were")
	}
	await(t, fmt.Sprintf("%d goroutines", goroutines), func() bool {
		n, _ := footprint()
		return n <= goroutines
	})
	if _, after := footprint(); after > heap+4<<20 {
		t.Errorf("%d KiB in use, %d before", after>>10, heap>>10)
	}
	if n := len(s.listener.admitted); n != 0 {
		t.Errorf("%d connections are remembered", n)
	}
}

func footprint() (goroutines int, heap uint64) {
	runtime.GC()
	runtime.GC() // pools keep for one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return runtime.NumGoroutine(), m.HeapAlloc
}

var names atomic.Int64

// churn takes so many callers through their lives and waits until the last is
// forgotten.
func churn(t *testing.T, s *site, rounds int, ts []byte) {
	t.Helper()
	garbage := make([]byte, payloadSize)
	rand.NewChaCha8([32]byte{3}).Read(garbage)
	next := make(chan int)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for i := range next {
				c, err := srttest.Call(s.listener.Addr(), fmt.Sprintf("publish:live/c%d", names.Add(1)), 0)
				if err != nil {
					t.Error(err)
					continue
				}
				for rest := ts; len(rest) > 0 && i%8 != 0; {
					n := min(payloadSize, len(rest))
					c.Send(rest[:n], 0)
					rest = rest[n:]
				}
				switch i % 4 {
				case 0, 1:
					c.Hang()
				case 2:
					c.Leave()
				case 3:
					for range 100 {
						c.Send(garbage, 0)
					}
					c.Hang()
				}
			}
		})
	}
	for i := range rounds {
		next <- i
	}
	close(next)
	wait.Wait()
	await(t, "the end of all", func() bool { return s.server.Stats().Open == 0 })
}

// TestWrongBytes holds that a caller who sends something else is told apart
// from one that fell silent, and hurts nobody.
func TestWrongBytes(t *testing.T) {
	flv, err := os.ReadFile("../../testdata/h264-aac.flv")
	if err != nil {
		t.Fatal(err)
	}
	random := make([]byte, 200<<10)
	rand.NewChaCha8([32]byte{4}).Read(random)
	for _, c := range []struct {
		name  string
		bytes []byte
		want  ingest.Reason
	}{
		{"FLV", flv, ingest.ReasonBadRequest},
		{"random", random, ingest.ReasonBadRequest},
		{"zeros", make([]byte, 200<<10), ingest.ReasonBadRequest},
		{"packets that are all 0x47", fill(200<<10, 0x47), ingest.ReasonEnded},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, func(*Config, *ingest.Config) {})
			caller, err := srttest.Call(s.listener.Addr(), "publish:live/alice", 0)
			if err != nil {
				t.Fatal(err)
			}
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for rest := c.bytes; len(rest) > 0 && s.server.Stats().Open > 0; <-tick.C {
				n := min(payloadSize, len(rest))
				caller.Send(rest[:n], 0)
				rest = rest[n:]
			}
			caller.Leave()
			await(t, "the end", func() bool { return len(s.server.Recent()) == 1 })
			if e := s.server.Recent()[0]; e.Reason != c.want || e.Frames != 0 {
				t.Errorf("%+v", e)
			}
		})
	}
}

func fill(n int, b byte) []byte {
	all := make([]byte, n)
	for i := range all {
		all[i] = b
	}
	return all
}
