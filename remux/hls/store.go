package hls

import (
	"slices"
	"time"
)

// Segment is a whole segment whose bytes the muxer holds.
type Segment struct {
	// Rendition and Number say which one it is, Name is its file's.
	Rendition string
	Number    int64
	Name      string
	// Chunks are its bytes, in order. They must not be changed.
	Chunks [][]byte
}

// Held returns how many bytes of parts the muxer holds in memory.
func (m *Muxer) Held() int { return m.bytes }

// Oldest returns the oldest segment that is held, if there is one that players
// at the live edge have done with: that ends more than three target durations
// before it.
func (m *Muxer) Oldest() (oldest Segment, ok bool) {
	for _, s := range m.segmenters {
		edge := sum(s.done)
		for _, seg := range s.done {
			if edge -= seg.duration; edge < partTargets*m.target {
				break
			}
			if seg.gap || seg.stored {
				continue
			}
			if !ok || seg.number < oldest.Number {
				oldest, ok = Segment{s.name, seg.number, string(appendSegmentName(nil, s.name, seg.number)), seg.chunks}, true
			}
			break
		}
	}
	return oldest, ok
}

// Store lets go of the bytes of a segment, which are kept elsewhere from now
// on: windows made after this tell where they are.
func (m *Muxer) Store(rendition string, number int64) {
	for _, s := range m.segmenters {
		if s.name != rendition {
			continue
		}
		i := slices.IndexFunc(s.done, func(seg *segment) bool { return seg.number == number && !seg.stored })
		if i < 0 {
			return // it has left the window meanwhile
		}
		kept := *s.done[i] // windows share the segment itself
		kept.stored, kept.chunks, kept.parts = true, nil, slices.Clone(kept.parts)
		for j := range kept.parts {
			kept.parts[j].data = nil
		}
		s.done[i], s.shared = &kept, nil
		m.bytes -= kept.size
		s.dirty = true
		return
	}
}

// Shorten makes the window a segment shorter from the next one on, for want of
// room. Never under what delta updates need: then it returns false.
func (m *Muxer) Shorten() bool {
	window := time.Duration(0)
	for _, s := range m.segmenters {
		lasts := time.Duration(0)
		for i := s.listedFrom() + 1; i < len(s.done); i++ {
			lasts += m.lasts(s.done[i])
		}
		window = max(window, lasts)
	}
	if window <= skipTargets*m.target {
		return false
	}
	m.config.Window = window
	for _, s := range m.segmenters {
		s.expire()
		s.shared, s.dirty = nil, true
	}
	return true
}
