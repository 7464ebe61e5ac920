package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest/rtmp/chunk"
	"github.com/miju-live/miju/ingest/rtmp/message"
	"github.com/miju-live/miju/ingest/srt/srttest"
	"github.com/miju-live/miju/remux/amf0"
	"github.com/miju-live/miju/remux/flv"
)

// oddly is a server that is brought secrets where they do not belong, by people
// who pasted them into the wrong field and by people who mean harm.
type oddly struct {
	*testServer
	t *testing.T
	// secrets are one of each kind.
	secrets map[string]string
}

// TestSecretsInOddPlaces: neither the log nor any answer repeats them.
func TestSecretsInOddPlaces(t *testing.T) {
	t.Parallel()
	users := filepath.Join(t.TempDir(), "users")
	writeFile(t, users, "truck "+marker+"22 hw/truck\n")
	for name, change := range map[string]func(*config){
		"closed doors": closed,
		"open doors":   func(c *config) { c.Auth.Publish = auth.ByNobody },
		"a trusted proxy": func(c *config) {
			c.Auth.Publish, c.Peers.Trusted = auth.ByNobody, "127.0.0.1"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startWith(t, nil, change, func(c *config) { c.Auth.Users, c.Ingest.MaxNewcomers = users, 10000 })
			s.publishPictures(t, 500)
			o := &oddly{s, t, map[string]string{
				"token":    s.mint(t, auth.ActionsOf(auth.Publish, auth.Play, auth.Chat)),
				"key":      auth.NewStreamKey(),
				"password": marker + ".in.odd-places", // with what no name of a stream can have
			}}
			for kind, secret := range o.secrets {
				o.byNothing(secret)
				o.byRTMP(kind, secret)
				o.bySRT(kind, secret)
				o.byHTTP(kind, secret)
				o.byChat(kind, secret)
			}
			waitFor(t, "all encoders to be gone", func() bool { return s.ingest.Stats().Open == 0 })
			o.check("the log", s.all.String())
			_, ended := s.operate(t, "/api/v1/streams")
			o.check("the publishers that ended last", ended)
		})
	}
}

// check fails the test if a secret is in what was written.
func (o *oddly) check(where, written string) {
	o.t.Helper()
	if !leaks.search(o.t.Name()+", "+where, []byte(written)) {
		o.t.Errorf("a secret is in %s", where)
	}
	for kind, secret := range o.secrets {
		if len(secret) > 20 && strings.Contains(written, secret[:20]) {
			o.t.Errorf("some of the %s is in %s: %s", kind, where, tail(written))
		}
	}
}

// spots put a secret into a text in odd ways.
func spots(secret string) []string {
	return []string{
		secret, "x/" + secret, "x&token=" + secret, "x;token=" + secret, "x%3Ftoken=" + secret, "x?tok%65n=" + secret, "x?token%3D" + secret,
		"x?%zz=" + secret, "x?a?token=" + secret, "x?token=" + secret + "%zz", "x:" + secret, "x@" + secret, secret + "@x", "x," + secret, "x " + secret,
		"x=" + secret, "x\n" + secret, "?" + secret, "?" + secret + "=1", "x#" + secret, "x?hevc=" + secret, "t/" + secret + "/x", secret + "/live/x", "x?token=" + secret + "&token=" + secret,
	}
}

// byNothing says what is of no protocol, or of a proxy's.
func (o *oddly) byNothing(secret string) {
	for _, addr := range []net.Addr{o.rtmp.Addr(), o.http.Addr(), o.admin.Addr()} {
		for _, said := range []string{
			secret, strings.Repeat(secret, 100), "PROXY " + secret + "\r\n", "PROXY TCP4 " + secret + " 127.0.0.1 1 2\r\n", "PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n" + secret,
			"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x10" + secret, "\x16\x03\x01\x00\x40" + secret, "\x03" + strings.Repeat(secret, 100),
		} {
			c, err := net.Dial("tcp", addr.String())
			if err != nil {
				o.t.Fatal(err)
			}
			io.WriteString(c, said) // it may have hung up
			c.(*net.TCPConn).CloseWrite()
			c.SetReadDeadline(time.Now().Add(patience))
			b, _ := io.ReadAll(io.LimitReader(c, 64<<10))
			c.Close()
			// RTMP's handshake sends back what came.
			if !strings.HasPrefix(said, "\x03") {
				o.check(fmt.Sprintf("an answer of %s to %q", addr, strings.ReplaceAll(said, secret, "SECRET")), string(b))
			}
		}
	}
}

// byRTMP speaks by itself: no client would say these things.
func (o *oddly) byRTMP(kind, secret string) {
	connect := func(app string) message.Command {
		return message.Command{Name: "connect", Transaction: 1, Args: []amf0.Value{amf0.Object{
			{Name: "app", Value: amf0.String(app)},
			{Name: "type", Value: amf0.String("nonprivate")},
			{Name: "flashVer", Value: amf0.String("FMLE/3.0 " + secret)},
			{Name: "swfUrl", Value: amf0.String("http://x/?" + secret)},
			{Name: "tcUrl", Value: amf0.String("rtmp://x:" + secret + "@x/live?" + secret)},
			{Name: secret, Value: amf0.String(secret)},
		}}}
	}
	ask := func(name string, args ...amf0.Value) message.Command {
		return message.Command{Name: name, Transaction: 4, Stream: message.StreamID, Args: append([]amf0.Value{amf0.Null{}}, args...)}
	}
	text := func(s string) amf0.Value { return amf0.String(s) }
	sessions := [][]message.Command{
		{ask(secret)},
		{ask(secret), connect("live")},
		{connect("live"), connect(secret)},
		{connect("live"), ask(secret, text(secret)), ask("publish", text("x-"+kind), text(secret))},
		{connect("live"), ask("releaseStream", text(secret)), ask("FCPublish", text(secret)), ask("publish", text("x?token="+secret), text("live"), text(secret)), ask("publish", text(secret))},
		{connect("hw?authmod=adobe&user=" + secret)},
		{connect("hw?authmod=adobe&user=truck&response=" + secret + "&challenge=" + secret + "&opaque=" + secret)},
		{connect("hw?authmod=" + secret)},
	}
	for _, spot := range spots(secret) {
		sessions = append(sessions, []message.Command{connect(spot), ask("publish", text("x"))}, []message.Command{connect("live/" + spot), ask("publish", text("x"))},
			[]message.Command{connect("live"), ask("publish", text(spot))}, []message.Command{connect("live"), ask("play", text(spot))})
	}
	for _, s := range sessions {
		o.sayByRTMP(kind, secret, s)
	}
}

// sayByRTMP says some commands, at last metadata, and hears the answers out.
func (o *oddly) sayByRTMP(kind, secret string, commands []message.Command) {
	socket, err := net.Dial("tcp", o.rtmp.Addr().String())
	if err != nil {
		o.t.Fatal(err)
	}
	defer socket.Close()
	limits := chunk.Limits{MaxMessage: 1 << 20, MaxChunkStreams: 64, MaxPartial: 1 << 20}
	link := message.NewConn(socket, patience, limits)
	defer link.End()
	if err := link.Connect(); err != nil {
		o.t.Fatal(err)
	}
	for _, c := range commands {
		link.SendCommand(3, c)
	}
	link.Send(chunk.Message{ChunkStream: 4, Type: flv.TypeScript, Stream: message.StreamID, Body: amf0.Append(nil,
		amf0.String("@setDataFrame"), amf0.String("onMetaData"), amf0.ECMAArray{{Name: "encoder", Value: amf0.String(secret)}, {Name: secret, Value: amf0.Number(1)}})})
	link.SendCommand(3, message.Command{Name: "deleteStream", Args: []amf0.Value{amf0.Null{}, amf0.Number(1)}})
	link.Flush(patience) // a server that is gone has heard enough
	socket.(*net.TCPConn).CloseWrite()
	socket.SetReadDeadline(time.Now().Add(patience))
	for {
		m, err := link.ReadMessage()
		if err != nil {
			return
		}
		// Who brings its secret as the user that it wants to be is asked by name.
		if asks := strings.Contains(string(m.Body), "reason=needauth&user="+secret); message.IsCommand(m.Type) && !asks {
			o.check(fmt.Sprintf("an answer by RTMP to %s in %s", kind, strings.ReplaceAll(fmt.Sprint(commands), secret, "SECRET")), string(m.Body))
		}
	}
}

func (o *oddly) bySRT(kind, secret string) {
	ids := []string{
		"#!" + secret, "#!:" + secret, "#!::" + secret, "#!::r=" + secret, "#!::r=live/x,m=" + secret, "#!::r=live/x,t=" + secret, "#!::r=live/x,m=publish,token=" + secret + ",token=" + secret,
		"#!::r=live/x,m=publish,token=%zz" + secret, "#!::r=live/" + secret + ",m=publish", "#!::u=" + secret + ",r=live/x", "#!::r=%zz" + secret + ",m=publish",
		secret + ":live/x", "publish:" + secret, "publish:live/x:" + secret, "publish:live/x?%zz" + secret, "publish:live/x:" + secret + ":" + secret, "%23!::r=" + secret, "live/x\xff" + secret,
	}
	for _, spot := range spots(secret) {
		ids = append(ids, spot, "publish:live/"+spot, "request:"+spot, "publish:"+spot, "#!::m=publish,r="+spot)
	}
	for _, id := range ids {
		if len(id) > 512 {
			continue
		}
		if c, err := srttest.Call(o.srt.Addr(), id, 0); err == nil {
			c.Leave()
		}
	}
}

func (o *oddly) byHTTP(kind, secret string) {
	at := func(path string, header ...string) {
		o.sayByHTTP(kind, secret, fmt.Sprintf("GET %s HTTP/1.1\r\nHost: x\r\n%s", path, strings.Join(header, "\r\n")))
	}
	for _, spot := range append(spots(secret), "x."+secret, "x.flv;token="+secret, "x/"+secret+".m3u8", "x.flv?token%zz="+secret) {
		escaped := strings.NewReplacer("\n", "%0a", " ", "%20", "#", "%23").Replace(spot)
		for _, path := range []string{"/", "/live/", "/live/x/", "/live/x/chat/", "/api/check/", "/t/"} {
			at(path + escaped)
			at(path + url.PathEscape(spot))
		}
	}
	for _, name := range []string{
		"Authorization: ", "Authorization: Basic ", "Authorization: Bearer ", "Origin: ", "Referer: http://x/", "User-Agent: ", "Cookie: ", "X-Forwarded-For: ", "Forwarded: for=",
		"Last-Event-ID: ", "Range: bytes=", "If-None-Match: ", "Miju-CDN-Secret: ", "Upgrade: ", "Connection: ", "Content-Length: ", "Transfer-Encoding: ", "Expect: ", "",
	} {
		for _, path := range []string{"/live/x.flv?x", "/live/x.m3u8", "/live/x/video.m3u8?_HLS_msn=" + secret, "/live/x/chat", "/live/x/chat/events?resume=" + secret, "/live/x/chat/events?guest=x&history=" + secret} {
			o.sayByHTTP(kind, secret, fmt.Sprintf("HEAD %s HTTP/1.1\r\nHost: x\r\n%s%s", path, name, secret))
			o.sayByHTTP(kind, secret, fmt.Sprintf("OPTIONS %s HTTP/1.1\r\nHost: x\r\n%s%s", path, name, secret))
		}
	}
	for _, request := range []string{
		secret, secret + " / HTTP/1.1", "GET " + secret + " HTTP/1.1", "GET / " + secret, "GET / HTTP/1.1\r\nHost: " + secret, "GET / HTTP/1.1\r\nHost: x\r\n" + secret + ": 1",
		"GET / HTTP/1.1\r\nHost: x\r\n " + secret, "GET http://x:" + secret + "@x/live/x.flv HTTP/1.1\r\nHost: x", secret + " /live/x.flv HTTP/1.1\r\nHost: x", secret + " /live/x/chat/events HTTP/1.1\r\nHost: x",
		"GET /live/x/chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + secret,
		"GET /live/x/chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: " + secret + ", bearer." + secret,
		"GET /live/x.flv HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: " + secret + "\r\nSec-WebSocket-Key: " + secret + "\r\nSec-WebSocket-Protocol: " + secret,
	} {
		o.sayByHTTP(kind, secret, request)
	}
	for _, path := range []string{"/api/v1/streams/live/", "/api/v1/", "/debug/pprof/", "/", "/api/v1/rooms/live/"} {
		for _, method := range []string{http.MethodGet, http.MethodDelete, http.MethodPost} {
			a := ask(o.t, method, o.adminURL(path+secret), "Authorization", "Bearer "+secret, "Content-Type", "application/json")
			o.check("an operator's answer to "+method+" "+path, a.body)
		}
	}
}

// sayByHTTP sends a head and reads the answer, of what plays the beginning.
func (o *oddly) sayByHTTP(kind, secret, head string) {
	c, err := net.Dial("tcp", o.http.Addr().String())
	if err != nil {
		o.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	method, _, _ := strings.Cut(head, " ")
	fmt.Fprintf(c, "%s\r\nConnection: close\r\n\r\n", head)
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		return // hung up
	}
	var answer strings.Builder
	resp.Header.Write(&answer)
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusSwitchingProtocols && kind != "text/event-stream" && !strings.HasPrefix(kind, "video/") {
		io.Copy(&answer, io.LimitReader(resp.Body, 64<<10))
	}
	o.check(fmt.Sprintf("an answer by HTTP to %s in %q", kind, strings.ReplaceAll(head, secret, "SECRET")), answer.String())
}

func (o *oddly) byChat(kind, secret string) {
	commands := []string{
		secret, `{"type":"` + secret + `"}`, `{"type":"join","token":{"` + secret + `":1}}`, `{"type":"join","token":"` + secret + `","guest":"x"}`, `{"type":"join","resume":"` + secret + `"}`,
		`{"type":"join","` + secret + `":1,"token":"x` + secret + `"}`, `{"type":"say","text":"` + secret + `"}`, `{"type":"set","` + secret + `":true}`,
	}
	for _, command := range commands {
		e := &ear{first: make(chan string, 1), closed: make(chan string, 1), heard: func(b []byte) {
			o.check("a chat's answer to "+kind+" in "+strings.ReplaceAll(command, secret, "SECRET"), string(b))
		}}
		socket, _, err := gws.NewClient(e, &gws.ClientOption{Addr: "ws" + strings.TrimPrefix(o.url("/live/x/chat?token="+secret+"&guest="+secret), "http")})
		if err != nil {
			o.t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { defer close(ended); socket.ReadLoop() }()
		ctx, cancel := context.WithTimeout(o.t.Context(), 50*time.Millisecond) // some have no answer
		socket.WriteMessage(gws.OpcodeText, []byte(command))
		socket.WritePing(nil)
		select {
		case <-e.first:
		case <-ctx.Done():
		}
		cancel()
		socket.NetConn().Close()
		<-ended
	}
}
