package hls_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/bluenviron/gohlslib/v2/pkg/playlist"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/hls"
)

// TestHas asks for positions around the end of a stream that has three parts
// of its segment 1001, whose segments have ten parts of video.
func TestHas(t *testing.T) {
	m := hls.NewMuxer(config)
	for _, f := range frames(both(), 2*time.Second+650*time.Millisecond) {
		m.Write(&f)
	}
	r := m.Window().Rendition("video")
	for _, c := range []struct {
		name        string
		msn         int64
		part        int
		has, tooFar bool
	}{
		{"before everything", 0, 5, true, false},
		{"a whole segment", 1000, -1, true, false},
		{"its last part", 1000, 9, true, false},
		{"the part behind it is the next segment's first", 1000, 10, true, false},
		{"the newest part", 1001, 2, true, false},
		{"the next part", 1001, 3, false, false},
		{"the segment that grows", 1001, -1, false, false},
		{"as many parts ahead as three seconds have", 1001, 17, false, false},
		{"one more", 1001, 18, false, true},
		{"the next segment's first part", 1002, 0, false, false},
		{"a part far into the next segment", 1002, 15, false, true},
		{"two segments ahead", 1003, -1, false, false},
		{"three segments ahead", 1004, -1, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if has, far := r.Has(c.msn, c.part), r.TooFar(c.msn, c.part); has != c.has || far != c.tooFar {
				t.Errorf("Has %v, TooFar %v, want %v and %v", has, far, c.has, c.tooFar)
			}
		})
	}
	m.Close()
	if r := m.Window().Rendition("video"); !r.Has(5000, 5) || r.TooFar(5000, 5) {
		t.Error("an ended stream makes players wait")
	}
}

func TestFileNames(t *testing.T) {
	m := hls.NewMuxer(config)
	for _, f := range frames(both(), 70*time.Second+450*time.Millisecond) {
		m.Write(&f)
	}
	w := m.Window()
	for _, c := range []struct {
		name, file string
		size       bool
	}{
		{"a listed segment", "video-1034.mp4", true},
		{"the spare one that is listed no more", "video-1019.mp4", true},
		{"an older one", "video-1018.mp4", false},
		{"a part that is listed no more", "audio-1020-0.mp4", true},
		{"a part of the segment that grows", "video-1035-1.mp4", true},
		{"a part to come", "video-1035-2.mp4", false},
		{"the segment that grows", "video-1035.mp4", false},
		{"an initialization section", "audio-init-1000.mp4", true},
		{"another one", "audio-init-1001.mp4", false},
		{"another rendition", "text-1034.mp4", false},
		{"another extension", "video-1034.ts", false},
		{"a negative part", "video-1034--1.mp4", false},
		{"a number with a leading zero", "video-01034.mp4", false},
		{"no number", "video-.mp4", false},
		{"a number that overflows", "video-99999999999999999999.mp4", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if f, ok := w.File(c.file); ok != c.size || (f.Size > 0) != c.size {
				t.Errorf("%s: %v of %d bytes", c.file, ok, f.Size)
			}
		})
	}
	if !w.Hinted("video-1035-2.mp4") || w.Hinted("video-1035-3.mp4") {
		t.Error("the hint is not the next part")
	}
}

// TestOldWindowsStay holds that a window does not change when the stream goes on.
func TestOldWindowsStay(t *testing.T) {
	m := hls.NewMuxer(config)
	type saved struct {
		w        *hls.Window
		playlist string
	}
	var all []saved
	for _, f := range frames(both(), 20*time.Second) {
		if m.Write(&f) {
			w := m.Window()
			all = append(all, saved{w, string(w.Rendition("video").Playlist())})
		}
	}
	for i, s := range all {
		if string(s.w.Rendition("video").Playlist()) != s.playlist {
			t.Fatalf("window %d of %d changed", i, len(all))
		}
	}
}

func TestMultivariant(t *testing.T) {
	quoted := mediatest.AACTrack(2)
	quoted.Name, quoted.Language = "the \"best\"\nsound", "de"
	for _, c := range []struct {
		name   string
		source *mediatest.Source
		want   string
	}{
		{
			"H.265 and sound with an odd name",
			&mediatest.Source{Video: mediatest.H265Track(1), Audio: quoted},
			"[hvc1.1.6.L120.90 mp4a.40.2] 1920x1080 30.0 audio alice/video.m3u8 [the bestsound de alice/audio.m3u8]",
		},
		{"video only", &mediatest.Source{Video: mediatest.H264Track(1), FrameRate: 25, GOP: 50}, "[avc1.64001f] 1280x720 25.0  alice/video.m3u8 []"},
		{"sound only", &mediatest.Source{Audio: mediatest.AACTrack(7)}, "[mp4a.40.2]  0.0  alice/audio.m3u8 []"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := hls.NewMuxer(config)
			bytes := 0
			for _, f := range frames(c.source, 10*time.Second) {
				m.Write(&f)
				bytes += len(f.Data)
			}
			var p playlist.Multivariant
			if err := p.Unmarshal(m.Window().Multivariant()); err != nil {
				t.Fatal(err)
			}
			v := p.Variants[0]
			var rate float64
			if v.FrameRate != nil {
				rate = *v.FrameRate
			}
			var others []string
			for _, r := range p.Renditions {
				others = append(others, r.Name, r.Language, *r.URI)
			}
			got := fmt.Sprintf("%v %s %.1f %s %s %v", v.Codecs, v.Resolution, rate, v.Audio, v.URI, others)
			if got != c.want || len(p.Variants) != 1 {
				t.Errorf("multivariant playlist says %s, want %s", got, c.want)
			}
			if real := bytes * 8 / 10; v.Bandwidth < *v.AverageBandwidth || *v.AverageBandwidth < real || v.Bandwidth > real*13/10 {
				t.Errorf("bandwidth %d, average %d, payload %d", v.Bandwidth, *v.AverageBandwidth, real)
			}
		})
	}
}

func BenchmarkMuxer(b *testing.B) {
	source := both()
	source.FrameBytes = 10_000 // 2.4 Mbit/s
	var all []media.Frame
	m := hls.NewMuxer(config)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		if i == len(all) {
			b.StopTimer()
			all, i = all[:0], 0
			for range 1000 {
				all = append(all, source.Next())
			}
			b.StartTimer()
		}
		if m.Write(&all[i]) {
			m.Window()
		}
		i++
	}
}

// TestNothingToOffer: streams that end before anything could be packaged have
// no window, and say so instead of panicking.
func TestNothingToOffer(t *testing.T) {
	all := frames(both(), time.Second)
	for _, c := range []struct {
		name   string
		frames []media.Frame
	}{
		{"no frame", nil},
		{"no random access point", all[2:20]},
		{"only sound of a stream with pictures", without(slices.Clone(all), media.KindVideo, 0, time.Hour)},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := hls.NewMuxer(config)
			for _, f := range c.frames {
				m.Write(&f)
			}
			if m.Window() != nil || m.Close() || m.Window() != nil || m.Next() != config.First {
				t.Errorf("%+v", m.Next())
			}
		})
	}
}
