package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	gosrt "github.com/datarhei/gosrt"
	"github.com/golang-jwt/jwt/v5"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest/rtmp/client"
	"github.com/miju-live/miju/remux/flv"
)

// closed closes every door to whoever has no token.
func closed(c *config) {
	c.Auth.Publish, c.Auth.Play, c.Auth.Chat = auth.ByToken, auth.ByToken, auth.ByToken
}

// mint returns a token for live/alice, or as change says.
func (s *testServer) mint(t testing.TB, actions auth.Actions, change ...func(*auth.Claims)) string {
	t.Helper()
	c := auth.Claims{
		Subject: "a1", Name: "Alice", Actions: actions, Keys: auth.Patterns{"live/alice"},
		Expires: jwt.NewNumericDate(time.Now().Add(time.Hour)),
	}
	for _, f := range change {
		f(&c)
	}
	token, err := auth.Mint(s.secret, c)
	if err != nil {
		t.Fatal(err)
	}
	signature := token[strings.LastIndexByte(token, '.')+1:]
	s.secrets = append(s.secrets, signature)
	leaks.keep(signature)
	return token
}

// tellsNothing fails if the log holds what permits something.
func (s *testServer) tellsNothing(t testing.TB) {
	t.Helper()
	for _, secret := range append(s.secrets, string(s.secret)) {
		if strings.Contains(s.log.String(), secret) {
			t.Error("a secret is in the log")
		}
	}
}

// getAs returns the status and the body of an answer.
func getAs(t testing.TB, at, bearer string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at, nil)
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b), resp.Header
}

func TestEncodersBringTokens(t *testing.T) {
	t.Parallel()
	publish := auth.ActionsOf(auth.Publish)
	clip := clipPath("h264-aac.flv")
	flv := func(at string) []string {
		return []string{"ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-re", "-stream_loop", "-1", "-i", clip, "-c", "copy", "-f", "flv", at}
	}
	for name, push := range map[string]func(s *testServer, token string) []string{
		"RTMP, behind the name": func(s *testServer, token string) []string { return flv(s.rtmpURL("alice?token=" + token)) },
		"RTMP, behind the app": func(s *testServer, token string) []string {
			return append(flv("")[:len(flv(""))-1], "-rtmp_app", "live?token="+token, "-rtmp_playpath", "alice", s.rtmpURL(""))
		},
		"SRT, standard form": func(s *testServer, token string) []string {
			return srtPush(s.srtURL(url.QueryEscape("#!::r=live/alice,m=publish,token=" + token)))
		},
		"SRT, as a session": func(s *testServer, token string) []string {
			return srtPush(s.srtURL(url.QueryEscape("#!::r=live/alice,m=publish,s=" + token)))
		},
		"SRT, behind the name": func(s *testServer, token string) []string {
			return srtPush(s.srtURL(url.QueryEscape("publish:live/alice?token=" + token)))
		},
		"SRT, as a password": func(s *testServer, token string) []string {
			return srtPush(s.srtURL(url.QueryEscape("publish:live/alice:bob:" + token)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startWith(t, nil, closed)
			args := push(s, s.mint(t, publish))
			spawn(t, args[0], args[1:]...)
			s.waitLive(t, "alice")
			s.tellsNothing(t)
		})
	}
}

func TestTransmitterBringsToken(t *testing.T) {
	t.Parallel()
	s := startWith(t, nil, closed)
	id := "#!::r=live/alice,m=publish,token=" + s.mint(t, auth.ActionsOf(auth.Publish))
	transmitTo(t, fmt.Sprintf("srt://%s?streamid=%s", s.srt.Addr(), url.QueryEscape(id)))
	s.waitLive(t, "alice")
	s.tellsNothing(t)
}

func srtPush(at string) []string {
	return []string{
		"ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-re", "-stream_loop", "-1", "-i", clipPath("h264-aac.flv"),
		"-c", "copy", "-f", "mpegts", at,
	}
}

// TestRefusedPublishers holds the table of docs/auth.md.
func TestRefusedPublishers(t *testing.T) {
	t.Parallel()
	s := startWith(t, nil, closed)
	publish := auth.ActionsOf(auth.Publish)
	for _, c := range []struct {
		name, token string
		srt         int64
	}{
		{"absent", "", 1401},
		{"malformed", "x", 1401},
		{"forged", s.mint(t, publish)[:60] + "AAAA", 1401},
		{"expired", s.mint(t, publish, func(c *auth.Claims) { c.Expires = jwt.NewNumericDate(time.Now().Add(-time.Second)) }), 1401},
		{"another key", s.mint(t, publish, func(c *auth.Claims) { c.Keys = auth.Patterns{"live/bob"} }), 1403},
		{"another action", s.mint(t, auth.ActionsOf(auth.Play, auth.Chat)), 1403},
		{"another address", s.mint(t, publish, func(c *auth.Claims) { c.Networks, _ = auth.ParseNetworks("192.0.2.0/24") }), 1403},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl, err := client.Dial(t.Context(), s.rtmpURL("alice?token="+c.token))
			if err == nil {
				err = cl.Publish(t.Context(), flv.Enhanced)
				cl.Close()
			}
			if err == nil || !strings.Contains(err.Error(), "NetStream.Publish.Denied") || c.token != "" && len(c.token) > 9 && strings.Contains(err.Error(), c.token) {
				t.Errorf("RTMP: %v", err)
			}
			config := gosrt.DefaultConfig()
			config.StreamId = "#!::r=live/alice,m=publish,token=" + c.token
			// gosrt prints the code to base 32, as it is on the wire.
			if _, err := gosrt.Dial("srt", s.srt.Addr().String(), config); err == nil || !strings.Contains(err.Error(), "("+strconv.FormatInt(1000+c.srt, 32)+")") {
				t.Errorf("SRT: %v, want %d", err, c.srt)
			}
		})
	}
	s.tellsNothing(t)
}

func TestViewersBringTokens(t *testing.T) {
	t.Parallel()
	s := startWith(t, nil, closed)
	spawn(t, "ffmpeg", strings.Split("-hide_banner|-loglevel|error|-nostdin|-re|-stream_loop|-1|-i|"+clipPath("h264-aac.flv")+"|-c|copy|-f|flv|"+
		s.rtmpURL("alice?token="+s.mint(t, auth.ActionsOf(auth.Publish))), "|")...)
	s.waitLive(t, "alice")
	play := s.mint(t, auth.ActionsOf(auth.Play))
	other := s.mint(t, auth.ActionsOf(auth.Play), func(c *auth.Claims) { c.Keys = auth.Patterns{"live/bob"} })
	for _, file := range []string{"/live/alice.flv", "/live/alice.ts", "/live/alice.m3u8", "/live/alice/video.m3u8"} {
		if status, body, h := getAs(t, s.url(file), ""); status != http.StatusUnauthorized || !strings.Contains(body, "unauthenticated") || h.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s without a token: %d %s", file, status, body)
		}
		if status, body, _ := getAs(t, s.url(file+"?token="+other), ""); status != http.StatusForbidden || strings.Contains(body, other) {
			t.Errorf("%s with another's token: %d %s", file, status, body)
		}
	}
	for _, x := range []string{".flv", ".ts", ".m3u8"} {
		command(t, true, "ffmpeg", "-hide_banner", "-nostdin", "-v", "error", "-i", s.url("/live/alice"+x+"?token="+play), "-t", "1", "-f", "null", "-")
	}
	command(t, true, "ffmpeg", "-hide_banner", "-nostdin", "-v", "error", "-i", s.rtmpURL("alice?token="+play), "-t", "1", "-f", "null", "-")
	command(t, true, "ffmpeg", "-hide_banner", "-nostdin", "-v", "error", "-i", s.srtURL(url.QueryEscape("#!::r=live/alice,m=request,token="+play)), "-t", "1", "-f", "null", "-")

	// As hls.js asks: the header with every request, and by the URLs that the
	// playlists list, none of which it knows a token for.
	status, body, _ := getAs(t, s.url("/live/alice.m3u8"), play)
	if status != http.StatusOK || strings.Contains(body, "token=") {
		t.Errorf("by the header: %d %s", status, body)
	}
	at := "/live/alice.m3u8?token=" + play
	for _, uri := range []*regexp.Regexp{regexp.MustCompile(`(?m)^[^#\n].*$`), regexp.MustCompile(`(?m)^[^#\n].*$`), nil} {
		status, body, h := getAs(t, s.url(at), "")
		if status != http.StatusOK {
			t.Fatalf("%s: %d %s", at, status, body)
		}
		if uri == nil {
			break
		}
		if !strings.HasPrefix(h.Get("Cache-Control"), "private") {
			t.Errorf("%s is for caches: %s", at, h.Get("Cache-Control"))
		}
		before, _, _ := strings.Cut(at, "?")
		at = path.Join(path.Dir(before), uri.FindString(body))
		if !strings.Contains(at, "token="+play) {
			t.Fatalf("%s has no token", at)
		}
	}
	s.tellsNothing(t)
}

func TestExpiryEndsOnlyIfEnforced(t *testing.T) {
	t.Parallel()
	s := startWith(t, nil, closed, func(c *config) { c.Auth.EnforceExpiry, c.Ingest.PublishLinger = true, 0 })
	soon := func(c *auth.Claims) { c.Expires = jwt.NewNumericDate(time.Now().Add(4 * time.Second)) }
	forever := s.mint(t, auth.ActionsOf(auth.Publish))
	spawn(t, "ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-re", "-stream_loop", "-1", "-i", clipPath("h264-aac.flv"), "-c", "copy", "-f", "flv", s.rtmpURL("alice?token="+forever))
	s.waitLive(t, "alice")
	resp, err := http.Get(s.url("/live/alice.flv?token=" + s.mint(t, auth.ActionsOf(auth.Play), soon)))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", resp, err)
	}
	defer resp.Body.Close()
	began := time.Now()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Errorf("the viewer was not let go of properly: %v", err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("the viewer was there for %v", took)
	}

	brief := s.mint(t, auth.ActionsOf(auth.Publish), soon, func(c *auth.Claims) { c.Keys = auth.Patterns{"live/bob"} })
	spawn(t, "ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-re", "-stream_loop", "-1", "-i", clipPath("h264-aac.flv"), "-c", "copy", "-f", "flv", s.rtmpURL("bob?token="+brief))
	waitFor(t, "the publisher to be cut off", func() bool { return s.log.count("live/bob", "the grant is over") > 0 })
	s.tellsNothing(t)
}
