package client

import (
	"context"
	"fmt"
	"time"

	"github.com/miju-live/miju/ingest/rtmp/chunk"
	"github.com/miju-live/miju/ingest/rtmp/message"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/amf0"
	"github.com/miju-live/miju/remux/flv"
)

// Publish asks to publish the name of the URL and waits for the server's word.
// A refusal is a *StatusError. From then on the server is heard out beside the
// writes, which fail with what it says. Frames of H.265 are sent in the form p.
func (c *Client) Publish(ctx context.Context, p flv.Packing) error {
	for _, name := range []string{"releaseStream", "FCPublish"} {
		c.link.SendCommand(csCommand, message.Command{Name: name, Args: []amf0.Value{amf0.Null{}, amf0.String(c.target.name)}})
	}
	if err := c.ask(ctx, "publish", "NetStream.Publish.Start", amf0.String("live")); err != nil {
		return err
	}
	c.announce = message.Announcer{Packing: p, Publish: true}
	c.publishing = true
	c.reading.Go(func() {
		c.why = c.hear()
		close(c.failed)
		c.link.EndBy(time.Unix(1, 0)) // a write that waits
	})
	return nil
}

// hear reads until the server says that the stream must end, or goes.
func (c *Client) hear() error {
	for {
		cmd, err := c.nextCommand()
		if err != nil {
			return err
		}
		if o, _ := cmd.Object(1); cmd.Name == "onStatus" && o.Text("level") == "error" {
			return statusError(cmd, "publish")
		}
	}
}

// WriteFrame sends a frame, and before it the metadata or the sequence header
// that it needs. Its Set must tell the tracks; the first of each kind are sent.
func (c *Client) WriteFrame(ctx context.Context, f *media.Frame) error {
	before, ok := c.announce.Before(f)
	for _, m := range before {
		m.Stream = c.target.stream
		c.bufs = append(c.bufs, chunk.Append(nil, chunkSize, m))
	}
	if ok {
		m := message.OfFrame(f, c.announce.Packing)
		m.Stream = c.target.stream
		c.bufs = append(c.bufs, chunk.Split(chunkSize, m, f.Data)...)
	}
	return c.flush(ctx)
}

// WriteMessage sends a message of sound, pictures or data (flv.TypeAudio, …) as
// it is. timestamp is in milliseconds.
func (c *Client) WriteMessage(ctx context.Context, typ byte, timestamp uint32, body []byte) error {
	if len(body) > flv.MaxBody {
		return fmt.Errorf("%w: a message of %d bytes", flv.ErrTooLarge, len(body))
	}
	m := chunk.Message{ChunkStream: csMedia[typ&1], Type: typ, Stream: c.target.stream, Timestamp: timestamp}
	c.bufs = append(c.bufs, chunk.Split(chunkSize, m, body)...)
	return c.flush(ctx)
}

// csMedia are the chunk streams of sound and data, and of pictures.
var csMedia = [2]uint32{4, 6}

func (c *Client) flush(ctx context.Context) error {
	select {
	case <-c.failed:
		return c.why
	default:
	}
	err := c.until(ctx, func() error {
		_, err := c.link.Write(c.bufs)
		return err
	})
	c.bufs = c.bufs[:0]
	if err != nil && ctx.Err() == nil {
		select {
		case <-c.failed:
			err = c.why
		default:
		}
	}
	return err
}
