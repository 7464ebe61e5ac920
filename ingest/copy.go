package ingest

import (
	"context"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/stream"
)

// copyFrames reads frames and writes them to the hub, from the moment on that
// the stream is ready. The cause of ctx says why it had to end.
func (s *Server) copyFrames(ctx context.Context, conn Conn, pub *stream.Publisher, x *session) error {
	p := probe{wait: s.config.Probe}
	t := timeline{last: map[int]time.Duration{}}
	defer func() { s.repairs.Add(t.repairs) }()
	for {
		if err := conn.SetReadDeadline(time.Now().Add(s.config.PublishTimeout)); err != nil {
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
		x.note(&f)
		if t.set == nil {
			if !p.ready(f, conn) {
				continue
			}
			tracks, _ := conn.Tracks()
			prev := pub.Stream().Tracks()
			if prev != nil {
				p.dropUndecodable(tracks)
			}
			if len(p.frames) == 0 {
				continue
			}
			t.begin(p.frames, tracks, prev, pub.Stream().Newest())
			s.log.Info("stream is live", "stream", x.Key, "protocol", x.Protocol, "tracks", describe(t.set.Tracks))
			for _, f := range p.frames {
				t.write(pub, f)
			}
			p.frames = nil
			continue
		}
		t.write(pub, f)
	}
}

func describe(tracks []*media.Track) []string {
	var all []string
	for _, t := range tracks {
		all = append(all, t.Codec.String())
	}
	return all
}
