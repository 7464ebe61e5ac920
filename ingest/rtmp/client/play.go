package client

import (
	"bytes"
	"context"
	"io"
	"slices"
	"time"

	"github.com/miju-live/miju/ingest/rtmp/chunk"
	"github.com/miju-live/miju/ingest/rtmp/message"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/amf0"
)

// live is what play asks for with its start: a live stream (7.2.2.1), in
// seconds times 1000 as Flash has it.
const live = -2000

// bufferLength is what is told to servers that would send files.
const bufferLength = time.Second

// Play asks to play the name of the URL and waits for the server's word. A
// refusal is a *StatusError.
func (c *Client) Play(ctx context.Context) error {
	if err := c.ask(ctx, "play", "NetStream.Play.Start", amf0.Number(live)); err != nil {
		return err
	}
	c.link.SendBufferLength(c.target.stream, bufferLength)
	return nil
}

// ReadMessage returns the next message of sound, pictures or data, or an
// aggregate of them. io.EOF is the end of the stream.
func (c *Client) ReadMessage(ctx context.Context) (m chunk.Message, err error) {
	err = c.until(ctx, func() (err error) {
		m, err = c.nextMedia()
		return err
	})
	return m, err
}

// ReadFrame returns the next frame, with a Track and without a Set. io.EOF is
// the end of the stream. It cannot be mixed with ReadMessage.
func (c *Client) ReadFrame(ctx context.Context) (f media.Frame, err error) {
	err = c.until(ctx, func() error {
		for {
			var ok bool
			if f, ok, err = c.frames.Next(); ok || err != nil {
				f.Arrival = time.Now()
				return err
			}
			m, err := c.nextMedia()
			if err != nil {
				return err
			}
			if err := c.frames.Add(m); err != nil {
				return err
			}
		}
	})
	return f, err
}

// Tracks returns the tracks of the frames read so far, ordered by ID, and
// whether these are all that the metadata promised.
func (c *Client) Tracks() (tracks []*media.Track, complete bool) { return c.frames.Tracks() }

// ended are the statuses that end a stream.
var ended = map[string]bool{"NetStream.Play.Stop": true, "NetStream.Play.UnpublishNotify": true, "NetStream.Play.Complete": true}

func (c *Client) nextMedia() (chunk.Message, error) {
	for {
		m, err := c.next()
		if err != nil {
			return m, err
		}
		switch {
		case message.IsCommand(m.Type):
			cmd, err := parseCommand(m)
			if err != nil {
				return m, err
			}
			o, _ := cmd.Object(1)
			switch {
			case cmd.Name != "onStatus":
			case o.Text("level") == "error":
				return m, statusError(cmd, "play")
			case ended[o.Text("code")]:
				return m, io.EOF
			}
		case m.Type == message.TypeData && ofServer(m.Body):
		case m.Type == message.TypeAudio, m.Type == message.TypeVideo, m.Type == message.TypeData,
			m.Type == message.TypeDataAMF3, m.Type == message.TypeAggregate:
			return m, nil
		}
	}
}

// serverData are what servers say about themselves where data of the stream
// comes: each as an AMF0 string.
var serverData = func() (all [][]byte) {
	for _, name := range []amf0.String{"|RtmpSampleAccess", "onStatus", "onPlayStatus"} {
		all = append(all, amf0.Append(nil, name))
	}
	return all
}()

func ofServer(body []byte) bool {
	return slices.ContainsFunc(serverData, func(name []byte) bool { return bytes.HasPrefix(body, name) })
}
