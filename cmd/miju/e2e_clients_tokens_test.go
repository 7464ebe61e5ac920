package main

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest/rtmp/chunk"
	"github.com/miju-live/miju/ingest/rtmp/message"
	"github.com/miju-live/miju/remux/amf0"
)

// maxOBS is how long OBS's stream key may be, in bytes: its commands have 1024.
const maxOBS = 1000

// publishAsOBS sends what OBS does until it is answered, with a stream key as
// its user typed it, and returns the code of the answer.
func publishAsOBS(t *testing.T, addr, streamKey string) string {
	t.Helper()
	socket, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	socket.SetDeadline(time.Now().Add(patience))
	link := message.NewConn(socket, patience, chunk.Limits{MaxMessage: 1 << 16, MaxChunkStreams: 64, MaxPartial: 1 << 16})
	defer link.End()
	if err := link.Connect(); err != nil {
		t.Fatal(err)
	}
	link.SetChunkSize(4096)
	at := amf0.String("rtmp://" + addr + "/live")
	link.SendCommand(3, message.Command{Name: "connect", Transaction: 1, Args: []amf0.Value{amf0.Object{
		{Name: "app", Value: amf0.String("live")},
		{Name: "type", Value: amf0.String("nonprivate")},
		{Name: "flashVer", Value: amf0.String("FMLE/3.0 (compatible; FMSc/1.0)")},
		{Name: "swfUrl", Value: at},
		{Name: "tcUrl", Value: at},
	}}})
	key := amf0.String(streamKey)
	for {
		m, err := link.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		if !message.IsCommand(m.Type) {
			continue
		}
		c, err := message.ParseCommand(m)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case c.Name == "_result" && c.Transaction == 1:
			link.SendCommand(3, message.Command{Name: "releaseStream", Transaction: 2, Args: []amf0.Value{amf0.Null{}, key}})
			link.SendCommand(3, message.Command{Name: "FCPublish", Transaction: 3, Args: []amf0.Value{amf0.Null{}, key}})
			link.SendCommand(3, message.Command{Name: "createStream", Transaction: 4, Args: []amf0.Value{amf0.Null{}}})
		case c.Name == "_result" && c.Transaction == 4:
			link.SendCommand(4, message.Command{Name: "publish", Transaction: 5, Stream: 1, Args: []amf0.Value{amf0.Null{}, key, amf0.String("live")}})
		case c.Name == "onStatus", c.Name == "_error":
			o, _ := c.Object(1)
			return o.Text("code")
		}
	}
}

// TestOBSBringsTokens types all that fits into OBS's fields.
func TestOBSBringsTokens(t *testing.T) {
	t.Parallel()
	s := startWith(t, nil, closed)
	token := func(length int) string {
		name := ""
		for {
			token := s.mint(t, auth.ActionsOf(auth.Publish), func(c *auth.Claims) { c.Name = name })
			if len(token) >= length {
				return token
			}
			name += "a"
		}
	}
	short, long := token(0), token(maxOBS-len("alice?token=")-2)
	secret := auth.NewStreamKey()
	key, err := run(t, nil, "key", "create", "live/alice", "--data-dir", s.config.Data.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for typed, want := range map[string]string{
		"alice?token=" + short: "NetStream.Publish.Start", "alice?token=" + long: "NetStream.Publish.Start", "alice?a=b&token=" + short: "NetStream.Publish.Start",
		" alice?token=" + short: "NetStream.Publish.Rejected", "alice?token=" + short + "=": "NetStream.Publish.Denied", "alice": "NetStream.Publish.Denied",
		"alice?token=" + strings.TrimSpace(key): "NetStream.Publish.Start", "alice?token=" + secret: "NetStream.Publish.Denied", strings.TrimSpace(key): "NetStream.Publish.Rejected",
	} {
		if len(typed) > maxOBS {
			t.Errorf("OBS has no room for %d characters", len(typed))
		}
		if got := publishAsOBS(t, s.rtmp.Addr().String(), typed); got != want {
			t.Errorf("%s: %s, want %s", typed, got, want)
		}
		waitFor(t, "it to be gone", func() bool { return s.ingest.Stats().Open == 0 })
	}
	s.tellsNothing(t)
}

// TestClientsBringTokens has programs of others bring a token in each place that
// they have for one, besides those of TestEncodersBringTokens.
func TestClientsBringTokens(t *testing.T) {
	t.Parallel()
	files, _ := certificateFiles(t)
	s := startWith(t, nil, closed, demo, func(c *config) { c.RTMP.ListenTLS, c.TLS = "127.0.0.1:0", files })
	s.waitLive(t, "demo")
	secure := "rtmps://" + s.rtmps.Addr().String() + "/live/"
	publish := func(name string) string {
		return name + "?token=" + s.mint(t, auth.ActionsOf(auth.Publish), func(c *auth.Claims) { c.Keys = auth.Patterns{"live/" + name} })
	}
	push(t, "h264-aac.flv", "flv", secure+publish("tls"))
	spawn(t, "gst-launch-1.0", "-q", "filesrc", "location="+clipPath("h264-aac.flv"), "!", "flvdemux", "name=d",
		"flvmux", "name=m", "streamable=true", "!", "rtmp2sink", "sync=true", "location="+s.rtmpURL(publish("gstreamer")),
		"d.video", "!", "queue", "!", "h264parse", "!", "m.", "d.audio", "!", "queue", "!", "aacparse", "!", "m.")
	s.waitLive(t, "gstreamer")

	token := s.mint(t, auth.ActionsOf(auth.Play), ofDemo)
	header := []string{"-headers", "Authorization: Bearer " + token + "\r\n"}
	plays := map[string][]string{"RTMPS": {secure + "demo?token=" + token}}
	for _, x := range []string{".flv", ".ts", ".m3u8"} {
		plays["header"+x] = append(header[:2:2], "-i", s.url("/live/demo"+x))
		plays["path"+x] = []string{s.url("/t/" + token + "/live/demo" + x)}
	}
	players := map[string]*program{}
	for name, args := range plays {
		if len(args) == 1 {
			args = []string{"-i", args[0]}
		}
		players[name] = spawn(t, "ffmpeg", append(append([]string{"-hide_banner", "-nostdin", "-v", "error"}, args...), "-t", "1", "-f", "null", "-")...)
	}
	transmit := spawn(t, "srt-live-transmit", "-q", fmt.Sprintf("srt://%s?streamid=%s", s.srt.Addr(), url.QueryEscape("#!::r=live/demo,m=request,token="+token)), "file://con")
	for name, p := range players {
		if err := p.wait(t); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	waitFor(t, "srt-live-transmit to receive", func() bool { return len(transmit.output.String()) > 10000 })
	s.waitLive(t, "tls")
	s.tellsNothing(t)
}
