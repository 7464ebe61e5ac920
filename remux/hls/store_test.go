package hls_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/miju-live/miju/remux/hls"
)

// TestStoredSegments moves every segment out of memory as soon as that may be,
// and compares what is served with what was.
func TestStoredSegments(t *testing.T) {
	c := config
	c.Window = 10 * time.Minute
	m := hls.NewMuxer(c)
	all := milliseconds(frames(both(), 90*time.Second))
	stored := map[string][]byte{}
	files := map[string][]byte{}
	read := func(f hls.File) []byte {
		if f.Stored != "" {
			return stored[f.Stored][f.Offset:][:f.Size]
		}
		return bytes.Join(f.Chunks, nil)
	}
	most := 0
	var w *hls.Window
	for i := range all {
		if !m.Write(&all[i]) {
			continue
		}
		w = m.Window()
		most = max(most, m.Held())
		for _, r := range w.Renditions() {
			for _, s := range parsed(t, w, r.Name()).Segments {
				for _, p := range s.Parts {
					if f, ok := w.File(p.URI); ok && files[p.URI] == nil {
						files[p.URI] = read(f)
					}
				}
				if f, ok := w.File(s.URI); ok && files[s.URI] == nil {
					files[s.URI] = read(f)
				}
			}
		}
		for {
			s, ok := m.Oldest()
			if !ok {
				break
			}
			stored[s.Name] = bytes.Join(s.Chunks, nil)
			m.Store(s.Rendition, s.Number)
		}
	}
	if len(stored) < 2*35 {
		t.Fatalf("%d segments were stored", len(stored))
	}
	total := 0
	for _, b := range stored {
		total += len(b)
	}
	if most > total/3 {
		t.Errorf("%d bytes in memory at most, %d were stored", most, total)
	}
	if w = m.Window(); len(files) < 900 {
		t.Fatalf("%d files", len(files))
	}
	for name, want := range files {
		if f, ok := w.File(name); !ok || !bytes.Equal(read(f), want) || f.Size != len(want) {
			t.Fatalf("%s: %d bytes in %q at %d, want %d", name, f.Size, f.Stored, f.Offset, len(want))
		}
	}
	m.Store("video", 999999)
	m.Store("audio7", 1000)
	// What leaves the window is not held any more.
	short := config
	n := hls.NewMuxer(short)
	for i := range all {
		n.Write(&all[i])
	}
	held := 0
	for _, r := range n.Window().Renditions() {
		for _, s := range parsed(t, n.Window(), r.Name()).Segments {
			if f, ok := n.Window().File(s.URI); ok {
				held += f.Size
			}
		}
	}
	if got := n.Held(); got < held || got > held+held/4 {
		t.Errorf("%d bytes are held, %d are listed", got, held)
	}
}

// TestShorten: the window gets shorter step by step, but never too short for
// its players.
func TestShorten(t *testing.T) {
	c := config
	c.Window = time.Hour
	m := hls.NewMuxer(c)
	all := frames(both(), 60*time.Second)
	for i := range all {
		m.Write(&all[i])
	}
	before, n := m.Held(), 0
	for m.Shorten() {
		if n++; n > 100 {
			t.Fatal("it gets shorter for ever")
		}
		if got := parsed(t, m.Window(), "video").Segments; got[0].Number <= config.First.Segment {
			t.Fatalf("still begins at %d", got[0].Number)
		}
	}
	if n < 10 || m.Held() > before/2 {
		t.Errorf("shorter by %d, %d bytes held of %d", n, m.Held(), before)
	}
	var listed float64
	for _, s := range parsed(t, m.Window(), "video").Segments {
		listed += s.Duration
	}
	if listed < 24 || listed > 27 {
		t.Errorf("%v s are left", listed)
	}
}
