// Package hls turns frames into the parts, segments and playlists of
// Low-Latency HLS (RFC 8216bis), one rendition a track.
package hls

import (
	"cmp"
	"slices"
	"time"

	"github.com/miju-live/miju/media"
)

// longTarget is the least target duration, and so the longest segment, of a
// stream whose second random access point does not come within
// Config.StartWait. OBS's default GOP is 8.3 s.
const longTarget = 10 * time.Second

// roundsDown is how much longer than its target a segment may be: its duration
// rounded to whole seconds must not exceed it (RFC 8216bis, 4.4.3.1).
const roundsDown = 499 * time.Millisecond

// maxHeld bounds the frames that wait for the lead to reach them. It is 20 s
// of sound.
const maxHeld = 1024

// Config is what a Muxer promises to players.
type Config struct {
	// Segment is the least duration of a segment: it ends at the first random
	// access point after it.
	Segment time.Duration
	// StartWait is how long a stream's second random access point is waited
	// for. If it comes, the target duration is twice Segment, or StartWait if
	// that is longer; else it is longTarget or more.
	StartWait time.Duration
	// Part is the wanted duration of a part. The part target is the least
	// whole number of frames that lasts as long. 0 is no parts: playlists are
	// those of HLS without low latency (RFC 8216).
	Part time.Duration
	// Window is how much of the stream a playlist lists. It is raised to six
	// target durations, which delta updates need.
	Window time.Duration
	// First are the numbers of the first segment. Numbers and names never come
	// twice if no two Muxers of a stream key get to the same ones.
	First Numbers
	// Prefix is put before the media playlists' names in the multivariant
	// playlist: "alice/".
	Prefix string
}

// Numbers are what must never go back or come twice under one stream key.
type Numbers struct {
	// Segment is a media sequence number; all names are made of it.
	Segment int64
	// Discontinuity is a discontinuity sequence number. Keep it small:
	// hls.js walks an array up to it at each reload, 15 ns a step.
	Discontinuity int64
}

// Stats count what a Muxer did since its start.
type Stats struct {
	// Segments and Parts were made, over all renditions.
	Segments, Parts uint64
	// LongParts last longer than the part target, because no frame came for
	// that long; the playlist says the target. ShortParts are under 85 % of it
	// though they should not be: the frame rate varies.
	LongParts, ShortParts uint64
	// Forced counts segments that had to be cut inside a GOP.
	Forced uint64
	// Gaps counts segments of a rendition that had no frame.
	Gaps uint64
	// Dropped counts frames that no segment could take: before the first
	// random access point, or later than a whole segment.
	Dropped uint64
}

// Muxer packages one stream. It has no clock and no lock: it belongs to one
// goroutine, and only frames move it. The Windows it returns are immutable.
type Muxer struct {
	config Config

	// start holds the frames from the first random access point on until the
	// first segment is whole. Only then the target duration and the part
	// target are known, which never change.
	start      []media.Frame
	begun      bool
	target     time.Duration
	partTarget time.Duration // the longest segment if there are no parts
	// frame is how long a frame of the first lead lasts.
	leadAtStart media.Kind
	frame       time.Duration

	placed *layout // of the newest frame's set
	cuts   []cut   // those that a rendition has yet to pass; the last is where the lead is
	// leadDTS is how far the lead has come, lastAccess its newest random
	// access point, longestGOP the most time between two of them, lastGOP the
	// newest; evenGOP is the newest if it is like the one before, else 0.
	leadDTS, lastAccess, longestGOP, lastGOP, evenGOP time.Duration
	// held are frames of the other renditions that are ahead of the lead.
	held       []media.Frame
	segmenters []*segmenter

	quickCuts int
	// bytes is how many bytes of parts the muxer keeps.
	bytes  int
	ended  bool
	window *Window
	stats  Stats
}

// NewMuxer returns a Muxer without a frame.
func NewMuxer(c Config) *Muxer { return &Muxer{config: c} }

// Write takes the next frame in arrival order, of any track, and reports
// whether there is a new Window. The frame is copied, its Data is not.
//
// A part is closed when the frame after it is known: its last duration is then
// exact and the preload hint always comes true. That costs a frame of latency.
func (m *Muxer) Write(f *media.Frame) bool {
	if m.ended || m.layout(f.Set).of(f.Track.ID) == nil {
		return false
	}
	if m.begun {
		m.write(f)
		return m.changed()
	}
	if f.Set.First(media.KindVideo) == nil && f.Set.Announced(media.KindVideo) != nil {
		// Players of what begins as sound alone would not see the pictures come.
		m.stats.Dropped++
		return false
	}
	lead := m.leads(f)
	if len(m.start) == 0 && !(lead && f.RandomAccess) {
		m.stats.Dropped++
		return false
	}
	m.start = append(m.start, *f)
	elapsed := f.DTS - m.start[0].DTS
	if !lead || elapsed < longTarget && !(f.RandomAccess && elapsed >= m.config.Segment) {
		return false
	}
	m.begin()
	return m.changed()
}

// Close takes the end of the stream and reports whether there is a new
// Window: one that says EXT-X-ENDLIST.
func (m *Muxer) Close() bool {
	if m.ended || len(m.start) == 0 && !m.begun {
		return false
	}
	if !m.begun {
		m.begin()
	}
	for i := range m.held {
		m.put(&m.held[i])
	}
	m.held = nil
	for _, s := range m.segmenters {
		s.close()
	}
	m.ended = true
	return m.changed()
}

// Next returns the numbers that a Muxer of the same stream key may begin with
// when this one has ended.
func (m *Muxer) Next() Numbers {
	if len(m.cuts) == 0 {
		return m.config.First
	}
	last := &m.cuts[len(m.cuts)-1]
	return Numbers{Segment: last.number + 1, Discontinuity: last.sequence + 1}
}

// Stats returns the counters of this moment.
func (m *Muxer) Stats() Stats { return m.stats }

// begin fixes the promises and packages what was collected.
func (m *Muxer) begin() {
	m.measure()
	start := m.start
	m.start, m.begun = nil, true
	for i := range start {
		m.write(&start[i])
	}
}

func (m *Muxer) write(f *media.Frame) {
	if m.leads(f) {
		if !m.lead(f) {
			m.stats.Dropped++
			return
		}
		m.put(f)
		m.leadDTS = f.DTS
	} else {
		m.amend(f)
		m.held = append(m.held, *f)
	}
	m.release()
}

// release packages held frames that the lead has reached, or that it lets wait
// for longer than a part because it has no frame, as a frozen screen has none.
func (m *Muxer) release() {
	done := 0
	for ; done < len(m.held); done++ {
		f, newest := &m.held[done], &m.held[len(m.held)-1]
		i := m.find(f)
		if i < 0 && len(m.held)-done <= maxHeld {
			break // its tracks begin at a cut that is still to come
		}
		if i == len(m.cuts)-1 && f.DTS > m.leadDTS && newest.DTS-f.DTS < m.partTarget {
			break
		}
		m.put(f)
	}
	if done > 0 {
		kept := copy(m.held, m.held[done:])
		clear(m.held[kept:])
		m.held = m.held[:kept]
	}
}

// put gives a frame to its rendition's segmenter.
func (m *Muxer) put(f *media.Frame) {
	i := m.find(f)
	if i < 0 || f.DTS < m.cuts[i].at-m.early(f) {
		m.stats.Dropped++
		return
	}
	if c := m.cuts[len(m.cuts)-1]; i == len(m.cuts)-1 && f.DTS-c.at >= m.target {
		m.cut(min(f.DTS, c.at+m.target+roundsDown), c.layout)
		i++
	}
	m.segmenter(f).write(f, m.cuts[i].number)
	m.trim()
}

// segmenter returns the one of a frame's rendition. They are in the order of
// their places: pictures first.
func (m *Muxer) segmenter(f *media.Frame) *segmenter {
	name := m.layout(f.Set).of(f.Track.ID).name
	for _, s := range m.segmenters {
		if s.name == name {
			return s
		}
	}
	s := &segmenter{muxer: m, kind: f.Track.Kind(), name: name}
	at, _ := slices.BinarySearchFunc(m.segmenters, s, func(a, b *segmenter) int {
		return cmp.Or(cmp.Compare(slices.Index(kinds[:], a.kind), slices.Index(kinds[:], b.kind)), cmp.Compare(len(a.name), len(b.name)), cmp.Compare(a.name, b.name))
	})
	m.segmenters = slices.Insert(m.segmenters, at, s)
	return s
}
