package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/miju-live/miju/auth"
)

// tokenEdges are those that check tokens, with the #token lines of their files.
var tokenEdges = map[string]func(t testing.TB, origin string) *edge{
	"nginx": func(t testing.TB, origin string) *edge {
		return startNginxWith(t, origin, "#token ", "", "SECRET", edgeSecret)
	},
	"varnish": func(t testing.TB, origin string) *edge {
		return startVarnishWith(t, origin, "#token ", "", "SECRET", edgeSecret)
	},
}

// TestEdgeTokens has many viewers, each with a token of its own, play through an
// edge that checks them and shares what they get.
func TestEdgeTokens(t *testing.T) {
	t.Parallel()
	for name, startEdge := range tokenEdges {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trust, _ := trusting(t)
			s := startWith(t, nil, closed, demo, trust)
			s.waitLive(t, "demo")
			o := countOrigin(t, s)
			e := startEdge(t, o.Listener.Addr().String())
			var tokens []string
			for i := range 6 {
				tokens = append(tokens, s.mint(t, auth.ActionsOf(auth.Play, auth.Chat), ofDemo, func(c *auth.Claims) { c.Subject = fmt.Sprint("viewer", i) }))
			}
			t.Run("refused", func(t *testing.T) { edgeRefuses(t, s, o, e) })
			t.Run("shared", func(t *testing.T) { edgeShares(t, o, e, tokens) })
			if os.Getenv("MIJU_SOAK") != "" { // it takes as long as an edge goes by an answer
				t.Run("revoked", func(t *testing.T) { edgeForgets(t, s, e) })
			}
			t.Run("passed through", func(t *testing.T) {
				for path, status := range map[string]int{
					"/live/demo.flv": 401, "/t/" + tokens[0] + "/live/demo.flv": 200, "/live/demo.ts?token=" + tokens[0]: 200,
					"/live/demo/chat": 426, "/live/demo/chat/events": 403, "/t/" + tokens[0] + "/live/demo/chat": 426,
				} {
					if a := ask(t, "HEAD", e.base+path); a.status != status {
						t.Errorf("%s: %d, want %d", path, a.status, status)
					}
				}
			})
			t.Run("page", func(t *testing.T) {
				for _, path := range []string{"/live/demo", "/t/" + tokens[0] + "/live/demo"} {
					if a := ask(t, "GET", e.base+path); a.status != http.StatusOK || !strings.Contains(a.body, "<html") {
						t.Errorf("%s: %d", path, a.status)
					}
				}
			})
			s.tellsNothing(t)
		})
	}
}

// edgeRefuses asks for what nobody may have, by everything that a viewer may write.
func edgeRefuses(t *testing.T, s *testServer, o *countedOrigin, e *edge) {
	play := auth.ActionsOf(auth.Play)
	good := s.mint(t, play, ofDemo)
	expired := s.mint(t, auth.ActionsOf(auth.Play, auth.Chat), ofDemo, func(c *auth.Claims) { c.Expires = jwt.NewNumericDate(time.Now().Add(-time.Second)) })
	l, err := parsePlaylist(ask(t, "GET", e.base+"/t/"+good+"/live/demo/video.m3u8").body)
	if err != nil {
		t.Fatal(err)
	}
	part := "/live/demo/" + l.parts[0].uri
	if a := ask(t, "GET", e.base+"/t/"+good+part); a.status != http.StatusOK { // the edge has it
		t.Fatalf("%d for a part", a.status)
	}
	for _, file := range []string{"/live/demo.m3u8", "/live/demo/video.m3u8", part, "/live/demo/chat/index.json"} {
		for name, c := range map[string]struct {
			path   string
			status int
		}{
			"no token":            {file, 404},
			"a token behind":      {file + "?token=" + good, 404},
			"a forged one":        {"/t/" + good[:len(good)-6] + "AAAAAA" + file, 401},
			"an expired one":      {"/t/" + expired + file, 401},
			"one for another":     {"/t/" + s.mint(t, play) + file, 403},
			"none":                {"/t/x" + file, 401},
			"the question itself": {"/api/check/t/" + good + file, 404},
		} {
			for range 2 { // the second time from the edge itself
				a := ask(t, "GET", e.base+c.path, "Miju-File", file, "Miju-CDN-Secret", "x", "X-Forwarded-For", "127.0.0.1")
				if name == "the question itself" && (a.status > 400 || a.body == "yes\n") { // asking is no harm
					continue
				}
				if a.status != c.status {
					t.Errorf("%s, %s: %d, want %d", file, name, a.status, c.status)
				}
				if a.status == http.StatusUnauthorized && a.header.Get("Access-Control-Allow-Origin") != "*" {
					t.Errorf("%s, %s: pages cannot see the refusal: %v", file, name, a.header)
				}
			}
		}
	}
	if a := ask(t, "GET", e.base+"/t/"+good+"/live/demo/chat/index.json"); a.status != http.StatusForbidden {
		t.Errorf("the chat by a token to play: %d", a.status)
	}
	if n, _ := o.count(part); n != 1 {
		t.Errorf("the origin had %d requests for %s", n, part)
	}
}

// edgeForgets revokes a token that the edge knows for good.
func edgeForgets(t *testing.T, s *testServer, e *edge) {
	token := s.mint(t, auth.ActionsOf(auth.Play), ofDemo, func(c *auth.Claims) { c.ID = "to-be-revoked" })
	status := func() int { return ask(t, "GET", e.base+"/t/"+token+"/live/demo/video.m3u8").status }
	if got := status(); got != http.StatusOK {
		t.Fatal(got)
	}
	if err := revokeToken(t.Context(), s.kept.StreamKeys(), "to-be-revoked"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	waitFor(t, "the edge to refuse it", func() bool { return status() == http.StatusUnauthorized })
	t.Logf("refused after %v", time.Since(began))
}

// edgeShares has viewers wait for the same playlist and fetch the same parts.
func edgeShares(t *testing.T, o *countedOrigin, e *edge, tokens []string) {
	l, err := parsePlaylist(ask(t, "GET", e.base+"/t/"+tokens[0]+"/live/demo/video.m3u8").body)
	if err != nil {
		t.Fatal(err)
	}
	files := []string{"/live/demo.m3u8", "/live/demo/video.m3u8" + l.next, "/live/demo/" + l.hint}
	for _, p := range l.parts {
		files = append(files, "/live/demo/"+p.uri)
	}
	bodies := make([]map[string]string, len(tokens))
	var watching sync.WaitGroup
	for i, token := range tokens {
		bodies[i] = map[string]string{}
		watching.Go(func() {
			for _, file := range files {
				a, err := request(t.Context(), "GET", e.base+"/t/"+token+file)
				if err != nil || a.status != http.StatusOK {
					t.Errorf("%s: %d, %v", file, a.status, err)
				}
				bodies[i][file] = a.body
			}
		})
	}
	watching.Wait()
	for _, file := range files {
		if n, _ := o.count(file); n != 1 && file != files[0] {
			t.Errorf("the origin had %d requests for %s", n, file)
		}
		for i := range tokens {
			if bodies[i][file] != bodies[0][file] {
				t.Errorf("%s is not the same for all", file)
			}
		}
	}
	for _, token := range tokens {
		n, urls := o.count("/api/check/t/" + token)
		t.Logf("%d files cost %d questions of %d kinds", len(files), n, urls)
		if n > 8 || urls > 2 { // one of each kind in ten seconds
			t.Errorf("%d files cost %d questions of %d kinds", len(files), n, urls)
		}
	}
	// The chat's files as well.
	before, _ := o.count("/live/demo/chat/")
	for _, token := range tokens {
		if a := ask(t, "GET", e.base+"/t/"+token+"/live/demo/chat/index.json"); a.status != http.StatusOK || !strings.Contains(a.body, `"index"`) {
			t.Errorf("the chat: %d %s", a.status, tail(a.body))
		}
	}
	if n, _ := o.count("/live/demo/chat/"); n-before > 3 { // one a second
		t.Errorf("the origin had %d requests for the chat", n-before)
	}
}
