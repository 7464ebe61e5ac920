package hls

import (
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/fmp4"
)

// evenFrames is how many frames in a row must have come evenly for the duration
// of the next one to be predicted.
const evenFrames = 8

// predictor lets a part of pictures go as soon as its last one is there, a
// frame earlier than its duration is known. The next part begins where it was
// said to end.
type predictor struct {
	lastDTS time.Duration
	even    int // frames in a row that came evenly
	// reorders is set for good when a picture was shown later than decoded.
	reorders bool
	// predicted says that the newest part was closed before the next frame.
	predicted bool
	// shown is how much earlier than its PTS the pending picture is shown.
	shown time.Duration
}

// look takes note of how evenly pictures come.
func (s *segmenter) look(f *media.Frame) {
	step, usual := f.DTS-s.lastDTS, fmp4.Duration(s.frame, s.timescale)
	s.lastDTS = f.DTS
	s.reorders = s.reorders || f.PTS != f.DTS
	if s.even++; (step - usual).Abs() > max(usual/8, time.Millisecond) {
		s.even = 0
	}
}

// predict closes the part that the pending picture completes, if pictures come
// evenly and the next one belongs to the same segment, so that the preload hint
// comes true.
func (s *segmenter) predict() {
	usual := fmp4.Duration(s.frame, s.timescale)
	if s.even < evenFrames || s.muxer.mayCut(s.pending.DTS+usual) {
		return
	}
	full := s.partStart + s.partTarget
	end := s.pendingAt + s.frame
	if end+s.frame*9/10 <= full {
		return // another one fits
	}
	if end > full+s.slack() {
		return // it is closed without the pending picture
	}
	if end = min(end, full); end > s.pendingAt {
		s.push(end)
		s.pending = media.Frame{}
		s.predicted = true
	}
}

// follow places a picture that comes behind a whole part: where that ended, if
// the end was predicted. A picture that comes late after all, as after a loss
// or on a screen that stood still, is shown at once instead of leaving a hole
// that players would stop at; with B-frames that would change their order.
func (s *segmenter) follow(f *media.Frame, at int64) int64 {
	if !s.predicted || s.open.discontinuity && len(s.open.parts) == 0 {
		return max(at, s.partEnd)
	}
	s.predicted = false
	late := at - s.partEnd
	if m := s.muxer; len(s.open.parts) == 0 && fmp4.Duration(late, s.timescale) > m.target+roundsDown-m.longestGOP {
		return at // its segment might become longer than the target
	}
	if late > s.frame/2 && !s.reorders && f.PTS == f.DTS {
		s.shown = fmp4.Duration(late, s.timescale)
	} else if pts := fmp4.Ticks(f.PTS, s.timescale); pts < s.partEnd {
		s.shown = -fmp4.Duration(s.partEnd-pts, s.timescale)
	}
	return s.partEnd
}
