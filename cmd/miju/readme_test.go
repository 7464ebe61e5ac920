package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest/rtmp/client"
	"github.com/miju-live/miju/remux/flv"
)

// TestREADME holds the README to its word: its settings are taken by check,
// its pushes publish, and its URLs answer.
func TestREADME(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	readme := string(b)
	t.Run("settings", func(t *testing.T) {
		_, rest, ok := strings.Cut(readme, "```yaml\n")
		sample, _, closed := strings.Cut(rest, "```")
		if !ok || !closed {
			t.Fatal("there is no sample of settings")
		}
		path := filepath.Join(t.TempDir(), "miju.yml")
		if err := os.WriteFile(path, []byte(sample), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := run(t, []string{"MIJU_PROBE=2s"}, "check", "--config", path, "--probe", "2s"); err != nil || !strings.Contains(out, "good") {
			t.Errorf("%s %v", out, err)
		}
	})
	for _, target := range []string{"run", "test", "build"} {
		if makefile, err := os.ReadFile(filepath.Join("..", "..", "Makefile")); err != nil || !strings.Contains(readme, "make "+target) || !strings.Contains(string(makefile), "\n"+target+":") {
			t.Errorf("make %s is not both promised and kept (%v)", target, err)
		}
	}
	t.Run("credentials", func(t *testing.T) { publishesByREADME(t, readme) })
	pushes := regexp.MustCompile(`(?m)^    (ffmpeg .*)$`).FindAllStringSubmatch(readme, -1)
	if len(pushes) != 2 {
		t.Fatalf("%d ffmpeg commands", len(pushes))
	}
	for _, p := range pushes {
		t.Run(p[1], func(t *testing.T) {
			t.Parallel()
			s := start(t)
			local := strings.NewReplacer("clip.mp4", clipPath("h265-aac.mp4"), "localhost:1935", s.rtmp.Addr().String(), "localhost:8890", s.srt.Addr().String())
			if strings.Contains(p[1], "rtmp:") { // where ffmpeg 5.1 knows H.264 only
				local = strings.NewReplacer("clip.mp4", clipPath("h264-aac.flv"), "localhost:1935", s.rtmp.Addr().String())
			}
			spawn(t, "sh", "-c", "exec "+local.Replace(p[1]))
			s.waitLive(t, "alice")
			s.answersREADME(t, readme)
		})
	}
}

var readmeURL = regexp.MustCompile("`(http|ws)://([^`/]+)(/[^`]*)`")

// answersREADME asks for every URL of the table of players.
func (s *testServer) answersREADME(t *testing.T, readme string) {
	asked := 0
	for _, m := range readmeURL.FindAllStringSubmatch(readme, -1) {
		url := s.url(m[3])
		if strings.HasSuffix(m[2], ":8081") {
			url = s.adminURL(m[3])
		}
		want := http.StatusOK
		if m[1] == "ws" {
			want = http.StatusUpgradeRequired // for one who asks without
		}
		r, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != want {
			t.Errorf("%s: %s", m[0], r.Status)
		}
		asked++
	}
	if asked < 6 {
		t.Errorf("%d URLs", asked)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, want := range []string{"`rtmp://localhost:1935/live/alice`", "`srt://localhost:8890?streamid=read:live/alice`"} {
		if !strings.Contains(readme, want) {
			t.Errorf("%s is missing", want)
		}
	}
	c, err := client.Dial(ctx, s.rtmpURL("alice"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Play(ctx); err != nil {
		t.Error(err)
	} else if _, err := c.ReadFrame(ctx); err != nil {
		t.Error(err)
	}
	if got := probePackets(t, s.srtURL("read:live/alice"), 1); len(got.Packets) == 0 {
		t.Error("nothing comes by SRT")
	}
}

// publishesByREADME makes the credentials as the README says and publishes by each,
// where one is needed.
func publishesByREADME(t *testing.T, readme string) {
	commands := regexp.MustCompile(`(?m)^    miju ((?:token|key) .*)$`).FindAllStringSubmatch(readme, -1)
	if len(commands) != 2 {
		t.Fatalf("%d commands", len(commands))
	}
	dir := t.TempDir()
	s := startWith(t, nil, func(c *config) {
		c.Data.Dir = dir
		c.Auth.Publish = auth.ByToken
	})
	if p, err := client.Dial(t.Context(), s.rtmpURL("alice")); err == nil {
		if p.Publish(t.Context(), flv.Enhanced) == nil {
			t.Error("anybody may publish")
		}
		p.Close()
	}
	for _, c := range commands {
		out, err := run(t, nil, append(strings.Fields(c[1]), "--data-dir", dir)...)
		if err != nil {
			t.Fatalf("%s: %v", c[0], err)
		}
		secret := regexp.MustCompile(`(?m)^\S{30,}$`).FindString(out)
		if secret == "" {
			t.Fatalf("%s printed no credential", c[0])
		}
		leaks.keep(secret)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		p, err := client.Dial(ctx, s.rtmpURL("alice?token="+secret))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Publish(ctx, flv.Enhanced); err != nil {
			t.Errorf("%s: %v", c[0], err)
		}
		p.Close()
	}
}
