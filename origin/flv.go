package origin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/miju-live/miju/fanout"
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
	place := s.admit(w, live)
	if place == nil {
		return
	}
	v := &flvViewer{pipe: pipe{server: s, remote: r.RemoteAddr}, stream: live, place: place, muxer: flvMuxer{stream: live, packing: packing, catchUp: catchUp{s.config.FLVJoin.edgeFor(live)}}}
	if isWebSocket(r) {
		v.serveWebSocket(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "video/x-flv")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	if r.Method == http.MethodHead {
		place.Leave()
		return
	}
	v.serveHTTP(w, r)
}

func packingOf(hevc string) (flv.Packing, error) {
	switch hevc {
	case "", "enhanced":
		return flv.Enhanced, nil
	case "legacy":
		return flv.Legacy, nil
	}
	return 0, errors.New("hevc may be enhanced or legacy")
}

// flvViewer gets one stream.
type flvViewer struct {
	pipe
	stream *stream.Stream
	place  *stream.Viewer
	muxer  flvMuxer
}

func (v *flvViewer) serveHTTP(w http.ResponseWriter, r *http.Request) {
	framing, err := v.open(w, r, &v.server.flvBytes)
	if err != nil {
		v.place.Leave()
		return
	}
	v.muxer.framing = framing
	serve := func(ctx context.Context) {
		defer v.place.Leave()
		defer counted(&v.server.flvViewers)()
		defer v.close()
		if v.run(ctx) {
			v.end(ctx, framing)
		}
	}
	if v.conn == nil { // HTTP/2's answer ends with the handler
		serve(r.Context())
		return
	}
	v.server.detach(r, serve)
}

// counted counts somebody until the function that it returns is called.
func counted(n *atomic.Int64) func() {
	n.Add(1)
	return func() { n.Add(-1) }
}

// run copies the stream until it ends (true) or the viewer is gone.
func (v *flvViewer) run(ctx context.Context) bool {
	defer v.hurry(ctx)()
	reader := v.stream.NewReader(stream.ReaderOptions{Data: true, Wake: time.Duration(v.server.config.FLVBatch)})
	defer reader.Close()
	if (v.head != nil || v.conn == nil) && !reader.Ready() && v.flush(ctx) != nil { // nothing to show yet
		return false
	}
	err := v.server.flv.Serve(ctx, v.stream, reader, &v.muxer, v.socket())
	if errors.Is(err, os.ErrDeadlineExceeded) {
		v.server.tooSlow(v.stream, "flv", v.remote, reader.Skipped())
		return false
	}
	return err == io.EOF || ctx.Err() != nil // the end of the stream, or of the server
}

// flvMuxer makes one viewer's FLV: the file header before the first frame, a
// sequence header before the first of a changed track.
type flvMuxer struct {
	stream  *stream.Stream
	packing flv.Packing
	framing framing

	begun        bool
	video, audio *media.Track // as last sent; nil is not part of this answer
	clock        clockTags
	catchUp
}

var _ fanout.Muxer = (*flvMuxer)(nil)

// Same implements fanout.Muxer.
func (m *flvMuxer) Same(other fanout.Muxer) bool {
	o, ok := other.(*flvMuxer)
	return ok && *m == *o
}

// Twin implements fanout.Muxer.
func (m *flvMuxer) Twin() fanout.Muxer {
	twin := *m
	return &twin
}

// Become implements fanout.Muxer.
func (m *flvMuxer) Become(other fanout.Muxer) { *m = *other.(*flvMuxer) }

// Append implements fanout.Muxer.
func (m *flvMuxer) Append(bufs [][]byte, e *stream.Entry) [][]byte {
	if !m.begun {
		m.begin(&e.Frame)
	}
	if !m.over(&e.Frame) {
		return append(bufs, m.appendHurried(nil, &e.Frame))
	}
	before, ok := m.before(&e.Frame)
	if before != nil {
		bufs = append(bufs, m.framing.wrap(before)...)
	}
	if ok {
		if m.clock.due(e.Frame.DTS) {
			bufs = append(bufs, m.framing.clock(e, m.stream)...)
		}
		bufs = append(bufs, m.framing.wire(e, m.packing)...)
	}
	return bufs
}

// AppendBytes implements fanout.Muxer.
func (m *flvMuxer) AppendBytes(dst []byte, e *stream.Entry) []byte {
	if !m.over(&e.Frame) {
		return m.appendHurried(dst, &e.Frame)
	}
	return m.appendFrame(dst, &e.Frame)
}

// appendHurried appends a frame before the live edge.
func (m *flvMuxer) appendHurried(dst []byte, f *media.Frame) []byte {
	if fast, ok := m.hurry(f); ok {
		return m.appendFrame(dst, &fast)
	}
	return dst
}

func (m *flvMuxer) appendFrame(dst []byte, f *media.Frame) []byte {
	before, ok := m.before(f)
	if before != nil {
		dst = append(m.framing.appendOpen(dst, len(before)), before...)
		dst = m.framing.appendClose(dst)
	}
	if ok {
		if m.clock.due(f.DTS) {
			dst = m.framing.appendClock(dst, f, m.stream)
		}
		dst = m.framing.appendTag(dst, f, m.packing)
	}
	return dst
}

// before returns what must come before a frame, and whether that is to come.
func (m *flvMuxer) before(f *media.Frame) (b []byte, ok bool) {
	if !m.begun {
		m.begun = true
		m.video, m.audio = m.first(f, media.KindVideo), m.first(f, media.KindAudio)
		b = m.header(f)
	}
	switch sent := m.sent(f.Track.Kind()); {
	case sent == nil: // data
	case *sent == nil: // a kind that the header did not announce
		return b, false
	case !flv.Follows(*sent, f):
		return b, false
	case *sent != f.Track:
		if !bytes.Equal((*sent).Config, f.Track.Config) {
			b = flv.AppendSequenceHeader(b, f.Track, f.DTS, m.packing)
		}
		*sent = f.Track
	}
	return b, true
}

// first returns the track of a kind that the answer begins with: that of its
// first frame, or one that joined the stream since or that the encoder has
// promised, for it will come.
func (m *flvMuxer) first(f *media.Frame, k media.Kind) *media.Track {
	if t := f.Set.First(k); t != nil {
		return t
	}
	return m.stream.Tracks().Announced(k)
}

func (m *flvMuxer) sent(k media.Kind) **media.Track {
	switch k {
	case media.KindVideo:
		return &m.video
	case media.KindAudio:
		return &m.audio
	}
	return nil
}

// header makes what stands before the first frame: file header, metadata and
// sequence headers, these with the first frame's time.
func (m *flvMuxer) header(f *media.Frame) []byte {
	b := flv.AppendFileHeader(nil, m.video != nil, m.audio != nil)
	var tracks []*media.Track
	for _, t := range []*media.Track{m.video, m.audio} {
		if t != nil {
			tracks = append(tracks, t)
		}
	}
	b = flv.AppendMetadata(b, tracks, m.packing)
	for _, t := range tracks {
		b = flv.AppendSequenceHeader(b, t, f.DTS, m.packing)
	}
	return b
}
