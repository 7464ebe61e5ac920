package origin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/flv"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// serveFLV answers /app/name.flv, as HTTP-FLV or, if the client asks for an
// upgrade, as WebSocket-FLV.
func (s *Server) serveFLV(w http.ResponseWriter, r *http.Request, key streamkey.Key) {
	packing, err := packingOf(r.URL.Query().Get("hevc"))
	if err != nil {
		s.fail(w, http.StatusBadRequest, "bad_request", err.Error())
		return
	}
	live, err := s.hub.Lookup(key)
	if err != nil {
		s.offline(w, key)
		return
	}
	set := live.Tracks()
	for _, k := range [...]media.Kind{media.KindVideo, media.KindAudio} {
		if t := set.First(k); t != nil && !flv.Carries(t.Codec) {
			s.fail(w, http.StatusNotAcceptable, "unsupported_codec", "FLV cannot carry "+t.Codec.String())
			return
		}
	}
	viewer := s.admit(w, live)
	if viewer == nil {
		return
	}
	defer viewer.Leave()
	s.viewers.Add(1)
	defer s.viewers.Done()
	v := &flvViewer{pipe: pipe{server: s}, stream: live, packing: packing}
	if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		s.wsViewers.Add(1)
		defer s.wsViewers.Add(-1)
		v.serveWebSocket(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "video/x-flv")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	if r.Method == http.MethodHead {
		return
	}
	s.flvViewers.Add(1)
	defer s.flvViewers.Add(-1)
	v.serveHTTP(w, r)
}

func packingOf(hevc string) (flv.Packing, error) {
	switch hevc {
	case "", "enhanced":
		return flv.Enhanced, nil
	case "legacy":
		return flv.Legacy, nil
	}
	return 0, fmt.Errorf("hevc is %.20q, it may be enhanced or legacy", hevc)
}

// flvViewer writes one stream to one viewer.
type flvViewer struct {
	pipe
	stream  *stream.Stream
	packing flv.Packing
	framing framing

	begun        bool
	video, audio *media.Track // as last sent; nil is not part of this answer
}

func (v *flvViewer) serveHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	framing, err := v.open(w, r, &v.server.flvBytes)
	if err != nil {
		return
	}
	defer v.close()
	v.framing = framing
	if v.run(ctx) {
		v.end(ctx, framing)
	}
}

// run copies the stream until it ends (true) or the viewer is gone.
func (v *flvViewer) run(ctx context.Context) bool {
	defer v.hurry(ctx)()
	reader := v.stream.NewReader(stream.ReaderOptions{Data: true, Wake: v.server.config.FLVBatch})
	defer reader.Close()
	var batch []*stream.Entry
	for {
		var err error
		if batch, err = reader.NextBatch(ctx, batch); err != nil {
			return true // the end of the stream, or of the server
		}
		for _, e := range batch {
			v.append(e)
		}
		clear(batch) // an entry holds all later ones, and this may take long
		reader.Park()
		err = v.flush(ctx)
		reader.Unpark()
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				v.server.tooSlow(v.stream, "flv", reader.Skipped())
			}
			return false
		}
	}
}

// append queues a frame, and what must come before it: the file header before
// the first, a sequence header before the first of a changed track.
func (v *flvViewer) append(e *stream.Entry) {
	f := &e.Frame
	if !v.begun {
		v.begun = true
		v.video, v.audio = v.first(f, media.KindVideo), v.first(f, media.KindAudio)
		v.bufs = append(v.bufs, v.framing.wrap(v.header(f))...)
	}
	switch sent := v.sent(f.Track.Kind()); {
	case sent == nil: // data
	case *sent == nil: // a kind that the header did not announce
		return
	case !flv.Follows(*sent, f):
		return
	case *sent != f.Track:
		if !bytes.Equal((*sent).Config, f.Track.Config) {
			v.bufs = append(v.bufs, v.framing.wrap(flv.AppendSequenceHeader(nil, f.Track, f.DTS, v.packing))...)
		}
		*sent = f.Track
	}
	v.bufs = append(v.bufs, v.framing.wire(e, v.packing)...)
}

// first returns the track of a kind that the answer begins with: that of its
// first frame, or one that joined the stream since or that the encoder has
// promised, for it will come.
func (v *flvViewer) first(f *media.Frame, k media.Kind) *media.Track {
	if t := f.Set.First(k); t != nil {
		return t
	}
	return v.stream.Tracks().Announced(k)
}

func (v *flvViewer) sent(k media.Kind) **media.Track {
	switch k {
	case media.KindVideo:
		return &v.video
	case media.KindAudio:
		return &v.audio
	}
	return nil
}

// header makes what stands before the first frame: file header, metadata and
// sequence headers, these with the first frame's time.
func (v *flvViewer) header(f *media.Frame) []byte {
	b := flv.AppendFileHeader(nil, v.video != nil, v.audio != nil)
	var tracks []*media.Track
	for _, t := range []*media.Track{v.video, v.audio} {
		if t != nil {
			tracks = append(tracks, t)
		}
	}
	b = flv.AppendMetadata(b, tracks, v.packing)
	for _, t := range tracks {
		b = flv.AppendSequenceHeader(b, t, f.DTS, v.packing)
	}
	return b
}
