package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/miju-live/miju/auth"
)

// visitors are somebody at every door, with their credentials in use.
func (m *matrix) visitors(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	for n, d := range doors() {
		if d.asksAgain() || strings.HasPrefix(d.name, "RTMPS") {
			continue
		}
		c := caller(&d, n)
		token, err := m.token("HS256", &d, &c, good)
		if err != nil {
			t.Fatal(err)
		}
		anyPlace(&d, &c, token)
		v, told, err := d.knock(ctx, m, c)
		if v == nil {
			t.Fatal(d.name, told, err)
		}
		t.Cleanup(v.leave)
	}
}

// TestDumpsTellNoSecret has a process dump all that it does, for its operators and
// when it is killed, while credentials of every kind are in use.
func TestDumpsTellNoSecret(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	users, secrets := filepath.Join(dir, "users"), filepath.Join(dir, "sign")
	writeFile(t, users, "truck "+marker+"22 hw/truck\n")
	writeFile(t, secrets, marker+"-sign\n")
	rtmp, srt, http1, admin := freeAddr(t), freeAddr(t), freeAddr(t), freeAddr(t)
	data := filepath.Join(dir, "data")
	secret, _, err := auth.OpenSecret(data)
	if err != nil {
		t.Fatal(err)
	}
	clip, err := filepath.Abs(clipPath("h264-aac.flv"))
	if err != nil {
		t.Fatal(err)
	}
	p := runMiju(t, "--file=live/x="+clip, "--rtmp="+rtmp, "--srt="+srt, "--http="+http1, "--admin="+admin, "--data-dir="+data, "--log-level=debug",
		"--publish-auth=token", "--play-auth=token", "--chat-auth=token", "--rtmp-users="+users, "--url-sign=tencent", "--url-sign-play="+secrets)
	waitFor(t, "it to answer", func() bool {
		r, err := http.Get("http://" + admin + "/api/v1/streams")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		b := make([]byte, 4096)
		n, _ := r.Body.Read(b)
		return strings.Contains(string(b[:n]), "live/x")
	})
	m := &matrix{
		testServer: &testServer{server: &server{}}, ctx: t.Context(), signers: map[string]any{"HS256": secret},
		at: &addresses{rtmp: rtmp, srt: srt, http: http1},
	}
	m.visitors(t)
	for path, want := range map[string]int{
		"/debug/pprof/goroutine?debug=2": 200, "/debug/pprof/goroutine?debug=1": 200, "/debug/pprof/heap?debug=1": 200, "/debug/pprof/": 200, "/debug/pprof/threadcreate?debug=1": 200,
		"/debug/pprof/cmdline": 404, "/debug/vars": 404, "/metrics": 200, "/api/v1/streams": 200, "/api/v1/rooms": 200,
	} {
		if status, body := get(t, "http://"+admin+path); status != want {
			t.Errorf("%s: %d %s", path, status, tail(body))
		} else if want == 200 && len(body) < 20 {
			t.Errorf("%s: %q", path, body)
		}
	}
	if err := p.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	p.wait(t)
	out := p.output.String()
	for _, part := range []string{"SIGQUIT: quit", "ingest.(*Server)", "publisher admitted"} {
		if !strings.Contains(out, part) {
			t.Errorf("the dump has no %q: %s", part, tail(out))
		}
	}
	if !leaks.search(t.Name(), firstStartLook.ReplaceAll([]byte(out), nil)) {
		t.Error("a secret is in the dump")
	}
}

// panics are doors that break.
type panics struct{}

// Authorize implements auth.Authorizer.
func (panics) Authorize(_ context.Context, r auth.Request) (auth.Grant, error) {
	if r.Action == auth.Publish { // would end this process
		return auth.Grant{}, nil
	}
	panic(fmt.Sprintf("the doors broke on %s", r.Action))
}

// TestPanicsTellNoSecret has every request of HTTP break with its credential in use.
func TestPanicsTellNoSecret(t *testing.T) {
	t.Parallel()
	s := startWith(t, panics{})
	s.secret = []byte(auth.NewSecret())
	leaks.keep(string(s.secret))
	s.publishPictures(t, 500)
	token := s.mint(t, auth.ActionsOf(auth.Play, auth.Chat))
	for _, path := range []string{"/live/x.flv", "/live/x.ts", "/live/x.m3u8", "/live/x/video.m3u8", "/live/x/chat/events", "/live/x/chat/index.json"} {
		for _, at := range []string{s.url(path + "?token=" + token), s.url("/t/" + token + path)} {
			if r, err := http.Get(at); err == nil {
				r.Body.Close()
				t.Errorf("%s: %d", path, r.StatusCode)
			}
		}
	}
	event := joinWith(t, s, "?token="+token, token, token, []string{"miju.chat.v1", "bearer." + token})
	if event["close"] != 1011 {
		t.Errorf("chat: %v", event)
	}
	if n := strings.Count(s.all.String(), "the doors broke on"); n < 13 {
		t.Errorf("the log speaks of %d panics", n)
	}
	if !leaks.search(t.Name(), []byte(s.all.String())) {
		t.Error("a secret is in the log")
	}
}
