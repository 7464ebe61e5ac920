package rtmp

import (
	"context"
	"net"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"github.com/miju-live/miju/ingest"
	rtmpclient "github.com/miju-live/miju/ingest/rtmp/client"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/flv"
)

// Encoders that connect, publish and are killed leave nothing behind: no
// goroutine, no heap, no budget.
func TestTenThousandPublishersAreKilled(t *testing.T) {
	const n = 10_000
	lifecycle := ingest.DefaultConfig()
	lifecycle.PublishLinger = 0 // else their streams wait for them
	h := openHouse(t, nil, lifecycle)
	h.killed(t, "warm", 200)
	goroutines, early := runtime.NumGoroutine(), heap()
	h.killed(t, "x", n)
	waitFor(t, "the goroutines' end", func() bool { return runtime.NumGoroutine() <= goroutines })
	late := heap()
	t.Logf("%d goroutines; heap %d KiB before and %d KiB after %d publishers", goroutines, early>>10, late>>10, n)
	if late > early+1<<20 {
		t.Errorf("the heap grew from %d to %d KiB", early>>10, late>>10)
	}
	if used := h.Stats().UnfinishedBytes; used != 0 {
		t.Errorf("%d bytes of the budget are used", used)
	}
}

// killed has n publishers, eight at a time, who end in the middle of a picture
// by a reset or a FIN.
func (h *house) killed(t *testing.T, name string, n int) {
	t.Helper()
	video, audio := mediatest.H264Track(1), mediatest.AACTrack(2)
	before := published(h)
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := worker; i < n; i += 8 {
				if err := h.publishAndDie(name+strconv.Itoa(i), &mediatest.Source{Video: video, Audio: audio}, i%2 == 0); err != nil {
					t.Errorf("publisher %d: %v", i, err)
					return
				}
			}
		})
	}
	all.Wait()
	waitFor(t, "the publishers' end", func() bool { return h.ingest.Stats().Open == 0 && len(h.hub.Streams()) == 0 })
	if got := published(h) - before; got != uint64(n) {
		t.Errorf("%d publishers ended, want %d", got, n)
	}
}

func published(h *house) (n uint64) {
	for o, c := range h.ingest.Stats().Ended {
		if o.Admitted {
			n += c
		}
	}
	return n
}

func (h *house) publishAndDie(name string, source *mediatest.Source, reset bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var tcp net.Conn
	d := rtmpclient.Dialer{DialContext: func(ctx context.Context, network, address string) (c net.Conn, err error) {
		tcp, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return tcp, err
	}}
	c, err := d.Dial(ctx, h.url(name))
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Publish(ctx, flv.Enhanced); err != nil {
		return err
	}
	for range 10 {
		f := source.Next()
		if err := c.WriteFrame(ctx, &f); err != nil {
			return err
		}
	}
	// The header of a picture of 1 MiB, and little of it.
	tcp.Write(append([]byte{6, 0, 0, 0, 0x10, 0, 0, 9, 1, 0, 0, 0}, make([]byte, 100)...))
	if reset {
		tcp.(*net.TCPConn).SetLinger(0)
	}
	return tcp.Close()
}

func heap() uint64 {
	runtime.GC()
	runtime.GC() // what had finalizers
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
