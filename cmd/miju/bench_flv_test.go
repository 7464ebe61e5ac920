package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/miju-live/miju/bench"
)

// publishFor publishes the demo under live/name with the tool itself; the
// stream ends when it does.
func (s *testServer) publishFor(t *testing.T, name string, d time.Duration) (wait func()) {
	t.Helper()
	c := bench.DefaultPush()
	c.URL, c.Duration = s.rtmpURL(name), d
	clip, err := openClip("")
	if err != nil {
		t.Fatal(err)
	}
	c.Clip = clip
	done := make(chan error, 1)
	go func() {
		_, err := bench.Push(t.Context(), c)
		done <- err
	}()
	s.waitLive(t, name)
	return func() {
		t.Helper()
		if err := <-done; err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	}
}

// endsAtOnce has a stream end with its publisher, who may be cut off in the middle
// of a frame when its time is over.
func endsAtOnce(c *config) { c.Ingest.PublishLinger = 0 }

// Every byte that the server sent has come, and is counted once.
func TestBenchFLVCountsEveryByte(t *testing.T) {
	for _, scheme := range []string{"http", "ws"} {
		t.Run(scheme, func(t *testing.T) {
			s := start(t, endsAtOnce)
			wait := s.publishFor(t, "x", 4*time.Second)
			url := strings.Replace(s.url("/live/x.flv"), "http", scheme, 1)
			r, err := runBench[bench.FLVReport](t, "flv", url, "-n", "20", "-d", "60s", "--sample", "4", "--pid", ownPID)
			wait()
			if err != nil {
				t.Fatal(err)
			}
			if r.Viewers != 20 || r.Joined != 20 || r.Sample != 4 || len(r.Refused)+len(r.Failed) != 0 || r.Disconnected != 20 {
				t.Errorf("%+v", r)
			}
			sent := s.metric(t, `miju_egress_bytes_total{protocol="flv"}`)
			// The server counts the head of an answer, but not that of an upgrade.
			if head := float64(r.Bytes) - sent; head != 0 && scheme == "http" || head < 0 || head > 20*400 {
				t.Errorf("%d bytes came, %.0f were sent", r.Bytes, sent)
			}
			if r.Join.N != 20 || r.Join.P50 <= 0 || r.Connect.N != 20 || r.SampleTags == 0 || r.SampleGaps+r.SampleBacks != 0 {
				t.Errorf("%+v", r)
			}
			if r.Spread.N == 0 || r.WindowBytes == 0 || r.WindowBytes >= r.Bytes || r.Server == nil || r.Server.PerGB == nil {
				t.Errorf("%+v", r)
			}
		})
	}
}

// A server's refusals are told by their status, and those who were let in are
// measured all the same.
func TestBenchFLVCountsRefusals(t *testing.T) {
	s := start(t)
	s.publishFor(t, "s1", time.Minute)
	r, err := runBench[bench.FLVReport](t, "flv", s.url("/live/s{i}.flv"), "--streams", "3", "-n", "9", "-d", "1s")
	if err != nil {
		t.Fatal(err)
	}
	if r.Joined != 3 || r.Watching != 3 || r.Refused["404"] != 6 || r.Disconnected != 0 {
		t.Errorf("%+v", r)
	}
	if r.MbitPerS < 0.7 || r.MbitPerS > 3 {
		t.Errorf("%v Mbit/s to three viewers of 0.5", r.MbitPerS)
	}
	if _, err := runBench[bench.FLVReport](t, "flv", s.url("/live/none.flv"), "-n", "2", "-d", "1s"); err == nil || !strings.Contains(err.Error(), "nothing could be measured") {
		t.Error(err)
	}
}

func TestBenchFLVOverTLS(t *testing.T) {
	files, _ := certificateFiles(t)
	s := start(t, func(c *config) {
		c.HTTP.ListenTLS, c.RTMP.ListenTLS, c.TLS, c.Files.Demo = "127.0.0.1:0", "127.0.0.1:0", files, true
	})
	s.waitLive(t, "demo")
	for _, scheme := range []string{"https", "wss"} {
		r, err := runBench[bench.FLVReport](t, "flv", scheme+"://"+s.https.Addr().String()+"/live/demo.flv", "-n", "5", "--sample", "2", "-d", "1s", "--insecure")
		if err != nil || r.Joined != 5 || r.Watching != 5 || r.WindowBytes == 0 {
			t.Errorf("%s: %v %+v", scheme, err, r)
		}
		r, err = runBench[bench.FLVReport](t, "flv", scheme+"://"+s.https.Addr().String()+"/live/demo.flv", "-n", "1", "-d", "1s")
		if err == nil || r.Failed["TLS"] != 1 {
			t.Errorf("%s: a certificate that nobody knows: %v %+v", scheme, err, r)
		}
	}
	p, err := runBench[bench.PushReport](t, "push", "rtmps://"+s.rtmps.Addr().String()+"/live/p", "-d", "1s", "--insecure")
	if err != nil || p.Connected != 1 {
		t.Errorf("%v %+v", err, p)
	}
}

// An interrupt ends a load at once, with what was measured until then.
func TestBenchInterrupted(t *testing.T) {
	s := start(t, func(c *config) { c.Files.Demo = true })
	s.waitLive(t, "demo")
	for _, args := range [][]string{
		{"flv", s.url("/live/demo.flv"), "-n", "5"},
		{"push", s.rtmpURL("s{i}"), "-n", "5"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		root := newRoot(nil)
		var out, progress logBook
		root.SetOut(&out)
		root.SetErr(&progress)
		root.SetArgs(append(append([]string{"bench"}, args...), "-d", "10m", "--json", "--progress"))
		ended := make(chan error, 1)
		go func() { ended <- root.ExecuteContext(ctx) }()
		waitFor(t, "a line of the window", func() bool { return progress.count("1s of 10m0s: 5 of 5") == 1 })
		began := time.Now()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it ended after %v", took)
		}
		var r struct {
			Seconds     float64
			WindowBytes int `json:"window_bytes"`
		}
		if err := json.Unmarshal([]byte(out.String()), &r); err != nil || r.Seconds < 1 || r.Seconds > 100 || r.WindowBytes == 0 {
			t.Errorf("%v %s", err, out.String())
		}
	}
}
