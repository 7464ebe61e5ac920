package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// audience is what many viewers of one address saw together.
type audience struct {
	viewers          []*llViewer
	playlists, parts []time.Duration
	stalled, stalls  int
}

// watchAll lets n viewers play live/x from addr for a while.
func watchAll(ctx context.Context, addr string, n int) *audience {
	a := &audience{}
	book := &playlistBook{texts: map[string]*llPlaylist{}}
	var running sync.WaitGroup
	for range n {
		v := &llViewer{addr: addr, base: "/live/x", book: book}
		a.viewers = append(a.viewers, v)
		running.Go(func() { v.watch(ctx) })
	}
	running.Wait()
	for _, v := range a.viewers {
		a.playlists, a.parts = append(a.playlists, v.playlists...), append(a.parts, v.parts...)
		a.stalls += v.stalls
		if v.stalls > 0 {
			a.stalled++
		}
	}
	slices.Sort(a.playlists)
	slices.Sort(a.parts)
	return a
}

// quantile returns a value of a sorted list.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(q*float64(len(sorted)-1))]
}

func (a *audience) String() string {
	ms := func(d time.Duration) int64 { return d.Milliseconds() }
	return fmt.Sprintf("%d viewers, %d parts, %d stalls of %d viewers; ms after its end a part was there %d (p50) %d (p99) %d (max), listed %d %d %d",
		len(a.viewers), len(a.parts), a.stalls, a.stalled,
		ms(quantile(a.parts, 0.5)), ms(quantile(a.parts, 0.99)), ms(quantile(a.parts, 1)),
		ms(quantile(a.playlists, 0.5)), ms(quantile(a.playlists, 0.99)), ms(quantile(a.playlists, 1)))
}

// tooBusy is how late nothing is directly on a machine that keeps up.
const tooBusy = 150 * time.Millisecond

// playThrough lets viewers play through an edge and a few directly, and holds that
// the edge merged their requests and that nobody stalled who would not have
// directly.
func playThrough(t *testing.T, kind string, viewers int, length time.Duration) {
	rules := edgeRules[kind]
	s := startStream(t, func(c *config) { c.Origin.HLS.Part = rules.part })
	for try := 1; ; try++ {
		o := countOrigin(t, s)
		e := edges[kind](t, o.Listener.Addr().String())
		ctx, cancel := context.WithTimeout(t.Context(), length)
		var direct, through *audience
		var both sync.WaitGroup
		both.Go(func() { direct = watchAll(ctx, s.http.Addr().String(), 2) })
		both.Go(func() { through = watchAll(ctx, e.addr, viewers) })
		both.Wait()
		cancel()
		t.Logf("directly: %s", direct)
		t.Logf("through the edge: %s", through)
		for _, v := range direct.viewers {
			for _, err := range v.failed {
				t.Error(err)
			}
		}
		if busy := direct.stalls > 0 || quantile(direct.parts, 1) > tooBusy; busy && try < 3 {
			t.Log("the machine is too busy: even directly things come late; once more")
			continue
		}
		checkAudience(t, o, through, length/rules.part)
		checkDelay(t, direct, through, rules.slower)
		return
	}
}

func startStream(t *testing.T, change ...func(*config)) *testServer {
	s := start(t, change...)
	push(t, "h264-aac.flv", "flv", s.rtmpURL("x"))
	s.waitLive(t, "x")
	mediaPlaylist(t, s.url(""), "/live/x.m3u8")
	return s
}

// checkAudience holds what viewers got while so many parts of each of two
// renditions came, and what the edge asked for on their behalf.
func checkAudience(t *testing.T, o *countedOrigin, through *audience, parts time.Duration) {
	t.Helper()
	want := 2 * int(parts) * 2 / 3 // the rest is for starting
	for _, v := range through.viewers {
		for _, err := range v.failed {
			t.Error(err)
		}
		if len(v.parts) < want {
			t.Errorf("a viewer got %d parts, want %d", len(v.parts), want)
		}
	}
	if through.stalls > 0 {
		t.Errorf("%d viewers stalled", through.stalled)
	}
	requests, urls := o.count("/live/x")
	t.Logf("the origin had %d requests for %d URLs, while the viewers got %d parts", requests, urls, len(through.parts))
	if urls < 2*want { // each with a playlist
		t.Errorf("the origin was asked for %d URLs only", urls)
	}
	if requests > urls+urls/20 {
		t.Errorf("the origin had %d requests for %d URLs:\n%s", requests, urls, o.repeated())
	}
}

func checkDelay(t *testing.T, direct, through *audience, slower time.Duration) {
	t.Helper()
	for _, q := range []float64{0.5, 0.99} {
		if more := quantile(through.parts, q) - quantile(direct.parts, q); more > slower {
			t.Errorf("parts come %v later through the edge (quantile %g)", more, q)
		}
		if more := quantile(through.playlists, q) - quantile(direct.playlists, q); more > slower {
			t.Errorf("playlists come %v later through the edge (quantile %g)", more, q)
		}
	}
}

// edgeRules are what holds for each kind of edge: how long parts must be there,
// and how much later than directly things may come. nginx looks only every
// half second whether what others wait for is there.
var edgeRules = map[string]struct{ part, slower time.Duration }{
	"varnish": {200 * time.Millisecond, 100 * time.Millisecond},
	"nginx":   {500 * time.Millisecond, 600 * time.Millisecond},
}

func watchThroughEdges(t *testing.T, viewers int, length time.Duration) {
	for name := range edges {
		t.Run(name, func(t *testing.T) { playThrough(t, name, viewers, length) })
	}
}

// TestEdgeViewers needs the machine to itself.
func TestEdgeViewers(t *testing.T) { watchThroughEdges(t, 40, 6*time.Second) }

func TestEdgeCrowd(t *testing.T) {
	if os.Getenv("MIJU_SOAK") == "" {
		t.Skip("make soak runs it")
	}
	watchThroughEdges(t, 300, time.Minute)
}

// mediaPlaylist returns the first media playlist that a multivariant one names.
func mediaPlaylist(t *testing.T, base, path string) string {
	t.Helper()
	_, multivariant := get(t, base+path)
	for line := range strings.SplitSeq(multivariant, "\n") {
		if line != "" && line[0] != '#' {
			status, body := get(t, base+path[:strings.LastIndex(path, "/")+1]+line)
			if status != 200 {
				t.Fatalf("%s: %d %s", line, status, body)
			}
			return body
		}
	}
	t.Fatalf("no media playlist in %s", multivariant)
	return ""
}
