package rtmp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/ingest/rtmp/chunk"
	"github.com/miju-live/miju/ingest/rtmp/message"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/amf0"
	"github.com/miju-live/miju/remux/flv"
	"github.com/miju-live/miju/stream"
)

const (
	// partialSlack is what may be begun beside one message of the largest
	// size, in bytes: sound and control messages between the chunks of a
	// large picture.
	partialSlack = 1 << 20
	// readBuffer gathers the chunks of small frames into few reads.
	readBuffer = 32 << 10
)

// conn is one encoder or player.
type conn struct {
	socket   net.Conn
	server   *Server
	protocol string
	link     *message.Conn

	phase phase
	// connectID is the transaction of connect, whose refusal needs it.
	connectID amf0.Number
	// app is the first part of the name, query included.
	app string
	// user is who has proved to know a password.
	user string
	// asked is the command that Handshake returned with.
	asked message.Command
	// packing is the form of H.265 that a player asked for.
	packing flv.Packing

	frames message.Demuxer
	// ended says that one side took its leave.
	ended atomic.Bool
}

// phase is how far a connection has come, which says in which words it can be
// refused.
type phase uint8

const (
	phaseNone      phase = iota // no handshake yet: no words at all
	phaseShaken                 // handshake done
	phaseConnected              // connect is answered
	phaseAdmitted               // publishing or playing
)

var (
	_ ingest.Player    = (*conn)(nil)
	_ ingest.Promising = (*conn)(nil)
	_ ingest.Leisurely = (*conn)(nil)
	_ ingest.Counted   = (*conn)(nil)
)

func newConn(socket net.Conn, s *Server, protocol string) *conn {
	// Nobody is admitted yet, so nobody sends pictures.
	limits := chunk.Limits{
		MaxMessage: message.MaxCommand, MaxChunkStreams: s.config.MaxChunkStreams, MaxPartial: 2 * message.MaxCommand,
		Budget: s.budget,
	}
	return &conn{socket: socket, server: s, protocol: protocol, link: message.NewConn(socket, s.config.WriteTimeout, limits)}
}

func (c *conn) Protocol() string     { return c.protocol }
func (c *conn) RemoteAddr() net.Addr { return c.socket.RemoteAddr() }

// SetReadDeadline bounds what is read. One that has passed, which is how a
// connection is ended, bounds what is written, too: reading answers, and the
// peer may not take the answers.
func (c *conn) SetReadDeadline(t time.Time) error {
	if !t.IsZero() && time.Until(t) <= 0 {
		c.link.EndBy(time.Now().Add(closeGrace))
	}
	return c.socket.SetReadDeadline(t)
}

// Leisure implements ingest.Leisurely.
func (c *conn) Leisure(haste func() stream.Haste) {
	c.link.Leisure(message.Leisure{
		Tick:     c.server.config.IdleBatch,
		Idle:     func() bool { return haste() == stream.NoHaste },
		Pictures: func() bool { return haste() == stream.PictureHaste },
	})
}

// Received implements ingest.Counted.
func (c *conn) Received() uint64 { return c.link.Received() }

// Promised returns what onMetaData announced and has not come.
func (c *conn) Promised() []*media.Track { return c.frames.Promised() }

func (c *conn) Tracks() (tracks []*media.Track, complete bool) { return c.frames.Tracks() }

// Close ends the connection. After a clean end it lets the peer go first, for a
// moment: GStreamer takes it for a failure if we are gone between its
// FCUnpublish and its deleteStream.
func (c *conn) Close() error {
	c.link.End()
	if c.ended.CompareAndSwap(true, false) {
		c.linger()
	}
	if t, ok := c.socket.(*tls.Conn); ok {
		// Its own goodbye would wait long for a peer that takes nothing.
		cut := time.AfterFunc(lingerTimeout, func() { t.NetConn().Close() })
		defer cut.Stop()
	}
	return c.socket.Close()
}

// linger reads until the peer is gone, within bounds.
func (c *conn) linger() {
	if c.socket.SetReadDeadline(time.Now().Add(lingerTimeout)) == nil {
		io.CopyN(io.Discard, c.socket, lingerBytes)
	}
}

// Handshake reads up to publish or play.
func (c *conn) Handshake(ctx context.Context) (auth.Request, error) {
	stop := context.AfterFunc(ctx, func() { c.socket.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := c.shake(); err != nil {
		if errors.Is(err, syscall.ECONNRESET) { // as balancers do who look whether the port is open
			err = fmt.Errorf("%w before it said anything: %w", io.EOF, err)
		}
		return auth.Request{}, err
	}
	c.phase = phaseShaken
	for {
		m, err := c.next()
		if err != nil {
			return auth.Request{}, err
		}
		if !message.IsCommand(m.Type) {
			continue // sound and pictures before publish are of nobody
		}
		cmd, err := parseCommand(m)
		if err != nil {
			return auth.Request{}, err
		}
		action, err := c.obey(cmd)
		if err != nil {
			return auth.Request{}, err
		}
		if action != 0 {
			return c.request(action, cmd)
		}
	}
}

// shake does the handshakes, of TLS if there is one and of RTMP.
func (c *conn) shake() error {
	if t, ok := c.socket.(*tls.Conn); ok {
		// Its answers have no deadline otherwise.
		if err := c.socket.SetWriteDeadline(time.Now().Add(c.server.config.WriteTimeout)); err != nil {
			return err
		}
		if err := t.Handshake(); err != nil {
			return fmt.Errorf("TLS handshake: %w", err)
		}
	}
	return classify(c.link.Accept())
}

// request is what the peer asks for.
func (c *conn) request(action auth.Action, cmd message.Command) (auth.Request, error) {
	c.asked = cmd
	r, query, err := parseName(c.app, cmd.Text(1))
	r.Action, r.Protocol, r.RemoteAddr, r.User = action, c.Protocol(), c.RemoteAddr().String(), c.user
	if err == nil && action == auth.Play {
		c.packing, err = packingOf(query.value("hevc"))
	}
	return r, err
}

// Admit tells the encoder that its stream has begun.
func (c *conn) Admit() error {
	config := &c.server.config
	c.link.Expect(chunk.Limits{
		MaxMessage: config.MaxMessageKiB << 10, MaxChunkStreams: config.MaxChunkStreams,
		MaxPartial: config.MaxMessageKiB<<10 + partialSlack,
	}, readBuffer)
	c.phase = phaseAdmitted
	c.answerPublish()
	return c.link.Flush(0)
}

// ReadFrame returns the next frame.
func (c *conn) ReadFrame() (media.Frame, error) {
	for {
		f, ok, err := c.frames.Next()
		if err != nil {
			return media.Frame{}, classify(err)
		}
		if ok {
			f.Arrival = time.Now()
			return f, nil
		}
		m, err := c.next()
		switch {
		case err != nil:
		case message.IsCommand(m.Type):
			err = c.obeyPublishing(m)
		default:
			err = classify(c.frames.Add(m))
		}
		if err != nil {
			return media.Frame{}, err
		}
	}
}

// obeyPublishing handles a command of an admitted encoder. io.EOF is a clean
// end.
func (c *conn) obeyPublishing(m chunk.Message) error {
	cmd, err := parseCommand(m)
	if err != nil {
		return err
	}
	switch cmd.Name {
	case "FCUnpublish", "deleteStream", "closeStream":
		c.ended.Store(true)
		return io.EOF
	}
	return c.obeyAdmitted(cmd)
}

// obeyAdmitted handles what may be asked at any time.
func (c *conn) obeyAdmitted(cmd message.Command) error {
	action, err := c.obey(cmd)
	if err == nil && action != 0 {
		err = fmt.Errorf("%w: %s inside of a stream", ingest.ErrBadRequest, cmd.Name)
	}
	return err
}

// next returns the next message that is not about the connection itself.
func (c *conn) next() (chunk.Message, error) {
	m, err := c.link.ReadMessage()
	if err == io.EOF { // the peer may not just go away
		err = io.ErrUnexpectedEOF
	}
	return m, classify(err)
}

// classify wraps what a package below found into what the lifecycle knows.
func classify(err error) error {
	for _, known := range []error{media.ErrUnsupportedCodec, media.ErrBadConfig} {
		if errors.Is(err, known) {
			return err
		}
	}
	for _, tooLarge := range []error{chunk.ErrTooLarge, message.ErrTooLarge, amf0.ErrTooLarge, flv.ErrTooLarge} {
		if errors.Is(err, tooLarge) {
			return fmt.Errorf("%w: %w", ingest.ErrTooLarge, err)
		}
	}
	for _, malformed := range []error{chunk.ErrMalformed, message.ErrMalformed, amf0.ErrMalformed, flv.ErrMalformed} {
		if errors.Is(err, malformed) {
			return fmt.Errorf("%w: %w", ingest.ErrBadRequest, err)
		}
	}
	if err != nil {
		err = fmt.Errorf("RTMP: %w", err)
	}
	return err
}
