package origin

import (
	"errors"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/stream"
)

// FLVJoin is what a new viewer of FLV begins with.
type FLVJoin string

// The ways to join.
const (
	// JoinGOP sends the current GOP as it is.
	JoinGOP FLVJoin = "gop"
	// JoinLive sends it so that a player shows it fast.
	JoinLive FLVJoin = "live"
)

// String returns what Set takes.
func (j *FLVJoin) String() string { return string(*j) }

// Set takes "gop" or "live".
func (j *FLVJoin) Set(s string) error {
	if v := FLVJoin(s); v != JoinGOP && v != JoinLive {
		return errors.New("it must be gop or live")
	}
	*j = FLVJoin(s)
	return nil
}

// Type names the kind of value for --help.
func (j *FLVJoin) Type() string { return "gop or live" }

const (
	// youngGOP is the age up to which a GOP is sent as it is even to who wants to
	// be at the live edge.
	youngGOP = 500 * time.Millisecond
	// hurried is how much faster than they were taken the pictures before the live
	// edge are shown. Times are in milliseconds, so that at 120 pictures a second
	// each still has one of its own.
	hurried = 8
)

// catchUp changes the times of what comes before the live edge, as it was when the
// viewer came: pictures are needed to decode those behind it, and are shown fast;
// nothing else is.
type catchUp struct {
	edge time.Duration // DTS; 0: no more
}

// begin looks at the first frame.
func (c *catchUp) begin(first *media.Frame) {
	if c.edge-first.DTS < youngGOP {
		c.edge = 0
	}
}

// over reports whether a frame is to be sent as it is, and so are all after it.
func (c *catchUp) over(f *media.Frame) bool {
	if c.edge != 0 && f.DTS >= c.edge && (f.Track.Kind() == media.KindVideo || f.Set.First(media.KindVideo) == nil) {
		c.edge = 0
	}
	return c.edge == 0
}

// hurry returns the frame as it is shown, false if it is not.
func (c *catchUp) hurry(f *media.Frame) (media.Frame, bool) {
	if f.Track.Kind() != media.KindVideo {
		return *f, f.DTS >= c.edge && f.Track.Kind() == media.KindAudio
	}
	fast := *f
	fast.DTS, fast.PTS = c.time(f.DTS), c.time(f.PTS)
	return fast, true
}

// time maps one before the edge closer to it. It rises with t, so that the order
// of pictures stays, both of decoding and of showing.
func (c *catchUp) time(t time.Duration) time.Duration {
	if t >= c.edge {
		return t
	}
	return c.edge - (c.edge-t)/hurried
}

// edgeFor is where a viewer who joins now wants to be, 0 if it does not matter.
func (j FLVJoin) edgeFor(s *stream.Stream) time.Duration {
	if j != JoinLive || s.Tracks().First(media.KindVideo) == nil {
		return 0
	}
	return s.Newest()
}
