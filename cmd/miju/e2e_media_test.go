package main

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// reference is a clip's packets of one kind, as it was pushed.
type reference struct {
	hashes   []string
	pts, dts []time.Duration
	period   time.Duration // of a loop
}

func referenceOf(t testing.TB, clipName, kind string) reference {
	t.Helper()
	var r reference
	p := probePackets(t, clipPath(clipName), 0)
	for _, pkt := range p.Packets {
		if pkt.Type == kind {
			r.hashes = append(r.hashes, pkt.Hash)
			r.pts = append(r.pts, pkt.seconds(t, pkt.PTS))
			r.dts = append(r.dts, pkt.seconds(t, pkt.DTS))
		}
	}
	if n := len(r.dts); n > 1 {
		r.period = r.dts[n-1] - r.dts[0] + r.dts[n-1] - r.dts[n-2]
	}
	return r
}

// at returns the PTS of the i-th packet of the endless loop.
func (r reference) at(i int) time.Duration {
	return r.pts[i%len(r.pts)] + time.Duration(i/len(r.pts))*r.period
}

// offsets returns where in the loop got can begin: every frame from there on
// in its place, none missing, none changed.
func (r reference) offsets(got []packet) []int {
	var all []int
	for start := range r.hashes {
		if r.matches(got, start) {
			all = append(all, start)
		}
	}
	return all
}

func (r reference) matches(got []packet, start int) bool {
	for i, p := range got {
		if p.Hash != r.hashes[(start+i)%len(r.hashes)] {
			return false
		}
	}
	return true
}

// checkPackets holds what a player read against what was pushed: the very
// frames, from a random access point on, DTS rising, sound with its picture.
func checkPackets(t testing.TB, clipName string, got probed, video, audio bool) {
	t.Helper()
	starts := map[string][]int{}
	first := map[string]packet{}
	for _, kind := range []string{"video", "audio"} {
		if want := kind == "video" && video || kind == "audio" && audio; !want {
			continue
		}
		var packets []packet
		for _, p := range got.Packets {
			if p.Type == kind {
				packets = append(packets, p)
			}
		}
		if len(packets) < 150 {
			t.Errorf("%d %s packets", len(packets), kind)
			continue
		}
		if kind == "video" && packets[0].Flags[0] != 'K' {
			t.Error("the first picture is no random access point")
		}
		last := -time.Hour
		for i, p := range packets {
			dts := p.seconds(t, p.DTS)
			if dts <= last {
				t.Errorf("%s packet %d has DTS %v after %v", kind, i, dts, last)
			}
			last = dts
		}
		ref := referenceOf(t, clipName, kind)
		if starts[kind] = ref.offsets(packets); len(starts[kind]) == 0 {
			t.Errorf("the %d %s packets are not those that were pushed", len(packets), kind)
		}
		first[kind] = packets[0]
	}
	if video && audio && !t.Failed() {
		checkSync(t, clipName, starts, first)
	}
}

// checkSync compares the distance of the first sound to the first picture
// with that of the same frames in the clip.
func checkSync(t testing.TB, clipName string, starts map[string][]int, first map[string]packet) {
	t.Helper()
	v, a := referenceOf(t, clipName, "video"), referenceOf(t, clipName, "audio")
	got := first["audio"].seconds(t, first["audio"].PTS) - first["video"].seconds(t, first["video"].PTS)
	best := time.Hour
	for _, i := range starts["video"] {
		for _, j := range starts["audio"] {
			want := a.at(j) - v.at(i)
			// Both loop with the same period, so whole periods tell nothing.
			off := (got - want + v.period/2 + 10*v.period) % v.period
			best = min(best, (off - v.period/2).Abs())
		}
	}
	if best > 40*time.Millisecond {
		t.Errorf("sound and picture are %v further apart than in the clip", best)
	}
}

// TestPushAndPull pushes clips over every protocol and reads each back over
// every other way out.
func TestPushAndPull(t *testing.T) {
	s := start(t)
	const rtmp, srt = "rtmp", "srt"
	for i, c := range []struct {
		clip, protocol string
		codec          string
		video, audio   bool
		sampleRate     string
	}{
		{"h264-aac.flv", rtmp, "h264", true, true, "48000"},
		{"h264-bframes-aac.flv", rtmp, "h264", true, true, "48000"},
		{"video-only.flv", rtmp, "h264", true, false, ""},
		{"audio-only.m4a", rtmp, "", false, true, "44100"},
		{"h264-aac.flv", srt, "h264", true, true, "48000"},
		{"h264-bframes-aac.flv", srt, "h264", true, true, "48000"},
		{"video-only.flv", srt, "h264", true, false, ""},
		{"audio-only.m4a", srt, "", false, true, "44100"},
		{"h265-aac.mp4", srt, "hevc", true, true, "48000"},
	} {
		t.Run(c.protocol+" "+c.clip, func(t *testing.T) {
			t.Parallel()
			name := fmt.Sprintf("pull-%d", i)
			if c.protocol == rtmp {
				push(t, c.clip, "flv", s.rtmpURL(name))
			} else {
				push(t, c.clip, "mpegts", s.srtURL("publish:live/"+name))
			}
			s.waitLive(t, name)
			ways := []string{".m3u8"}
			if c.codec != "hevc" { // ffmpeg 5.1 knows no H.265 in FLV
				ways = append(ways, ".flv")
			}
			// All at once: a clip without video ends after half a minute.
			got := make([]probed, len(ways))
			var readers sync.WaitGroup
			for i, way := range ways {
				url := s.url("/live/" + name + way)
				readers.Go(func() { got[i] = probePackets(t, url, 10) })
				readers.Go(func() {
					command(t, true, "ffmpeg", "-hide_banner", "-nostdin", "-v", "error", "-xerror", "-i", url, "-t", "10", "-f", "null", "-")
				})
			}
			readers.Wait()
			for i, way := range ways {
				t.Run(way[1:], func(t *testing.T) {
					checkPackets(t, c.clip, got[i], c.video, c.audio)
					for _, st := range got[i].Streams {
						switch {
						case st.Type == "video" && (st.Codec != c.codec || st.Width != 640 || st.Height != 360):
							t.Errorf("%+v", st)
						case st.Type == "audio" && (st.Codec != "aac" || st.SampleRate != c.sampleRate || st.Channels != 2):
							t.Errorf("%+v", st)
						}
					}
				})
			}
		})
	}
}
