package main

import (
	"testing"
	"time"

	"github.com/miju-live/miju/bench"
)

func TestBenchHLS(t *testing.T) {
	s := start(t, func(c *config) { c.Files.Demo = true })
	s.waitLive(t, "demo")
	r, err := runBench[bench.HLSReport](t, "hls", s.url("/live/demo.m3u8"), "-n", "5", "-d", "3s", "--pid", ownPID)
	if err != nil {
		t.Fatal(err)
	}
	if r.Players != 5 || r.Joined != 5 || r.Playing != 5 || r.Lost != 0 || len(r.Refused)+len(r.Failed)+len(r.Errors) != 0 {
		t.Errorf("%+v", r)
	}
	// Five players have two renditions of five parts a second, and a playlist
	// for each part.
	if r.Playlists < 60 || r.Playlists > 200 || r.Media < 60 || r.Media > 200 || r.Requests != r.Playlists+r.Media {
		t.Errorf("%d requests of playlists and %d of media in %v s", r.Playlists, r.Media, r.Seconds)
	}
	if r.Join.N != 5 || r.Edge.N == 0 || r.Edge.P50 <= 0 || r.Latency.N == 0 || r.Latency.P50 < r.Edge.P50 || r.Server == nil || r.Server.PerRequest == nil {
		t.Errorf("%+v", r)
	}
	// The part target is 200 ms, so a player is three of them back, and the
	// next part comes within one.
	if r.Latency.P50 < 300 || r.Latency.P50 > 5000 {
		t.Errorf("behind live by %+v", r.Latency)
	}
	if kinds := s.metric(t, `miju_hls_requests_total{kind="part"}`); kinds == 0 {
		t.Error("the server knows of no part")
	}
}

// The bodies that came are those that were sent.
func TestBenchHLSCountsBytes(t *testing.T) {
	s := start(t, endsAtOnce)
	wait := s.publishFor(t, "x", 6*time.Second)
	r, err := runBench[bench.HLSReport](t, "hls", s.url("/live/x.m3u8"), "-n", "3", "-d", "60s", "--plain")
	wait()
	if err != nil {
		t.Fatal(err)
	}
	if r.Joined != 3 || r.Playing != 0 || r.Lost != 0 || len(r.Errors) != 0 {
		t.Errorf("%+v", r)
	}
	requests := 0.0
	for _, kind := range []string{"multivariant", "playlist", "part", "segment", "init"} {
		requests += s.metric(t, `miju_hls_requests_total{kind="`+kind+`"}`)
	}
	sent := s.metric(t, `miju_egress_bytes_total{protocol="hls"}`)
	// Heads of answers are in our figure alone.
	if heads := float64(r.Bytes) - sent; requests == 0 || heads < 100*requests || heads > 500*requests {
		t.Errorf("%d bytes came, %.0f were sent in answer to %.0f requests", r.Bytes, sent, requests)
	}
}

func TestBenchHLSOfNothing(t *testing.T) {
	s := start(t)
	r, err := runBench[bench.HLSReport](t, "hls", s.url("/live/none.m3u8"), "-n", "2", "-d", "1s")
	if err == nil || r.Refused["404"] != 2 {
		t.Errorf("%v %+v", err, r)
	}
}
