package ingest

import (
	"math/rand/v2"
	"os"
	"sort"
	"testing"
	"time"

	"github.com/miju-live/miju/media"
)

// source is a track of an encoder over weeks: its n-th frame's time, exact and
// as the encoder rounds it.
type source struct {
	track *media.Track
	step  func(n int64) time.Duration
	round time.Duration // of its timestamps
	skew  time.Duration // of its first frame
}

func (s *source) exact(n int64) time.Duration { return s.skew + s.step(n) }
func (s *source) dts(n int64) time.Duration   { return s.exact(n) / s.round * s.round }

// resting returns n, or the first frame after the pause that n is in.
func resting(s *source, n int64) int64 {
	in := s.exact(n) % (10 * time.Minute)
	if in < 5*time.Second {
		return n
	}
	end := s.exact(n) - in + 10*time.Minute
	return n + int64(sort.Search(int(time.Hour/time.Millisecond), func(i int) bool { return s.exact(n+int64(i)) >= end }))
}

// every returns frames of num/den seconds each.
func every(num, den int64) func(int64) time.Duration {
	return func(n int64) time.Duration {
		n *= num
		return time.Duration(n/den)*time.Second + time.Duration(n%den)*time.Second/time.Duration(den)
	}
}

// TestThirtyDays plays thirty days of several encoders to the timeline, as
// fast as it goes: every frame's distance from the other track's is the
// encoder's own, DTS never come twice, and the anchor follows the clock. The
// encoders send for five seconds in ten minutes, or with MIJU_SOAK always.
func TestThirtyDays(t *testing.T) {
	const day = 24 * time.Hour
	always := os.Getenv("MIJU_SOAK") != ""
	pal, ntsc := every(1, 25), every(1001, 30000)
	aac44, aac48 := every(1024, 44100), every(1024, 48000)
	for _, c := range []struct {
		name         string
		video, audio source
		ppm          int64 // how fast the encoder's clock is
		wrap         time.Duration
		wraps        int // of both tracks
	}{
		{"29.97 fps and 44.1 kHz in ms", source{video, ntsc, tick, 0}, source{audio, aac44, tick, 0}, 0, 0, 0},
		{"25 fps and 48 kHz in 90 kHz, sound 2 s ahead", source{video, pal, time.Second / 90000, 0}, source{audio, aac48, time.Second / 90000, 2 * time.Second}, 0, 0, 0},
		{"50 ppm fast", source{video, ntsc, tick, 0}, source{audio, aac44, tick, 0}, 50, 0, 0},
		{"50 ppm slow", source{video, ntsc, tick, 0}, source{audio, aac48, tick, 40 * time.Millisecond}, -50, 0, 0},
		{"wraps at 24 bits", source{video, ntsc, tick, 0}, source{audio, aac44, tick, 0}, 0, 1 << 24 * tick, 2 * 154},
		{"wraps at 33 bits of 90 kHz", source{video, pal, tick, 0}, source{audio, aac44, tick, 0}, 20, 1 << 33 * time.Second / 90000, 2 * 27},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(1, uint64(c.ppm)))
			m := monthly{t: t}
			r := newTimeline(m.take, func(k Repair) { m.repairs[k]++ })
			wall := func(dts time.Duration) time.Time { return epoch.Add(dts - dts/1e6*time.Duration(c.ppm)) }
			var v, a int64
			for c.video.exact(v) < 30*day {
				if !always {
					v, a = resting(&c.video, v), resting(&c.audio, a)
				}
				s, n := &c.video, &v
				if c.audio.exact(a)-c.audio.skew < c.video.exact(v) {
					s, n = &c.audio, &a
				}
				dts := s.dts(*n)
				m.want[s.track.ID] = append(m.want[s.track.ID], dts)
				// A network that delays by up to 100 ms.
				arrival := wall(s.exact(*n) - s.skew).Add(time.Duration(random.Int64N(int64(100 * time.Millisecond))))
				if c.wrap > 0 {
					dts %= c.wrap
				}
				f := media.Frame{Track: s.track, DTS: dts, PTS: dts, RandomAccess: true, Arrival: arrival}
				if r.set == nil {
					r.begin([]media.Frame{f}, []*media.Track{c.video.track}, nil, 0)
				}
				r.write(f)
				*n++
				if off := r.set.Anchor.At(m.newest).Sub(wall(m.newest)); r.set.Epoch != 0 || off > 110*time.Millisecond || off < -110*time.Millisecond-c.audio.skew {
					t.Fatalf("at %v the anchor is off by %v", m.newest, off)
				}
			}
			r.flush()
			if skewed := c.audio.skew > holdFrom; skewed != (m.repairs[RepairSkew] == 1) {
				t.Error("sound is ahead and not held, or held and not ahead")
			}
			m.repairs[RepairSkew] = 0
			if m.repairs[RepairBack] != c.wraps || len(m.want[1])+len(m.want[2]) > 0 || m.frames < 1_400_000 {
				t.Errorf("%d frames, %v", m.frames, m.repairs)
			}
			for k, n := range m.repairs {
				if n > 0 && Repair(k) != RepairBack {
					t.Errorf("%d times %v", n, Repair(k))
				}
			}
		})
	}
}

// monthly looks at the frames of a month.
type monthly struct {
	t       *testing.T
	want    [4][]time.Duration // the encoder's own times, by track
	frames  int
	last    [4]time.Duration
	newest  time.Duration
	repairs [repairKinds]int
}

func (m *monthly) take(f media.Frame) {
	id := f.Track.ID
	if m.frames++; m.last[id] > 0 && f.DTS < m.last[id]+tick {
		m.t.Fatalf("%v: DTS %v after %v", f.Track.Codec, f.DTS, m.last[id])
	}
	d := f.DTS - m.want[id][0]
	if m.want[id] = m.want[id][1:]; d.Abs() > tick {
		m.t.Fatalf("%v: frame %d is %v off the encoder's time", f.Track.Codec, m.frames, d)
	}
	m.last[id], m.newest = f.DTS, max(m.newest, f.DTS)
}
