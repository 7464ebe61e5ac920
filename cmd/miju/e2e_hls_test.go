package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// rulesCase is a stream whose playlists and files must keep every rule.
type rulesCase struct {
	name   string
	clip   string   // pushed as it is, or
	input  []string // what ffmpeg makes
	args   string   // how it is coded and packed
	srt    bool
	gate   bool // not in make soak only
	change func(*config)
	// irregular permits what docs/hls.md says of frames that come unevenly.
	irregular bool
	// holes is for a screen that stands still where a GOP is cut inside.
	holes bool
}

// x264GOP codes 320x180 with so many frames a GOP.
func x264GOP(gop int) string {
	return fmt.Sprintf("-c:v libx264 -preset ultrafast -tune zerolatency -sc_threshold 0 -g %d -c:a aac -f flv", gop)
}

func rate(r string) []string { return lavfiFor(80, "testsrc2=size=320x180:rate="+r, testTone) }

// lavfiFor is lavfi for so many seconds.
func lavfiFor(seconds int, video, audio string) []string {
	args := lavfi(video, audio)
	for i, a := range args {
		if a == "-t" {
			args[i+1] = fmt.Sprint(seconds)
		}
	}
	return args
}

func rulesCases() []rulesCase {
	return []rulesCase{
		{name: "H.264", clip: "h264-aac.flv"},
		{name: "B-frames", clip: "h264-bframes-aac.flv", gate: true},
		{name: "H.265", clip: "h265-aac.mp4", srt: true, gate: true},
		{name: "video only", clip: "video-only.flv"},
		{name: "audio only", clip: "audio-only.m4a"},
		{name: "B-frames over SRT", clip: "h264-bframes-aac.flv", srt: true},
		{name: "OBS's GOP", input: rate("30"), args: x264GOP(250)},
		{name: "10 frames a second", input: rate("10"), args: x264GOP(20)},
		{name: "23.976 frames a second", input: rate("24000/1001"), args: x264GOP(48), gate: true},
		{name: "29.97 frames a second", input: rate("30000/1001"), args: x264GOP(60)},
		{name: "60 frames a second", input: rate("60"), args: x264GOP(120)},
		{name: "GOPs of one second", input: rate("25"), args: x264GOP(25)},
		{name: "uneven GOPs", input: rate("25"), args: "-c:v libx264 -preset ultrafast -bf 2 -g 60 -force_key_frames expr:if(isnan(prev_forced_t),1,gte(t,prev_forced_t+1.1+mod(n,7)/5)) -c:a aac -f flv"},
		{name: "AAC of 44.1 kHz", input: lavfiFor(80, testPicture, "sine=sample_rate=44100"), args: x264GOP(50)},
		{name: "uneven frames", input: lavfiFor(80, "testsrc2=size=320x180:rate=30,select='not(eq(mod(n\\,7)\\,3))*not(lt(mod(n\\,47)\\,4))'", testTone), args: "-fps_mode passthrough " + x264GOP(50), irregular: true, gate: true},
		{name: "a screen of a frame in two seconds", input: lavfiFor(80, "testsrc2=size=320x180:rate=30,select='lt(mod(t\\,12)\\,5)+lt(mod(n\\,60)\\,1)'", testTone), args: "-fps_mode passthrough " + x264GOP(60), irregular: true, holes: true},
		{name: "no parts", clip: "h264-aac.flv", change: func(c *config) { c.Origin.HLS.Part = 0 }},
		{name: "parts of half a second", clip: "h264-aac.flv", change: func(c *config) { c.Origin.HLS.Part = 500 * time.Millisecond }},
	}
}

// TestHLSRules follows live streams of all sorts, as they come from encoders,
// and holds every playlist, part and segment against the rules: a few for 15 s,
// and all for a minute in make soak.
func TestHLSRules(t *testing.T) {
	t.Parallel()
	d, soak := 15*time.Second, os.Getenv("MIJU_SOAK") != ""
	if soak {
		d = time.Minute
	}
	for i, c := range rulesCases() {
		if !c.gate && !soak || c.clip == "" && c.input == nil {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, func(cfg *config) {
				if c.change != nil {
					c.change(cfg)
				}
			})
			name := fmt.Sprintf("rules-%d", i)
			url, format := s.rtmpURL(name), "flv"
			if c.srt {
				url, format = s.srtURL("publish:live/"+name), "mpegts"
			}
			if c.clip != "" {
				push(t, c.clip, format, url)
			} else {
				spawn(t, "ffmpeg", append(append(c.input, strings.Fields(c.args)...), url)...)
			}
			s.waitLive(t, name)
			f := s.walk(t, name, d, c.irregular)
			if holes := f.stream.Holes(); f.segments == 0 || f.late > patience || holes > 0 && !c.holes {
				t.Errorf("%d segments, %d holes between them", f.segments, holes)
			}
		})
	}
}
