package origin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// twoClient speaks HTTP/2 on one connection; a stream of it has room for 256
// KiB that nobody reads.
func twoClient() *http.Client {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: &http.Transport{Protocols: p, HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 256 << 10}}}
}

// TestHTTP2StuckViewer has a viewer of each endless egress that reads nothing
// share its connection with HLS players: these go on, those are disconnected.
func TestHTTP2StuckViewer(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	h := newHall(t, func(c *Config) { c.WriteTimeout = time.Second })
	defer h.close()
	l := h.start(t)
	client := twoClient()
	defer client.CloseIdleConnections()
	at := "http://" + h.addr + "/live/x"
	var stuck []*http.Response
	for _, path := range []string{".flv", ".ts"} {
		r, err := client.Get(at + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if r.StatusCode != http.StatusOK || r.ProtoMajor != 2 {
			t.Fatal(path, r.Status, r.Proto)
		}
		stuck = append(stuck, r)
	}
	msn, read := l.Segments[len(l.Segments)-1].Number, int64(0)
	dts := h.next.DTS
	h.until(t, func() bool {
		dts += 500 * time.Millisecond
		h.play(dts)
		r, err := client.Get(fmt.Sprintf("%s/video-%d-0.mp4", at, msn))
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r.Body)
		if r.Body.Close(); err != nil {
			t.Fatal(err)
		}
		read += n
		s := h.server.Stats()
		return s.FLVViewers == 0 && s.TSViewers == 0
	})
	if read == 0 {
		t.Error("not a part came beside the stuck viewers")
	}
	if n := h.server.Stats().Slow; n != 2 {
		t.Errorf("%d viewers were counted as slow", n)
	}
	for _, r := range stuck {
		if n, err := io.Copy(io.Discard, r.Body); err == nil || n > 1<<20 {
			t.Errorf("%s ended with %v after %d bytes", r.Request.URL.Path, err, n)
		}
	}
}

// TestHTTP2ManyWaiting has hundreds of requests wait on one connection, of
// which half go away.
func TestHTTP2ManyWaiting(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	h := newHall(t)
	defer h.close()
	l := h.start(t)
	client := twoClient()
	defer client.CloseIdleConnections()
	const half = 100
	path := fmt.Sprintf("http://%s/live/x/video.m3u8?_HLS_msn=%d", h.addr, l.Segments[len(l.Segments)-1].Number+1)
	ctx, leave := context.WithCancel(t.Context())
	var all, stay sync.WaitGroup
	ask := func(ctx context.Context) (int, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, path, nil)
		if err != nil {
			return 0, err
		}
		a, err := client.Do(r)
		if err != nil {
			return 0, err
		}
		defer a.Body.Close()
		n, err := io.Copy(io.Discard, a.Body)
		return int(n), err
	}
	for range half {
		all.Go(func() {
			if _, err := ask(ctx); err == nil {
				t.Error("an answer to who has gone")
			}
		})
		stay.Go(func() {
			if n, err := ask(t.Context()); err != nil || n == 0 {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
	}
	h.until(t, func() bool { return h.server.HLSStats().Waiting == 2*half })
	leave()
	all.Wait()
	h.until(t, func() bool { return h.server.HLSStats().Waiting == half })
	dts := h.next.DTS
	h.until(t, func() bool {
		dts += 100 * time.Millisecond
		h.play(dts)
		h.settle()
		return h.server.HLSStats().Waiting == 0
	})
	stay.Wait()
}
