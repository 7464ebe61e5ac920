package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/hooks"
)

// TestWebhooksPage holds docs/webhooks.md to what is sent: the members of every
// body that it shows, in their order, and how a signature is made by hand.
func TestWebhooksPage(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "webhooks.md"))
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^    (\{"(?:id|server_id)".*\})$`).FindAllStringSubmatch(string(b), -1) {
		shown[kindOfBody(t, m[1])] = membersOf(t, m[1])
	}
	sent := newBodies(t)
	for _, style := range []string{hooks.StyleMiju, hooks.StyleSRS} {
		s := startWith(t, nil, hooked(""), func(c *config) {
			c.Hooks.URL, c.Hooks.Style, c.Hooks.Fail = sent.URL, style, hooks.FailOpen
			if style == hooks.StyleSRS {
				c.Auth.Chat, c.Hooks.Decides = auth.ByNobody, ""
			}
		})
		p, err := publishShortly(t.Context(), s.rtmpURL("alice?token=good"))
		if err != nil {
			t.Fatal(err)
		}
		s.waitLive(t, "alice")
		if style == hooks.StyleMiju {
			resp, err := http.Get(s.url("/live/alice.flv"))
			if err != nil {
				t.Fatal(err)
			}
			l, _ := enterChat(t, "ws"+strings.TrimPrefix(s.url("/live/alice/chat"), "http"), `{"type":"join","name":"Ann"}`)
			l.say(t, "1", "hello")
			waitFor(t, "viewers to be counted", func() bool { return sent.of("stream.viewers") != "" })
			l.close()
			resp.Body.Close()
		}
		p.Close()
		s.stop()
		sent.verify(t, filepath.Join(s.config.Data.Dir, hookSecret), string(b))
	}
	for _, kind := range []string{"publish", "message", "stream.started", "stream.viewers", "stream.ended", "on_publish"} {
		if got := sent.of(kind); got == "" || membersOf(t, got) != shown[kind] {
			t.Errorf("%s is %s\nand shown with %s", kind, got, shown[kind])
		}
		delete(shown, kind)
	}
	if len(shown) > 0 {
		t.Errorf("nobody has sent %v", shown)
	}
}

// TestWebhooksPageCommands has the settings that the page shows checked, and holds
// its backend to the flags that it shows.
func TestWebhooksPageCommands(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "webhooks.md"))
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile(`(?m)^    miju (.*)$`).FindAllStringSubmatch(string(b), -1)
	if len(commands) < 2 {
		t.Error(commands)
	}
	for _, c := range commands {
		if out, err := run(t, nil, append([]string{"check"}, strings.Fields(c[1])...)...); err != nil {
			t.Errorf("%s: %v %s", c[0], err, out)
		}
	}
	backend := regexp.MustCompile(`(?m)^    go run \./(testdata/\w+) (.*)$`).FindStringSubmatch(string(b))
	if backend == nil {
		t.Fatal("the page runs no backend")
	}
	source, err := os.ReadFile(filepath.Join("..", "..", backend[1], "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range regexp.MustCompile(`-(\w+) `).FindAllStringSubmatch(backend[2], -1) {
		if !strings.Contains(string(source), `flag.String("`+flag[1]+`"`) {
			t.Errorf("%s has no %s", backend[1], flag[0])
		}
	}
}

// bodies is an application that keeps what it gets, and permits everything.
type bodies struct {
	*httptest.Server

	mu        sync.Mutex
	all       map[string]string
	signature string
	signed    []byte
}

func newBodies(t *testing.T) *bodies {
	b := &bodies{all: map[string]string{}}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		kind := kindOfBody(t, string(body))
		b.mu.Lock()
		b.all[kind], b.signature, b.signed = string(body), r.Header.Get(hooks.SignatureHeader), body
		b.mu.Unlock()
		if strings.HasPrefix(kind, "on_") {
			fmt.Fprint(w, 0)
			return
		}
		if kind == "publish" {
			fmt.Fprint(w, `{"subject":"a1"}`)
		}
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *bodies) of(kind string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all[kind]
}

// verify checks the last signature with the command that the page shows.
func (b *bodies) verify(t *testing.T, secret, page string) {
	t.Helper()
	line := regexp.MustCompile(`(?m)^    (\(printf .*)$`).FindStringSubmatch(page)
	if line == nil {
		t.Fatal("the page shows no command")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	at, v1, ok := strings.Cut(strings.TrimPrefix(b.signature, "t="), ",v1=")
	if !ok {
		t.Fatalf("%q", b.signature)
	}
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "body.json"), string(b.signed))
	cmd := exec.Command("sh", "-c", strings.ReplaceAll(line[1], "data/hook.secret", secret))
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "T="+at)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasSuffix(strings.TrimSpace(string(out)), v1) {
		t.Errorf("%s: %v, want %s", out, err, v1)
	}
	if sent, err := time.ParseDuration(at + "s"); err != nil || time.Since(time.Unix(int64(sent/time.Second), 0)).Abs() > time.Hour {
		t.Errorf("signed at %s", at)
	}
}

func kindOfBody(t testing.TB, body string) string {
	var m struct{ Type, Action string }
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Errorf("%v: %s", err, body)
	}
	return m.Type + m.Action
}

// membersOf are the names of an object, those inside of it too, in their order.
func membersOf(t testing.TB, body string) string {
	var names []string
	for _, m := range regexp.MustCompile(`"(\w+)":`).FindAllStringSubmatch(body, -1) {
		names = append(names, m[1])
	}
	return strings.Join(names, " ")
}
