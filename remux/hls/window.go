package hls

import (
	"slices"
	"strings"
	"time"
)

// Window is what a stream offers at one moment. It is immutable; any number of
// goroutines may read it.
type Window struct {
	multivariant []byte
	renditions   []*Rendition
	target       time.Duration
	ended        bool
}

// Multivariant returns the multivariant playlist.
func (w *Window) Multivariant() []byte { return w.multivariant }

// TargetDuration returns the target duration, in whole seconds.
func (w *Window) TargetDuration() time.Duration { return w.target }

// Ended reports whether the stream has ended: no other Window will follow.
func (w *Window) Ended() bool { return w.ended }

// Rendition returns a rendition by its name, "video" or "audio", nil if there
// is none.
func (w *Window) Rendition(name string) *Rendition {
	for _, r := range w.renditions {
		if r.name == name {
			return r
		}
	}
	return nil
}

// Renditions returns all renditions.
func (w *Window) Renditions() []*Rendition { return w.renditions }

// File is an initialization section, a part or a segment. Its bytes must not
// be changed.
type File struct {
	// Type is the media type.
	Type string
	// Chunks are the file's bytes, in order; nil if they are stored.
	Chunks [][]byte
	// Stored is the name of the segment that was stored (Muxer.Store), empty if
	// there are Chunks. The file begins Offset bytes into it.
	Stored string
	Offset int64
	// Size is the length of the file in bytes.
	Size int
}

// File returns a file by its name.
func (w *Window) File(name string) (File, bool) {
	for _, r := range w.renditions {
		if rest, ok := strings.CutPrefix(name, r.name+"-"); ok {
			return r.file(name, rest)
		}
	}
	return File{}, false
}

// Hinted reports whether name is the part that a rendition promises next.
func (w *Window) Hinted(name string) bool {
	for _, r := range w.renditions {
		if r.hint == name && name != "" {
			return true
		}
	}
	return false
}

// Rendition is one rendition in a Window.
type Rendition struct {
	name            string
	segments        []*segment // whole ones, oldest first
	firstListed     int64
	open            int64  // media sequence number of the one that grows
	parts           []part // of that
	init            *initSection
	ended           bool
	limit           int // Advance Part Limit
	hint            string
	playlist, delta []byte
}

// Name returns the rendition's name: its media playlist is name.m3u8.
func (r *Rendition) Name() string { return r.name }

// Lists reports whether the playlist reaches back to a media sequence number.
func (r *Rendition) Lists(msn int64) bool { return msn >= r.firstListed }

// Keeps reports whether there is a file of a segment, or will be.
func (r *Rendition) Keeps(msn int64) bool {
	return msn >= r.open || r.segment(msn) != nil
}

// Playlist returns the media playlist.
func (r *Rendition) Playlist() []byte { return r.playlist }

// Delta returns the delta update, which is the playlist itself when there is
// nothing to skip.
func (r *Rendition) Delta() []byte { return r.delta }

// Has reports whether a playlist that a player asks for by _HLS_msn and
// _HLS_part is there (RFC 8216bis, 6.2.5.2). A negative part is the whole
// segment; a part beyond the last one of its segment is the first of the next.
func (r *Rendition) Has(msn int64, part int) bool {
	switch {
	case r.ended || msn < r.open-1:
		return true
	case msn == r.open-1:
		return part < 0 || len(r.segments) == 0 || part < len(r.segments[len(r.segments)-1].parts) || len(r.parts) > 0
	case msn == r.open:
		return part >= 0 && part < len(r.parts)
	}
	return false
}

// TooFar reports whether such a request lies so far ahead that it is an error:
// more than two segments behind the last, or more parts behind the last than
// the Advance Part Limit (RFC 8216bis, 6.2.5.2).
func (r *Rendition) TooFar(msn int64, part int) bool {
	last := r.open
	if len(r.parts) == 0 {
		last--
	}
	switch {
	case r.ended:
		return false
	case msn > last+2:
		return true
	case msn == r.open:
		return part >= len(r.parts)+r.limit
	case msn > r.open:
		return part >= r.limit
	}
	return false
}

// file returns a file of the rendition; rest is its name behind the rendition's.
func (r *Rendition) file(name, rest string) (File, bool) {
	mediaType := r.init.track.Kind().String() + "/mp4"
	rest, ok := strings.CutSuffix(rest, extension)
	if !ok {
		return File{}, false
	}
	if strings.HasPrefix(rest, "init-") {
		return r.initFile(name, mediaType)
	}
	number, index, isPart := strings.Cut(rest, "-")
	msn, ok := parseNumber(number)
	if !ok {
		return File{}, false
	}
	if !isPart {
		seg := r.segment(msn)
		if seg == nil || seg.gap {
			return File{}, false
		}
		f := File{Type: mediaType, Chunks: seg.chunks, Size: seg.size}
		if seg.stored {
			f.Stored = name
		}
		return f, true
	}
	parts, stored := r.parts, false
	if msn != r.open {
		seg := r.segment(msn)
		if seg == nil {
			return File{}, false
		}
		parts, stored = seg.parts, seg.stored
	}
	i, ok := parseNumber(index)
	if !ok || i >= int64(len(parts)) {
		return File{}, false
	}
	f := File{Type: mediaType, Size: parts[i].size}
	if !stored {
		f.Chunks = [][]byte{parts[i].data}
		return f, true
	}
	f.Stored = string(appendSegmentName(nil, r.name, msn))
	for _, p := range parts[:i] {
		f.Offset += int64(p.size)
	}
	return f, true
}

func (r *Rendition) initFile(name, mediaType string) (File, bool) {
	init := r.init
	if init.name != name {
		i := slices.IndexFunc(r.segments, func(s *segment) bool { return s.init != nil && s.init.name == name })
		if i < 0 {
			return File{}, false
		}
		init = r.segments[i].init
	}
	return File{Type: mediaType, Chunks: [][]byte{init.data}, Size: len(init.data)}, true
}

// segment returns a whole segment; their numbers have no gaps.
func (r *Rendition) segment(msn int64) *segment {
	if len(r.segments) == 0 {
		return nil
	}
	i := msn - r.segments[0].number
	if i < 0 || i >= int64(len(r.segments)) {
		return nil
	}
	return r.segments[i]
}

// parseNumber reads a number as names hold it: digits without a leading zero.
func parseNumber(s string) (int64, bool) {
	if s == "" || len(s) > 15 || len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n, true
}

// changed reports whether there is something that m.window lacks, once there
// is anything to offer at all.
func (m *Muxer) changed() bool {
	if !m.listable() {
		return false
	}
	return slices.ContainsFunc(m.segmenters, func(s *segmenter) bool { return s.dirty && s.listable() && !s.between() })
}

// between reports whether the rendition is behind a break and has no part yet. A
// playlist would have to hint at the first one without EXT-X-DISCONTINUITY and
// EXT-X-MAP, which need a part to stand before: players would take it for one of
// the segment before.
func (s *segmenter) between() bool {
	return s.open != nil && s.open.discontinuity && len(s.open.parts) == 0 && s.muxer.config.Part > 0 && !s.muxer.ended
}

// listable reports whether a first playlist may go out: every rendition has a
// whole segment, or the lead has two and the others are not waited for.
func (m *Muxer) listable() bool {
	if len(m.cuts) == 0 {
		return false // not a frame came, or the end before the first random access point
	}
	if m.window != nil || m.ended {
		return slices.ContainsFunc(m.segmenters, (*segmenter).listable)
	}
	whole := 0
	for _, s := range m.segmenters {
		if len(s.done) > 1 && s.listable() {
			return true
		}
		if s.listable() {
			whole++
		}
	}
	// A track that was promised may not have sent its first frame yet.
	return whole >= len(m.cuts[len(m.cuts)-1].layout.places)
}

// listable reports whether there is a whole segment with frames in it.
func (s *segmenter) listable() bool {
	return slices.ContainsFunc(s.done, func(seg *segment) bool { return !seg.gap })
}

// Window returns what the stream offers now, nil until the first segment of
// every rendition is whole. Rendering is done here, once for what changed.
func (m *Muxer) Window() *Window {
	if !m.changed() {
		return m.window
	}
	w := &Window{target: m.target, ended: m.ended}
	for _, s := range m.segmenters {
		if !s.listable() {
			continue
		}
		r := m.window.rendition(s.name)
		if r == nil || s.dirty && !s.between() {
			r = s.render()
			s.dirty = false
		}
		w.renditions = append(w.renditions, r)
	}
	w.multivariant = m.renderMultivariant()
	m.window = w
	return w
}

// rendition is Rendition for a window that may not be there.
func (w *Window) rendition(name string) *Rendition {
	if w == nil {
		return nil
	}
	return w.Rendition(name)
}

// render makes the immutable form of the rendition.
func (s *segmenter) render() *Rendition {
	if s.shared == nil {
		s.shared = slices.Clone(s.done)
	}
	r := &Rendition{
		name: s.name, segments: s.shared, firstListed: s.done[s.listedFrom()].number, open: s.number(), init: s.init, ended: s.muxer.ended,
		limit: 3,
	}
	if s.open != nil {
		r.parts = slices.Clip(s.open.parts)
	}
	if t := s.muxer.partTarget; t < time.Second {
		r.limit = int((3*time.Second + t - 1) / t)
	}
	if !r.ended && s.muxer.config.Part > 0 {
		r.hint = string(s.hint())
	}
	size := 4096
	if old := s.muxer.window.rendition(s.name); old != nil {
		size = len(old.playlist) + 256
	}
	r.playlist = s.appendPlaylist(make([]byte, 0, size), 0)
	r.delta = r.playlist
	if skip := s.skippable(); skip > 0 {
		r.delta = s.appendPlaylist(make([]byte, 0, size), skip)
	}
	return r
}
