package main

import (
	"context"
	"os"
	"reflect"
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

// TestWatchPageReads has pages read the room without a socket: by chunks where
// it is crowded or they only read, by events where no socket opens.
func TestWatchPageReads(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *config) { c.Files.Demo, c.Chat.SocketLimit = true, 2 })
	s.waitLive(t, "demo")
	type seen struct {
		Texts                []string
		Chunks, Events, Form bool
	}
	var got struct {
		Saw    map[string]seen
		Errors []string
	}
	page(t, &got, "read.mjs", s.url("/live/demo"))
	texts := []string{"one", "two", "three"}
	want := map[string]seen{
		"events":  {Texts: texts, Events: true, Form: true},
		"crowded": {Texts: texts, Chunks: true, Form: true},
		"reader":  {Texts: texts, Chunks: true},
	}
	if !reflect.DeepEqual(got.Saw, want) || len(got.Errors) > 0 {
		t.Errorf("%+v", got)
	}
}
