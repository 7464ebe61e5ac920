package origin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/flv"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// closeGrace is how long a viewer may take for what is on its way when the
// server shuts down.
const closeGrace = time.Second

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
	for _, t := range live.Tracks().Tracks {
		if !flv.Carries(t.Codec) {
			s.fail(w, http.StatusNotAcceptable, "unsupported_codec", "FLV cannot carry "+t.Codec.String())
			return
		}
	}
	s.viewers.Add(1)
	defer s.viewers.Done()
	v := &flvViewer{server: s, stream: live, packing: packing}
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
	server  *Server
	stream  *stream.Stream
	packing flv.Packing
	framing framing

	conn net.Conn // nil: write to body
	body http.ResponseWriter

	begun        bool
	video, audio *media.Track // as last sent; nil is not part of this answer
	bufs         [][]byte
	out          net.Buffers
}

// serveHTTP takes the connection over, so that shared bytes go from the log
// to the socket in one writev; HTTP/2, which has no connection of its own for
// an answer, copies.
func (v *flvViewer) serveHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	if r.ProtoMajor >= 2 {
		v.body, v.framing = w, framePlain
		v.run(ctx)
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		v.server.fail(w, http.StatusInternalServerError, "internal", "cannot take the connection over")
		return
	}
	defer conn.Close()
	v.conn = conn
	h := w.Header()
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	h.Set("Connection", "close")
	v.framing = frameChunk
	if !r.ProtoAtLeast(1, 1) {
		v.framing = framePlain
	} else {
		h.Set("Transfer-Encoding", "chunked")
	}
	var head bytes.Buffer
	head.WriteString("HTTP/1.1 200 OK\r\n")
	if err := h.Write(&head); err != nil {
		return
	}
	head.WriteString("\r\n")
	v.bufs = append(v.bufs, head.Bytes())
	if v.flush(ctx) != nil {
		return
	}
	if v.run(ctx) && v.framing == frameChunk {
		v.bufs = append(v.bufs, []byte("0\r\n\r\n"))
		v.flush(ctx)
	}
}

// run copies the stream until it ends (true) or the viewer is gone.
func (v *flvViewer) run(ctx context.Context) bool {
	if v.conn != nil {
		stop := context.AfterFunc(ctx, func() { v.conn.SetWriteDeadline(time.Now().Add(closeGrace)) })
		defer stop()
	}
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
		if err := v.flush(ctx); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				v.server.slow.Add(1)
				v.server.log.Info("viewer was too slow", "stream", v.stream.Key(), "protocol", "flv", "skips", reader.Skipped())
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
	case *sent != f.Track:
		if !bytes.Equal((*sent).Config, f.Track.Config) {
			v.bufs = append(v.bufs, v.framing.wrap(flv.AppendSequenceHeader(nil, f.Track, f.DTS, v.packing))...)
		}
		*sent = f.Track
	}
	v.bufs = append(v.bufs, v.framing.wire(e, v.packing)...)
}

// first returns the track of a kind that the answer begins with: that of its
// first frame, or one that joined the stream since, for it will come.
func (v *flvViewer) first(f *media.Frame, k media.Kind) *media.Track {
	if t := f.Set.First(k); t != nil {
		return t
	}
	return v.stream.Tracks().First(k)
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

// flush writes what is queued. The deadline is for all of it: a viewer that
// takes less than this in that time is no viewer any more.
func (v *flvViewer) flush(ctx context.Context) error {
	defer func() { clear(v.bufs); v.bufs = v.bufs[:0] }()
	if v.conn == nil {
		return v.copyOut()
	}
	if err := v.conn.SetWriteDeadline(time.Now().Add(v.server.config.WriteTimeout)); err != nil {
		return err
	}
	if ctx.Err() != nil { // the end of ctx has set a nearer one, which this took back
		v.conn.SetWriteDeadline(time.Now().Add(closeGrace))
	}
	v.out = v.bufs
	n, err := v.out.WriteTo(v.conn)
	v.server.flvBytes.Add(uint64(n))
	return err
}

func (v *flvViewer) copyOut() error {
	c := http.NewResponseController(v.body)
	if err := c.SetWriteDeadline(time.Now().Add(v.server.config.WriteTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	for _, b := range v.bufs {
		n, err := v.body.Write(b)
		v.server.flvBytes.Add(uint64(n))
		if err != nil {
			return err
		}
	}
	return c.Flush()
}
