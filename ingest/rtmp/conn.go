package rtmp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/yutopp/go-rtmp/handshake"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/ingest/rtmp/chunk"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/amf0"
	"github.com/miju-live/miju/remux/flv"
)

const (
	// maxCommand bounds a command, in bytes. Encoders send under 2 kB, OBS
	// under 1 kB.
	maxCommand = 64 << 10
	// partialSlack is what may be begun beside one message of the largest
	// size, in bytes: sound and control messages between the chunks of a
	// large picture.
	partialSlack = 1 << 20
	// readBuffer gathers the chunks of small frames into few reads.
	readBuffer = 32 << 10
	version    = 3 // of RTMP (5.2.2)
)

// conn is one encoder. Answers gather in out and are written before the next
// wait for the encoder.
type conn struct {
	tcp    net.Conn
	config Config
	in     *bufio.Reader
	chunks *chunk.Reader
	out    bytes.Buffer
	// outSize is the size of chunks that the encoder was told.
	outSize int
	// ackWindow is how many bytes the encoder sends between acknowledgements.
	ackWindow uint64
	acked     uint64

	phase phase
	// connectID is the transaction of connect, whose refusal needs it.
	connectID amf0.Number
	// app is the first part of the name, query included.
	app string
	// asked is the command that Handshake returned with.
	asked command
	demux flv.Demuxer
	// ended says that the encoder took its leave.
	ended atomic.Bool
}

// phase is how far a connection has come, which says in which words it can be
// refused.
type phase uint8

const (
	phaseNone      phase = iota // no handshake yet: no words at all
	phaseShaken                 // handshake done
	phaseConnected              // connect is answered
	phasePublishing
)

var _ ingest.Conn = (*conn)(nil)

func newConn(tcp net.Conn, config Config) *conn {
	c := &conn{tcp: tcp, config: config, outSize: 128, ackWindow: windowSize}
	c.in = bufio.NewReaderSize(flushReader{c}, readBuffer)
	// Nobody is admitted yet, so nobody sends pictures.
	c.chunks = chunk.NewReader(c.in, chunk.Limits{MaxMessage: maxCommand, MaxChunkStreams: config.MaxChunkStreams, MaxPartial: 2 * maxCommand})
	return c
}

func (c *conn) Protocol() string                  { return "rtmp" }
func (c *conn) RemoteAddr() net.Addr              { return c.tcp.RemoteAddr() }
func (c *conn) SetReadDeadline(t time.Time) error { return c.tcp.SetReadDeadline(t) }

func (c *conn) Tracks() (tracks []*media.Track, complete bool) { return c.demux.Tracks() }

// Close ends the connection. After a clean end it lets the encoder go first,
// for a moment: GStreamer takes it for a failure if we are gone between its
// FCUnpublish and its deleteStream.
func (c *conn) Close() error {
	if c.ended.CompareAndSwap(true, false) {
		c.linger()
	}
	return c.tcp.Close()
}

// linger reads until the encoder is gone, within bounds.
func (c *conn) linger() {
	if c.tcp.SetReadDeadline(time.Now().Add(lingerTimeout)) == nil {
		io.CopyN(io.Discard, c.tcp, lingerBytes)
	}
}

// flushReader reads from the encoder, and before it waits sends what the
// encoder waits for.
type flushReader struct{ c *conn }

func (r flushReader) Read(b []byte) (int, error) {
	if err := r.c.flush(r.c.config.WriteTimeout); err != nil {
		return 0, err
	}
	return r.c.tcp.Read(b)
}

func (c *conn) flush(timeout time.Duration) error {
	if c.out.Len() == 0 {
		return nil
	}
	defer c.out.Reset()
	if err := c.tcp.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	_, err := c.tcp.Write(c.out.Bytes())
	return err
}

// Handshake reads up to publish or play.
func (c *conn) Handshake(ctx context.Context) (auth.Request, error) {
	stop := context.AfterFunc(ctx, func() { c.tcp.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := c.shake(); err != nil {
		return auth.Request{}, err
	}
	c.phase = phaseShaken
	for {
		m, err := c.next()
		if err != nil {
			return auth.Request{}, err
		}
		if !isCommand(m.Type) {
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
			c.asked = cmd
			r, err := parseName(c.app, cmd.text(1))
			r.Action, r.Protocol, r.RemoteAddr = action, c.Protocol(), c.RemoteAddr().String()
			return r, err
		}
	}
}

// shake does the handshake without verification (5.2): encoders of the digest
// form take an answer of version 0 for a plain one.
func (c *conn) shake() error {
	b, err := c.in.Peek(1)
	if err != nil {
		return fmt.Errorf("RTMP handshake: %w", err)
	}
	if b[0] != version {
		return fmt.Errorf("%w: RTMP begins with version 3, this with 0x%02x", ingest.ErrBadRequest, b[0])
	}
	err = handshake.HandshakeWithClient(c.in, &c.out, &handshake.Config{SkipHandshakeVerification: true})
	if err != nil {
		return fmt.Errorf("RTMP handshake: %w", unexpected(err))
	}
	return nil
}

// Admit tells the encoder that its stream has begun.
func (c *conn) Admit() error {
	c.chunks.SetLimits(chunk.Limits{
		MaxMessage: c.config.MaxMessageKiB << 10, MaxChunkStreams: c.config.MaxChunkStreams,
		MaxPartial: c.config.MaxMessageKiB<<10 + partialSlack,
	})
	c.phase = phasePublishing
	if err := c.answerPublish(); err != nil {
		return err
	}
	return c.flush(c.config.WriteTimeout)
}

// ReadFrame returns the next frame.
func (c *conn) ReadFrame() (media.Frame, error) {
	for {
		m, err := c.next()
		if err != nil {
			return media.Frame{}, err
		}
		switch typ := m.Type; {
		case isCommand(typ):
			if err := c.obeyPublishing(m); err != nil {
				return media.Frame{}, err
			}
			continue
		case typ == typeDataAMF3:
			m.Type, m.Body = flv.TypeScript, stripAMF3(m.Body)
		case typ == typeAggregate:
			return media.Frame{}, fmt.Errorf("%w: aggregate messages are not carried", ingest.ErrBadRequest)
		}
		f, ok, err := c.demux.Demux(m.Type, time.Duration(m.Timestamp)*time.Millisecond, m.Body)
		if err != nil {
			return media.Frame{}, classify(err)
		}
		if ok {
			f.Arrival = time.Now()
			return f, nil
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
	switch cmd.name {
	case "FCUnpublish", "deleteStream", "closeStream":
		c.ended.Store(true)
		return io.EOF
	}
	action, err := c.obey(cmd)
	if err == nil && action != 0 {
		err = fmt.Errorf("%w: %s inside of a stream", ingest.ErrBadRequest, cmd.name)
	}
	return err
}

// next returns the next message that is not about the connection itself, and
// acknowledges what has come (5.4.3).
func (c *conn) next() (chunk.Message, error) {
	for {
		m, err := c.chunks.ReadMessage()
		if err != nil {
			return m, classify(unexpected(err))
		}
		if n := c.chunks.Bytes(); n-c.acked >= c.ackWindow {
			c.acked = n
			if err := c.acknowledge(n); err != nil {
				return m, err
			}
		}
		if !isControl(m.Type) {
			return m, nil
		}
		if err := c.obeyControl(m); err != nil {
			return m, err
		}
	}
}

// unexpected is for where the encoder may not just go away.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// classify wraps what a package below found into what the lifecycle knows.
func classify(err error) error {
	switch {
	case errors.Is(err, media.ErrUnsupportedCodec), errors.Is(err, media.ErrBadConfig):
		return err
	case errors.Is(err, chunk.ErrTooLarge), errors.Is(err, amf0.ErrTooLarge), errors.Is(err, flv.ErrTooLarge):
		return fmt.Errorf("%w: %w", ingest.ErrTooLarge, err)
	case errors.Is(err, chunk.ErrMalformed), errors.Is(err, amf0.ErrMalformed), errors.Is(err, flv.ErrMalformed):
		return fmt.Errorf("%w: %w", ingest.ErrBadRequest, err)
	}
	return fmt.Errorf("RTMP: %w", err)
}
