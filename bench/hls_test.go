package bench

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// clockHLS is a server whose stream goes by the clock: segments of a second,
// of ten parts if it has parts.
type clockHLS struct {
	began time.Time
	parts bool
	// frozen is how many parts there are once it stands still, 0 while it goes.
	frozen atomic.Int64
	// hints says that hinted parts can be had; listed, that any part can.
	hints, listed bool
	ranges        atomic.Int64 // requests with the right Range
	skips         atomic.Int64 // delta updates
	compressed    atomic.Int64
}

const (
	clockPart = 100 * time.Millisecond
	clockSize = 500 // of a part, in bytes
)

func startClock(t *testing.T, c *clockHLS) string {
	t.Helper()
	c.began = time.Now().Add(-10 * time.Second)
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	return s.URL
}

// there is how many parts are whole.
func (c *clockHLS) there() int64 {
	if n := c.frozen.Load(); n > 0 {
		return n
	}
	return int64(time.Since(c.began) / clockPart)
}

// await waits for a part, counted from 0.
func (c *clockHLS) await(ctx context.Context, n int64) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for c.there() <= n {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (c *clockHLS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var segment, part int64
	switch path := r.URL.Path; {
	case path == "/all.m3u8":
		fmt.Fprint(w, "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",URI=\"sound.m3u8\"\n#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\nlist.m3u8\n")
	case strings.HasSuffix(path, ".m3u8"):
		if m := r.FormValue("_HLS_msn"); m != "" {
			segment, _ = strconv.ParseInt(m, 10, 64)
			part, _ = strconv.ParseInt(r.FormValue("_HLS_part"), 10, 64)
			c.await(r.Context(), 10*segment+part)
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		defer z.Close()
		c.compressed.Add(1)
		io.WriteString(z, c.list(r.FormValue("_HLS_skip") == "YES"))
	case path == "/init.mp4":
		fmt.Fprint(w, "init")
	case path == "/all.mp4": // of segments
		var from, to int64
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to); err == nil && to-from == 10*clockSize-1 && from%(10*clockSize) == 0 {
			c.ranges.Add(1)
		}
		w.WriteHeader(http.StatusPartialContent)
		w.Write(make([]byte, 10*clockSize))
	default:
		if _, err := fmt.Sscanf(path, "/%d-%d.mp4", &segment, &part); err != nil || !c.listed || !c.hints && c.there() <= 10*segment+part {
			http.NotFound(w, r)
			return
		}
		c.await(r.Context(), 10*segment+part)
		w.Write(make([]byte, clockSize))
	}
}

// list is the playlist of six segments and the one that grows.
func (c *clockHLS) list(skip bool) string {
	there := c.there()
	open := there / 10
	first := max(open-6, 0)
	var b strings.Builder
	b.WriteString("#EXTM3U\n#EXT-X-TARGETDURATION:1\n")
	if c.parts {
		b.WriteString("#EXT-X-PART-INF:PART-TARGET=0.1\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.3,CAN-SKIP-UNTIL=6.0\n")
	}
	fmt.Fprintf(&b, "#EXT-X-MEDIA-SEQUENCE:%d\n", first)
	if skip {
		c.skips.Add(1)
		b.WriteString("#EXT-X-SKIP:SKIPPED-SEGMENTS=2\n")
		first += 2
	}
	for n := first; n <= open; n++ {
		fmt.Fprintf(&b, "#EXT-X-MAP:URI=\"init.mp4\"\n#EXT-X-PROGRAM-DATE-TIME:%s\n", c.began.Add(time.Duration(n)*10*clockPart).UTC().Format(time.RFC3339Nano))
		for p := int64(0); p < 10 && 10*n+p < there && c.parts && n > open-3; p++ {
			fmt.Fprintf(&b, "#EXT-X-PART:DURATION=0.1,URI=\"%d-%d.mp4\"%s\n", n, p, map[bool]string{true: ",INDEPENDENT=YES"}[p == 0])
		}
		if n < open {
			fmt.Fprintf(&b, "#EXTINF:1,\n#EXT-X-BYTERANGE:%d@%d\nall.mp4\n", 10*clockSize, 10*clockSize*n)
		}
	}
	if c.parts {
		fmt.Fprintf(&b, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"%d-%d.mp4\"\n", open, there%10)
	}
	return b.String()
}

func loadOf(url string, n int, d time.Duration) HLSConfig {
	c := DefaultHLS()
	c.URL, c.N, c.Duration = url, n, d
	return c
}

func TestHLSWithParts(t *testing.T) {
	s := &clockHLS{parts: true, hints: true, listed: true}
	r, err := HLS(t.Context(), loadOf(startClock(t, s)+"/all.m3u8", 2, 2*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if r.Joined != 2 || r.Playing != 2 || len(r.Errors)+len(r.Refused)+len(r.Failed) != 0 || r.Jumps != 0 {
		t.Errorf("%+v", r)
	}
	// Two players have two renditions, and each ten parts a second.
	if r.Media < 40 || r.Media > 120 || r.Playlists < 40 || r.Playlists > 120 || s.skips.Load() < 40 || s.compressed.Load() == 0 || s.ranges.Load() != 0 {
		t.Errorf("%d media, %d playlists, %d updates, %d ranges", r.Media, r.Playlists, s.skips.Load(), s.ranges.Load())
	}
	// 300 ms behind the end, and a part is 100 ms old when it is there.
	if r.Edge.P50 < 95 || r.Latency.P50 < 300 {
		t.Errorf("%+v %+v", r.Edge, r.Latency)
	}
}

// Without parts a player goes by segments, here ranges of one file; the URL may
// be that of a media playlist. A stream that stands still is a stall.
func TestHLSWithoutParts(t *testing.T) {
	s := &clockHLS{}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := loadOf(startClock(t, s)+"/list.m3u8", 2, patience)
	c.Progress = func(line string) {
		if strings.Contains(line, "of 1m0s") {
			s.frozen.CompareAndSwap(0, s.there())
		}
		if strings.Contains(line, " 2 stalls") {
			cancel()
		}
	}
	r, err := HLS(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	if r.Joined != 2 || r.Stalls != 2 || r.StalledSeconds <= 0 || len(r.Errors) != 0 || s.ranges.Load() < 6 || s.skips.Load() != 0 {
		t.Errorf("%d ranges, %+v", s.ranges.Load(), r)
	}
}

// Hints that cannot be had are errors, and no harm: the part is fetched when it
// is listed.
func TestHLSWithBadHints(t *testing.T) {
	s := &clockHLS{parts: true, listed: true}
	r, err := HLS(t.Context(), loadOf(startClock(t, s)+"/all.m3u8", 1, 2*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if r.Joined != 1 || r.Errors["404"] < 10 || r.Fetch.N < 10 || r.Lost != 0 {
		t.Errorf("%+v", r)
	}
}

// A player that gets no part has nothing to show.
func TestHLSWithoutMedia(t *testing.T) {
	s := &clockHLS{parts: true}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := loadOf(startClock(t, s)+"/all.m3u8", 1, time.Second)
	c.Progress = func(string) { cancel() }
	if r, err := HLS(ctx, c); !errors.Is(err, ErrNothing) || r.Errors["404"] == 0 {
		t.Errorf("%v %+v", err, r)
	}
}
