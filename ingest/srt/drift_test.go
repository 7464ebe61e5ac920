package srt

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/ingest/srt/srttest"
)

// TestDriftIsFollowed feeds the times of packets of encoders whose clocks are
// wrong, over hours, and looks at what gosrt would add to their times.
func TestDriftIsFollowed(t *testing.T) {
	for _, c := range []struct {
		name  string
		ppm   int // how much faster the encoder's clock is
		hours int
	}{
		{"right", 0, 3},
		{"slow", -100, 3},
		{"fast", 100, 3},
		{"very fast", 5000, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var field uint64
			d := &drift{field: &field}
			begin := time.Now()
			for n := range c.hours * 3600 * 10 {
				passed := time.Duration(n) * driftSample
				// Every seventh packet comes without delay, others late.
				delay := time.Duration(n*7919%7) * 15 * time.Millisecond
				sent := passed - delay
				stamp := uint32((sent + sent/1_000_000*time.Duration(c.ppm) + 4290*time.Second).Microseconds()) // wraps soon
				d.follow(begin.Add(passed), func() string { return fmt.Sprintf("timestamp=%#08x (%d), destId=0x1\ndata packet:", stamp, stamp) })
				got := time.Duration(int64(field)) * time.Microsecond
				want := -passed / 1_000_000 * time.Duration(c.ppm)
				lag := time.Duration(c.ppm) * 3 * driftWindow / 1_000_000
				if diff := got - want; diff.Abs() > 2*time.Millisecond+lag.Abs() {
					t.Fatalf("after %v the drift is %v, want %v", passed, got, want)
				}
			}
		})
	}
}

func TestTimestampOf(t *testing.T) {
	for in, want := range map[string]uint32{
		"timestamp=0x00000010 (16), destId=0x1": 16, "timestamp=0xffffffff (4294967295), ": 1<<32 - 1,
	} {
		if got, ok := timestampOf(in); got != want || !ok {
			t.Errorf("%s: %d %v", in, got, ok)
		}
	}
	for _, in := range []string{"", "timestamp=", "timestamp=x (1)", "destId=0x1, timestamp=0x1 ", "timestamp=0x1ffffffff (1)"} {
		if got, ok := timestampOf(in); ok {
			t.Errorf("%q: %d", in, got)
		}
	}
}

// TestSoakClocksThatAreWrong pushes through a bad network with clocks that would
// use the latency up, or double it, in half a minute.
func TestSoakClocksThatAreWrong(t *testing.T) {
	if os.Getenv("MIJU_SOAK") == "" {
		t.Skip("make soak runs it")
	}
	for _, rate := range []float64{0.98, 1.02} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			t.Parallel()
			l := listenWith(t, func(c *Config) { c.Latency = 400 * time.Millisecond })
			r := impair(t, l, srttest.Network{Loss: 0.03, Delay: 40 * time.Millisecond})
			called := make(chan *srttest.Caller, 1)
			go func() {
				c, err := srttest.Call(r.Addr(), "publish:live/alice", 0)
				if err != nil {
					t.Error(err)
				}
				called <- c
			}()
			c, _, err := accept(t, l)
			if err == nil {
				err = c.Admit()
			}
			caller := <-called
			if err != nil || caller == nil {
				t.Fatal(err)
			}
			c.SetReadDeadline(time.Time{})
			caller.Record()
			go caller.Repeat()
			read := make(chan struct{})
			go func() { defer close(read); readAll(c) }()
			null := make([]byte, payloadSize)
			for i := 0; i < len(null); i += 188 {
				copy(null[i:], []byte{0x47, 0x1f, 0xff, 0x10})
			}
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			begin := time.Now()
			for time.Since(begin) < 30*time.Second {
				<-tick.C
				caller.Send(null, time.Duration(float64(time.Since(begin))*rate))
			}
			got := c.(ingest.Measured).Transport()
			caller.Leave()
			<-read
			// Without a correction 120 packets of the slow clock are lost, and
			// the fast one's wait a second.
			if got.Lost < 50 || got.Dropped > 5 || got.Buffered > 750*time.Millisecond {
				t.Errorf("%+v", got)
			}
			t.Logf("%+v", got)
		})
	}
}

// TestGosrtHasADrift: a connection of this version of gosrt has the place that
// the drift is written to. That it is used shows TestSoakClocksThatAreWrong.
func TestGosrtHasADrift(t *testing.T) {
	l := listen(t)
	_, c := call(t, l, "publish:live/alice", time.Second)
	if c.drift.Load() == nil {
		t.Fatal("gosrt has none any more: the clocks of encoders are not followed")
	}
}
