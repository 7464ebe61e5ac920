package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest/rtmp/client"
	"github.com/miju-live/miju/ingest/srt/srttest"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/flv"
)

// backendProcess is a reference backend of testdata, which can be killed and
// started anew.
type backendProcess struct {
	*program
	bin, addr, journal string
	args               []string
}

// runBackend builds and starts one. It is told what is signed by the secret in a
// file.
func runBackend(t *testing.T, name string, args ...string) *backendProcess {
	t.Helper()
	dir := t.TempDir()
	b := &backendProcess{bin: filepath.Join(dir, name), addr: freeAddr(t), journal: filepath.Join(dir, "journal")}
	if out, err := exec.Command("go", "build", "-o", b.bin, "../../testdata/"+name).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b.args = append([]string{"-listen", b.addr, "-journal", b.journal}, args...)
	b.begin(t)
	return b
}

func (b *backendProcess) begin(t *testing.T) {
	b.program = spawn(t, b.bin, b.args...)
	waitFor(t, "the backend to listen", func() bool {
		c, err := net.Dial("tcp", b.addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// journalEvent is an event as the backend keeps it.
type journalEvent struct {
	ID, Type, Stream, Session, Reason string
	Sequence, Viewers                 int
	Publisher                         map[string]string
	Server                            string
}

// events are those of the journal, by stream.
func (b *backendProcess) events(t *testing.T) map[string][]journalEvent {
	t.Helper()
	text, err := os.ReadFile(b.journal)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]journalEvent{}
	for line := range strings.Lines(string(text)) {
		var e journalEvent
		if json.Unmarshal([]byte(line), &e) == nil {
			all[e.Stream] = append(all[e.Stream], e)
		}
	}
	return all
}

// types are those of a stream's events, in their order, with the reasons.
func (b *backendProcess) types(t *testing.T, stream string) string {
	t.Helper()
	var all []string
	for _, e := range b.events(t)[stream] {
		if e.Type != "stream.viewers" {
			all = append(all, strings.TrimSpace(strings.TrimPrefix(e.Type, "stream.")+" "+e.Reason))
		}
	}
	return strings.Join(all, ", ")
}

// shortPublisher publishes pictures.
type shortPublisher struct {
	*client.Client
	socket net.Conn
	source mediatest.Source
}

func publishShortly(ctx context.Context, url string) (*shortPublisher, error) {
	p := &shortPublisher{source: mediatest.Source{Video: mediatest.H264Track(1), GOP: 30, FrameBytes: 500}}
	d := client.Dialer{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		var dialer net.Dialer
		c, err := dialer.DialContext(ctx, network, address)
		p.socket = c
		return c, err
	}}
	var err error
	if p.Client, err = d.Dial(ctx, url); err != nil {
		return nil, err
	}
	if err = p.Publish(ctx, flv.Enhanced); err == nil {
		err = p.write(ctx, 3)
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (p *shortPublisher) write(ctx context.Context, n int) error {
	for range n {
		f := p.source.Next()
		if err := p.WriteFrame(ctx, &f); err != nil {
			return err
		}
	}
	return nil
}

// cut ends it without a goodbye.
func (p *shortPublisher) cut() {
	p.socket.Close()
	p.Close()
}

// hooked leaves all doors to the application at an address.
func hooked(addr string) func(*config) {
	return func(c *config) {
		c.Auth.Publish, c.Auth.Play, c.Auth.Chat = auth.ByHook, auth.ByHook, auth.ByHook
		c.Hooks.URL, c.Hooks.Decides, c.Hooks.Viewers = "http://"+addr+"/", "message", time.Second
		c.Ingest.Probe = 0
	}
}

func secretFile(t *testing.T) (path, secret string) {
	path, secret = filepath.Join(t.TempDir(), "hook.secret"), auth.NewSecret()
	writeFile(t, path, secret+"\n")
	return path, secret
}

// TestBackendDecides has the reference backend decide by tokens of its own, and
// holds that its reasons reach peers of every protocol.
func TestBackendDecides(t *testing.T) {
	t.Parallel()
	path, secret := secretFile(t)
	b := runBackend(t, "hookbackend", "-secret", path, "-tokens", "the-good-one=alice,the-unpaid-one=")
	s := startWith(t, nil, hooked(b.addr), func(c *config) { c.Hooks.Secret = path })
	s.secrets = []string{secret, "the-good-one", "the-unpaid-one"}
	const unpaid = "the subscription has ended"

	var status *client.StatusError
	if _, err := publishShortly(t.Context(), s.rtmpURL("x?token=the-unpaid-one")); !errors.As(err, &status) || status.Code != "NetStream.Publish.Denied" || status.Description != "denied: "+unpaid {
		t.Errorf("RTMP: %v", err)
	}
	for token, code := range map[string]string{"the-unpaid-one": "1403", "unknown": "1401"} {
		c, err := srttest.Call(s.srt.Addr(), "#!::r=live/x,m=publish,token="+token, 0)
		if err == nil {
			c.Leave()
		}
		if err == nil || !strings.HasSuffix(err.Error(), " 2"+code[1:]) { // 1000 more on the wire
			t.Errorf("SRT: %v, want %s", err, code)
		}
	}
	push(t, "h264-aac.flv", "flv", s.rtmpURL("x?token=the-good-one"))
	s.waitLive(t, "x")
	for _, file := range []string{"x.flv", "x.ts", "x.m3u8"} {
		if status, body, _ := getAs(t, s.url("/live/"+file+"?token=the-unpaid-one"), ""); status != http.StatusForbidden || !strings.Contains(body, unpaid) {
			t.Errorf("%s: %d %s", file, status, body)
		}
		if status, body, h := getAs(t, s.url("/live/"+file), ""); status != http.StatusUnauthorized || !strings.Contains(body, "who are you?") || h.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d %s", file, status, body)
		}
	}
	if status, body, _ := getAs(t, s.url("/live/x.m3u8?token=the-good-one"), ""); status != http.StatusOK || !strings.Contains(body, "token=the-good-one") {
		t.Errorf("%d %s", status, body)
	}
	room := "ws" + strings.TrimPrefix(s.url("/live/x/chat"), "http")
	l, err := dialChat(room)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	l.send(t, `{"type":"join","token":"the-unpaid-one"}`)
	if e := l.next(t, "error"); !strings.Contains(e.raw, `"code":"refused"`) || !strings.Contains(e.raw, unpaid) {
		t.Errorf("%s", e.raw)
	}
	if code := l.closeCode(t); code != 4101 {
		t.Errorf("closed with %d", code)
	}
	m, w := enterChat(t, room, `{"type":"join","token":"the-good-one"}`)
	defer m.close()
	if !strings.Contains(w.raw, `"id":"alice"`) {
		t.Errorf("%s", w.raw)
	}
	m.send(t, `{"type":"say","id":"1","text":"something rude"}`)
	if e := m.next(t, "error"); !strings.Contains(e.raw, "not like that") {
		t.Errorf("%s", e.raw)
	}
	m.say(t, "2", "something nice")
	if status, body, _ := getAs(t, s.url("/live/x/chat/index.json?token=the-unpaid-one"), ""); status != http.StatusForbidden || !strings.Contains(body, unpaid) {
		t.Errorf("%d %s", status, body)
	}
	if asked := s.metric(t, `miju_hook_questions_total{outcome="denied",question="play"}`); asked != 6 {
		t.Errorf("denied %v times", asked)
	}
	s.tellsNothing(t)
}

// TestBackendIsTold what happens to a stream, whatever happens to the backend
// meanwhile.
func TestBackendIsTold(t *testing.T) {
	t.Parallel()
	path, _ := secretFile(t)
	b := runBackend(t, "hookbackend", "-secret", path)
	s := start(t, func(c *config) {
		c.Hooks.URL, c.Hooks.Viewers, c.Hooks.Secret, c.Ingest.Probe = "http://"+b.addr, time.Second, path, 0
	})
	publish := func(name string) *shortPublisher {
		t.Helper()
		p, err := publishShortly(t.Context(), s.rtmpURL(name))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	is := func(what string) func() bool { return func() bool { return b.types(t, "live/x") == what } }
	p := publish("x")
	waitFor(t, "the start", is("started")) // it can be watched before it is told
	resp, err := http.Get(s.url("/live/x.flv"))
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "a viewer to be counted", func() bool {
		all := b.events(t)["live/x"]
		return all[len(all)-1].Viewers == 1
	})
	b.kill()
	p.cut()
	s.waitSuspended(t, "x")
	p = publish("x")
	resp.Body.Close()
	waitFor(t, "a try", func() bool { return s.metric(t, "miju_hook_retries_total") > 0 })
	b.begin(t)
	waitFor(t, "the stream to go on", is("started, suspended cut, resumed"))
	p.Close()
	waitFor(t, "the end", is("started, suspended cut, resumed, ended ended"))
	waitFor(t, "nothing to be left", func() bool { return s.metric(t, "miju_hook_waiting") == 0 })
	p = publish("y")
	defer p.Close()
	waitFor(t, "live/y to start", func() bool { return b.types(t, "live/y") == "started" })
	s.stop()
	if got := b.types(t, "live/y"); got != "started, ended closing" {
		t.Errorf("live/y: %s", got)
	}
	checkJournal(t, b.events(t))
	first := b.events(t)["live/x"][0]
	if first.Publisher["protocol"] != "rtmp" || first.Publisher["address"] != "127.0.0.1" || first.Publisher["session"] == "" || first.Server == "" {
		t.Errorf("%+v", first)
	}
}

// waitSuspended waits until live/name waits for its publisher.
func (s *testServer) waitSuspended(t *testing.T, name string) {
	t.Helper()
	live := s.stream(t, name)
	waitFor(t, name+" to be suspended", func() bool { return !live.Publishing() })
}

// checkJournal holds that each stream's events came once and in their order, and
// that their story is one.
func checkJournal(t *testing.T, all map[string][]journalEvent) {
	t.Helper()
	after := map[string]string{
		"": "started", "started": "suspended ended", "suspended": "resumed ended", "resumed": "suspended ended", "ended": "started",
	}
	for stream, events := range all {
		state, session := "", ""
		for i, e := range events {
			if e.Sequence != i+1 {
				t.Fatalf("%s: event %d has the number %d", stream, i+1, e.Sequence)
			}
			kind := strings.TrimPrefix(e.Type, "stream.")
			if kind == "viewers" {
				continue
			}
			if !strings.Contains(after[state], kind) || kind != "started" && e.Session != session || kind == "started" && e.Session == session {
				t.Fatalf("%s: %s of %s after %s of %s: %+v", stream, kind, e.Session, state, session, events)
			}
			state, session = kind, e.Session
		}
		if state != "ended" {
			t.Errorf("%s: it has not ended: %s", stream, fmt.Sprint(events[len(events)-1]))
		}
	}
}
