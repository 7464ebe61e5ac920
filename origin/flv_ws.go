package origin

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/lxzan/gws"
)

// maxClientFrame bounds a WebSocket message of a viewer, in bytes: players
// send nothing but control frames.
const maxClientFrame = 4096

func isWebSocket(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// serveWebSocket answers with FLV in binary messages, each one tag (the first
// holds all headers). One goroutine writes, another one reads, since a client
// says goodbye and asks for life signs on its side.
func (v *flvViewer) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	upgrader := gws.NewUpgrader(gws.BuiltinEventHandler{}, &gws.ServerOption{
		ReadMaxPayloadSize: maxClientFrame, ReadBufferSize: 512,
	})
	socket, err := upgrader.Upgrade(w, r)
	if err != nil {
		v.place.Leave()
		v.server.failures[http.StatusBadRequest].Add(1)
		return
	}
	v.conn, v.total, v.muxer.framing = socket.NetConn(), &v.server.flvBytes, frameWebSocket
	boundConn(r.Context())
	v.server.detach(r, func(ctx context.Context) { v.serveSocket(ctx, socket) })
}

// serveSocket writes the stream, and reads what the viewer says.
func (v *flvViewer) serveSocket(ctx context.Context, socket *gws.Conn) {
	defer v.place.Leave()
	defer counted(&v.server.wsViewers)()
	defer v.conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	written := make(chan struct{})
	go func() {
		defer close(written)
		// The stream's bytes go around gws to the connection; whole messages
		// at a time, so that its pongs fall between them.
		if v.run(ctx) {
			v.conn.SetWriteDeadline(time.Now().Add(closeGrace))
			socket.WriteClose(1000, []byte("end of stream"))
		}
		v.conn.Close() // ends ReadLoop
	}()
	if !readLoop(socket) {
		v.server.failures[http.StatusBadRequest].Add(1)
	}
	cancel()
	<-written
}

// readLoop reads until the connection ends. It is false if the client broke
// the protocol so that gws v1.8.9 panics: it takes a frame's length for
// signed, and 2^63 bytes or more for negative.
func readLoop(socket *gws.Conn) (ok bool) {
	defer func() { ok = recover() == nil }()
	socket.ReadLoop()
	return true
}
