package ingest

import (
	"slices"
	"time"

	"github.com/miju-live/miju/media"
)

const (
	// patience is by how much more than usual sound may be behind the picture
	// before silence takes its place. Players have stopped by then, or are
	// about to.
	patience = time.Second
	// maxLag bounds how far behind the picture sound is still waited for.
	maxLag = 10 * time.Second
	// shortest is the least that a silent frame lasts: that of AAC at 96 kHz
	// has 10 ms. A track may claim any rate, and a picture bring thousands of
	// frames that last microseconds.
	shortest = 5 * time.Millisecond
)

// sound keeps a track of sound going while pictures come and it does not:
// players that have both wait for both.
type sound struct {
	// promised says that the track was announced and that no frame of it came.
	promised bool
	// silent is set while silence takes the place of what does not come, which
	// reached up to filled; the first silent frame was at from, sent of them
	// came.
	silent       bool
	from, filled time.Duration
	sent         int
	// ahead is how far the track is ahead of the picture at least: less than
	// nothing, since what comes later than the picture is behind.
	ahead least
	// missed is how much of the pictures has come since the newest sound, less
	// what is missing of them, too.
	missed time.Duration

	of            *media.Track // what frame is made for
	frame         []byte
	samples, rate int
}

// at returns the stream time of the next silent frame, counted from one point:
// rounding does not add up.
func (s *sound) at() time.Duration {
	n, rate := time.Duration(s.sent)*time.Duration(s.samples), time.Duration(s.rate)
	return s.from + n/rate*time.Second + n%rate*time.Second/rate
}

// lag is how far the sound is behind the picture when all is well.
func (s *sound) lag() time.Duration { return min(max(0, -s.ahead.value), maxLag) }

// promise announces what the encoder has announced and nothing of which has
// come. Sound joins the tracks of begin if silence can take its place. Where
// there is another track of the kind no player waits for it, and encoders exist
// that announce tracks under wrong numbers.
func (t *timeline) promise(tracks []*media.Track) {
	for _, p := range tracks {
		if t.set.Announced(p.Kind()) != nil {
			continue
		}
		if track, err := media.NewSilentAACTrack(p.ID, p.SampleRate, p.Channels); err == nil && p.Codec == media.AAC {
			l := t.lane(track)
			l.sound.promised = true
			t.adopt(l, track)
			continue
		}
		set := *t.set
		set.Promised = append(slices.Clone(set.Promised), p)
		t.set = &set
	}
}

// keepSound adds the sound of the publisher before to the tracks of the one that
// resumes its stream without any, if silence can take its place: those who play
// both would wait for it.
func (t *timeline) keepSound(tracks []*media.Track, prev *media.TrackSet) []*media.Track {
	kept := prev.First(media.KindAudio)
	if kept == nil {
		return tracks
	}
	pictures := false
	for _, track := range tracks {
		if track.Kind() == media.KindAudio || track.ID == kept.ID {
			return tracks
		}
		pictures = pictures || track.Kind() == media.KindVideo
	}
	if frame, _, _ := media.Silence(kept); frame == nil || !pictures {
		return tracks
	}
	return append(slices.Clone(tracks), kept)
}

// replaceKept takes the sound that stands for another, nothing of which has
// come, out of the set when that comes under another ID.
func (t *timeline) replaceKept(track *media.Track) {
	if track.Kind() != media.KindAudio || t.set.Lookup(track.ID) != nil {
		return
	}
	for _, other := range t.set.Tracks {
		if l := t.lanes[other.ID]; other.Kind() == media.KindAudio && l != nil && l.sound.promised {
			t.set = withoutTrack(t.set, other)
		}
	}
}

// tooLate takes a frame of sound and reports whether it belongs before the
// stream's beginning, or where silence stands. Either way the sound has come.
func (t *timeline) tooLate(l *lane, f *media.Frame) bool {
	s := &l.sound
	s.promised, s.silent, s.missed = false, false, 0
	if t.picture > t.floor {
		s.ahead.add(f.DTS-t.picture, f.Arrival)
	}
	if s.sent == 0 {
		return !l.written && f.DTS <= t.floor
	}
	if f.DTS >= s.filled+tick {
		return false
	}
	t.count(RepairLateSound)
	return true
}

// fill brings the tracks of sound that do not come up to a picture, which is
// step behind the one before.
func (t *timeline) fill(picture *media.Frame, step time.Duration) {
	for _, track := range t.set.Tracks {
		if track.Kind() == media.KindAudio {
			t.fillTrack(t.lane(track), picture, step)
		}
	}
}

func (t *timeline) fillTrack(l *lane, picture *media.Frame, step time.Duration) {
	s := &l.sound
	until := picture.DTS - s.lag()
	// After a pause of the whole encoder sound is not missing but about to come.
	s.missed += min(step, patience/4)
	if !s.silent && !s.promised && (until-l.out <= patience || s.missed < patience) {
		return
	}
	if s.of != l.track {
		s.of = l.track
		s.frame, s.samples, s.rate = media.Silence(l.track)
		s.from, s.sent = 0, 0
		if s.frame != nil && time.Duration(s.samples)*time.Second/time.Duration(s.rate) < shortest {
			s.frame = nil
		}
	}
	if s.frame == nil {
		return
	}
	if s.sent == 0 || !s.silent || until-s.at() > maxLag {
		s.from, s.sent = max(l.out+usualStep(l.track), until-patience), 0
		if !l.written {
			s.from = max(t.floor+1, until)
		}
	}
	l.away = 0
	if !s.silent {
		s.silent = true
		t.count(RepairSilence)
	}
	for s.at() <= until {
		at := s.at()
		s.sent++
		s.filled, l.out, l.written = at, at, true
		t.out(media.Frame{
			Track: l.track, Set: t.set, DTS: at, PTS: at,
			RandomAccess: true, Data: s.frame, Arrival: picture.Arrival,
		})
	}
}
