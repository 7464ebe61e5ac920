package rtmp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/ingest/rtmp/message"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/amf0"
	"github.com/miju-live/miju/remux/flv"
	"github.com/miju-live/miju/stream"
)

// What connect is answered in decides whether an encoder goes on.
// Enhanced RTMP is answered to who asks for it: some parsers know no arrays.
func TestConnectIsAnsweredInOrder(t *testing.T) {
	for name, enhanced := range map[string]bool{"OBS": false, "Enhanced RTMP": true} {
		t.Run(name, func(t *testing.T) { connectIsAnswered(t, enhanced) })
	}
}

func connectIsAnswered(t *testing.T, enhanced bool) {
	c, conn := open(t, DefaultConfig())
	done := ask(conn)
	c.shake()
	o := connectObject("live")
	if enhanced {
		o = append(o, amf0.Property{Name: "fourCcList", Value: amf0.StrictArray{amf0.String("*")}})
	}
	c.command("connect", 1, o)
	var types []byte
	for len(types) == 0 || types[len(types)-1] != message.TypeCommand {
		m, err := c.in.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		types = append(types, m.Type)
		if m.Type != message.TypeCommand {
			continue
		}
		values, err := amf0.Decode(m.Body)
		if err != nil || values[0] != amf0.String("_result") || values[1] != amf0.Number(1) {
			t.Fatal(values, err)
		}
		properties, _ := amf0.AsObject(values[2])
		video, _ := amf0.AsObject(properties.Get("videoFourCcInfoMap"))
		if (video.Get("hvc1") == amf0.Number(4)) != enhanced || (properties.Get("fourCcList") != nil) != enhanced {
			t.Error(properties)
		}
		if enhanced {
			checkEnhanced(t, properties)
		}
		if o, _ := amf0.AsObject(values[3]); o.Text("code") != "NetConnection.Connect.Success" {
			t.Error(o)
		}
	}
	// Set Chunk Size, between the two and the answer, is obeyed by the reader.
	if want := []byte{message.TypeWindowAckSize, message.TypePeerBandwidth, message.TypeCommand}; !bytes.Equal(types, want) {
		t.Error(types)
	}
	c.tcp.Close()
	if got := <-done; !errors.Is(got.err, io.ErrUnexpectedEOF) {
		t.Error(got.err)
	}
}

// checkEnhanced compares what is told of codecs: all in the list, each in one map.
func checkEnhanced(t *testing.T, o amf0.Object) {
	t.Helper()
	video, _ := amf0.AsObject(o.Get("videoFourCcInfoMap"))
	audio, _ := amf0.AsObject(o.Get("audioFourCcInfoMap"))
	list, _ := o.Get("fourCcList").(amf0.StrictArray)
	var got []string
	for _, v := range list {
		code, _ := v.(amf0.String)
		got = append(got, string(code))
		if video.Get(string(code)) == nil == (audio.Get(string(code)) == nil) {
			t.Errorf("%s is in both maps or in none", code)
		}
	}
	if want := "avc1 hvc1 av01 vp09 mp4a Opus fLaC ac-3 ec-3 .mp3"; strings.Join(got, " ") != want || len(video) != 4 || len(audio) != 6 {
		t.Errorf("%v, want %s", got, want)
	}
	if o.Get("capsEx") != amf0.Number(2+4+8) {
		t.Errorf("capsEx %v", o.Get("capsEx"))
	}
}

func TestPingsAreAnsweredAndBytesAcknowledged(t *testing.T) {
	c, conn := admitted(t)
	c.message(message.TypeUserControl, 0, 0, []byte{0, 6, 0, 0, 0, 42})
	c.message(message.TypeUserControl, 0, 0, []byte{0, 99, 0}) // of no standard
	c.message(message.TypeWindowAckSize, 0, 0, []byte{0, 0, 0x20, 0})
	all := frames(mediatest.H264Track(1), 30)
	c.sendStream(all, flv.Enhanced)
	receive(t, conn, all)
	ended := make(chan error, 1)
	go func() { // waiting for more is what sends the answers
		_, err := conn.ReadFrame()
		ended <- err
	}()
	var pong bool
	for {
		m, err := c.in.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		switch m.Type {
		case message.TypeUserControl:
			pong = bytes.Equal(m.Body, []byte{0, 7, 0, 0, 0, 42})
		case message.TypeAck:
			if n := binary.BigEndian.Uint32(m.Body); n < 8192 || !pong {
				t.Error(n, pong)
			}
			c.command("deleteStream", 0, amf0.Null{}, amf0.Number(1))
			if err := <-ended; err != io.EOF {
				t.Error(err)
			}
			return
		}
	}
}

func TestRefusalsSayWhy(t *testing.T) {
	for _, c := range []struct {
		name, command string
		err           error
		code          string
	}{
		{"busy", "publish", fmt.Errorf("publish live/x: %w", stream.ErrBusy), "NetStream.Publish.BadName"},
		{"denied", "publish", fmt.Errorf("token: %w", auth.ErrDenied), "NetStream.Publish.Denied"},
		{"unsupported codec", "publish", fmt.Errorf("%w: AV1", media.ErrUnsupportedCodec), "NetStream.Publish.Rejected"},
		{"shutdown", "publish", ingest.ErrClosing, "NetStream.Publish.Rejected"},
		{"a player", "play", ingest.ErrNotPlayable, "NetStream.Play.Failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl, conn := open(t, DefaultConfig())
			done := ask(conn)
			cl.shake()
			cl.command("connect", 1, connectObject("live"))
			cl.command("createStream", 2, amf0.Null{})
			cl.command(c.command, 3, amf0.Null{}, amf0.String("x"))
			got := <-done
			if got.err != nil || got.request.Action.String() != c.command {
				t.Fatal(got)
			}
			rejected := make(chan struct{})
			go func() { conn.Reject(c.err); conn.Close(); close(rejected) }()
			code, description := cl.expectCode("onStatus")
			if code != c.code || description != c.err.Error() {
				t.Errorf("%s, %s", code, description)
			}
			if _, err := cl.in.ReadMessage(); err != io.EOF {
				t.Errorf("the refusal does not end in FIN: %v", err)
			}
			cl.tcp.Close()
			<-rejected
		})
	}
}

// TestRedirects: a peer that is to go elsewhere is told so as SRS does, before it
// is admitted.
func TestRedirects(t *testing.T) {
	for command, action := range map[string]string{"publish": "publish", "play": "play"} {
		cl, conn := open(t, DefaultConfig())
		done := ask(conn)
		cl.shake()
		cl.command("connect", 1, connectObject("live"))
		cl.command("createStream", 2, amf0.Null{})
		cl.command(command, 3, amf0.Null{}, amf0.String("x"))
		if got := <-done; got.err != nil || got.request.Action.String() != action {
			t.Fatal(got)
		}
		rejected := make(chan struct{})
		go func() {
			conn.Reject(&auth.Refusal{Why: auth.ErrForbidden, Redirect: "rtmp://b.example:1936/live/x?token=t"})
			conn.Close()
			close(rejected)
		}()
		_, args := cl.expect("onStatus")
		o, _ := amf0.AsObject(args[1])
		ex, _ := o.Get("ex").(amf0.Object)
		if o.Text("code") != "NetConnection.Connect.Rejected" || ex.Text("redirect") != "rtmp://b.example:1936/live" ||
			ex.Text("redirect2") != "rtmp://b.example:1936/live/x?token=t" || ex.Get("code") != amf0.Number(302) {
			t.Errorf("%s: %+v", command, args)
		}
		cl.tcp.Close()
		<-rejected
	}
}
