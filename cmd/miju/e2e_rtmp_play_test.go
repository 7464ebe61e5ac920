package main

import (
	"bytes"
	"context"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib"
	rtmpcodecs "github.com/bluenviron/gortmplib/pkg/codecs"
	mp4codecs "github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"

	"github.com/miju-live/miju/ingest/rtmp/client"
	"github.com/miju-live/miju/media"
)

// checkRTMP plays a stream by RTMP: with our client, and with gortmplib but for
// two codecs. That wants a sequence header for AC-3, which Enhanced RTMP has
// none for, and VP9's with the version of the box around it.
func (c codedClip) checkRTMP(t *testing.T, address string) {
	t.Helper()
	for _, track := range c.tracks {
		switch track.Codec.(type) {
		case *mp4codecs.VP9, *mp4codecs.AC3:
			c.playWithOurs(t, address)
			return
		}
	}
	c.playWithOurs(t, address)
	c.playWithGortmplib(t, address)
}

// playWithOurs gets frames that are the clip's.
func (c codedClip) playWithOurs(t *testing.T, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	player, err := client.Dial(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer player.Close()
	if err := player.Play(ctx); err != nil {
		t.Fatal(err)
	}
	frames := map[media.Kind]int{}
	for frames[media.KindVideo] < 50 || frames[media.KindAudio] < 50 {
		f, err := player.ReadFrame(ctx)
		if err != nil {
			t.Fatalf("after %v frames: %v", frames, err)
		}
		frames[f.Track.Kind()]++
		if !slices.ContainsFunc(c.samples, func(s codedSample) bool { return bytes.Equal(s.payload, f.Data) }) {
			t.Errorf("a frame of %s is not of the clip", f.Track.Codec)
		}
	}
	if tracks, complete := player.Tracks(); len(tracks) != len(c.tracks) || !complete {
		t.Errorf("%d tracks, complete: %v", len(tracks), complete)
	}
}

// playWithGortmplib gets the clip's tracks and frames.
func (c codedClip) playWithGortmplib(t *testing.T, address string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	player := &gortmplib.Client{URL: u}
	if err := player.Initialize(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer player.Close()
	player.NetConn().SetDeadline(time.Now().Add(patience))
	r := &gortmplib.Reader{Conn: player}
	if err := r.Initialize(); err != nil {
		t.Fatal(err)
	}
	if len(r.Tracks()) != len(c.tracks) {
		t.Errorf("%d tracks, want %d", len(r.Tracks()), len(c.tracks))
	}
	frames := make([]int, len(r.Tracks()))
	for i, track := range r.Tracks() {
		// Frames that the clip's container stores as RTMP does are compared.
		whole := func(_ time.Duration, b []byte) {
			frames[i]++
			if !slices.ContainsFunc(c.samples, func(s codedSample) bool { return bytes.Equal(s.payload, b) }) {
				t.Errorf("%T frame %d is not of the clip", track.Codec, frames[i])
			}
		}
		parts := func(_, _ time.Duration, _ [][]byte) { frames[i]++ }
		switch track.Codec.(type) {
		case *rtmpcodecs.AV1:
			r.OnDataAV1(track, func(_ time.Duration, tu [][]byte) { frames[i]++ })
		case *rtmpcodecs.VP9:
			r.OnDataVP9(track, whole)
		case *rtmpcodecs.H264:
			r.OnDataH264(track, parts)
		case *rtmpcodecs.H265:
			r.OnDataH265(track, parts)
		case *rtmpcodecs.Opus:
			r.OnDataOpus(track, whole)
		case *rtmpcodecs.FLAC:
			r.OnDataFLAC(track, whole)
		case *rtmpcodecs.AC3:
			r.OnDataAC3(track, whole)
		case *rtmpcodecs.MPEG1Audio:
			r.OnDataMPEG1Audio(track, whole)
		case *rtmpcodecs.MPEG4Audio:
			r.OnDataMPEG4Audio(track, whole)
		default:
			t.Fatalf("a track of %T", track.Codec)
		}
	}
	for slices.Min(frames) < 50 {
		if err := r.Read(); err != nil {
			t.Fatalf("after %v frames: %v", frames, err)
		}
	}
}
