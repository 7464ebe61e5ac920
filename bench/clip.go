package bench

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/flv"
)

// maxClip bounds a clip, which is held in memory, in bytes.
const maxClip = 256 << 20

// errEmpty says that a clip has nothing to publish.
var errEmpty = errors.New("the clip holds no frame")

// tag is one of a clip.
type tag struct {
	typ  byte
	at   time.Duration // from the first tag with a frame
	body []byte
	// frames are what the body holds: none in metadata and sequence headers.
	frames []media.Frame
}

// clip is an FLV file in memory.
type clip struct {
	tags []tag
	set  *media.TrackSet
	// length is that of one round: when the first frame comes again.
	length time.Duration
	// changes says that a sequence header comes behind a frame, so that each
	// round needs all of them.
	changes bool
	bytes   int64 // of all bodies
}

// readClip reads an FLV file.
func readClip(r io.Reader) (*clip, error) {
	tags := flv.NewReader(io.LimitReader(r, maxClip))
	var d flv.Demuxer
	c := &clip{set: &media.TrackSet{}}
	first, begun := time.Duration(0), false
	rounds := map[int]*round{}
	var known []*media.Track // when the newest frame came
	for {
		typ, at, body, err := tags.ReadTag()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && begun {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := d.Write(typ, at, body); err != nil {
			return nil, err
		}
		t := tag{typ: typ, body: body}
		for f, ok := d.Next(); ok; f, ok = d.Next() {
			t.frames = append(t.frames, f)
			if f.Track.Kind() == media.KindData {
				continue
			}
			if !begun {
				first, begun = at, true
			}
			if rounds[f.Track.ID] == nil {
				rounds[f.Track.ID] = &round{begin: f.DTS, last: f.DTS}
			}
			rounds[f.Track.ID].add(f.DTS)
		}
		if tracks, _ := d.Tracks(); begun && len(t.frames) == 0 {
			if slices.Equal(tracks, known) {
				continue // the end of a sequence, or what was said before
			}
			c.changes = true
		} else {
			known = slices.Clone(tracks)
		}
		t.at = max(at-first, 0)
		c.tags = append(c.tags, t)
		c.bytes += int64(len(body))
	}
	for _, r := range rounds {
		c.length = max(c.length, r.last+r.step-r.begin)
	}
	c.set.Tracks, _ = d.Tracks()
	if c.length <= 0 {
		return nil, errEmpty
	}
	return c, nil
}

// round is how long one of a track is: from its first frame to behind its last.
type round struct{ begin, last, step time.Duration }

func (r *round) add(dts time.Duration) {
	if dts > r.last {
		r.step, r.last = dts-r.last, dts
	}
}

// errClip wraps what is wrong with a clip.
func errClip(err error) error { return fmt.Errorf("clip: %w", err) }
