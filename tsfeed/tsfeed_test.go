package tsfeed_test

import (
	"errors"
	"io"
	"testing"

	"go.uber.org/goleak"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
	"github.com/miju-live/miju/tsfeed"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func publish(t *testing.T) *stream.Publisher {
	t.Helper()
	key, err := streamkey.Parse("live/x")
	if err != nil {
		t.Fatal(err)
	}
	p, err := stream.NewHub(stream.DefaultConfig(), nil).Publish(key, stream.Source{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func write(p *stream.Publisher, s *mediatest.Source, n int) {
	for range n {
		p.Write(s.Next())
	}
}

// viewer holds what it reads against the rule for continuity counters.
type viewer struct {
	name     string
	reader   *tsfeed.Reader
	bufs     [][]byte
	counters map[uint16]byte
	errors   int
	first    bool
	shared   map[*byte]bool // first bytes of slices
	bytes    int
}

func newViewer(t *testing.T, name string, s *stream.Stream) *viewer {
	t.Helper()
	r, err := tsfeed.NewReader(s, stream.WakeNow)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return &viewer{name: name, reader: r, counters: map[uint16]byte{}, shared: map[*byte]bool{}, first: true}
}

// read takes one batch.
func (v *viewer) read(t *testing.T) error {
	t.Helper()
	var err error
	if v.bufs, err = v.reader.Next(t.Context(), v.bufs); err != nil {
		return err
	}
	for _, b := range v.bufs {
		v.shared[&b[0]] = true
		v.bytes += len(b)
		for ; len(b) > 0; b = b[188:] {
			if v.first && (b[1]&0x1f != 0 || b[2] != 0) {
				t.Errorf("%s does not begin with a PAT", v.name)
			}
			v.first = false
			pid := uint16(b[1]&0x1f)<<8 | uint16(b[2])
			counter, payload := b[3]&0x0f, b[3]&0x10 != 0
			jumps := b[3]&0x20 != 0 && b[4] > 0 && b[5]&0x80 != 0
			want := v.counters[pid]
			if payload {
				want = (want + 1) & 0x0f
			}
			if _, seen := v.counters[pid]; seen && !jumps && counter != want {
				v.errors++
			}
			v.counters[pid] = counter
		}
	}
	return nil
}

func (v *viewer) drain(t *testing.T) {
	t.Helper()
	for {
		switch err := v.read(t); {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			t.Fatal(err)
		}
	}
}

// TestViewersShareTheirPackets has one viewer read along, one lag behind and
// one join late, so that packets are made by turns, for different readers.
func TestViewersShareTheirPackets(t *testing.T) {
	p := publish(t)
	s := &mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2), GOP: 30}
	write(p, s, 1)
	first, lagging := newViewer(t, "first", p.Stream()), newViewer(t, "lagging", p.Stream())
	write(p, s, 200)
	if err := lagging.read(t); err != nil { // makes the first frames
		t.Fatal(err)
	}
	write(p, s, 200)
	late := newViewer(t, "late", p.Stream())
	if err := late.read(t); err != nil { // makes the newest ones, without what is before
		t.Fatal(err)
	}
	if err := first.read(t); err != nil {
		t.Fatal(err)
	}
	write(p, s, 200)
	p.Close()
	all := []*viewer{lagging, first, late}
	for _, v := range all {
		v.drain(t)
		if v.errors > 0 {
			t.Errorf("%s: %d continuity errors", v.name, v.errors)
		}
	}
	own := 0
	for b := range first.shared {
		if !lagging.shared[b] {
			own++
		}
	}
	if len(first.shared) < 500 || own > 3 {
		t.Errorf("%d of %d slices are the first viewer's own", own, len(first.shared))
	}
	for b := range late.shared {
		if !first.shared[b] {
			own++
		}
	}
	if own > 6 {
		t.Errorf("%d slices are not shared", own)
	}
}

// TestAudioBeginsWithTables: a viewer of sound alone begins where no table
// stands, and gets its own.
func TestAudioBeginsWithTables(t *testing.T) {
	p := publish(t)
	s := &mediatest.Source{Audio: mediatest.AACTrack(2)}
	write(p, s, 10)
	early := newViewer(t, "early", p.Stream())
	if err := early.read(t); err != nil {
		t.Fatal(err)
	}
	write(p, s, 60)
	late := newViewer(t, "late", p.Stream())
	write(p, s, 60)
	p.Close()
	for _, v := range []*viewer{early, late} {
		v.drain(t)
		if v.errors > 0 || v.bytes == 0 {
			t.Errorf("%s: %d continuity errors in %d bytes", v.name, v.errors, v.bytes)
		}
	}
}

func TestUnsupportedCodecs(t *testing.T) {
	p := publish(t)
	v := &media.Track{ID: 1, Codec: media.AV1}
	p.Write(media.Frame{Track: v, Set: &media.TrackSet{Tracks: []*media.Track{v}}, RandomAccess: true, Data: []byte{1}})
	if _, err := tsfeed.NewReader(p.Stream(), 0); !errors.Is(err, media.ErrUnsupportedCodec) {
		t.Error(err)
	}
	p = publish(t)
	s := &mediatest.Source{Video: mediatest.H264Track(1)}
	write(p, s, 1)
	r := newViewer(t, "viewer", p.Stream())
	p.Write(media.Frame{Track: v, Set: &media.TrackSet{Tracks: []*media.Track{v}}, RandomAccess: true, Data: []byte{1}, DTS: 1e9, PTS: 1e9})
	if err := r.read(t); err != nil || r.bytes == 0 {
		t.Errorf("%d bytes of what came before, %v", r.bytes, err)
	}
	for range 2 {
		if err := r.read(t); !errors.Is(err, media.ErrUnsupportedCodec) {
			t.Error(err)
		}
	}
}
