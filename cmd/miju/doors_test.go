package main

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest/rtmp/client"
	"github.com/miju-live/miju/remux/flv"
)

func TestOperatorsBringTokens(t *testing.T) {
	t.Parallel()
	s := startWith(t, nil, func(c *config) { c.Admin.Listen = "0.0.0.0:0" })
	_, port, _ := strings.Cut(s.admin.Addr().String(), "]:")
	at := "http://127.0.0.1:" + port
	for _, c := range []struct {
		path, token string
		want        int
	}{
		{"/healthz", "", http.StatusOK},
		{"/metrics", "", http.StatusUnauthorized},
		{"/debug/pprof/", "", http.StatusUnauthorized},
		{"/api/v1/streams", "", http.StatusUnauthorized},
		{"/api/v1/streams", "x", http.StatusUnauthorized},
		{"/api/v1/streams", s.mint(t, auth.ActionsOf(auth.Publish, auth.Moderate)), http.StatusForbidden},
		{"/api/v1/streams", s.mint(t, auth.ActionsOf(auth.Admin), func(c *auth.Claims) { c.Keys = nil }), http.StatusOK},
	} {
		if status, body, _ := getAs(t, at+c.path, c.token); status != c.want {
			t.Errorf("%s: %d, want %d: %s", c.path, status, c.want, body)
		}
	}
	token := s.mint(t, auth.ActionsOf(auth.Admin))
	if _, body, _ := getAs(t, at+"/metrics", token); !strings.Contains(body, "go_gc") {
		t.Errorf("metrics with a token: %s", body)
	}
	if _, denied, _ := s.doors.Decided(auth.Admin); denied != 5 {
		t.Errorf("%d were denied", denied)
	}
	if status, _, _ := getAs(t, at+"/api/v1/streams?token="+token, ""); status != http.StatusUnauthorized {
		t.Errorf("a page could send it: %d", status)
	}
	s.tellsNothing(t)
}

func TestDoorsThatNobodyCouldPass(t *testing.T) {
	for _, args := range [][]string{
		{"--admin", "0.0.0.0:8081"},
		{"--admin", ":8081"},
		{"--publish-auth", "token"},
		{"--play-auth", "token"},
		{"--chat-auth", "token"},
		{"--trusted-proxy", "10.0.0.0/8"},
	} {
		if out, err := run(t, nil, append([]string{"check", "--data-dir", ""}, args...)...); err == nil || !strings.Contains(err.Error(), "--data-dir or --jwks-url") {
			t.Errorf("%v: %s %v", args, out, err)
		}
		if out, err := run(t, nil, append([]string{"check"}, args...)...); err != nil {
			t.Errorf("%v with a secret: %s %v", args, out, err)
		}
	}
	if out, err := run(t, nil, "check", "--data-dir", "", "--trusted-proxy", "10.0.0.0/8", "--admin", ""); err != nil {
		t.Errorf("without operators: %s %v", out, err)
	}
}

func TestTokenCommand(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args []string
		want string // part of the error; empty: good
	}{
		{[]string{"--key", "live/alice", "--publish", "--role", "host", "--expires", "720h"}, ""},
		{[]string{"--key", "live/*,game/*", "--play", "--chat", "--name", "Bob", "--addr", "192.0.2.0/24", "--expires", "never"}, ""},
		{[]string{"--operate"}, ""},
		{[]string{"--key", "live/alice"}, "say what the token is for"},
		{[]string{"--publish"}, "say what stream"},
		{[]string{"--publish", "--key", "live"}, "--key"},
		{[]string{"--publish", "--key", "live/a", "--role", "king"}, "--role"},
		{[]string{"--publish", "--key", "live/a", "--addr", "home"}, "--addr"},
		{[]string{"--publish", "--key", "live/a", "--expires", "-1h"}, "--expires"},
		{[]string{"--publish", "--key", "live/a", "--expires", "soon"}, "--expires"},
		{[]string{"--publish", "--key", "live/a", "--data-dir", ""}, "--data-dir"},
	} {
		out, err := run(t, nil, append([]string{"token", "--data-dir", dir}, c.args...)...)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v: %v", c.args, err)
			}
			continue
		}
		token, about, _ := strings.Cut(out, "\n")
		if err != nil || strings.Count(token, ".") != 2 || len(token) > 300 || !strings.HasPrefix(about, "good ") || !strings.Contains(about, "miju token revoke ") {
			t.Errorf("%v: %q, %v", c.args, out, err)
		}
	}
	s := startWith(t, nil, closed, func(c *config) { c.Data.Dir = dir })
	out, err := run(t, nil, "token", "--data-dir", dir, "--key", "live/*", "--play")
	if err != nil || strings.Contains(out, "no server has used") {
		t.Fatal(out, err)
	}
	elsewhere := t.TempDir()
	for _, kind := range []string{"--eddsa", "--eddsa=false"} { // the first makes no secret
		if out, err := run(t, nil, "token", "--data-dir", elsewhere, "--key", "live/*", "--play", kind); err != nil || !strings.Contains(out, "no server has used "+elsewhere) {
			t.Errorf("%s where no server was: %s %v", kind, out, err)
		}
	}
	if status, body, _ := getAs(t, s.url("/live/alice.flv?token="+strings.Fields(out)[0]), ""); status != http.StatusNotFound || !json.Valid([]byte(body)) {
		t.Errorf("%d %s", status, body)
	}
	if strings.Contains(s.banner(), "token=") {
		t.Error("a later start prints a token")
	}
}

func TestFirstStartPrintsAKey(t *testing.T) {
	s := startWith(t, nil, func(c *config) { c.Auth.Publish = auth.ByToken })
	found := regexp.MustCompile(`Server +(rtmp://\S+/live)\n +Stream key +(my-stream\?token=\S+)\n`).FindStringSubmatch(s.banner())
	if found == nil {
		t.Fatal(s.banner())
	}
	if len(found[2]) > 512 {
		t.Errorf("a stream key of %d characters", len(found[2]))
	}
	cl, err := client.Dial(t.Context(), found[1]+"/"+found[2])
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.Publish(t.Context(), flv.Enhanced); err != nil {
		t.Error(err)
	}
}
