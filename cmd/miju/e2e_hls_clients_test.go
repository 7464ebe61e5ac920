package main

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gohlslib/v2"
	"github.com/bluenviron/gohlslib/v2/pkg/codecs"
)

// shownByGStreamer finds what fakesink says of each buffer: whose it is, and
// its time.
var shownByGStreamer = regexp.MustCompile(`GstBin:([av])bin/.*last-message = chain.* pts: (\d+):(\d\d):([\d.]+),`)

// TestHLSPlayedByGStreamer has both of GStreamer's HLS players decode a live
// stream: playbin has the older hlsdemux, playbin3 has hlsdemux2.
func TestHLSPlayedByGStreamer(t *testing.T) {
	s := start(t)
	push(t, "h264-bframes-aac.flv", "flv", s.rtmpURL("x"))
	s.waitSegments(t, "x")
	for _, element := range []string{"playbin", "playbin3"} {
		t.Run(element, func(t *testing.T) {
			t.Parallel()
			p := spawn(t, "gst-launch-1.0", "-v", element, "uri="+s.url("/live/x.m3u8"),
				"video-sink=fakesink silent=false sync=true", "audio-sink=fakesink silent=false sync=true")
			var video, audio []float64
			waitFor(t, "eight seconds of pictures and sound", func() bool {
				video, audio = shown(t, p.output.String())
				return len(video) > 8*30 && len(audio) > 8*46
			})
			p.kill()
			if strings.Contains(p.output.String(), "ERROR") || strings.Contains(p.output.String(), "WARNING") {
				t.Error(tail(p.output.String()))
			}
			rising(t, "pictures", video)
			rising(t, "sound", audio)
		})
	}
}

// shown returns the times of what was shown, in seconds.
func shown(t *testing.T, output string) (video, audio []float64) {
	t.Helper()
	for _, m := range shownByGStreamer.FindAllStringSubmatch(output, -1) {
		hours, err1 := strconv.Atoi(m[2])
		minutes, err2 := strconv.Atoi(m[3])
		seconds, err3 := strconv.ParseFloat(m[4], 64)
		if err1 != nil || err2 != nil || err3 != nil {
			t.Fatal(m)
		}
		at := float64(60*(60*hours+minutes)) + seconds
		if m[1] == "v" {
			video = append(video, at)
		} else {
			audio = append(audio, at)
		}
	}
	return video, audio
}

// rising checks that frames follow each other without a hole. The first second
// is left out: there decoders begin. gst-launch prints what is newest when it
// comes to print, so that a frame may be missing, and the next be there twice.
func rising(t *testing.T, what string, times []float64) {
	t.Helper()
	for i := 1; i < len(times); i++ {
		if step := times[i] - times[i-1]; times[i] > times[0]+1 && (step < 0 || step > 0.15) {
			t.Errorf("%s: %v s after %v s", what, times[i], times[i-1])
		}
	}
}

// TestHLSFollowedByGohlslib has gohlslib's client follow a live stream at its
// speed.
func TestHLSFollowedByGohlslib(t *testing.T) {
	t.Parallel()
	s := start(t)
	push(t, "h264-bframes-aac.flv", "flv", s.rtmpURL("x"))
	s.waitSegments(t, "x")
	var transport http.Transport
	defer transport.CloseIdleConnections()
	video, audio := make(chan int64, 1000), make(chan int64, 1000)
	c := &gohlslib.Client{URI: s.url("/live/x.m3u8"), HTTPClient: &http.Client{Transport: &transport}}
	quiet := func(string) {}
	c.OnDownloadPrimaryPlaylist, c.OnDownloadStreamPlaylist, c.OnDownloadSegment, c.OnDownloadPart = quiet, quiet, quiet, quiet
	c.OnDecodeError = func(err error) { t.Errorf("decode: %v", err) }
	c.OnTracks = func(tracks []*gohlslib.Track) error {
		for _, track := range tracks {
			switch track.Codec.(type) {
			case *codecs.H264:
				c.OnDataH26x(track, func(pts, _ int64, _ [][]byte) { video <- pts })
			case *codecs.MPEG4Audio:
				c.OnDataMPEG4Audio(track, func(pts int64, _ [][]byte) { audio <- pts })
			}
		}
		return nil
	}
	begun := time.Now()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ended := make(chan error, 1)
	go func() { ended <- c.Wait2() }()
	pictures, sounds := 0, 0
	for pictures < 10*30 || sounds < 10*46 {
		select {
		case err := <-ended:
			t.Fatalf("it ends after %d pictures and %d sound frames: %v", pictures, sounds, err)
		case <-video:
			pictures++
		case <-audio:
			sounds++
		case <-time.After(patience):
			t.Fatalf("%d pictures and %d sound frames", pictures, sounds)
		}
	}
	t.Logf("%d pictures and %d sound frames in %v", pictures, sounds, time.Since(begun).Round(time.Millisecond))
}
