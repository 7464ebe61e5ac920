package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

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

func TestURLs(t *testing.T) {
	for _, c := range []struct {
		in                        string
		address, app, name, tcURL string
		err                       string
	}{
		{"rtmp://host/live/x", "host:1935", "live", "x", "rtmp://host/live", ""},
		{"rtmp://host:7/live/x?token=a%2Fb&c=d", "host:7", "live", "x?token=a%2Fb&c=d", "rtmp://host:7/live", ""},
		{"rtmps://host/live/x", "host:443", "live", "x", "rtmps://host/live", ""},
		{"rtmp://[::1]:1936/live/x", "[::1]:1936", "live", "x", "rtmp://[::1]:1936/live", ""},
		{"rtmp://host/app/instance/x", "host:1935", "app/instance", "x", "rtmp://host/app/instance", ""},
		{"rtmp://host/live", "host:1935", "live", "", "rtmp://host/live", ""},
		{"http://host/live/x", "", "", "", "", "rtmp or rtmps"},
		{"rtmp:///live/x", "", "", "", "", "without a host"},
		{"rtmp://host", "", "", "", "", "without an app"},
		{"rtmp://host/live/x\x7f?token=s3cret", "", "", "", "", "invalid control character"},
	} {
		t.Run(c.in, func(t *testing.T) {
			got, err := parseURL(c.in)
			if got.address != c.address || got.app != c.app || got.name != c.name || got.tcURL != c.tcURL {
				t.Errorf("%+v", got)
			}
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "s3cret")) {
				t.Error(err)
			}
		})
	}
}

// peer is a server in the hands of a test.
type peer struct {
	net.Conn
	link *message.Conn
}

// serve answers one connection with f.
func serve(t *testing.T, f func(*peer) error) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		p := &peer{c, message.NewConn(c, patience, chunk.Limits{MaxMessage: 1 << 20, MaxChunkStreams: 16, MaxPartial: 2 << 20})}
		if err := f(p); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return "rtmp://" + l.Addr().String() + "/live/x"
}

// until reads up to the command of this name.
func (p *peer) until(name string) (cmd message.Command, err error) {
	for err == nil && cmd.Name != name {
		var m chunk.Message
		if m, err = p.link.ReadMessage(); err == nil && message.IsCommand(m.Type) {
			cmd, err = message.ParseCommand(m)
		}
	}
	return cmd, err
}

func (p *peer) answer(cmd message.Command, name string, args ...amf0.Value) {
	p.link.SendCommand(3, message.Command{Name: name, Transaction: cmd.Transaction, Args: args})
}

func (p *peer) status(level, code string) {
	p.link.SendCommand(5, message.Command{Name: "onStatus", Args: []amf0.Value{amf0.Null{}, message.Info(level, code, "why")}, Stream: 1})
}

// begin answers up to the wish.
func (p *peer) begin(wish string) error {
	if err := p.link.Accept(); err != nil {
		return err
	}
	cmd, err := p.until("connect")
	if err != nil {
		return err
	}
	p.link.SendWindow()
	p.answer(cmd, "_result", amf0.Object{{Name: "fmsVer", Value: amf0.String("test")}}, message.Info("status", "NetConnection.Connect.Success", ""))
	if cmd, err = p.until("createStream"); err != nil {
		return err
	}
	p.answer(cmd, "_result", amf0.Null{}, amf0.Number(7))
	_, err = p.until(wish)
	return err
}

// hangUp flushes and reads until the client is gone.
func (p *peer) hangUp() error {
	for {
		if _, err := p.link.ReadMessage(); err != nil {
			return err
		}
	}
}

var servers = []struct {
	name  string
	serve func(*peer) error
	check func(error) bool
}{
	{"says nothing", func(p *peer) error { _, err := io.Copy(io.Discard, p); return err }, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
	{"hangs up", func(*peer) error { return nil }, func(err error) bool { return err != nil && !errors.Is(err, context.DeadlineExceeded) }},
	{"hangs up after the handshake", func(p *peer) error { return p.link.Accept() }, func(err error) bool {
		return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || strings.Contains(err.Error(), "reset")
	}},
	{"refuses connect", func(p *peer) error {
		if err := p.link.Accept(); err != nil {
			return err
		}
		cmd, err := p.until("connect")
		if err != nil {
			return err
		}
		p.answer(cmd, "_error", amf0.Null{}, message.Info("error", "NetConnection.Connect.Rejected", "why"))
		return p.hangUp()
	}, refusedWith("NetConnection.Connect.Rejected: why")},
	{"refuses without a reason", func(p *peer) error {
		if err := p.link.Accept(); err != nil {
			return err
		}
		cmd, err := p.until("connect")
		if err != nil {
			return err
		}
		p.answer(cmd, "_error")
		return p.hangUp()
	}, refusedWith("connect failed: ")},
	{"refuses the name", func(p *peer) error {
		if err := p.begin("publish"); err != nil {
			return err
		}
		p.status("error", "NetStream.Publish.BadName")
		return p.hangUp()
	}, refusedWith("NetStream.Publish.BadName: why")},
	{"begins three messages of 16 MiB", func(p *peer) error {
		err := p.link.Accept()
		for id := byte(3); id < 6 && err == nil; id++ {
			_, err = p.Write(append([]byte{id, 0, 0, 0, 0xff, 0xff, 0xff, 20, 0, 0, 0, 0}, make([]byte, 128)...))
		}
		return errors.Join(err, p.hangUp())
	}, func(err error) bool { return errors.Is(err, ErrProtocol) }},
	{"sends nonsense", func(p *peer) error {
		if err := p.link.Accept(); err != nil {
			return err
		}
		p.link.Send(chunk.Message{ChunkStream: 3, Type: message.TypeCommand, Body: []byte{0xff}})
		return p.hangUp()
	}, func(err error) bool { return errors.Is(err, ErrProtocol) }},
}

func refusedWith(text string) func(error) bool {
	return func(err error) bool {
		var status *StatusError
		return errors.As(err, &status) && status.Error() == text
	}
}

func TestServersThatFail(t *testing.T) {
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			url := serve(t, func(p *peer) error {
				err := s.serve(p)
				if errors.Is(err, os.ErrDeadlineExceeded) {
					return err
				}
				return nil
			})
			wait := patience
			if s.name == "says nothing" {
				wait = 50 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(context.Background(), wait)
			defer cancel()
			c, err := Dial(ctx, url)
			if err == nil {
				err = c.Publish(ctx, flv.Enhanced)
				c.Close()
			}
			if !s.check(err) {
				t.Error(err)
			}
		})
	}
}

func TestServerEndsAPublisher(t *testing.T) {
	url := serve(t, func(p *peer) error {
		if err := p.begin("publish"); err != nil {
			return err
		}
		p.status("status", "NetStream.Publish.Start")
		p.status("error", "NetStream.Publish.Denied")
		return p.hangUp()
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := Dial(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Publish(ctx, flv.Enhanced); err != nil {
		t.Fatal(err)
	}
	s := mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2)}
	for err == nil {
		f := s.Next()
		err = c.WriteFrame(ctx, &f)
	}
	if !refusedWith("NetStream.Publish.Denied: why")(err) {
		t.Error(err)
	}
}

// What the client sends is what a server reads, on the stream it was told.
func TestFramesAndMessagesAreSent(t *testing.T) {
	s := mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2), FrameBytes: 70_000}
	var sent []media.Frame
	for range 20 {
		sent = append(sent, s.Next())
	}
	got := make(chan []media.Frame, 1)
	url := serve(t, func(p *peer) error {
		if err := p.begin("publish"); err != nil {
			return err
		}
		p.status("status", "NetStream.Publish.Start")
		var d message.Demuxer
		var all []media.Frame
		for {
			m, err := p.link.ReadMessage()
			if err != nil {
				return err
			}
			if message.IsCommand(m.Type) {
				if cmd, err := message.ParseCommand(m); err != nil || cmd.Name == "deleteStream" {
					got <- all
					return err
				}
				continue
			}
			if m.Stream != 7 {
				t.Errorf("message on stream %d", m.Stream)
			}
			if err := d.Add(m); err != nil {
				return err
			}
			for {
				f, ok, err := d.Next()
				if err != nil {
					return err
				}
				if !ok {
					break
				}
				all = append(all, f)
			}
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := Dial(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Publish(ctx, flv.Enhanced); err != nil {
		t.Fatal(err)
	}
	for i := range sent {
		if err := c.WriteFrame(ctx, &sent[i]); err != nil {
			t.Fatal(err)
		}
	}
	last := []byte("\x02\x00\x06onText\x05")
	if err := c.WriteMessage(ctx, flv.TypeScript, 5, last); err != nil {
		t.Fatal(err)
	}
	c.Close()
	frames := <-got
	if len(frames) != len(sent)+1 {
		t.Fatalf("%d frames, want %d", len(frames), len(sent)+1)
	}
	for i, f := range sent {
		if !bytes.Equal(frames[i].Data, f.Data) || frames[i].Track.Codec != f.Track.Codec {
			t.Errorf("frame %d", i)
		}
	}
	if f := frames[len(sent)]; !bytes.Equal(f.Data, last) || f.DTS != 5*time.Millisecond {
		t.Errorf("%+v", f)
	}
}

// script is a server that says what stands in it and takes all.
type script struct {
	net.Conn
	*bytes.Reader
}

func (s script) Read(b []byte) (int, error)       { return s.Reader.Read(b) }
func (s script) Write(b []byte) (int, error)      { return len(b), nil }
func (s script) SetReadDeadline(time.Time) error  { return nil }
func (s script) SetWriteDeadline(time.Time) error { return nil }
func (s script) Close() error                     { return nil }

// FuzzServer gives a player what servers say behind the handshake.
func FuzzServer(f *testing.F) {
	wire := func(messages ...chunk.Message) (b []byte) {
		for _, m := range messages {
			b = chunk.Append(b, 128, m)
		}
		return b
	}
	cmd := func(name string, transaction amf0.Number, args ...amf0.Value) chunk.Message {
		return chunk.Message{ChunkStream: 3, Type: message.TypeCommand, Stream: 1, Body: message.Command{Name: name, Transaction: transaction, Args: args}.Append(nil)}
	}
	play := wire(cmd("_result", 1, amf0.Object{}), cmd("_result", 2, amf0.Null{}, amf0.Number(1)),
		cmd("onStatus", 0, amf0.Null{}, message.Info("status", "NetStream.Play.Start", "")))
	f.Add(play)
	f.Add(append(play, wire(
		chunk.Message{ChunkStream: 4, Type: flv.TypeAudio, Stream: 1, Body: []byte("\xaf\x00\x11\x90")},
		chunk.Message{ChunkStream: 4, Type: flv.TypeAudio, Stream: 1, Body: []byte("\xaf\x01abc")},
		cmd("onStatus", 0, amf0.Null{}, message.Info("status", "NetStream.Play.Stop", "")),
	)...))
	f.Add(wire(cmd("_error", 1, amf0.Null{}, message.Info("error", "NetConnection.Connect.Rejected", "why"))))
	f.Fuzz(func(t *testing.T, in []byte) {
		c := newClient(script{Reader: bytes.NewReader(append(append([]byte{3}, make([]byte, 2*1536)...), in...))}, target{app: "live", name: "x"})
		ctx := context.Background()
		err := c.connect()
		if err == nil {
			err = c.Play(ctx)
		}
		for err == nil {
			_, err = c.ReadFrame(ctx)
		}
		c.Close()
	})
}
