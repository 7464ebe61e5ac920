package rtmp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/ingest/rtmp/chunk"
	"github.com/miju-live/miju/ingest/rtmp/message"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/amf0"
	"github.com/miju-live/miju/remux/flv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of these tests.
const patience = time.Minute

// client is an encoder in the hands of a test.
type client struct {
	t   *testing.T
	tcp net.Conn
	in  *chunk.Reader
	// size is the chunk size of what it sends.
	size int
}

// open connects a client over the loopback.
func open(t *testing.T, config Config) (*client, ingest.Conn) {
	t.Helper()
	config.Listen = "127.0.0.1:0"
	l, err := NewServer(config).Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tcp, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tcp.Close(); c.Close() })
	deadline := time.Now().Add(patience)
	tcp.SetDeadline(deadline)
	c.SetReadDeadline(deadline)
	in := chunk.NewReader(bufio.NewReader(tcp), chunk.Limits{MaxMessage: 1 << 20, MaxChunkStreams: 16, MaxPartial: 1 << 20})
	return &client{t: t, tcp: tcp, in: in, size: 128}, c
}

// asked is what Handshake returned.
type asked struct {
	request auth.Request
	err     error
}

// ask runs Handshake beside the test.
func ask(c ingest.Conn) <-chan asked {
	done := make(chan asked, 1)
	go func() {
		r, err := c.Handshake(context.Background())
		done <- asked{r, err}
	}()
	return done
}

func (c *client) write(b []byte) {
	c.t.Helper()
	if _, err := c.tcp.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// shake does the handshake of a client.
func (c *client) shake() {
	c.t.Helper()
	c.write(append([]byte{3}, make([]byte, 1536)...))
	answer := make([]byte, 1+2*1536)
	if _, err := io.ReadFull(c.tcp, answer); err != nil || answer[0] != 3 {
		c.t.Fatal(answer[0], err)
	}
	c.write(answer[1:1537])
}

func (c *client) message(typ byte, stream, timestamp uint32, body []byte) {
	c.t.Helper()
	c.write(chunk.Append(nil, c.size, chunk.Message{ChunkStream: 4, Type: typ, Stream: stream, Timestamp: timestamp, Body: body}))
}

func (c *client) command(name string, transaction float64, args ...amf0.Value) {
	c.t.Helper()
	body := amf0.Append(nil, amf0.String(name), amf0.Number(transaction))
	c.message(message.TypeCommand, 0, 0, amf0.Append(body, args...))
}

// setChunkSize announces a chunk size and uses it.
func (c *client) setChunkSize(n uint32) {
	c.message(chunk.TypeSetChunkSize, 0, 0, binary.BigEndian.AppendUint32(nil, n))
	c.size = int(n)
}

// expect reads up to the command of this name and returns its arguments
// behind the transaction.
func (c *client) expect(name string) (transaction amf0.Number, args []amf0.Value) {
	c.t.Helper()
	for {
		m, err := c.in.ReadMessage()
		if err != nil {
			c.t.Fatalf("waiting for %s: %v", name, err)
		}
		if m.Type != message.TypeCommand {
			continue
		}
		values, err := amf0.Decode(m.Body)
		if err != nil || len(values) < 3 {
			c.t.Fatal(values, err)
		}
		if values[0] == amf0.String(name) {
			return values[1].(amf0.Number), values[2:]
		}
	}
}

// expectCode reads up to the command of this name and returns the code and
// the description of its information object.
func (c *client) expectCode(name string) (code, description string) {
	c.t.Helper()
	_, args := c.expect(name)
	o, _ := amf0.AsObject(args[1])
	return o.Text("code"), o.Text("description")
}

func connectObject(app string) amf0.Object {
	return amf0.Object{
		{Name: "app", Value: amf0.String(app)},
		{Name: "type", Value: amf0.String("nonprivate")},
		{Name: "flashVer", Value: amf0.String("FMLE/3.0 (compatible; FMSc/1.0)")},
		{Name: "tcUrl", Value: amf0.String("rtmp://127.0.0.1/" + app)},
	}
}

// publish goes all the way to the wish to publish.
func (c *client) publish(app, name string) {
	c.t.Helper()
	c.shake()
	c.command("connect", 1, connectObject(app))
	c.expect("_result")
	c.command("createStream", 2, amf0.Null{})
	c.expect("_result")
	c.command("publish", 3, amf0.Null{}, amf0.String(name), amf0.String("live"))
}

// admitted is a client whose stream has begun.
func admitted(t *testing.T) (*client, ingest.Conn) {
	t.Helper()
	c, conn := open(t, DefaultConfig())
	done := ask(conn)
	c.publish("live", "x")
	if got := <-done; got.err != nil {
		t.Fatal(got.err)
	}
	if err := conn.Admit(); err != nil {
		t.Fatal(err)
	}
	if code, _ := c.expectCode("onStatus"); code != "NetStream.Publish.Start" {
		t.Fatal(code)
	}
	return c, conn
}

// body returns the body of a frame's message.
func body(f media.Frame, p flv.Packing) (typ byte, b []byte) {
	head := flv.AppendFrameHead(nil, &f, p)
	return head[0], append(head[11:], f.Data...)
}

func sequenceHeader(t *media.Track, p flv.Packing) (typ byte, b []byte) {
	tag := flv.AppendSequenceHeader(nil, t, 0, p)
	return tag[0], tag[11 : len(tag)-4]
}

// metadata returns the body of @setDataFrame onMetaData.
func metadata(tracks []*media.Track) []byte {
	tag := flv.AppendMetadata(nil, tracks, flv.Enhanced)
	return append(amf0.Append(nil, amf0.String("@setDataFrame")), tag[11:len(tag)-4]...)
}

// frames returns n frames of a stream with sound and picture.
func frames(video *media.Track, n int) []media.Frame {
	s := mediatest.Source{Video: video, Audio: mediatest.AACTrack(2), GOP: 30}
	all := make([]media.Frame, n)
	for i := range all {
		all[i] = s.Next()
	}
	return all
}

// sendStream sends metadata, sequence headers and frames.
func (c *client) sendStream(all []media.Frame, p flv.Packing) {
	c.t.Helper()
	tracks := all[0].Set.Tracks
	c.message(flv.TypeScript, streamID, 0, metadata(tracks))
	for _, t := range tracks {
		typ, b := sequenceHeader(t, p)
		c.message(typ, streamID, 0, b)
	}
	for _, f := range all {
		typ, b := body(f, p)
		c.message(typ, streamID, uint32((f.DTS+time.Millisecond/2)/time.Millisecond), b)
	}
}

// receive reads frames and compares them.
func receive(t *testing.T, conn ingest.Conn, want []media.Frame) {
	t.Helper()
	for i, w := range want {
		f, err := conn.ReadFrame()
		if err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		if !bytes.Equal(f.Data, w.Data) || f.RandomAccess != w.RandomAccess || f.Track.Codec != w.Track.Codec || f.Arrival.IsZero() {
			t.Fatalf("frame %d: %d bytes of %v, want %d of %v", i, len(f.Data), f.Track.Codec, len(w.Data), w.Track.Codec)
		}
		if d := f.DTS - w.DTS; d.Abs() > time.Millisecond/2 {
			t.Fatalf("frame %d: DTS %v, want %v", i, f.DTS, w.DTS)
		}
	}
}
