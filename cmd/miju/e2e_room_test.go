package main

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/miju-live/miju/auth"
)

// roles grants by token: "mod" is a moderator.
type roles struct{}

func (roles) Authorize(_ context.Context, r auth.Request) (auth.Grant, error) {
	if r.Token == "mod" {
		return auth.Grant{Subject: "mo", Name: "Mo", Role: auth.RoleModerator}, nil
	}
	return auth.Grant{Name: r.Name}, nil
}

// TestWatchPageRoom has a moderator and guests use what the page offers of the
// room. MIJU_PICTURES names a folder for pictures of it.
func TestWatchPageRoom(t *testing.T) {
	t.Parallel()
	s := startWith(t, roles{}, func(c *config) { c.Files.Demo = true })
	s.waitLive(t, "demo")
	begun := time.Now()
	var got struct{ Errors []string }
	page(t, &got, "room.mjs", s.url("/live/demo"), os.Getenv("MIJU_PICTURES"))
	t.Logf("it took %v", time.Since(begun))
	if len(got.Errors) > 0 {
		t.Errorf("%q", got.Errors)
	}
}
