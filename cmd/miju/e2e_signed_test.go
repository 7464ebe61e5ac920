package main

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/miju-live/miju/auth"
)

// TestSignedURLs has encoders publish and players play by what a CDN's customers
// sign, and by nothing else.
func TestSignedURLs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, secret string) string {
		at := filepath.Join(dir, name)
		if err := os.WriteFile(at, []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return at
	}
	s := startWith(t, nil, closed, func(c *config) {
		c.Auth.URLSign, c.Auth.SignPublish, c.Auth.SignPlay = "aliyun,tencent,nginx", file("publish", "push-geheim"), file("play", "play-geheim")
	})
	s.secrets = append(s.secrets, "push-geheim", "play-geheim")
	until := time.Now().Add(time.Hour).Unix()
	sum := func(format string, args ...any) []byte {
		b := md5.Sum(fmt.Appendf(nil, format, args...))
		return b[:]
	}
	aliyun := func(uri, secret string) string {
		x := hex.EncodeToString(sum("%s-%d-0-0-%s", uri, until, secret))
		s.secrets = append(s.secrets, x)
		return fmt.Sprintf("auth_key=%d-0-0-%s", until, x)
	}
	tencent := func(name, secret string) string {
		x := hex.EncodeToString(sum("%s%s%X", secret, name, until))
		s.secrets = append(s.secrets, x)
		return fmt.Sprintf("txSecret=%s&txTime=%X", x, until)
	}
	nginx := func(uri, secret string) string {
		x := base64.RawURLEncoding.EncodeToString(sum("%d%s %s", until, uri, secret))
		s.secrets = append(s.secrets, x)
		return fmt.Sprintf("md5=%s&expires=%d", x, until)
	}
	push := func(format, at string) {
		spawn(t, "ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-re", "-stream_loop", "-1", "-i", clipPath("h264-aac.flv"), "-c", "copy", "-f", format, at)
	}
	push("flv", s.rtmpURL("alice?"+aliyun("/live/alice", "push-geheim")))
	push("flv", s.rtmpURL("bob?"+tencent("bob", "push-geheim")))
	push("mpegts", s.srtURL(url.QueryEscape("publish:live/carol?"+nginx("/live/carol", "push-geheim"))))
	push("flv", s.rtmpURL("mallory?"+tencent("mallory", "play-geheim")))
	for _, name := range []string{"alice", "bob", "carol"} {
		s.waitLive(t, name)
	}
	waitFor(t, "who signs with the viewers' secret to be refused", func() bool { return s.log.count("live/mallory", "the URL's signature is wrong") > 0 })

	for at, want := range map[string]int{
		"/live/alice.m3u8?" + aliyun("/live/alice.m3u8", "play-geheim"):       http.StatusOK,
		"/live/bob.m3u8?" + tencent("bob", "play-geheim"):                     http.StatusOK,
		"/live/carol.m3u8?" + nginx("/live/carol.m3u8", "play-geheim"):        http.StatusOK,
		"/live/alice.m3u8?" + aliyun("/live/alice.flv", "play-geheim"):        http.StatusUnauthorized,
		"/live/alice.m3u8?" + tencent("bob", "play-geheim"):                   http.StatusUnauthorized,
		"/live/alice.m3u8?" + tencent("alice", "push-geheim"):                 http.StatusUnauthorized,
		"/live/alice/video.m3u8?" + aliyun("/live/alice.m3u8", "play-geheim"): http.StatusOK,
		"/live/alice.ts?token=x&" + tencent("alice", "play-geheim"):           http.StatusUnauthorized, // a bad token is not made good
	} {
		status, body, _ := getAs(t, s.url(at), "")
		if status != want {
			t.Errorf("%s: %d, want %d: %s", at, status, want, body)
		}
		if uri := regexp.MustCompile(`(?m)^[^#\n].*$`).FindString(body); status == http.StatusOK && strings.Contains(at, ".m3u8?") {
			before, _, _ := strings.Cut(at, "?")
			if status, body, _ := getAs(t, s.url(path.Join(path.Dir(before), uri)), ""); status != http.StatusOK {
				t.Errorf("%s lists %s: %d %s", at, uri, status, body)
			}
		}
	}
	command(t, true, "ffmpeg", "-hide_banner", "-nostdin", "-v", "error", "-i", s.url("/live/alice.flv?"+aliyun("/live/alice.flv", "play-geheim")), "-t", "1", "-f", "null", "-")
	command(t, true, "ffmpeg", "-hide_banner", "-nostdin", "-v", "error", "-i", s.rtmpURL("bob?"+tencent("bob", "play-geheim")), "-t", "1", "-f", "null", "-")
	s.tellsNothing(t)
}

func TestSignedURLsAloneAreDoors(t *testing.T) {
	dir := t.TempDir()
	at := filepath.Join(dir, "secrets")
	if err := os.WriteFile(at, []byte("play-geheim\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := run(t, nil, "check", "--data-dir", "", "--play-auth", auth.ByToken, "--url-sign", "tencent", "--url-sign-play", at); err != nil {
		t.Errorf("%s %v", out, err)
	}
}
