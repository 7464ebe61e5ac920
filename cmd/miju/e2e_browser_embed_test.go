package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lxzan/gws"
)

// A site shows the watch page in a frame if it is listed, and there the page
// plays; by default none does. Inside, what the page's policy forbids fails.
func TestWatchPageInFrames(t *testing.T) {
	t.Parallel()
	var welcome, unwelcome string
	upgrader := gws.NewUpgrader(gws.BuiltinEventHandler{}, nil)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*") // it is the policy that keeps the page away
		if r.Header.Get("Upgrade") != "" {
			if c, err := upgrader.Upgrade(w, r); err == nil {
				c.NetConn().Close()
			}
			return
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><iframe src="%s" allow="autoplay"></iframe><iframe src="%s"></iframe>`, welcome, unwelcome)
	}))
	defer site.Close()
	s := start(t, func(c *config) {
		c.Files.Demo, c.Origin.FrameAncestors = true, "self,http://"+site.Listener.Addr().String()
	})
	s.waitLive(t, "demo")
	other := start(t)
	welcome, unwelcome = s.url("/live/demo?token=embedded"), other.url("/live/demo")
	var got struct {
		Shown, Refused, Script, Fetched, Connected bool
		Referrers                                  []string
	}
	page(t, &got, "embed.mjs", site.URL+"/", welcome, unwelcome)
	if !got.Shown || !got.Refused || got.Script || got.Fetched || got.Connected || strings.Contains(strings.Join(got.Referrers, " "), "embedded") {
		t.Errorf("%+v", got)
	}
}
