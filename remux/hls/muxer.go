// Package hls turns frames into the parts, segments and playlists of
// Low-Latency HLS (RFC 8216bis), one rendition a track.
package hls

import (
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/fmp4"
)

// longTarget is the target duration, and so the longest segment, of a stream
// whose first GOP does not fit the configured one. OBS's default GOP is 8.3 s.
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
	// access point after it. The target duration is twice this.
	Segment time.Duration
	// Part is the wanted duration of a part. The part target is the least
	// whole number of frames that lasts as long.
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
	target     time.Duration
	partTarget time.Duration
	// frame is how long a frame of the first lead lasts.
	leadAtStart media.Kind
	frame       time.Duration

	cuts []cut // those that a rendition has yet to pass; the last is where the lead is
	// leadDTS is how far the lead has come, lastAccess its newest random
	// access point, longestGOP the most time between two of them.
	leadDTS, lastAccess, longestGOP time.Duration
	// held are frames of the other renditions that are ahead of the lead.
	held       []media.Frame
	segmenters []*segmenter

	// dependent is set for good once a segment began inside a GOP.
	dependent bool
	ended     bool
	window    *Window
	stats     Stats
}

// NewMuxer returns a Muxer without a frame.
func NewMuxer(c Config) *Muxer { return &Muxer{config: c} }

// carried returns the default track of a kind if it can be carried.
func carried(s *media.TrackSet, k media.Kind) *media.Track {
	t := s.First(k)
	if t == nil || fmp4.Check(t) != nil {
		return nil
	}
	return t
}

// leadKind is the kind of track that decides where segments begin.
func leadKind(s *media.TrackSet) media.Kind {
	if carried(s, media.KindVideo) != nil {
		return media.KindVideo
	}
	return media.KindAudio
}

// Write takes the next frame in arrival order, of any track, and reports
// whether there is a new Window. The frame is copied, its Data is not.
//
// A part is closed when the frame after it is known: its last duration is then
// exact and the preload hint always comes true. That costs a frame of latency.
func (m *Muxer) Write(f *media.Frame) bool {
	t := carried(f.Set, f.Track.Kind())
	if t == nil || t.ID != f.Track.ID || m.ended {
		return false
	}
	if m.partTarget > 0 {
		m.write(f)
		return m.changed()
	}
	if f.Set.First(media.KindVideo) == nil && f.Set.Announced(media.KindVideo) != nil {
		// Players of what begins as sound alone would not see the pictures come.
		m.stats.Dropped++
		return false
	}
	lead := f.Track.Kind() == leadKind(f.Set)
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
	if m.ended || len(m.start) == 0 && m.partTarget == 0 {
		return false
	}
	if m.partTarget == 0 {
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
	m.start = nil
	for i := range start {
		m.write(&start[i])
	}
}

func (m *Muxer) write(f *media.Frame) {
	if f.Track.Kind() == leadKind(f.Set) {
		if !m.lead(f) {
			m.stats.Dropped++
			return
		}
		m.put(f)
		m.leadDTS = f.DTS
	} else {
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
	if i < 0 || f.DTS < m.cuts[i].at {
		m.stats.Dropped++
		return
	}
	if c := m.cuts[len(m.cuts)-1]; i == len(m.cuts)-1 && f.DTS-c.at >= m.target {
		m.cut(min(f.DTS, c.at+m.target+roundsDown), c.set)
		i++
	}
	m.segmenter(f.Track.Kind()).write(f, m.cuts[i].number)
	m.trim()
}

func (m *Muxer) segmenter(k media.Kind) *segmenter {
	for _, s := range m.segmenters {
		if s.kind == k {
			return s
		}
	}
	s := &segmenter{muxer: m, kind: k, name: k.String()}
	m.segmenters = append(m.segmenters, s)
	if k == media.KindVideo { // first in the window
		copy(m.segmenters[1:], m.segmenters)
		m.segmenters[0] = s
	}
	return s
}
