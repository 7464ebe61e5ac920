// Package message knows the messages of RTMP that are not media, and carries
// messages of every kind over one connection (RTMP 1.0, 5.2 to 7).
package message

import (
	"errors"
	"fmt"
	"math"

	"github.com/yutopp/go-rtmp/message"

	"github.com/miju-live/miju/ingest/rtmp/chunk"
	"github.com/miju-live/miju/remux/amf0"
)

// The types of messages (RTMP 1.0, 5.4, 6.2, 7.1).
const (
	TypeAck           = byte(message.TypeIDAck)
	TypeUserControl   = byte(message.TypeIDUserCtrl)
	TypeWindowAckSize = byte(message.TypeIDWinAckSize)
	TypePeerBandwidth = byte(message.TypeIDSetPeerBandwidth)
	TypeAudio         = byte(message.TypeIDAudioMessage)
	TypeVideo         = byte(message.TypeIDVideoMessage)
	TypeData          = byte(message.TypeIDDataMessageAMF0)
	TypeDataAMF3      = byte(message.TypeIDDataMessageAMF3)
	TypeCommand       = byte(message.TypeIDCommandMessageAMF0)
	TypeCommandAMF3   = byte(message.TypeIDCommandMessageAMF3)
	TypeAggregate     = byte(message.TypeIDAggregateMessage)
)

// IsCommand reports whether a type is that of a command, in either marking.
func IsCommand(typ byte) bool { return typ == TypeCommand || typ == TypeCommandAMF3 }

func isControl(typ byte) bool { return typ >= TypeAck && typ <= TypePeerBandwidth }

var (
	// ErrMalformed is wrapped by errors that mean "this is no such message".
	ErrMalformed = errors.New("malformed RTMP message")
	// ErrTooLarge is wrapped by errors that mean "a command over MaxCommand".
	ErrTooLarge = errors.New("RTMP message over a bound")
)

// MaxCommand bounds a command, in bytes. Encoders send under 2 kB, OBS under
// 1 kB.
const MaxCommand = 64 << 10

// Command is one command message (7.1.1).
type Command struct {
	Name string
	// Transaction is 0 where no answer is wanted.
	Transaction amf0.Number
	// Args begins with the command object.
	Args []amf0.Value
	// Stream is the message stream that it came on.
	Stream uint32
}

// ParseCommand reads a command. Errors wrap ErrMalformed, ErrTooLarge or those
// of amf0.
func ParseCommand(m chunk.Message) (Command, error) {
	if len(m.Body) > MaxCommand {
		return Command{}, fmt.Errorf("%w: command of %d bytes", ErrTooLarge, len(m.Body))
	}
	body := m.Body
	if m.Type == TypeCommandAMF3 {
		body = StripAMF3(body)
	}
	values, err := amf0.Decode(body)
	if err != nil {
		return Command{}, fmt.Errorf("RTMP command: %w", err)
	}
	if len(values) == 0 {
		return Command{}, fmt.Errorf("%w: command without a name", ErrMalformed)
	}
	name, ok := values[0].(amf0.String)
	if !ok {
		return Command{}, fmt.Errorf("%w: command without a name", ErrMalformed)
	}
	c := Command{Name: string(name), Stream: m.Stream}
	if len(values) > 1 {
		c.Transaction, _ = values[1].(amf0.Number)
		c.Args = values[2:]
	}
	if math.IsNaN(float64(c.Transaction)) {
		c.Transaction = 0
	}
	return c, nil
}

// Append appends the body of c's message.
func (c Command) Append(dst []byte) []byte {
	dst = amf0.Append(dst, amf0.String(c.Name), c.Transaction)
	return amf0.Append(dst, c.Args...)
}

// Text returns an argument that is a string, "" if it is anything else.
func (c Command) Text(n int) string {
	s, _ := c.arg(n).(amf0.String)
	return string(s)
}

// Object returns the properties of an argument, none if it has none.
func (c Command) Object(n int) (o amf0.Object, ok bool) { return amf0.AsObject(c.arg(n)) }

// True reports whether an argument is the Boolean true.
func (c Command) True(n int) bool { return c.arg(n) == amf0.Boolean(true) }

// Number returns an argument that is a number, 0 if it is anything else.
func (c Command) Number(n int) amf0.Number {
	f, _ := c.arg(n).(amf0.Number)
	return f
}

func (c Command) arg(n int) amf0.Value {
	if n >= len(c.Args) {
		return nil
	}
	return c.Args[n]
}

// StripAMF3 takes off the byte that says "AMF0 follows" in the message types
// for AMF3, where encoders send nothing else.
func StripAMF3(body []byte) []byte {
	if len(body) > 0 && body[0] == 0 {
		return body[1:]
	}
	return body
}

// Info is the information object of a status (7.2.2). level is "status",
// "warning" or "error".
func Info(level, code, description string) amf0.Object {
	return amf0.Object{
		{Name: "level", Value: amf0.String(level)},
		{Name: "code", Value: amf0.String(code)},
		{Name: "description", Value: amf0.String(description)},
	}
}
