package rtmp

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/yutopp/go-rtmp/message"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest/rtmp/chunk"
	"github.com/miju-live/miju/remux/amf0"
	"github.com/miju-live/miju/stream"
)

const (
	// windowSize is what encoders and servers commonly tell each other, in bytes.
	windowSize = 2_500_000
	// chunkSize is ours, in bytes: every answer fits in one chunk.
	chunkSize = 4096
	// streamID is the one message stream of a connection.
	streamID = 1
	// The chunk streams of control messages (5.4) and of commands.
	csControl = 2
	csCommand = 3
	csStatus  = 5
	// canForward is the bit of Enhanced RTMP's FourCcInfoMask for "takes and
	// passes on".
	canForward = 4
)

// enhanced is what Enhanced RTMP wants to know of a server.
var enhanced = amf0.Object{
	{Name: "fourCcList", Value: amf0.StrictArray{amf0.String("avc1"), amf0.String("hvc1"), amf0.String("mp4a")}},
	{Name: "videoFourCcInfoMap", Value: amf0.Object{
		{Name: "avc1", Value: amf0.Number(canForward)},
		{Name: "hvc1", Value: amf0.Number(canForward)},
	}},
	{Name: "audioFourCcInfoMap", Value: amf0.Object{{Name: "mp4a", Value: amf0.Number(canForward)}}},
	{Name: "capsEx", Value: amf0.Number(0)},
}

// lingerTimeout bounds how long an encoder is waited for to take a refusal, and
// how long to go after that or after a clean end.
const lingerTimeout = 400 * time.Millisecond

// lingerBytes bounds what is read of an encoder that keeps on sending.
const lingerBytes = 4 << 20

func (c *conn) send(chunkStream uint32, typ byte, stream uint32, body []byte) {
	c.out.Write(chunk.Append(c.out.AvailableBuffer(), c.outSize, chunk.Message{ChunkStream: chunkStream, Type: typ, Stream: stream, Body: body}))
}

// control sends a control message (5.4, 7.1.7).
func (c *conn) control(m message.Message) error {
	var body bytes.Buffer
	if err := message.NewEncoder(&body).Encode(m); err != nil {
		return fmt.Errorf("RTMP control message: %w", err)
	}
	c.send(csControl, byte(m.TypeID()), 0, body.Bytes())
	return nil
}

func (c *conn) acknowledge(received uint64) error {
	return c.control(&message.Ack{SequenceNumber: uint32(received)})
}

// answer answers a command on the connection's own stream.
func (c *conn) answer(cmd command, name string, values ...amf0.Value) {
	body := amf0.Append(nil, amf0.String(name), cmd.transaction)
	c.send(csCommand, typeCommandAMF0, 0, amf0.Append(body, values...))
}

// answerConnect answers connect (7.2.1.1). asked is its object: a peer that
// speaks of Enhanced RTMP is told what this server takes; from others, whose
// parsers may know no arrays, these properties stay away. Codecs that an encoder
// sends all the same are refused later, with their name.
func (c *conn) answerConnect(cmd command, asked amf0.Object) error {
	for _, m := range []message.Message{
		&message.WinAckSize{Size: windowSize},
		&message.SetPeerBandwidth{Size: windowSize, Limit: message.LimitTypeDynamic},
		&message.SetChunkSize{ChunkSize: chunkSize},
	} {
		if err := c.control(m); err != nil {
			return err
		}
	}
	c.outSize = chunkSize
	properties := amf0.Object{
		{Name: "fmsVer", Value: amf0.String("FMS/3,0,1,123")},
		{Name: "capabilities", Value: amf0.Number(31)},
	}
	for _, name := range []string{"fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap", "capsEx"} {
		if asked.Get(name) != nil {
			properties = append(properties, enhanced...)
			break
		}
	}
	c.answer(cmd, "_result", properties, append(info("status", "NetConnection.Connect.Success", "Connection succeeded."),
		amf0.Property{Name: "objectEncoding", Value: amf0.Number(0)}))
	return nil
}

// answerPublish says that the stream has begun (7.2.2.6).
func (c *conn) answerPublish() error {
	if err := c.control(&message.UserCtrl{Event: &message.UserCtrlEventStreamBegin{StreamID: streamID}}); err != nil {
		return err
	}
	start := info("status", "NetStream.Publish.Start", "Publishing started.")
	c.send(csCommand, typeCommandAMF0, 0, amf0.Append(nil, amf0.String("onFCPublish"), amf0.Number(0), amf0.Null{}, start))
	c.status(start)
	return nil
}

// status sends onStatus on the stream that the encoder asked for.
func (c *conn) status(o amf0.Object) {
	id := c.asked.stream
	if id == 0 {
		id = streamID
	}
	c.send(csStatus, typeCommandAMF0, id, amf0.Append(nil, amf0.String("onStatus"), amf0.Number(0), amf0.Null{}, o))
}

func info(level, code, description string) amf0.Object {
	return amf0.Object{
		{Name: "level", Value: amf0.String(level)},
		{Name: "code", Value: amf0.String(code)},
		{Name: "description", Value: amf0.String(description)},
	}
}

// Reject says why in the words that the phase has, and waits a little for the
// encoder to read them: closing at once, with its data unread, would take them
// back (TCP resets).
func (c *conn) Reject(err error) {
	switch {
	case c.phase == phaseNone:
		return
	case c.phase == phaseShaken:
		c.answer(command{transaction: max(c.connectID, 1)}, "_error", amf0.Null{}, info("error", "NetConnection.Connect.Rejected", describe(err)))
	default:
		c.status(info("error", c.refusal(err), describe(err)))
	}
	if c.flush(lingerTimeout) != nil {
		return
	}
	if tcp, ok := c.tcp.(interface{ CloseWrite() error }); ok && tcp.CloseWrite() != nil {
		return
	}
	c.linger()
}

// refusal chooses the code. Before Publish.Start OBS gives up on each of the
// three for publishers; later it reads none.
func (c *conn) refusal(err error) string {
	switch {
	case c.asked.name == "play":
		return "NetStream.Play.Failed"
	case errors.Is(err, stream.ErrBusy):
		return "NetStream.Publish.BadName"
	case errors.Is(err, auth.ErrDenied):
		return "NetStream.Publish.Denied"
	}
	return "NetStream.Publish.Rejected"
}

// maxDescription keeps what is said in one chunk.
const maxDescription = 500

func describe(err error) string {
	s := err.Error()
	return s[:min(len(s), maxDescription)]
}
