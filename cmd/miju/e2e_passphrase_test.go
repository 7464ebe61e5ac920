package main

import (
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/miju-live/miju/auth"
)

// keyOf runs miju key on the database of s.
func (s *testServer) keyOf(t *testing.T, args ...string) string {
	t.Helper()
	out, err := run(t, nil, append([]string{"key", "--data-dir", s.config.Data.Dir}, args...)...)
	if err != nil {
		t.Fatal(args, err)
	}
	return strings.TrimSpace(out)
}

// TestPassphrasesOfSRT has ffmpeg and srt-live-transmit publish and play by what they
// encrypt with, and by nothing else.
func TestPassphrasesOfSRT(t *testing.T) {
	t.Parallel()
	s := startWith(t, nil, closed, func(c *config) { c.Ingest.PublishLinger = 0 })
	publish, play := s.keyOf(t, "create", "live/alice", "--passphrase"), s.keyOf(t, "create", "live/alice", "--passphrase", "--play")
	at := func(mode, passphrase string) string {
		return s.srtURL(mode+":live/alice") + "&passphrase=" + passphrase
	}

	push := func(passphrase string) *program {
		args := srtPush(at("publish", passphrase))
		return spawn(t, args[0], args[1:]...)
	}
	args := srtPush(at("publish", play))
	out, err := exec.CommandContext(t.Context(), args[0], append([]string{"-v", "info"}, args[1:]...)...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "Incorrect passphrase") {
		t.Errorf("to publish by a passphrase to play: %v, %s", err, tail(string(out)))
	}
	push(publish)
	s.waitLive(t, "alice")
	command(t, true, "ffmpeg", "-hide_banner", "-nostdin", "-v", "error", "-i", at("request", play), "-t", "1", "-f", "null", "-")
	out, err = exec.CommandContext(t.Context(), "srt-live-transmit", "-a:no", "-t", "30", at("request", publish), "file://con").CombinedOutput()
	if !strings.Contains(string(out), "Incorrect passphrase") {
		t.Errorf("to play by a passphrase to publish: %v, %s", err, tail(string(out)))
	}
	// The same secret in the places of tokens.
	if a := ask(t, "HEAD", s.url("/live/alice.flv?token="+play)); a.status != http.StatusOK {
		t.Errorf("HTTP-FLV by a key to play: %d", a.status)
	}

	list := s.keyOf(t, "list", "live/alice")
	if strings.Count(list, "by passphrase") != 2 || strings.Contains(list, publish) || strings.Contains(list, play) {
		t.Error(list)
	}
	rotated := s.keyOf(t, "rotate", strings.Fields(list[strings.LastIndex(list[:strings.Index(list, " publish ")], "\n")+1:])[0])
	waitFor(t, "who publishes by the old passphrase to be cut off", func() bool { return s.log.count("live/alice", "revoked") > 0 })
	transmitTo(t, strings.Replace(at("publish", rotated), "&pkt_size=1316", "", 1))
	s.waitLive(t, "alice")
	s.keyOf(t, "revoke", "live/alice")
	waitFor(t, "who publishes by a revoked passphrase to be cut off", func() bool { return s.log.count("live/alice", "revoked") > 1 })
	s.tellsNothing(t)
}

// TestRevokedStaysRevoked starts anew with what was revoked, by the command.
func TestRevokedStaysRevoked(t *testing.T) {
	t.Parallel()
	dir := ""
	s := startWith(t, nil, closed, demo, func(c *config) { dir = c.Data.Dir })
	out, err := run(t, nil, "token", "--data-dir", dir, "--key", "live/demo", "--play")
	if err != nil {
		t.Fatal(err)
	}
	token, id := strings.Fields(out)[0], out[strings.LastIndexByte(strings.TrimSpace(out), ' ')+1:]
	other := s.mint(t, auth.ActionsOf(auth.Play), ofDemo)
	over := s.mint(t, auth.ActionsOf(auth.Play), ofDemo, func(c *auth.Claims) { c.Expires = jwt.NewNumericDate(time.Now().Add(-time.Hour)) })
	good := func(s *testServer, token string) bool {
		return ask(t, "HEAD", s.url("/live/demo.flv?token="+token)).status == http.StatusOK
	}
	s.waitLive(t, "demo")
	if !good(s, token) || !good(s, other) {
		t.Fatal("the tokens are no good")
	}
	for arg, want := range map[string]string{"": "neither", "a b": "neither", over: "expired", "eyJ.x.y": "malformed", strings.Repeat("x", 200): "neither"} {
		if _, err := run(t, nil, "token", "revoke", arg, "--data-dir", dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", arg, err, want)
		}
	}
	for _, arg := range []string{strings.TrimSpace(id), other} {
		if _, err := run(t, nil, "token", "revoke", arg, "--data-dir", dir); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "the tokens to be no good", func() bool { return !good(s, token) && !good(s, other) })
	s.stop()
	again := startWith(t, nil, closed, demo, func(c *config) { c.Data.Dir = dir })
	again.waitLive(t, "demo")
	if good(again, token) || good(again, other) {
		t.Error("a new start makes good what was revoked")
	}
	if !good(again, again.mint(t, auth.ActionsOf(auth.Play), ofDemo)) {
		t.Error("no token is good")
	}
	again.tellsNothing(t)
}

// transmitTo has srt-live-transmit send to an SRT URL what ffmpeg makes a stream of.
func transmitTo(t *testing.T, at string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		w.Close()
	})
	transmit := exec.Command("srt-live-transmit", "-q", "file://con", at)
	transmit.Stdin = r
	spawnCommand(t, transmit)
	ffmpeg := exec.Command("sh", append([]string{"-c", `exec "$@" >&3`, "sh"}, srtPush("-")...)...)
	ffmpeg.ExtraFiles = []*os.File{w}
	spawnCommand(t, ffmpeg)
}
