package origin

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
	"github.com/miju-live/miju/tsfeed"
)

// serveTS answers /app/name.ts: MPEG-TS without an end.
func (s *Server) serveTS(w http.ResponseWriter, r *http.Request, key streamkey.Key) {
	live, err := s.hub.Lookup(key)
	if err != nil {
		s.offline(w, key)
		return
	}
	feed, err := tsfeed.NewReader(live, time.Duration(s.config.FLVBatch))
	if err != nil {
		s.fail(w, http.StatusNotAcceptable, "unsupported_codec", err.Error())
		return
	}
	defer feed.Close()
	viewer := s.admit(w, live)
	if viewer == nil {
		return
	}
	defer viewer.Leave()
	s.viewers.Add(1)
	defer s.viewers.Done()
	h := w.Header()
	h.Set("Content-Type", "video/mp2t")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	if r.Method == http.MethodHead {
		return
	}
	s.tsViewers.Add(1)
	defer s.tsViewers.Add(-1)
	p := &pipe{server: s, remote: r.RemoteAddr}
	framing, err := p.open(w, r, &s.tsBytes)
	if err != nil {
		return
	}
	defer p.close()
	if p.flush(r.Context()) != nil {
		return
	}
	if s.copyTS(r.Context(), p, framing, feed, live) {
		p.end(r.Context(), framing)
	}
}

// copyTS copies the feed until it ends (true) or the viewer is gone.
func (s *Server) copyTS(ctx context.Context, p *pipe, fr framing, feed *tsfeed.Reader, live *stream.Stream) bool {
	defer p.hurry(ctx)()
	var batch [][]byte
	for {
		var err error
		if batch, err = feed.Next(ctx, batch); err != nil {
			if errors.Is(err, media.ErrUnsupportedCodec) {
				s.log.Warn("viewer cannot be served any longer", "stream", live.Key(), "protocol", "http-ts", "err", err)
			}
			return true // the end of the stream, or of the server
		}
		size := 0
		for _, b := range batch {
			size += len(b)
		}
		if fr == frameChunk { // one for all that goes out at once
			p.bufs = append(p.bufs, append(strconv.AppendInt(nil, int64(size), 16), '\r', '\n'))
		}
		p.bufs = append(p.bufs, batch...)
		if fr == frameChunk {
			p.bufs = append(p.bufs, chunkEnd)
		}
		feed.Park()
		err = p.flush(ctx)
		feed.Unpark()
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				s.tooSlow(live, "http-ts", p.remote, feed.Skipped())
			}
			return false
		}
	}
}

var chunkEnd = []byte("\r\n")
