package rtmp

import (
	"bytes"
	"fmt"
	"math"

	"github.com/yutopp/go-rtmp/message"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/ingest/rtmp/chunk"
	"github.com/miju-live/miju/remux/amf0"
)

// The message types (RTMP 1.0, 5.4, 6.2, 7.1) that have no name in chunk and
// flv.
const (
	typeAck           = byte(message.TypeIDAck)
	typeUserControl   = byte(message.TypeIDUserCtrl)
	typeWindowAckSize = byte(message.TypeIDWinAckSize)
	typePeerBandwidth = byte(message.TypeIDSetPeerBandwidth)
	typeDataAMF3      = byte(message.TypeIDDataMessageAMF3)
	typeCommandAMF3   = byte(message.TypeIDCommandMessageAMF3)
	typeCommandAMF0   = byte(message.TypeIDCommandMessageAMF0)
	typeAggregate     = byte(message.TypeIDAggregateMessage)
)

func isCommand(typ byte) bool { return typ == typeCommandAMF0 || typ == typeCommandAMF3 }
func isControl(typ byte) bool { return typ >= typeAck && typ <= typePeerBandwidth }

// minAckWindow keeps an encoder from asking for an acknowledgement of every
// few bytes.
const minAckWindow = 4096

// obeyControl handles a control message. One that cannot be read is passed
// over: of these none changes what the next bytes mean, and encoders send
// events that no standard has.
func (c *conn) obeyControl(m chunk.Message) error {
	var control message.Message
	if err := message.NewDecoder(bytes.NewReader(m.Body)).Decode(message.TypeID(m.Type), &control); err != nil {
		return nil
	}
	switch control := control.(type) {
	case *message.WinAckSize:
		if control.Size > 0 {
			c.ackWindow = uint64(max(control.Size, minAckWindow))
		}
	case *message.UserCtrl:
		if ping, ok := control.Event.(*message.UserCtrlEventPingRequest); ok {
			return c.control(&message.UserCtrl{Event: &message.UserCtrlEventPingResponse{Timestamp: ping.Timestamp}})
		}
	}
	return nil
}

// command is one command message (7.1.1).
type command struct {
	name string
	// transaction is 0 where no answer is wanted.
	transaction amf0.Number
	// args begins with the command object.
	args []amf0.Value
	// stream is the message stream it came on.
	stream uint32
}

func parseCommand(m chunk.Message) (command, error) {
	if len(m.Body) > maxCommand {
		return command{}, fmt.Errorf("%w: command of %d bytes", ingest.ErrTooLarge, len(m.Body))
	}
	body := m.Body
	if m.Type == typeCommandAMF3 {
		body = stripAMF3(body)
	}
	values, err := amf0.Decode(body)
	if err != nil {
		return command{}, fmt.Errorf("RTMP command: %w", classify(err))
	}
	if len(values) == 0 {
		return command{}, fmt.Errorf("%w: command without a name", ingest.ErrBadRequest)
	}
	name, ok := values[0].(amf0.String)
	if !ok {
		return command{}, fmt.Errorf("%w: command without a name", ingest.ErrBadRequest)
	}
	cmd := command{name: string(name), stream: m.Stream}
	if len(values) > 1 {
		cmd.transaction, _ = values[1].(amf0.Number)
		cmd.args = values[2:]
	}
	if math.IsNaN(float64(cmd.transaction)) {
		cmd.transaction = 0
	}
	return cmd, nil
}

// stripAMF3 takes off the byte that says "AMF0 follows" in the message types
// for AMF3, where encoders send nothing else.
func stripAMF3(body []byte) []byte {
	if len(body) > 0 && body[0] == 0 {
		return body[1:]
	}
	return body
}

// text returns an argument that is a string, "" if it is anything else.
func (cmd command) text(n int) string {
	if n >= len(cmd.args) {
		return ""
	}
	s, _ := cmd.args[n].(amf0.String)
	return string(s)
}

// obey handles a command in any phase. It returns an action if the encoder asks
// for one.
func (c *conn) obey(cmd command) (auth.Action, error) {
	if cmd.name == "connect" {
		return 0, c.connect(cmd)
	}
	if c.phase < phaseConnected {
		return 0, fmt.Errorf("%w: %.40q before connect", ingest.ErrBadRequest, cmd.name)
	}
	switch cmd.name {
	case "publish":
		return auth.Publish, nil
	case "play":
		return auth.Play, nil
	case "createStream":
		c.answer(cmd, "_result", amf0.Null{}, amf0.Number(streamID))
	case "releaseStream", "FCPublish":
		if cmd.transaction != 0 {
			c.answer(cmd, "_result", amf0.Null{}, amf0.Undefined{})
		}
	}
	// Other commands are questions that encoders do without an answer to.
	return 0, nil
}

func (c *conn) connect(cmd command) error {
	if c.phase >= phaseConnected {
		return fmt.Errorf("%w: a second connect", ingest.ErrBadRequest)
	}
	c.connectID = cmd.transaction
	var first amf0.Value
	if len(cmd.args) > 0 {
		first = cmd.args[0]
	}
	o, ok := amf0.AsObject(first)
	if !ok {
		return fmt.Errorf("%w: connect without its object", ingest.ErrBadRequest)
	}
	c.app = o.Text("app")
	c.phase = phaseConnected
	return c.answerConnect(cmd, o)
}
