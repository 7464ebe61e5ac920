package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"testing"
	"time"
)

// TestChurn has two encoders and twenty viewers come and go for a while. At
// the end nothing of them is left: no goroutine (TestMain looks once more),
// no reader, and no heap beyond what it was after the first third.
func TestChurn(t *testing.T) { churn(t, 12*time.Second) }

// TestSoakChurn is the same for a quarter of an hour.
func TestSoakChurn(t *testing.T) {
	if os.Getenv("MIJU_SOAK") == "" {
		t.Skip("make soak runs it")
	}
	churn(t, 15*time.Minute)
}

func churn(t *testing.T, d time.Duration) {
	s := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true}
	client := &http.Client{Transport: transport}

	var all sync.WaitGroup
	for i := range 2 {
		all.Go(func() {
			for round := 0; ctx.Err() == nil; round++ {
				target, format := s.rtmpURL(fmt.Sprintf("churn-%d", i)), "flv"
				if round%3 == 2 {
					target, format = s.srtURL(fmt.Sprintf("publish:live/churn-%d", i)), "mpegts"
				}
				publishFor(ctx, target, format, round%2 == 1, time.Duration(3+i+round%3)*time.Second)
			}
		})
	}
	played := make([]int64, 20)
	for i := range played {
		all.Go(func() {
			for round := 0; ctx.Err() == nil; round++ {
				path := fmt.Sprintf("/live/churn-%d.flv", i%2)
				if i%5 == 4 {
					path = fmt.Sprintf("/live/churn-%d.m3u8", i%2)
				}
				played[i] += watchFor(ctx, client, s.url(path), time.Duration(200+100*(i+round)%2500)*time.Millisecond)
			}
		})
	}
	var early uint64
	warm := time.AfterFunc(d/3, func() { early = heap() })
	all.Wait()
	warm.Stop()
	for i, n := range played {
		if n == 0 {
			t.Errorf("viewer %d got nothing", i)
		}
	}
	waitFor(t, "the publishers to go", func() bool { return s.ingest.Stats().Open == 0 })
	waitFor(t, "the viewers to go", func() bool { st := s.origin.Stats(); return st.FLVViewers == 0 })
	s.stop()
	late := heap()
	t.Logf("heap %d KiB after a third of it, %d KiB at the end; goroutines %d", early>>10, late>>10, runtime.NumGoroutine())
	if late > early+4<<20 {
		t.Errorf("the heap grew from %d to %d KiB", early>>10, late>>10)
	}
}

// heap returns the bytes that are in use after a collection.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what had finalizers
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// publishFor has ffmpeg publish for a while; every other time it is killed
// instead of stopped.
func publishFor(ctx context.Context, target string, format string, kill bool, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ffmpeg", "-loglevel", "error", "-nostdin", "-re", "-stream_loop", "-1",
		"-i", clipPath("h264-aac.flv"), "-c", "copy", "-f", format, target)
	if !kill {
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		cmd.WaitDelay = 5 * time.Second
	}
	cmd.Run() // ends with ctx
}

// watchFor reads a URL for a while and returns the bytes it got.
func watchFor(ctx context.Context, c *http.Client, url string, d time.Duration) int64 {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0
	}
	r, err := c.Do(req)
	if err != nil {
		return 0
	}
	defer r.Body.Close()
	n, _ := io.Copy(io.Discard, r.Body) // ends with ctx
	if r.StatusCode != http.StatusOK {
		<-ctx.Done() // the publisher is away for a moment
		return 0
	}
	return n
}
