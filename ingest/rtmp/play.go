package rtmp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/miju-live/miju/backlog"
	"github.com/miju-live/miju/fanout"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/ingest/rtmp/chunk"
	"github.com/miju-live/miju/ingest/rtmp/message"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/amf0"
	"github.com/miju-live/miju/remux/flv"
	"github.com/miju-live/miju/stream"
)

// closeGrace is how long a peer may take for what is on its way when its time is
// over.
const closeGrace = time.Second

// errLeft is how the reading side says that the player has gone.
var errLeft = errors.New("the player has gone")

func packingOf(hevc string) (flv.Packing, error) {
	switch hevc {
	case "", "enhanced":
		return flv.Enhanced, nil
	case "legacy":
		return flv.Legacy, nil
	}
	return 0, fmt.Errorf("%w: hevc may be enhanced or legacy", ingest.ErrBadRequest)
}

// Play sends s to the player. Another goroutine reads what it says meanwhile,
// and is gone when Play returns.
func (c *conn) Play(ctx context.Context, s *stream.Stream) error {
	for _, t := range s.Tracks().Tracks {
		if !flv.Carries(t.Codec) {
			return fmt.Errorf("%w: RTMP cannot carry %s", media.ErrUnsupportedCodec, t.Codec)
		}
	}
	c.phase = phaseAdmitted
	backlog.Bound(c.socket)
	c.answerPlay()
	if err := c.link.Flush(0); err != nil {
		return left(err)
	}
	playing, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(playing, func() { c.link.EndBy(time.Now().Add(closeGrace)) })
	defer stop()
	var reading sync.WaitGroup
	reading.Go(func() { cancel(c.obeyPlaying()) })

	err := c.copyTo(playing, s)
	if err == nil {
		err = c.letGo(playing)
	}
	if cause := context.Cause(playing); cause != nil {
		err = cause
	}
	c.socket.SetReadDeadline(time.Unix(1, 0))
	reading.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return left(err)
}

// letGo tells the player that the stream has ended and waits for it to go, for
// as long as it may take nothing: closing before it has all, with words of it
// to come, would take back what is on its way (TCP resets).
func (c *conn) letGo(playing context.Context) error {
	if err := c.sayGoodbye(); err != nil {
		return err
	}
	if half, ok := c.socket.(interface{ CloseWrite() error }); ok && half.CloseWrite() != nil {
		return nil
	}
	enough := time.NewTimer(c.server.config.WriteTimeout)
	defer enough.Stop()
	select {
	case <-playing.Done():
	case <-enough.C:
	}
	return nil
}

// left makes nil of what the player's end of the connection is to its reader
// and its writer. What remains is that it breaks a rule.
func left(err error) error {
	for _, broken := range []error{os.ErrDeadlineExceeded, ingest.ErrBadRequest, ingest.ErrTooLarge} {
		if errors.Is(err, broken) {
			return err
		}
	}
	return nil
}

// obeyPlaying handles what a player says until it goes, and returns why.
func (c *conn) obeyPlaying() error {
	for {
		m, err := c.next()
		if err != nil {
			return err
		}
		if !message.IsCommand(m.Type) {
			continue
		}
		cmd, err := parseCommand(m)
		if err != nil {
			return err
		}
		switch cmd.Name {
		case "closeStream", "deleteStream":
			return errLeft
		case "pause":
			// A live stream goes on. Who pauses does not read, and is gone if
			// that takes long.
			what := "Unpause"
			if cmd.True(1) {
				what = "Pause"
			}
			c.status(message.Info("status", "NetStream."+what+".Notify", "The stream is live."))
		case "seek":
			// Players wait for this before they take anything, so it is said
			// though there is one place in a live stream only.
			c.status(message.Info("status", "NetStream.Seek.Notify", "The stream is live."))
		case "receiveAudio", "receiveVideo": // it gets both: all players share what is sent
		default:
			if err := c.obeyAdmitted(cmd); err != nil {
				return err
			}
		}
	}
}

// answerPlay says that the stream begins (7.2.2.1), in the order that players
// know from Flash's servers.
func (c *conn) answerPlay() {
	c.link.SetChunkSize(playChunkSize)
	c.link.SendStreamBegin(streamID)
	c.status(message.Info("status", "NetStream.Play.Reset", "Playing and resetting."))
	c.status(message.Info("status", "NetStream.Play.Start", "Started playing."))
	c.data(amf0.String("|RtmpSampleAccess"), amf0.Boolean(true), amf0.Boolean(true))
}

// sayGoodbye says that the stream has ended. Players differ in which of these
// they heed.
func (c *conn) sayGoodbye() error {
	c.status(message.Info("status", "NetStream.Play.UnpublishNotify", "The stream has ended."))
	c.link.SendStreamEOF(streamID)
	c.data(amf0.String("onPlayStatus"), message.Info("status", "NetStream.Play.Complete", "The stream has ended."))
	c.status(message.Info("status", "NetStream.Play.Stop", "The stream has ended."))
	return c.link.Flush(0)
}

// copyTo copies the stream until it ends (nil), ctx ends or the player fails.
func (c *conn) copyTo(ctx context.Context, s *stream.Stream) error {
	reader := s.NewReader(stream.ReaderOptions{Data: true, Wake: time.Duration(c.server.config.Batch)})
	defer reader.Close()
	var socket fanout.Socket = playSocket{c.link}
	if t, ok := c.socket.(syscall.Conn); ok {
		if w, err := fanout.NewWriter(t); err == nil {
			socket = tryPlaySocket{playSocket{c.link}, w}
		}
	}
	err := c.server.players.Serve(ctx, s, reader, &muxer{announce: message.Announcer{Packing: c.packing}}, socket)
	if err == io.EOF {
		return nil
	}
	return err
}

// playSocket writes to a player.
type playSocket struct{ link *message.Conn }

// Write implements fanout.Socket.
func (s playSocket) Write(_ context.Context, bufs [][]byte) (int64, error) { return s.link.Write(bufs) }

type tryPlaySocket struct {
	playSocket
	writer *fanout.Writer
}

var _ fanout.TrySocket = tryPlaySocket{}

// TryWrite implements fanout.TrySocket.
func (s tryPlaySocket) TryWrite(b []byte) (int, error) { return s.link.TryWrite(s.writer, b) }

// muxer makes one player's chunks.
type muxer struct{ announce message.Announcer }

var _ fanout.Muxer = (*muxer)(nil)

// Same implements fanout.Muxer.
func (m *muxer) Same(other fanout.Muxer) bool {
	o, ok := other.(*muxer)
	return ok && *m == *o
}

// Twin implements fanout.Muxer.
func (m *muxer) Twin() fanout.Muxer {
	twin := *m
	return &twin
}

// Become implements fanout.Muxer.
func (m *muxer) Become(other fanout.Muxer) { *m = *other.(*muxer) }

// Append implements fanout.Muxer.
func (m *muxer) Append(bufs [][]byte, e *stream.Entry) [][]byte {
	before, ok := m.announce.Before(&e.Frame)
	for _, b := range before {
		bufs = append(bufs, chunk.Append(nil, playChunkSize, b))
	}
	if ok {
		bufs = append(bufs, chunks(e, m.announce.Packing)...)
	}
	return bufs
}

// AppendBytes implements fanout.Muxer.
func (m *muxer) AppendBytes(dst []byte, e *stream.Entry) []byte {
	before, ok := m.announce.Before(&e.Frame)
	for _, b := range before {
		dst = chunk.Append(dst, playChunkSize, b)
	}
	if !ok {
		return dst
	}
	return chunk.AppendSplit(dst, playChunkSize, message.OfFrame(&e.Frame, m.announce.Packing), e.Frame.Data)
}
