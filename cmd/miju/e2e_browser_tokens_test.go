package main

import (
	"strings"
	"testing"

	"github.com/miju-live/miju/auth"
)

// TestBrowsersBringTokens has hls.js and mpegts.js play in Chromium what asks for a
// token, and the watch page play and chat with one that it does not show.
func TestBrowsersBringTokens(t *testing.T) {
	t.Parallel()
	s := startWith(t, nil, closed, demo)
	s.waitLive(t, "demo")
	token := s.mint(t, auth.ActionsOf(auth.Play, auth.Chat), ofDemo)
	var got struct {
		Played  map[string]string
		Watched []struct {
			Saw []struct {
				Played             bool
				Link, Engine, Href string
			}
			Referrers []string
		}
	}
	page(t, &got, "tokens.mjs", s.url(""), "live/demo", token)
	for player, what := range got.Played {
		want := "plays"
		if player == "hls.js, nowhere" {
			want = "manifestLoadError 401"
		}
		if what != want {
			t.Errorf("%s: %s, want %s", player, what, want)
		}
	}
	for _, w := range got.Watched {
		for _, saw := range w.Saw {
			if !saw.Played || saw.Link != "open" || strings.Contains(saw.Href, token) {
				t.Errorf("the page: %+v", saw)
			}
		}
		if strings.Contains(strings.Join(w.Referrers, " "), token) {
			t.Errorf("the page tells others where it was: %q", w.Referrers)
		}
	}
	if len(got.Played) != 6 || len(got.Watched) != 2 || len(got.Watched[0].Saw) != 2 {
		t.Errorf("%+v", got)
	}
	s.tellsNothing(t)
}
