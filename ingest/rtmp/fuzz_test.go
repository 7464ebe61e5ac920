package rtmp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/ingest/rtmp/message"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/amf0"
	"github.com/miju-live/miju/remux/flv"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// script is a peer that says what stands in it and takes all answers.
type script struct {
	net.Conn
	*bytes.Reader
}

func (s script) Read(b []byte) (int, error)       { return s.Reader.Read(b) }
func (s script) Write(b []byte) (int, error)      { return len(b), nil }
func (s script) SetReadDeadline(time.Time) error  { return nil }
func (s script) SetWriteDeadline(time.Time) error { return nil }
func (s script) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }
func (s script) Close() error                     { return nil }

// FuzzSession gives a whole connection what peers say behind the handshake.
func FuzzSession(f *testing.F) {
	for _, c := range bad {
		f.Add(c.in[:min(len(c.in), 2000)])
	}
	whole := append(connectWire("live"), publishWire()...)
	typ, b := sequenceHeader(mediatest.AACTrack(2), flv.Enhanced)
	f.Add(append(whole, messageWire(typ, b)...))
	f.Add(append(connectWire("live"), messageWire(message.TypeUserControl, []byte{0, 6, 0, 0, 0, 42})...))
	f.Add(append(whole, messageWire(message.TypeAggregate, append([]byte{8, 0, 0, byte(len(b)), 0, 0, 0, 0, 0, 0, 0}, b...))...))
	playing := connectWire("live")
	for _, cmd := range []message.Command{
		{Name: "play", Args: []amf0.Value{amf0.Null{}, amf0.String("x?hevc=legacy")}},
		{Name: "pause", Args: []amf0.Value{amf0.Null{}, amf0.Boolean(true)}},
		{Name: "seek", Args: []amf0.Value{amf0.Null{}, amf0.Number(1)}},
		{Name: "closeStream"},
	} {
		playing = append(playing, wire(cmd.Append(nil))...)
		f.Add(playing)
	}
	hub := stream.NewHub(stream.DefaultConfig(), nil)
	pub, err := hub.Publish(key(f, "live/x"), stream.Source{})
	if err != nil {
		f.Fatal(err)
	}
	defer hub.Close()
	for _, frame := range frames(mediatest.H265Track(1), 10) {
		pub.Write(frame)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		shaken := append(append([]byte{3}, make([]byte, 2*1536)...), in...)
		c := newConn(script{Reader: bytes.NewReader(shaken)}, NewServer(DefaultConfig()), "rtmp")
		r, err := c.Handshake(context.Background())
		if err == nil && r.Action == auth.Play {
			if err = c.Play(context.Background(), pub.Stream()); err == nil {
				err = io.EOF // the player has gone
			}
		}
		for err == nil || errors.Is(err, streamkey.ErrInvalid) { // a name does not matter here
			if err = c.Admit(); err != nil {
				break
			}
			for err == nil {
				_, err = c.ReadFrame()
			}
		}
		for _, known := range []error{io.EOF, io.ErrUnexpectedEOF, ingest.ErrBadRequest, ingest.ErrTooLarge, media.ErrUnsupportedCodec, media.ErrBadConfig} {
			if errors.Is(err, known) {
				c.Reject(err)
				c.Close()
				return
			}
		}
		t.Fatalf("error %v has no sentinel", err)
	})
}
