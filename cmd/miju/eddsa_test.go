package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	gosrt "github.com/datarhei/gosrt"

	"github.com/miju-live/miju/ingest/rtmp/client"
	"github.com/miju-live/miju/remux/flv"
)

// A token by the signing key, which is made while the server runs, opens the
// doors where room for it is short; a second server that has only the key set
// verifies it, too.
func TestTokensOfTheSigningKey(t *testing.T) {
	t.Parallel()
	s := startWith(t, nil, closed)
	dir := s.config.Data.Dir
	command := func(args ...string) string {
		t.Helper()
		out, err := run(t, nil, append(args, "--data-dir", dir)...)
		if err != nil {
			t.Fatal(err)
		}
		out, _, _ = strings.Cut(out, "\n") // what follows is about it
		return out
	}
	token := command("token", "--eddsa", "--key", "live/*", "--publish", "--play", "--expires", "1h")
	leaks.keep(token[strings.LastIndexByte(token, '.')+1:])
	if again := command("token", "--eddsa", "--key", "live/*", "--play"); again[:20] != token[:20] {
		t.Error("each token has its own key")
	}

	publisher, err := client.Dial(t.Context(), s.rtmpURL("alice?token="+token))
	if err != nil {
		t.Fatal(err)
	}
	defer publisher.Close()
	if err := publisher.Publish(t.Context(), flv.Enhanced); err != nil {
		t.Errorf("RTMP: %v", err)
	}
	caller := gosrt.DefaultConfig()
	caller.StreamId = "#!::r=live/bob,m=publish,token=" + token
	if conn, err := gosrt.Dial("srt", s.srt.Addr().String(), caller); err != nil {
		t.Errorf("SRT: %v", err)
	} else {
		conn.Close()
	}
	if status, _, _ := getAs(t, s.url("/live/carol.flv"), token); status != http.StatusNotFound {
		t.Errorf("HTTP: %d", status)
	}

	keys := command("jwks")
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, keys) }))
	defer elsewhere.Close()
	other := startWith(t, nil, closed, func(c *config) { c.Auth.JWKS, c.Data.Dir = elsewhere.URL, "" })
	if status, body, _ := getAs(t, other.url("/live/carol.flv"), token); status != http.StatusNotFound {
		t.Errorf("elsewhere: %d %s", status, body)
	}
	s.tellsNothing(t)
}
