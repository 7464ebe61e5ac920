package main

import (
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/hooks"
	"github.com/miju-live/miju/ingest/rtmp/client"
)

// calls are the lines of the journal of a backend of SRS.
func (b *backendProcess) calls(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(b.journal)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(strings.Lines(string(text)))
}

// TestSRSBackend has a backend that knows SRS alone decide by the token in param,
// and hear who came and went, though it was away when they went.
func TestSRSBackend(t *testing.T) {
	t.Parallel()
	b := runBackend(t, "srsbackend", "-token", "the-good-one")
	s := startWith(t, nil, func(c *config) {
		c.Auth.Publish, c.Auth.Play = auth.ByHook, auth.ByHook
		at := "http://" + b.addr + "/api/v1/"
		c.Hooks.Style = hooks.StyleSRS
		c.Hooks.URL = "on_publish=" + at + "streams,on_unpublish=" + at + "streams,on_play=" + at + "sessions,on_stop=" + at + "sessions"
		c.Ingest.Probe = 0
	})
	s.secrets = []string{"the-good-one"}
	var status *client.StatusError
	if _, err := publishShortly(t.Context(), s.rtmpURL("x?token=another")); !errors.As(err, &status) || status.Description != "denied: no such token" {
		t.Errorf("%v", err)
	}
	p, err := publishShortly(t.Context(), s.rtmpURL("x?token=the-good-one"))
	if err != nil {
		t.Fatal(err)
	}
	s.waitLive(t, "x")
	if status, body, _ := getAs(t, s.url("/live/x.flv?token=another"), ""); status != http.StatusForbidden || !strings.Contains(body, "no such token") {
		t.Errorf("%d %s", status, body)
	}
	resp, err := http.Get(s.url("/live/x.flv?token=the-good-one"))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	defer resp.Body.Close()
	waitFor(t, "both to be let in", func() bool { return len(b.calls(t)) == 2 })
	b.kill()
	p.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Error(err)
	}
	waitFor(t, "a try to tell it", func() bool { return s.metric(t, "miju_hook_retries_total") > 0 })
	b.begin(t)
	waitFor(t, "all to be told", func() bool { return len(b.calls(t)) == 4 })
	seen := map[string][]string{}
	for _, line := range b.calls(t) {
		f := strings.Fields(line)
		if len(f) != 5 || f[2] != "127.0.0.1" || f[3] != "__defaultVhost__" || f[4] != "live/x" {
			t.Fatal(line)
		}
		seen[f[1]] = append(seen[f[1]], f[0])
	}
	for _, calls := range seen {
		if got := strings.Join(calls, " "); len(seen) != 2 || got != "on_publish on_unpublish" && got != "on_play on_stop" {
			t.Errorf("%v", seen)
		}
	}
	s.tellsNothing(t)
}
