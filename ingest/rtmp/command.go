package rtmp

import (
	"fmt"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/ingest/rtmp/chunk"
	"github.com/miju-live/miju/ingest/rtmp/message"
	"github.com/miju-live/miju/remux/amf0"
)

func parseCommand(m chunk.Message) (message.Command, error) {
	cmd, err := message.ParseCommand(m)
	return cmd, classify(err)
}

// obey handles a command in any phase. It returns an action if the peer asks
// for one.
func (c *conn) obey(cmd message.Command) (auth.Action, error) {
	if cmd.Name == "connect" {
		return 0, c.connect(cmd)
	}
	if c.phase < phaseConnected {
		return 0, fmt.Errorf("%w: a command before connect", ingest.ErrBadRequest)
	}
	switch cmd.Name {
	case "publish":
		return auth.Publish, nil
	case "play":
		return auth.Play, nil
	case "createStream":
		c.answer(cmd, "_result", amf0.Null{}, amf0.Number(streamID))
	case "releaseStream", "FCPublish":
		if cmd.Transaction != 0 {
			c.answer(cmd, "_result", amf0.Null{}, amf0.Undefined{})
		}
	case "FCSubscribe":
		c.command("onFCSubscribe", message.Info("status", "NetStream.Play.Start", "Subscribed."))
	}
	// Other commands are questions that peers do without an answer to.
	return 0, nil
}

func (c *conn) connect(cmd message.Command) (err error) {
	if c.phase >= phaseConnected {
		return fmt.Errorf("%w: a second connect", ingest.ErrBadRequest)
	}
	c.connectID = cmd.Transaction
	o, ok := cmd.Object(0)
	if !ok {
		return fmt.Errorf("%w: connect without its object", ingest.ErrBadRequest)
	}
	if c.user, err = c.server.adobe.ask(o, c.host(), time.Now()); err != nil {
		return err
	}
	c.app = o.Text("app")
	c.phase = phaseConnected
	c.answerConnect(cmd, o)
	return nil
}
