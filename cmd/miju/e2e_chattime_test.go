package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"
)

// pictureRate is that of the numbered pictures, a second.
const pictureRate = 50

// pushNumbered publishes pictures that hold their own number, in 16 squares of
// which each is a bit, and are not sent in the order in which they are shown.
func pushNumbered(t *testing.T, url string) *program {
	t.Helper()
	picture := fmt.Sprintf("nullsrc=size=16x4:rate=%d,geq=lum='220*mod(floor(N/pow(2,X)),2)+16':cb=128:cr=128,scale=256x64:flags=neighbor", pictureRate)
	return spawn(t, "ffmpeg", "-hide_banner", "-loglevel", "warning", "-nostdin",
		"-re", "-f", "lavfi", "-i", picture, "-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000",
		"-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", fmt.Sprint(pictureRate), "-pix_fmt", "yuv420p", "-b:v", "400k",
		"-c:a", "aac", "-f", "flv", url)
}

// TestChatTime has two pages on one stream, FLV and LL-HLS seconds apart, show
// the same messages on the same pictures: of somebody who is at the live edge,
// and of who watches on the page that is ahead.
//
// It runs alone, since the machine's other work would be measured too: a busy
// browser shows pictures late, and messages. So the gate looks at the half of
// them, where any mistake in the arithmetic is seen; soaking looks at each.
func TestChatTime(t *testing.T) {
	s := start(t)
	pushNumbered(t, s.rtmpURL("time"))
	s.waitLive(t, "time")
	soak := os.Getenv("MIJU_SOAK") != ""
	var problems []string
	for range 3 { // three times in a row is ours
		problem := chatTime(t, s.url("/live/time"), soak)
		if problem == "" {
			return
		}
		t.Log(problem)
		problems = append(problems, problem)
	}
	t.Error(problems)
}

// chatTime says what is wrong with the time of messages; empty if nothing is.
func chatTime(t *testing.T, url string, soak bool) string {
	rounds := "6"
	if soak {
		rounds = "20"
	}
	var got struct {
		Apart    []int
		Pictures map[string][2]int
		Errors   []string
	}
	begun := time.Now()
	page(t, &got, "time.mjs", url, rounds)
	if len(got.Errors) > 0 || len(got.Apart) == 0 || len(got.Pictures) == 0 {
		return fmt.Sprintf("%+v", got)
	}
	const picture = time.Second / pictureRate
	slices.Sort(got.Apart)
	apart := time.Duration(got.Apart[len(got.Apart)/2]) * picture
	var off []time.Duration
	for _, text := range slices.Sorted(maps.Keys(got.Pictures)) {
		p := got.Pictures[text]
		off = append(off, (time.Duration(p[0]-p[1]) * picture).Abs())
		if off[len(off)-1] > 100*time.Millisecond {
			t.Logf("%q is shown on pictures %v", text, p)
		}
	}
	slices.Sort(off)
	half, worst := off[len(off)/2], off[len(off)-1]
	t.Logf("in %v: the pages are %v apart; %d messages are shown %v (half), %v (95 %%) and %v (worst) from the same picture",
		time.Since(begun), apart, len(off), half, off[len(off)*95/100], worst)
	switch {
	case apart < 1500*time.Millisecond:
		return fmt.Sprintf("the pages are only %v apart: %v", apart, got.Apart)
	case half > 100*time.Millisecond || soak && worst > 150*time.Millisecond:
		return fmt.Sprintf("messages are shown %v (half) and %v (worst) from the same picture: %v", half, worst, got.Pictures)
	}
	return ""
}
