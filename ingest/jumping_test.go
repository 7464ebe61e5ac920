package ingest

import (
	"math/rand/v2"
	"testing"
	"time"
)

// An encoder whose time is nonsense at every frame: viewers see its pictures at
// the pace that they come at.
func TestTimeThatJumpsAtEveryFrame(t *testing.T) {
	const frames, gap = 3000, 33
	random := rand.New(rand.NewPCG(1, 2))
	for name, dts := range map[string]func(n int) int{
		"forward, in another unit": func(n int) int { return n * gap * 90 },
		"back":                     func(n int) int { return 1<<30 - n*5000 },
		"to and fro":               func(n int) int { return n*gap + n%2*100_000 },
		"anywhere":                 func(int) int { return random.IntN(1 << 31) },
		"further and further":      func(n int) int { return n * n * 1000 },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t)
			for n := range frames {
				d := dts(n)
				r.play(in{video, d, d, n * gap}.frame())
			}
			r.flush()
			last := r.frames[len(r.frames)-1].DTS
			if want := ms(frames * gap); (last - want).Abs() > want/10+time.Second {
				t.Errorf("%v of pictures came in %v; repairs %v", last, want, r.repairs)
			}
		})
	}
}
