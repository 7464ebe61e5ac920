package ingest

import (
	"context"
	"slices"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/stream"
)

// maxProbeBytes and maxProbeFrames bound what a probe holds back: two seconds
// at 50 Mbit/s, and of sixteen tracks.
const (
	maxProbeBytes  = 12 << 20
	maxProbeFrames = 4096
)

// probe holds the first frames back until the tracks are known, so that a
// stream never is live with half of them, and until each has brought a frame,
// so that time zero is that of the earliest.
type probe struct {
	wait   time.Duration
	frames []media.Frame
	bytes  int
	// since is when the first sound or picture came. Data alone is nothing to
	// show: who came would never get the pictures that come later.
	since time.Time
}

// ready adds a frame and reports whether the wait is over: the encoder's
// promised tracks are all there, or the time or the bytes are used up.
func (p *probe) ready(f media.Frame, conn Conn) bool {
	full := p.bytes+len(f.Data) > maxProbeBytes || len(p.frames)+1 >= maxProbeFrames
	if p.since.IsZero() {
		if f.Track.Kind() == media.KindData && full {
			p.frames, p.bytes = p.frames[:0], 0
		}
		if f.Track.Kind() != media.KindData {
			p.since = f.Arrival
			for i := range p.frames {
				p.frames[i].Arrival = f.Arrival
			}
		}
	}
	p.frames = append(p.frames, f)
	p.bytes += len(f.Data)
	switch {
	case p.since.IsZero():
		return false
	case full || f.Arrival.Sub(p.since) >= p.wait:
		return true
	}
	tracks, complete := conn.Tracks()
	return complete && !slices.ContainsFunc(tracks, func(t *media.Track) bool {
		return t.Kind() != media.KindData && !brings(p.frames, t.ID)
	})
}

// brings reports whether one of frames is of a track.
func brings(frames []media.Frame, id int) bool {
	return slices.ContainsFunc(frames, func(f media.Frame) bool { return f.Track.ID == id })
}

// copyFrames reads frames and writes them to the hub, from the moment on that
// the stream is ready. The cause of ctx says why it had to end.
func (s *Server) copyFrames(ctx context.Context, conn Conn, pub *stream.Publisher, x *session) error {
	p := probe{wait: s.config.Probe}
	live := pub.Stream()
	prev, newest := live.Tracks(), live.Newest()
	t := newTimeline(pub.Write, s.repaired(x))
	defer t.flush()
	heard := time.Now()
	var pace pacer
	for {
		if err := conn.SetReadDeadline(heard.Add(s.config.PublishTimeout)); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return cause(ctx)
		}
		f, err := conn.ReadFrame()
		if err != nil {
			if ctx.Err() != nil {
				return cause(ctx)
			}
			return err
		}
		if err := x.note(&f); err != nil {
			return err
		}
		s.arrived(x)
		pace.wait(ctx, f.Arrival)
		if t.set != nil || f.Track.Kind() != media.KindData {
			heard = time.Now()
		}
		if t.set == nil {
			if !p.ready(f, conn) {
				continue
			}
			tracks, _ := conn.Tracks()
			if !t.begin(p.frames, tracks, prev, newest) {
				p = probe{wait: p.wait, frames: p.frames[:0]}
				continue
			}
			if c, ok := conn.(Promising); ok {
				t.promise(c.Promised())
			}
			s.log.Info("stream is live", "stream", x.Key, "protocol", x.Protocol, "tracks", describe(t.set.Tracks))
			for _, f := range p.frames {
				t.write(f)
			}
			p.frames = nil
			s.tell(NewsLive, x, live, nil)
			if c, ok := conn.(Leisurely); ok {
				c.Leisure(live.Haste)
			}
			continue
		}
		t.write(f)
	}
}

// repaired returns what counts a session's repairs and logs the first of each
// kind.
func (s *Server) repaired(x *session) func(Repair) {
	return func(r Repair) {
		s.repairs[r].Add(1)
		if x.repairs[r].Add(1) == 1 {
			s.log.Warn("the encoder's timestamps or tracks had to be repaired", append(x.attrs(), "repair", r.String())...)
		}
	}
}

func describe(tracks []*media.Track) []string {
	var all []string
	for _, t := range tracks {
		all = append(all, t.Codec.String())
	}
	return all
}
