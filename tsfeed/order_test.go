package tsfeed_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/mpegts"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
	"github.com/miju-live/miju/tsfeed"
)

// checked is a viewer that demuxes what it gets.
type checked struct {
	*viewer
	demuxer *mpegts.Demuxer
	frames  []media.Frame
	pcr     int64
	back    int // clock references that went back
}

func newChecked(t *testing.T, name string, s *stream.Stream) *checked {
	t.Helper()
	return &checked{viewer: newViewer(t, name, s), demuxer: mpegts.NewDemuxer(), pcr: -1}
}

func (c *checked) read(t *testing.T) error {
	t.Helper()
	if err := c.viewer.read(t); err != nil {
		return err
	}
	for _, b := range c.bufs {
		if err := c.demuxer.Write(b); err != nil {
			t.Fatal(c.name, err)
		}
		for ; len(b) > 0; b = b[188:] {
			if b[3]&0x20 != 0 && b[4] > 0 && b[5]&0x10 != 0 {
				pcr := int64(b[6])<<25 | int64(b[7])<<17 | int64(b[8])<<9 | int64(b[9])<<1 | int64(b[10])>>7
				if pcr <= c.pcr {
					c.back++
				}
				c.pcr = pcr
			}
		}
	}
	c.take()
	return nil
}

func (c *checked) take() {
	for f, ok := c.demuxer.Next(); ok; f, ok = c.demuxer.Next() {
		c.frames = append(c.frames, f)
	}
}

// finish reads to the end and checks all.
func (c *checked) finish(t *testing.T) {
	t.Helper()
	for {
		err := c.read(t)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(c.name, err)
		}
	}
	c.demuxer.Flush()
	c.take()
	st := c.demuxer.Stats()
	st.Packets = 0
	if c.errors > 0 || c.back > 0 || st != (mpegts.Stats{}) {
		t.Errorf("%s: %d continuity errors, %d clock references back, %+v", c.name, c.errors, c.back, st)
	}
}

// TestReadersInAnyOrder has readers come, go, lag and skip by chance, so that
// frames are made by whoever comes first. To each its own output is without
// fault, and whole from where it began, but for what it skipped.
func TestReadersInAnyOrder(t *testing.T) {
	slow, err := media.NewAACTrack(2, []byte{0x15, 0x88}) // 8 kHz
	if err != nil {
		t.Fatal(err)
	}
	for name, source := range map[string]func() *mediatest.Source{
		"picture and sound": func() *mediatest.Source {
			return &mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2), GOP: 20}
		},
		"slow pictures": func() *mediatest.Source {
			return &mediatest.Source{Video: mediatest.H265Track(1), Audio: mediatest.AACTrack(2), FrameRate: 3, GOP: 5}
		},
		"long frames of sound": func() *mediatest.Source {
			return &mediatest.Source{Video: mediatest.H264Track(1), Audio: slow, FrameRate: 5, GOP: 5}
		},
		"sound": func() *mediatest.Source { return &mediatest.Source{Audio: mediatest.AACTrack(2)} },
	} {
		for seed := range uint64(8) {
			t.Run(fmt.Sprint(name, " ", seed), func(t *testing.T) { anyOrder(t, source(), rand.New(rand.NewPCG(seed, 1))) })
		}
	}
}

func anyOrder(t *testing.T, source *mediatest.Source, random *rand.Rand) {
	config := stream.DefaultConfig()
	config.MaxLag = 5 * time.Second
	key, err := streamkey.Parse("live/x")
	if err != nil {
		t.Fatal(err)
	}
	p, err := stream.NewHub(config, nil).Publish(key, stream.Source{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	sent := 1
	p.Write(plain(source.Next()))
	var readers []*checked
	for step := range 400 {
		switch n := random.IntN(10); {
		case n < 5:
			for range 1 + random.IntN(40) {
				p.Write(plain(source.Next()))
				sent++
			}
		case n == 5 && len(readers) < 12:
			readers = append(readers, newChecked(t, fmt.Sprint("reader of step ", step), p.Stream()))
		case len(readers) > 0:
			// The first readers are the slow ones.
			r := readers[min(random.IntN(len(readers)), random.IntN(len(readers)))]
			if len(readers) > 3 && random.IntN(3) > 0 {
				r = readers[len(readers)-1-random.IntN(3)]
			}
			if pending(p, r) {
				if err := r.read(t); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	p.Close()
	skips := uint64(0)
	for _, r := range readers {
		r.finish(t)
		skips += r.reader.Skipped()
		for _, k := range []media.Kind{media.KindVideo, media.KindAudio} {
			checkFollow(t, r, k, r.reader.Skipped())
		}
	}
	t.Logf("%d frames, %d readers, %d skips", sent, len(readers), skips)
	if sent < 1000 || len(readers) < 5 {
		t.Errorf("%d frames, %d readers, %d skips", sent, len(readers), skips)
	}
}

// pending reports whether there is something to read, which Next would wait for.
func pending(p *stream.Publisher, r *checked) bool {
	return len(r.frames) == 0 || r.frames[len(r.frames)-1].DTS < p.Stream().Newest()
}

// checkFollow holds that frames of a kind follow each other, with no more holes
// than skips.
func checkFollow(t *testing.T, r *checked, k media.Kind, skips uint64) {
	t.Helper()
	var times []time.Duration
	for _, f := range r.frames {
		if f.Track.Kind() == k {
			times = append(times, f.DTS)
		}
	}
	if len(times) < 3 {
		return
	}
	usual := times[1] - times[0]
	holes := uint64(0)
	for i := 1; i < len(times); i++ {
		if times[i]-times[i-1] > usual+usual/2 {
			holes++
		}
	}
	if holes > skips || !slices.IsSorted(times) {
		t.Errorf("%s: %d holes in %d frames of %s, %d skips", r.name, holes, len(times), k, skips)
	}
}

// plain takes the start codes out of a synthetic picture, and the headers out of
// synthetic sound.
func plain(f media.Frame) media.Frame {
	for i := 6; i < len(f.Data); i++ {
		f.Data[i] |= 0x10
	}
	return f
}

// TestNewEpoch: an encoder comes back with other codecs. Viewers go on, and all
// see tables of a new version.
func TestNewEpoch(t *testing.T) {
	p := publish(t)
	first := &mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2)}
	for range 100 {
		p.Write(plain(first.Next()))
	}
	early := newChecked(t, "early", p.Stream())
	if err := early.read(t); err != nil {
		t.Fatal(err)
	}
	second := &mediatest.Source{Video: mediatest.H265Track(1), Audio: mediatest.AACTrack(2)}
	var set *media.TrackSet
	for range 100 {
		f := plain(second.Next())
		if set == nil {
			set = new(media.TrackSet)
			*set = *f.Set
			set.Epoch++
		}
		f.Set, f.DTS, f.PTS = set, f.DTS+8*time.Second, f.PTS+8*time.Second
		p.Write(f)
	}
	late := newChecked(t, "late", p.Stream())
	if err := late.read(t); err != nil {
		t.Fatal(err)
	}
	p.Close()
	for _, c := range []*checked{early, late} {
		c.finish(t)
		tracks, complete := c.demuxer.Tracks()
		if !complete || len(tracks) != 2 || tracks[0].Codec != media.H265 {
			t.Errorf("%s: %v, complete %v", c.name, tracks, complete)
		}
	}
	if len(early.frames) != 200 || len(late.frames) != 100 {
		t.Errorf("%d and %d frames", len(early.frames), len(late.frames))
	}
}

func BenchmarkViewers(b *testing.B) {
	key, err := streamkey.Parse("live/x")
	if err != nil {
		b.Fatal(err)
	}
	p, err := stream.NewHub(stream.DefaultConfig(), nil).Publish(key, stream.Source{})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	s := &mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2), FrameBytes: 10_000}
	p.Write(s.Next())
	var readers []*tsfeed.Reader
	for range 100 {
		r, err := tsfeed.NewReader(p.Stream(), 0)
		if err != nil {
			b.Fatal(err)
		}
		defer r.Close()
		readers = append(readers, r)
	}
	var bufs [][]byte
	bytes := 0
	b.ReportAllocs()
	for b.Loop() {
		for f := s.Next(); ; f = s.Next() {
			p.Write(f)
			if f.Track.Kind() == media.KindVideo {
				break
			}
		}
		for _, r := range readers {
			if bufs, err = r.Next(b.Context(), bufs); err != nil {
				b.Fatal(err)
			}
			for _, s := range bufs {
				bytes += len(s)
			}
		}
	}
	b.SetBytes(int64(bytes / b.N))
}
