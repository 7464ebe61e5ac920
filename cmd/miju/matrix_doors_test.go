package main

import (
	"context"
	"crypto/md5"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/datarhei/gosrt/crypto"
	srtpacket "github.com/datarhei/gosrt/packet"
	"github.com/lxzan/gws"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest/rtmp/client"
	"github.com/miju-live/miju/ingest/srt/srttest"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/flv"
)

// A door is one protocol, and what is asked of it.
type door struct {
	name string
	// column and row are its names in the tables of docs/auth.md.
	column, row string
	action      auth.Action
	// path is what stands behind app/name in what is signed.
	path string
	// knock asks to be let in. told is the answer in the words of the table if
	// that was no, the visit is nil then.
	knock func(ctx context.Context, m *matrix, c call) (v *visit, told string, err error)
}

// A visit is somebody who was let in.
type visit struct {
	leave func()
	// end waits until the server has ended it and returns what was said.
	end func() (told string, err error)
}

type knock = func(context.Context, *matrix, call) (*visit, string, error)

// A call is what somebody brings to a door, wherever the protocol has a place
// for it.
type call struct {
	app, name  string
	query      string // behind the name
	appQuery   string // behind the app
	member     string // of a stream ID
	password   string // of a stream ID in the form publish:KEY:USER:PASSWORD
	passphrase string
	bearer     string
	prefix     string // before the path
	edge       string // what a trusted edge brings
	protocol   string // a WebSocket's, offered beside the one of the door
	join       string
	user, pass string
}

// path is where the stream is by HTTP.
func (c *call) path() string { return c.prefix + "/" + c.app + "/" + c.name }

// doors are all of them.
func doors() []door {
	file := func(path string) knock {
		return func(ctx context.Context, m *matrix, c call) (*visit, string, error) {
			return m.get(ctx, m.httpURL(c.path()+path), c, nil)
		}
	}
	const publishes, plays = "RTMP, RTMPS: publish", "RTMP, RTMPS: play"
	const flvRow, reads = "HTTP-FLV, WS-FLV, HTTP-TS, HLS", "chat: `events`, `index.json`"
	return []door{
		{"RTMP publish", publishes, "RTMP publish", auth.Publish, "", rtmpKnock(false, true)},
		{"RTMPS publish", publishes, "RTMP publish", auth.Publish, "", rtmpKnock(true, true)},
		{"RTMP play", plays, "RTMP play", auth.Play, "", rtmpKnock(false, false)},
		{"RTMPS play", plays, "RTMP play", auth.Play, "", rtmpKnock(true, false)},
		{"SRT publish", "SRT: publish", "SRT", auth.Publish, "", srtKnock("publish")},
		{"SRT play", "SRT: play", "SRT", auth.Play, "", srtKnock("request")},
		{"HTTP-FLV", "HTTP-FLV, HTTP-TS, HLS", flvRow, auth.Play, ".flv", file(".flv")},
		{"HTTP-TS", "HTTP-FLV, HTTP-TS, HLS", flvRow, auth.Play, ".ts", file(".ts")},
		{"HLS", "HTTP-FLV, HTTP-TS, HLS", flvRow, auth.Play, ".m3u8", file(".m3u8")},
		{"HLS, media playlist", "HTTP-FLV, HTTP-TS, HLS", flvRow, auth.Play, "/video.m3u8", file("/video.m3u8")},
		{"WS-FLV", "WS-FLV", flvRow, auth.Play, ".flv", func(ctx context.Context, m *matrix, c call) (*visit, string, error) {
			return m.get(ctx, m.httpURL(c.path()+".flv"), c, http.Header{
				"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
			})
		}},
		{"chat", "chat: WebSocket", "chat: WebSocket", auth.Chat, "", chatKnock},
		{"chat events", reads, reads, auth.Chat, "", file("/chat/events")},
		{"chat index", reads, reads, auth.Chat, "", file("/chat/index.json")},
		{"check", "check of an edge", flvRow, auth.Play, ".m3u8", func(ctx context.Context, m *matrix, c call) (*visit, string, error) {
			return m.get(ctx, m.httpURL("/api/check"+c.path()+".m3u8"), c, nil)
		}},
		{"operators", "operators", "operators", auth.Admin, "", func(ctx context.Context, m *matrix, c call) (*visit, string, error) {
			return m.get(ctx, m.admin+"/api/v1/streams", c, nil)
		}},
	}
}

// get asks by HTTP.
func (m *matrix) get(ctx context.Context, at string, c call, header http.Header) (*visit, string, error) {
	if c.query != "" {
		at += "?" + c.query
	}
	ctx, cancel := context.WithCancel(ctx)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		cancel()
		return nil, "", err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	if c.bearer != "" {
		r.Header.Set("Authorization", "Bearer "+c.bearer)
	}
	if c.edge != "" {
		r.Header.Set(auth.EdgeHeader, c.edge)
	}
	w, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		cancel()
		return nil, "", err
	}
	leave := func() { w.Body.Close(); cancel() }
	if w.StatusCode == http.StatusOK || w.StatusCode == http.StatusSwitchingProtocols {
		end := func() (string, error) {
			b, err := io.ReadAll(w.Body)
			if closing := regexp.MustCompile(`"code":(\d+)`).FindSubmatch(b); closing != nil { // of events
				return string(closing[1]), err
			}
			return "", err
		}
		return &visit{leave, end}, "", nil
	}
	defer leave()
	b, err := io.ReadAll(io.LimitReader(w.Body, 4<<10))
	var body struct{ Error, Message string }
	if err == nil {
		err = json.Unmarshal(b, &body)
	}
	if err == nil && body.Message == "" {
		err = fmt.Errorf("an answer without a message: %s", b)
	}
	told := fmt.Sprint(w.StatusCode, " ", body.Error)
	if authenticate := w.Header.Get("WWW-Authenticate"); authenticate != "" {
		told += " WWW-Authenticate: " + authenticate
	}
	return nil, told, err
}

// statusOf is a refusal by RTMP in the table's words.
func statusOf(err error) (string, error) {
	status, ok := errors.AsType[*client.StatusError](err)
	if !ok {
		return "", err
	}
	leaks.search("a refusal by RTMP", []byte(status.Description))
	return strings.TrimSpace(status.Code + " " + regexp.MustCompile(`\?reason=\w+`).FindString(status.Description)), nil
}

func rtmpKnock(secure, publish bool) knock {
	return func(ctx context.Context, m *matrix, c call) (*visit, string, error) {
		cl, err := m.dialRTMP(ctx, secure, c)
		if err != nil {
			told, err := statusOf(err)
			return nil, told, err
		}
		v := &visit{leave: func() { cl.Close() }}
		if publish {
			err = cl.Publish(ctx, flv.Enhanced)
			v.end = func() (string, error) { return statusOf(publishToEnd(ctx, cl)) }
		} else {
			err = cl.Play(ctx)
			v.end = func() (string, error) {
				for {
					if _, err := cl.ReadFrame(ctx); err != nil {
						return statusOf(err)
					}
				}
			}
		}
		if err != nil {
			cl.Close()
			told, err := statusOf(err)
			return nil, told, err
		}
		return v, "", nil
	}
}

// dialRTMP connects, with a name and a password too: authmod=adobe takes three
// connections for it.
func (m *matrix) dialRTMP(ctx context.Context, secure bool, c call) (*client.Client, error) {
	d := client.Dialer{TLS: &tls.Config{RootCAs: m.pool, MinVersion: tls.VersionTLS12}}
	host := "rtmp://" + m.at.rtmp
	if secure {
		host = "rtmps://" + m.at.rtmps
	}
	dial := func(appQuery string) (*client.Client, error) {
		at := host + "/" + c.app
		if appQuery != "" {
			at += url.PathEscape("?" + appQuery)
		}
		if at += "/" + c.name; c.query != "" {
			at += "?" + c.query
		}
		return d.Dial(ctx, at)
	}
	cl, err := dial(c.appQuery)
	for range 2 {
		status, asks := errors.AsType[*client.StatusError](err)
		if !asks || c.user == "" {
			break
		}
		cl, err = dial(answerTo(status.Description, c.user, c.pass))
	}
	return cl, err
}

// publishToEnd publishes in real time until the server has enough of it.
func publishToEnd(ctx context.Context, cl *client.Client) error {
	source := &mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2)}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; {
		f := source.Next()
		if err := cl.WriteFrame(ctx, &f); err != nil {
			return err
		}
		for f.DTS > time.Since(began) {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// answerTo makes the query that answers a server's question (authmod=adobe).
func answerTo(question, user, password string) string {
	_, behind, _ := strings.Cut(question, "?")
	q, _ := url.ParseQuery(behind)
	query := "authmod=adobe&user=" + user
	if q.Get("reason") != "needauth" {
		return query
	}
	sum := func(s string) string {
		b := md5.Sum([]byte(s))
		return base64.StdEncoding.EncodeToString(b[:])
	}
	own := "b3du"
	return query + "&challenge=" + own + "&opaque=" + q.Get("opaque") + "&response=" + sum(sum(user+q.Get("salt")+password)+q.Get("opaque")+own)
}

// rejection is how a caller by SRT prints a code, as it is on the wire with 1000 before
// it.
var rejection = regexp.MustCompile(`refused: (\d+)$`)

func srtKnock(mode string) knock {
	return func(ctx context.Context, m *matrix, c call) (*visit, string, error) {
		resource := c.app + "/" + c.name
		if c.query != "" {
			resource += "?" + c.query
		}
		id := mode + ":" + resource
		switch {
		case c.member != "":
			id = "#!::r=" + resource + ",m=" + mode + "," + c.member
		case c.password != "":
			id += ":bob:" + c.password
		}
		if len(id) > 512 {
			return nil, "", fmt.Errorf("a stream ID of %d characters", len(id))
		}
		encrypt, err := encrypted(c.passphrase)
		if err != nil {
			return nil, "", err
		}
		caller, err := srttest.CallWith(m.at.udp(), id, 0, encrypt)
		if err == nil {
			return &visit{caller.Leave, func() (string, error) { return "", srtToEnd(ctx, caller, mode) }}, "", nil
		}
		code := rejection.FindStringSubmatch(err.Error())
		if code == nil {
			return nil, "", err
		}
		n, err := strconv.Atoi(code[1])
		if n >= 2000 { // of access control; below are SRT's own, as they are on the wire
			n -= 1000
		}
		return nil, fmt.Sprint(n), err
	}
}

// encrypted makes a caller's handshake that of one that encrypts.
func encrypted(passphrase string) (func(*srtpacket.CIFHandshake), error) {
	if passphrase == "" {
		return func(*srtpacket.CIFHandshake) {}, nil
	}
	km := &srtpacket.CIFKeyMaterialExtension{}
	c, err := crypto.New(16)
	if err == nil {
		err = c.MarshalKM(km, passphrase, srtpacket.EvenKeyEncrypted)
	}
	return func(h *srtpacket.CIFHandshake) { h.HasKM, h.SRTKM, h.EncryptionField = true, km, 0 }, err
}

// srtToEnd sends stuffing, or lets itself be sent to, until the server ends it.
func srtToEnd(ctx context.Context, caller *srttest.Caller, mode string) error {
	null := []byte{0x47, 0x1f, 0xff, 0x10}
	null = append(null, make([]byte, 188-len(null))...)
	began := time.Now()
	return caller.AwaitGoodbye(ctx, func() {
		caller.KeepAlive()
		if mode == "publish" {
			caller.Send(null, time.Since(began))
		}
	})
}

// ear is a member of a chat who hears how it is received, and how it ends.
type ear struct {
	gws.BuiltinEventHandler
	once   sync.Once
	first  chan string // "" for a welcome, else the code that closes
	closed chan string
	heard  func([]byte) // what else there is to do with all that is said, or nil
}

// OnMessage implements gws.Event.
func (e *ear) OnMessage(_ *gws.Conn, message *gws.Message) {
	defer message.Close()
	leaks.search("an event of a chat", message.Bytes())
	if e.heard != nil {
		e.heard(message.Bytes())
	}
	var event struct{ Type string }
	if json.Unmarshal(message.Bytes(), &event) == nil && event.Type == "welcome" {
		e.once.Do(func() { e.first <- "" })
	}
}

// OnClose implements gws.Event.
func (e *ear) OnClose(_ *gws.Conn, err error) {
	told := fmt.Sprint(err)
	if c, ok := errors.AsType[*gws.CloseError](err); ok {
		told = fmt.Sprint(c.Code)
	}
	e.once.Do(func() { e.first <- told })
	e.closed <- told
}

func chatKnock(ctx context.Context, m *matrix, c call) (*visit, string, error) {
	header := http.Header{}
	if c.bearer != "" {
		header.Set("Authorization", "Bearer "+c.bearer)
	}
	if c.protocol != "" {
		header.Set("Sec-WebSocket-Protocol", "miju.chat.v1, "+c.protocol)
	}
	at := "ws" + strings.TrimPrefix(m.httpURL(c.path()+"/chat"), "http")
	if c.query != "" {
		at += "?" + c.query
	}
	e := &ear{first: make(chan string, 1), closed: make(chan string, 1)}
	socket, resp, err := gws.NewClient(e, &gws.ClientOption{Addr: at, RequestHeader: header})
	if err != nil {
		return nil, "", err
	}
	leaks.search("a chat's handshake", fmt.Append(nil, resp.Header))
	ended := make(chan struct{})
	go func() { defer close(ended); socket.ReadLoop() }()
	leave := func() { socket.NetConn().Close(); <-ended }
	join, err := json.Marshal(map[string]string{"type": "join", "token": c.join})
	if err == nil {
		err = socket.WriteMessage(gws.OpcodeText, join)
	}
	if err != nil {
		leave()
		return nil, "", err
	}
	select {
	case told := <-e.first:
		if told == "" {
			return &visit{leave, func() (string, error) {
				select {
				case told := <-e.closed:
					return told, nil
				case <-ctx.Done():
					return "", ctx.Err()
				}
			}}, "", nil
		}
		leave()
		return nil, told, nil
	case <-ctx.Done():
		leave()
		return nil, "", ctx.Err()
	}
}
