package rtmp

import (
	"errors"
	"net/url"
	"path"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest/rtmp/chunk"
	"github.com/miju-live/miju/ingest/rtmp/message"
	"github.com/miju-live/miju/remux/amf0"
	"github.com/miju-live/miju/stream"
)

const (
	// chunkSize is ours before a player plays, in bytes: every answer fits in
	// one chunk.
	chunkSize = 4096
	// streamID is the one message stream of a connection.
	streamID = message.StreamID
	// The chunk streams of commands and of statuses.
	csCommand = 3
	csStatus  = 5
	// canForward is the bit of Enhanced RTMP's FourCcInfoMask for "takes and
	// passes on".
	canForward = 4
	// The bits of Enhanced RTMP's CapsExMask that this server has: more than
	// one track, ModEx, and nanoseconds in it.
	capsMultitrack, capsModEx, capsNanoOffset = 0x02, 0x04, 0x08
)

// enhanced is what Enhanced RTMP wants to know of a server.
var enhanced = func() amf0.Object {
	list := amf0.StrictArray{}
	infoMap := func(codes ...string) (o amf0.Object) {
		for _, code := range codes {
			list = append(list, amf0.String(code))
			o = append(o, amf0.Property{Name: code, Value: amf0.Number(canForward)})
		}
		return o
	}
	video := infoMap("avc1", "hvc1", "av01", "vp09")
	audio := infoMap("mp4a", "Opus", "fLaC", "ac-3", "ec-3", ".mp3")
	return amf0.Object{
		{Name: "fourCcList", Value: list},
		{Name: "videoFourCcInfoMap", Value: video},
		{Name: "audioFourCcInfoMap", Value: audio},
		{Name: "capsEx", Value: amf0.Number(capsMultitrack | capsModEx | capsNanoOffset)},
	}
}()

// lingerTimeout bounds how long a peer is waited for to take a refusal, and
// how long to go after that or after a clean end.
const lingerTimeout = 400 * time.Millisecond

// lingerBytes bounds what is read of a peer that keeps on sending.
const lingerBytes = 4 << 20

// answer answers a command on the connection's own stream.
func (c *conn) answer(cmd message.Command, name string, values ...amf0.Value) {
	c.link.SendCommand(csCommand, message.Command{Name: name, Transaction: cmd.Transaction, Args: values})
}

// command sends a command that wants no answer.
func (c *conn) command(name string, o amf0.Object) {
	c.link.SendCommand(csCommand, message.Command{Name: name, Args: []amf0.Value{amf0.Null{}, o}})
}

// answerConnect answers connect (7.2.1.1). asked is its object: a peer that
// speaks of Enhanced RTMP is told what this server takes; from others, whose
// parsers may know no arrays, these properties stay away. Codecs that an encoder
// sends all the same are refused later, with their name.
func (c *conn) answerConnect(cmd message.Command, asked amf0.Object) {
	c.link.SendWindow()
	c.link.SetChunkSize(chunkSize)
	properties := amf0.Object{
		{Name: "fmsVer", Value: amf0.String("FMS/3,0,1,123")},
		{Name: "capabilities", Value: amf0.Number(31)},
	}
	for _, p := range enhanced {
		if asked.Get(p.Name) != nil {
			properties = append(properties, enhanced...)
			break
		}
	}
	c.answer(cmd, "_result", properties, append(message.Info("status", "NetConnection.Connect.Success", "Connection succeeded."),
		amf0.Property{Name: "objectEncoding", Value: amf0.Number(0)}))
}

// answerPublish says that the stream has begun (7.2.2.6).
func (c *conn) answerPublish() {
	c.link.SendStreamBegin(streamID)
	start := message.Info("status", "NetStream.Publish.Start", "Publishing started.")
	c.command("onFCPublish", start)
	c.status(start)
}

// status sends onStatus on the stream that the peer asked on.
func (c *conn) status(o amf0.Object) {
	id := c.asked.Stream
	if id == 0 {
		id = streamID
	}
	c.link.SendCommand(csStatus, message.Command{Name: "onStatus", Args: []amf0.Value{amf0.Null{}, o}, Stream: id})
}

// data sends script data to a player.
func (c *conn) data(values ...amf0.Value) {
	c.link.Send(chunk.Message{ChunkStream: csStatus, Type: message.TypeData, Stream: streamID, Body: amf0.Append(nil, values...)})
}

// Reject says why in the words that the phase has, and waits a little for the
// peer to read them: closing at once, with its data unread, would take them
// back (TCP resets).
func (c *conn) Reject(err error) {
	switch {
	case c.phase == phaseNone:
		return
	case c.phase == phaseShaken:
		c.answer(message.Command{Transaction: max(c.connectID, 1)}, "_error", amf0.Null{}, message.Info("error", "NetConnection.Connect.Rejected", describe(err)))
	case c.redirect(err):
	default:
		c.status(message.Info("error", c.refusal(err), describe(err)))
	}
	if c.link.Flush(lingerTimeout) != nil {
		return
	}
	if half, ok := c.socket.(interface{ CloseWrite() error }); ok && half.CloseWrite() != nil {
		return
	}
	c.linger()
}

// redirect sends the peer to another server, if err says so, in the way that SRS
// has made known: as a refusal of the connection whose ex has the code 302, the
// URL without the stream's name for peers that connect to it, and with it.
func (c *conn) redirect(err error) bool {
	var r *auth.Refusal
	if c.phase == phaseAdmitted || !errors.As(err, &r) || r.Redirect == "" {
		return false
	}
	app := r.Redirect
	if u, err := url.Parse(app); err == nil {
		u.Path, u.RawPath, u.RawQuery = path.Dir(u.Path), "", ""
		app = u.String()
	}
	info := append(message.Info("error", "NetConnection.Connect.Rejected", "RTMP 302 Redirect"), amf0.Property{Name: "ex", Value: amf0.Object{
		{Name: "code", Value: amf0.Number(302)},
		{Name: "redirect", Value: amf0.String(app)},
		{Name: "redirect2", Value: amf0.String(r.Redirect)},
	}})
	c.link.SendCommand(csCommand, message.Command{Name: "onStatus", Args: []amf0.Value{amf0.Null{}, info}})
	return true
}

// refusal chooses the code. Before Publish.Start OBS gives up on each of the
// three for publishers; later it reads none.
func (c *conn) refusal(err error) string {
	switch {
	case c.asked.Name == "play" && errors.Is(err, stream.ErrOffline):
		return "NetStream.Play.StreamNotFound"
	case c.asked.Name == "play":
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
