package stream

import (
	"slices"
	"time"

	"github.com/miju-live/miju/media"
)

// maxAhead bounds how far the stream's clock runs on when no frame comes: its
// encoder hangs, or is away and the media stands still until another comes.
const maxAhead = time.Second

// Now returns the stream time of this moment: what an encoder without delay
// would be sending now, by the anchor of the newest track set. Publishers move
// the anchor by giving frames another set; a new epoch's may be anywhere. All
// that needs a wall-clock time for a frame takes it from the frame's own set.
func (s *Stream) Now() time.Duration {
	set := s.Tracks()
	if set == nil {
		return 0
	}
	return max(0, min(time.Since(set.Anchor.Wall), s.Newest()+maxAhead))
}

// sameTracks reports whether sets differ in their epoch and anchor at most,
// which is nothing to wake a reader for. before may be nil.
func sameTracks(before, set *media.TrackSet) bool {
	return before != nil && slices.Equal(before.Tracks, set.Tracks)
}
