package rtmp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/ingest/rtmp/chunk"
	"github.com/miju-live/miju/ingest/rtmp/message"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/amf0"
	"github.com/miju-live/miju/remux/flv"
	"github.com/miju-live/miju/streamkey"
)

// Encoders differ in what they say before publish and at the end.
var dialects = []struct {
	name    string
	publish func(*client)
	end     func(*client)
	want    error // at the end
}{
	{"OBS", func(c *client) {
		c.setChunkSize(4096)
		c.command("connect", 1, connectObject("live"))
		c.expect("_result")
		c.command("releaseStream", 2, amf0.Null{}, amf0.String("alice?token=s3cret"))
		c.command("FCPublish", 3, amf0.Null{}, amf0.String("alice?token=s3cret"))
		c.command("createStream", 4, amf0.Null{})
		for id := range 3 {
			if got, _ := c.expect("_result"); got != amf0.Number(id+2) {
				c.t.Fatal(got)
			}
		}
		c.command("publish", 5, amf0.Null{}, amf0.String("alice?token=s3cret"), amf0.String("live"))
	}, func(c *client) {
		c.command("FCUnpublish", 6, amf0.Null{}, amf0.String("alice"))
		c.command("deleteStream", 7, amf0.Null{}, amf0.Number(1))
	}, io.EOF},
	{"GStreamer: transaction 0 and names as numbers", func(c *client) {
		c.command("connect", 1, connectObject("live?token=s3cret"))
		c.expect("_result")
		c.command("releaseStream", 0, amf0.Null{}, amf0.String("alice"))
		c.command("FCPublish", 0, amf0.Null{}, amf0.String("alice"))
		c.command("createStream", 2, amf0.Null{})
		if got, _ := c.expect("_result"); got != 2 {
			c.t.Fatal(got)
		}
		c.command("publish", 0, amf0.Null{}, amf0.String("alice"), amf0.String("live"))
	}, func(c *client) { c.command("deleteStream", 0, amf0.Null{}, amf0.String("alice")) }, io.EOF},
	{"all at once, and then only FIN", func(c *client) {
		c.message(message.TypeWindowAckSize, 0, 0, binary.BigEndian.AppendUint32(nil, message.WindowSize))
		c.message(message.TypePeerBandwidth, 0, 0, append(binary.BigEndian.AppendUint32(nil, message.WindowSize), 2))
		c.setChunkSize(65536)
		c.command("connect", 1, connectObject("live/alice?token=s3cret"))
		c.command("createStream", 2, amf0.Null{})
		c.command("publish", 3, amf0.Null{}, amf0.String(""))
	}, func(c *client) { c.tcp.Close() }, io.ErrUnexpectedEOF},
	{"messages marked as AMF3", func(c *client) {
		for _, values := range [][]amf0.Value{
			{amf0.String("connect"), amf0.Number(1), connectObject("live")},
			{amf0.String("createStream"), amf0.Number(2), amf0.Null{}},
			{amf0.String("publish"), amf0.Number(3), amf0.Null{}, amf0.String("/alice?a=b&token=s3cret")},
		} {
			c.message(message.TypeCommandAMF3, 0, 0, amf0.Append([]byte{0}, values...))
		}
	}, func(c *client) {
		c.message(message.TypeCommandAMF3, 0, 0, amf0.Append([]byte{0}, amf0.String("closeStream"), amf0.Number(0), amf0.Null{}))
	}, io.EOF},
}

func TestDialectsOfEncoders(t *testing.T) {
	for _, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			c, conn := open(t, DefaultConfig())
			done := ask(conn)
			c.shake()
			d.publish(c)
			got := <-done
			want := auth.Request{Action: auth.Publish, Key: key(t, "live/alice"), Token: "s3cret", Query: got.request.Query, Protocol: "rtmp", RemoteAddr: c.tcp.LocalAddr().String()}
			if got.err != nil || got.request != want || !strings.Contains(want.Query, "token=s3cret") {
				t.Fatalf("%+v, %v", got.request, got.err)
			}
			if err := conn.Admit(); err != nil {
				t.Fatal(err)
			}
			if code, _ := c.expectCode("onStatus"); code != "NetStream.Publish.Start" {
				t.Fatal(code)
			}
			all := frames(mediatest.H264Track(1), 60)
			c.sendStream(all, flv.Enhanced)
			receive(t, conn, all)
			if tracks, complete := conn.Tracks(); len(tracks) != 2 || !complete {
				t.Error(tracks, complete)
			}
			d.end(c)
			if _, err := conn.ReadFrame(); !errors.Is(err, d.want) {
				t.Errorf("end: %v, want %v", err, d.want)
			}
		})
	}
}

func key(t testing.TB, s string) streamkey.Key {
	t.Helper()
	k, err := streamkey.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestH265InBothForms(t *testing.T) {
	for name, p := range map[string]flv.Packing{"enhanced": flv.Enhanced, "legacy": flv.Legacy} {
		t.Run(name, func(t *testing.T) {
			c, conn := admitted(t)
			all := frames(mediatest.H265Track(1), 40)
			c.sendStream(all, p)
			receive(t, conn, all)
		})
	}
}

func TestMetadataMarkedAsAMF3IsRead(t *testing.T) {
	c, conn := admitted(t)
	all := frames(mediatest.H264Track(1), 1)
	c.message(message.TypeDataAMF3, streamID, 0, append([]byte{0}, metadata(all[0].Set.Tracks)...))
	c.sendStream(all, flv.Enhanced)
	receive(t, conn, all)
	if _, complete := conn.Tracks(); !complete {
		t.Error("no promise was read")
	}
}

// bad holds what a peer sends behind its handshake, how Handshake ends, and
// what the peer is told.
var bad = []struct {
	name string
	in   []byte
	want error
	told string
}{
	{"a message of 16 MiB", []byte{3, 0, 0, 0, 0xff, 0xff, 0xff, 20, 0, 0, 0, 0}, ingest.ErrTooLarge, "_error"},
	{"a command of 65 KiB", wire(make([]byte, message.MaxCommand+1)), ingest.ErrTooLarge, "_error"},
	{"AMF0 nested 14,000 deep", wire(append([]byte("\x02\x00\x07connect\x00\x00\x00\x00\x00\x00\x00\x00\x00"), bytes.Repeat([]byte("\x03\x00\x01a"), 14_000)...)), ingest.ErrTooLarge, "_error"},
	{"AMF0 nested 100,000 deep", wire(append([]byte("\x02\x00\x07connect\x00\x00\x00\x00\x00\x00\x00\x00\x00"), bytes.Repeat([]byte("\x03\x00\x01a"), 100_000)...)), ingest.ErrTooLarge, "_error"},
	{"a strict array of 2^31 elements", wire([]byte("\x02\x00\x07connect\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0a\x80\x00\x00\x00\x05")), ingest.ErrBadRequest, "_error"},
	{"chunks of nonsense", []byte{0xff, 0xff, 0xff}, ingest.ErrBadRequest, "_error"},
	{"a command without a name", wire([]byte{5}), ingest.ErrBadRequest, "_error"},
	{"a command of nothing", wire(nil), ingest.ErrBadRequest, "_error"},
	{"connect without its object", wire(amf0.Append(nil, amf0.String("connect"), amf0.Number(1))), ingest.ErrBadRequest, "_error"},
	{"publish before connect", wire(amf0.Append(nil, amf0.String("publish"), amf0.Number(1), amf0.Null{}, amf0.String("x"))), ingest.ErrBadRequest, "_error"},
	{"connect twice", append(connectWire("live"), connectWire("live")...), ingest.ErrBadRequest, "onStatus"},
	{"a name with ../", append(connectWire("live"), publishWire(amf0.String("../x"))...), streamkey.ErrInvalid, "onStatus"},
	{"three segments", append(connectWire("live/sub"), publishWire(amf0.String("x"))...), streamkey.ErrInvalid, "onStatus"},
	{"a name that is no string", append(connectWire("live"), publishWire(amf0.Number(1))...), streamkey.ErrInvalid, "onStatus"},
	{"no name", append(connectWire("live"), publishWire()...), streamkey.ErrInvalid, "onStatus"},
}

func wire(command []byte) []byte {
	return chunk.Append(nil, 128, chunk.Message{ChunkStream: 3, Type: message.TypeCommand, Body: command})
}

func messageWire(typ byte, b []byte) []byte {
	return chunk.Append(nil, 128, chunk.Message{ChunkStream: 4, Type: typ, Stream: streamID, Body: b})
}

func connectWire(app string) []byte {
	return wire(amf0.Append(nil, amf0.String("connect"), amf0.Number(1), connectObject(app)))
}

func publishWire(name ...amf0.Value) []byte {
	return wire(amf0.Append(amf0.Append(nil, amf0.String("publish"), amf0.Number(3), amf0.Null{}), name...))
}

func TestBadInputIsRefusedAndTold(t *testing.T) {
	for _, c := range bad {
		t.Run(c.name, func(t *testing.T) {
			cl, conn := open(t, DefaultConfig())
			done := ask(conn)
			cl.shake()
			go cl.tcp.Write(c.in)
			got := <-done
			if !errors.Is(got.err, c.want) {
				t.Fatalf("%v, want %v", got.err, c.want)
			}
			rejected := make(chan struct{})
			go func() { conn.Reject(got.err); conn.Close(); close(rejected) }()
			code, description := cl.expectCode(c.told)
			if !strings.HasSuffix(code, ".Rejected") || !strings.Contains(got.err.Error(), description) {
				t.Errorf("%s, %s", code, description)
			}
			cl.tcp.Close()
			<-rejected
		})
	}
}

func TestBadInputInsideOfAStream(t *testing.T) {
	for _, c := range []struct {
		name string
		typ  byte
		body []byte
		want error
	}{
		{"VP8", flv.TypeVideo, []byte("\x90vp08\x81\x00\x0c\x00"), media.ErrUnsupportedCodec},
		{"NAL unit sizes of 2 bytes", flv.TypeVideo, []byte("\x17\x00\x00\x00\x00\x01\x64\x00\x1f\xfd\xe1\x00"), media.ErrUnsupportedCodec},
		{"a tag cut short", flv.TypeVideo, []byte("\x17\x01"), ingest.ErrBadRequest},
		{"script data of nonsense", flv.TypeScript, []byte("\xff"), ingest.ErrBadRequest},
		{"metadata nested 50,000 deep", flv.TypeScript, append([]byte("\x02\x00\x0aonMetaData"), bytes.Repeat([]byte("\x03\x00\x01a"), 50_000)...), ingest.ErrTooLarge},
		{"script data of 1 MiB", flv.TypeScript, append([]byte("\x02\x00\x01x"), make([]byte, 1<<20)...), ingest.ErrTooLarge},
		{"an aggregate message", message.TypeAggregate, []byte("xyz"), ingest.ErrBadRequest},
		{"a command of 65 KiB", message.TypeCommand, make([]byte, message.MaxCommand+1), ingest.ErrTooLarge},
		{"a command of nonsense", message.TypeCommand, []byte("\xff"), ingest.ErrBadRequest},
		{"a second publish", message.TypeCommand, amf0.Append(nil, amf0.String("publish"), amf0.Number(9), amf0.Null{}, amf0.String("y")), ingest.ErrBadRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl, conn := admitted(t)
			go cl.tcp.Write(messageWire(c.typ, c.body))
			if _, err := conn.ReadFrame(); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

func TestNoHandshake(t *testing.T) {
	for _, c := range []struct {
		name string
		in   string
		fin  bool
		want error
	}{
		{"random bytes", "\x8f\x01\x9c garbage", false, ingest.ErrBadRequest},
		{"HTTP", "GET / HTTP/1.1\r\n\r\n", false, ingest.ErrBadRequest},
		{"a look whether the port is open", "", true, io.EOF},
		{"half of a handshake, and gone", "\x03abc", true, io.ErrUnexpectedEOF},
		{"half of a handshake, and silence", "\x03abc", false, os.ErrDeadlineExceeded},
		{"nothing", "", false, os.ErrDeadlineExceeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl, conn := open(t, DefaultConfig())
			if c.want == os.ErrDeadlineExceeded {
				conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			}
			cl.write([]byte(c.in))
			if c.fin {
				cl.tcp.Close()
			}
			if _, err := conn.Handshake(context.Background()); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			conn.Reject(c.want) // there are no words for it, and no wait
			conn.Close()
		})
	}
}

func TestHandshakeEndsWithItsContext(t *testing.T) {
	_, conn := open(t, DefaultConfig())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := conn.Handshake(ctx); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

// A peer that has no room for answers must not hold a goroutine for ever.
func TestPeerThatDoesNotReadIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		conn := newConn(ours, NewServer(DefaultConfig()), "rtmp")
		done := ask(conn)
		theirs.Write(append([]byte{3}, make([]byte, 1536)...))
		began := time.Now()
		got := <-done
		if waited := time.Since(began); !errors.Is(got.err, os.ErrDeadlineExceeded) || waited != DefaultConfig().WriteTimeout {
			t.Error(got.err, waited)
		}
		conn.phase = phaseAdmitted
		began = time.Now()
		conn.Reject(ingest.ErrClosing)
		if waited := time.Since(began); waited > time.Second {
			t.Errorf("Reject took %v", waited)
		}
		conn.Close()
		theirs.Close()
	})
}

// A peer that keeps on sending while it is refused is left after a moment.
func TestRefusalDoesNotWaitForTheSilent(t *testing.T) {
	_, conn := admitted(t)
	began := time.Now()
	conn.Reject(ingest.ErrClosing)
	if waited := time.Since(began); waited > time.Second {
		t.Errorf("Reject took %v", waited)
	}
}

// An encoder says more than one thing when it ends. It must not find the
// connection closed before it has said all.
func TestEncoderGoesFirstAfterACleanEnd(t *testing.T) {
	c, conn := admitted(t)
	c.command("FCUnpublish", 6, amf0.Null{}, amf0.String("x"))
	if _, err := conn.ReadFrame(); err != io.EOF {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	go func() { conn.Close(); close(closed) }()
	c.tcp.SetReadDeadline(time.Now().Add(lingerTimeout / 4))
	if _, err := c.in.ReadMessage(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after FCUnpublish: %v", err)
	}
	c.command("deleteStream", 7, amf0.Null{}, amf0.Number(1))
	c.tcp.Close()
	<-closed
	began := time.Now()
	if conn.Close(); time.Since(began) > lingerTimeout/2 {
		t.Error("a second Close waits too")
	}
}

// A ReadFrame that waits is ended by Close at once.
func TestCloseEndsReadFrame(t *testing.T) {
	_, conn := admitted(t)
	ended := make(chan error, 1)
	go func() {
		_, err := conn.ReadFrame()
		ended <- err
	}()
	conn.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

func TestTakenPortIsNamed(t *testing.T) {
	l, err := NewServer(Config{Listen: "127.0.0.1:0"}).Listen()
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if _, err := NewServer(Config{Listen: addr}).Listen(); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), addr) {
		t.Error(err)
	}
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}
