package stream

import (
	"crypto/rand"
	"sync/atomic"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/streamkey"
)

// Stream is one live stream: its tracks and its GOP log.
type Stream struct {
	key     streamkey.Key
	session string
	started time.Time
	log     log
	readers atomic.Int64
	hasty   atomic.Int64 // of them, who wake at every frame
	source  atomic.Pointer[Source]
	resumed atomic.Uint64

	parking  parking
	audience *audience
	viewers  atomic.Int64 // changed with the audience's lock
	// most is how many viewers its publisher may have; 0: as many as others.
	most atomic.Int64

	// The hub's lock is held to change these: whether there is a publisher, and
	// if not, what ends the stream.
	publishing atomic.Bool
	expiry     *time.Timer
}

func newStream(key streamkey.Key, h *Hub) *Stream {
	s := &Stream{key: key, session: rand.Text(), started: time.Now(), audience: &h.audience}
	s.log.init(h.config, &h.totals, &h.pace)
	return s
}

// Key returns the stream's name.
func (s *Stream) Key() streamkey.Key { return s.key }

// Session names this stream among all that are, were and will be live under its
// key. It stays while publishers resume the stream.
func (s *Stream) Session() string { return s.session }

// LimitViewers admits no more than n viewers from now on; 0 is as many as the
// settings let.
func (s *Stream) LimitViewers(n int) { s.most.Store(int64(n)) }

// full reports whether the stream has as many viewers as it may.
func (s *Stream) full(config *Config) bool {
	n, most := s.viewers.Load(), s.most.Load()
	return most > 0 && n >= most || config.MaxViewersPerStream > 0 && n >= int64(config.MaxViewersPerStream)
}

// Source returns where the stream comes from, or came from last.
func (s *Stream) Source() Source { return *s.source.Load() }

// Publishing reports whether there is a publisher; if not, the stream waits for
// one to resume it.
func (s *Stream) Publishing() bool { return s.publishing.Load() }

// Started returns when the first publisher was admitted.
func (s *Stream) Started() time.Time { return s.started }

// Tracks returns the current tracks of a live stream, nil if it is not live
// yet.
func (s *Stream) Tracks() *media.TrackSet { return s.log.set.Load() }

// Newest returns the highest DTS ever written, of any track: where a publisher
// that resumes the stream goes on.
func (s *Stream) Newest() time.Duration { return time.Duration(s.log.newest.Load()) }

// Haste is how soon a stream's frames are wanted.
type Haste uint8

// The kinds of haste.
const (
	// NoHaste: nobody reads the stream.
	NoHaste Haste = iota
	// PictureHaste: who reads it wakes at pictures, so that sound may come with
	// the next one.
	PictureHaste
	// EveryHaste: somebody waits for every frame.
	EveryHaste
)

// Haste returns how soon frames are wanted now.
func (s *Stream) Haste() Haste {
	switch {
	case s.hasty.Load() > 0:
		return EveryHaste
	case s.readers.Load() > 0:
		return PictureHaste
	}
	return NoHaste
}

// live reports whether the stream was ever written to. It is also true for a
// moment after its end, when the hub has dropped it.
func (s *Stream) live() bool { return s.log.set.Load() != nil }

// Stats are the figures of one stream.
type Stats struct {
	// Frames and Bytes count what the publisher wrote.
	Frames, Bytes uint64
	// Resumed counts the publishers that went on with a suspended stream.
	Resumed uint64
	// Readers is the number of open readers, of every kind.
	Readers int64
	// Viewers have a place in the audience.
	Viewers int64
	// Skips counts jumps of lagging readers, GOPOverflows GOPs too large to keep.
	Skips, GOPOverflows uint64
	// CachedBytes and CachedDuration are the size of the newest GOP as a new
	// viewer would get it.
	CachedBytes    uint64
	CachedDuration time.Duration
}

// Stats returns the stream's figures of this moment.
func (s *Stream) Stats() Stats {
	st := s.log.stats()
	st.Readers, st.Viewers, st.Resumed = s.readers.Load(), s.viewers.Load(), s.resumed.Load()
	return st
}
