package hooks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/streamkey"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

var alice = func() streamkey.Key {
	k, err := streamkey.Parse("live/alice")
	if err != nil {
		panic(err)
	}
	return k
}()

// application is one in a test. say answers a request; nil permits.
type application struct {
	*httptest.Server
	say func(w http.ResponseWriter, r *http.Request, m map[string]any)

	mu    sync.Mutex
	heard []map[string]any
}

func newApplication(t *testing.T, say func(http.ResponseWriter, *http.Request, map[string]any)) *application {
	a := &application{say: say}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	m := map[string]any{}
	if err != nil || json.Unmarshal(b, &m) != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	a.mu.Lock()
	a.heard = append(a.heard, m)
	a.mu.Unlock()
	if a.say != nil {
		a.say(w, r, m)
	}
}

func (a *application) all() []map[string]any {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]map[string]any(nil), a.heard...)
}

// lockedBuffer is a log.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// doors grant everything, but the token "bad".
type doors struct{}

func (d doors) Authorize(_ context.Context, r auth.Request) (auth.Grant, error) {
	if r.Token == "bad" {
		return auth.Grant{}, fmt.Errorf("%w: the token is malformed", auth.ErrUnauthenticated)
	}
	return auth.Grant{Subject: "sub of " + r.Token, Name: r.Name, Role: auth.RoleMember}, nil
}

// newHooks returns hooks that run until the test ends, and their log.
func newHooks(t *testing.T, at string, alone bool, change func(*Config)) (*Hooks, *lockedBuffer) {
	t.Helper()
	c := DefaultConfig()
	c.URL, c.Decides, c.Timeout = at, "publish,play,join,message", patience/2
	if change != nil {
		change(&c)
	}
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	book := &lockedBuffer{}
	h, err := New(t.Context(), c, Options{
		Doors: doors{}, Alone: func(auth.Action) bool { return alone }, Secret: []byte("secret"), Log: slog.New(slog.NewTextHandler(book, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { h.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h, book
}

func publish(token string) auth.Request {
	return auth.Request{
		Action: auth.Publish, Key: alice, Token: token, Query: "token=" + token + "&x=1", Protocol: "rtmp", RemoteAddr: "192.0.2.7:5555", Session: "c1",
	}
}

// TestDoorsDecideFirst: the application is asked about whom they let pass, and
// sees no credential.
func TestDoorsDecideFirst(t *testing.T) {
	a := newApplication(t, func(w http.ResponseWriter, _ *http.Request, m map[string]any) {
		if m["subject"] == "sub of no" {
			w.WriteHeader(403)
			io.WriteString(w, `{"message":"not today"}`)
			return
		}
		io.WriteString(w, `{"maxViewers":2,"expiresIn":60}`)
	})
	h, _ := newHooks(t, a.URL, false, nil)
	if _, err := h.Authorize(t.Context(), publish("bad")); !errors.Is(err, auth.ErrUnauthenticated) || len(a.all()) != 0 {
		t.Errorf("%v, asked %v", err, a.all())
	}
	g, err := h.Authorize(t.Context(), publish("a"))
	if err != nil || g.Subject != "sub of a" || g.MaxViewers != 2 || g.Expires.IsZero() || g.Ended != nil {
		t.Errorf("%+v %v", g, err)
	}
	if _, err = h.Authorize(t.Context(), publish("no")); !errors.Is(err, auth.ErrForbidden) || err.Error() != "denied: not today" {
		t.Errorf("%v", err)
	}
	q := a.all()[0]
	for k, want := range map[string]any{
		"type": "publish", "stream": "live/alice", "session": "c1", "protocol": "rtmp", "address": "192.0.2.7", "subject": "sub of a", "role": "member",
		"server": h.queue.server, "token": nil, "query": nil, "text": nil,
	} {
		if q[k] != want {
			t.Errorf("%s is %v, want %v", k, q[k], want)
		}
	}
	inside := publish("no")
	inside.Internal = true
	for _, r := range []auth.Request{inside, {Action: auth.Admin}, {Action: auth.Moderate, Key: alice}} {
		if _, err := h.Authorize(t.Context(), r); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
	}
	if n := len(a.all()); n != 2 {
		t.Errorf("asked %d times", n)
	}
	if o := h.Stats().Asked[askPublish]; o.Permitted != 1 || o.Denied != 1 || o.Failed != 0 || o.Seconds <= 0 {
		t.Errorf("%+v", o)
	}
}

func TestTheApplicationAlone(t *testing.T) {
	a := newApplication(t, nil)
	h, _ := newHooks(t, a.URL, true, func(c *Config) { c.Decides = "" })
	r := publish("mine")
	r.User = "truck"
	if _, err := h.Authorize(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if q := a.all()[0]; q["token"] != "mine" || q["query"] != "token=mine&x=1" || q["user"] != "truck" {
		t.Errorf("%v", q)
	}
}

// TestGuessing: an address that brings credentials that nobody has given out
// pauses, and the application is not asked meanwhile. One that is refused for
// another reason may try again.
func TestGuessing(t *testing.T) {
	a := newApplication(t, func(w http.ResponseWriter, _ *http.Request, m map[string]any) {
		switch m["token"] {
		case "unknown", nil:
			w.WriteHeader(http.StatusUnauthorized)
		case "unpaid":
			w.WriteHeader(http.StatusForbidden)
		}
	})
	h, _ := newHooks(t, a.URL, true, nil)
	h.options.Attempts = auth.NewAttempts(3, nil)
	asked := 0
	for i, c := range []struct {
		token  string
		paused bool
	}{
		{"", false},
		{"", false},
		{"", false},
		{"", false},
		{"unpaid", false},
		{"unpaid", false},
		{"unpaid", false},
		{"unpaid", false},
		{"unknown", false},
		{"unknown", false},
		{"unknown", false},
		{"good", false},
		{"unknown", false},
		{"unknown", false},
		{"unknown", false},
		{"unknown", false},
		{"good", true},
		{"", false},
	} {
		r := publish(c.token)
		if c.token == "" {
			r.Query = ""
		}
		if !c.paused {
			asked++
		}
		_, err := h.Authorize(t.Context(), r)
		if errors.Is(err, auth.ErrPaused) != c.paused || len(a.all()) != asked || c.token == "good" && !c.paused && err != nil {
			t.Errorf("%d, %s: %v, asked %d times", i, c.token, err, len(a.all()))
		}
	}
}

func TestWhatIsNotAskedAbout(t *testing.T) {
	a := newApplication(t, nil)
	h, _ := newHooks(t, a.URL, false, func(c *Config) { c.Decides = "play" })
	if _, err := h.Authorize(t.Context(), publish("a")); err != nil || len(a.all()) > 0 || h.DecidesMessages() {
		t.Errorf("%v %v", err, a.all())
	}
}

// TestFailures: whatever goes wrong is decided by --hook-fail, logged once and
// without the URL.
func TestFailures(t *testing.T) {
	elsewhere := newApplication(t, nil)
	for name, say := range map[string]func(http.ResponseWriter, *http.Request, map[string]any){
		"status": func(w http.ResponseWriter, _ *http.Request, _ map[string]any) { w.WriteHeader(502) },
		"redirect": func(w http.ResponseWriter, r *http.Request, _ map[string]any) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		},
		"no JSON": func(w http.ResponseWriter, _ *http.Request, _ map[string]any) { io.WriteString(w, `{"allow"`) },
		"too long": func(w http.ResponseWriter, _ *http.Request, _ map[string]any) {
			io.WriteString(w, `{"message":"`+strings.Repeat("a", maxAnswer)+`"}`)
		},
		"a header that is too long": func(w http.ResponseWriter, _ *http.Request, _ map[string]any) {
			w.Header().Set("X", strings.Repeat("a", 4*maxAnswerHeader))
		},
		"silence": func(_ http.ResponseWriter, r *http.Request, _ map[string]any) { <-r.Context().Done() },
		"cut": func(w http.ResponseWriter, _ *http.Request, _ map[string]any) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				c.Close()
			}
		},
	} {
		for _, fail := range []string{FailOpen, FailClosed} {
			t.Run(name+" "+fail, func(t *testing.T) {
				a := newApplication(t, say)
				at := strings.Replace(a.URL, "http://", "http://miju:geheim@", 1) + "/x?key=geheim"
				h, book := newHooks(t, at, false, func(c *Config) {
					c.Fail = fail
					if name == "silence" {
						c.Timeout = 100 * time.Millisecond
					}
				})
				for range 2 {
					g, err := h.Authorize(t.Context(), publish("a"))
					switch {
					case fail == FailOpen && (err != nil || g.Subject != "sub of a"):
						t.Errorf("%+v %v", g, err)
					case fail == FailClosed && (err == nil || errors.Is(err, auth.ErrDenied) || !errors.Is(err, ErrUndecided)):
						t.Errorf("%v", err)
					}
				}
				text, err := h.Say(t.Context(), Message{Key: alice, Text: "hello"})
				if (err == nil) != (fail == FailOpen) || err == nil && text != "hello" {
					t.Errorf("%q %v", text, err)
				}
				if log := book.String(); strings.Count(log, "the hook fails") != 1 || strings.Contains(log, "geheim") || strings.Contains(log, "/x") {
					t.Error(log)
				}
				if o := h.Stats().Asked[askPublish]; o.Failed != 2 || o.Permitted+o.Denied > 0 {
					t.Errorf("%+v", o)
				}
			})
		}
	}
	if len(elsewhere.all()) > 0 {
		t.Error("a redirect was followed")
	}
}

// TestSlowAnswersHoldUpNobodyElse has the application hang about one peer while
// others are decided, and forgets the question when that peer goes.
func TestSlowAnswersHoldUpNobodyElse(t *testing.T) {
	hung := make(chan bool, 1)
	a := newApplication(t, func(_ http.ResponseWriter, r *http.Request, m map[string]any) {
		if m["subject"] == "sub of slow" {
			hung <- true
			<-r.Context().Done()
		}
	})
	h, _ := newHooks(t, a.URL, false, func(c *Config) { c.Timeout = patience })
	ctx, leave := context.WithCancel(t.Context())
	slow := make(chan error, 1)
	go func() {
		_, err := h.Authorize(ctx, publish("slow"))
		slow <- err
	}()
	<-hung
	for range 10 {
		if _, err := h.Authorize(t.Context(), publish("a")); err != nil {
			t.Fatal(err)
		}
	}
	leave()
	if err := <-slow; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if o := h.Stats().Asked[askPublish]; o.Failed != 0 {
		t.Errorf("%+v", o)
	}
}

// TestHurriedPeers are answered in time, as SRT's callers must be.
func TestHurriedPeers(t *testing.T) {
	a := newApplication(t, func(_ http.ResponseWriter, r *http.Request, _ map[string]any) { <-r.Context().Done() })
	h, _ := newHooks(t, a.URL, false, func(c *Config) { c.Timeout, c.Fail = patience, FailOpen })
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if most := h.patience(ctx); most > 900*time.Millisecond { // the rest is for the answer
		t.Errorf("waits for %v", most)
	}
	if _, err := h.Authorize(ctx, publish("a")); err != nil {
		t.Error(err)
	}
}

func TestMessages(t *testing.T) {
	a := newApplication(t, func(w http.ResponseWriter, _ *http.Request, m map[string]any) {
		switch m["text"] {
		case "no":
			io.WriteString(w, `{"allow":false,"message":"not like that"}`)
		case "change":
			io.WriteString(w, `{"text":"ch*nge"}`)
		}
	})
	h, _ := newHooks(t, a.URL, false, nil)
	for text, want := range map[string]string{"hello": "hello", "change": "ch*nge", "no": ""} {
		got, err := h.Say(t.Context(), Message{Key: alice, ID: "~k3", Name: "Ann", Role: auth.RoleGuest, Address: "192.0.2.7", Text: text})
		if got != want || (err != nil) != (want == "") || err != nil && err.Error() != "denied: not like that" {
			t.Errorf("%s: %q %v", text, got, err)
		}
	}
	q := a.all()[0]
	if q["type"] != "message" || q["subject"] != "~k3" || q["name"] != "Ann" || q["role"] != "guest" || q["address"] != "192.0.2.7" || q["stream"] != "live/alice" {
		t.Errorf("%v", q)
	}
}

// TestSignatures are over the time and the body, as docs/webhooks.md says.
func TestSignatures(t *testing.T) {
	const want = "t=1790000000,v1=1c7cc2fe56ac98af8abac56725a67d4d83d118304aecb630a6dc3dd45148f838"
	if got := Sign([]byte("secret"), []byte(`{"id":"e_1"}`), time.Unix(1790000000, 0)); got != want {
		t.Error(got)
	}
	var header string
	a := newApplication(t, func(_ http.ResponseWriter, r *http.Request, _ map[string]any) {
		header = r.Header.Get(SignatureHeader)
	})
	h, _ := newHooks(t, a.URL, false, nil)
	if _, err := h.Authorize(t.Context(), publish("a")); err != nil || !strings.HasPrefix(header, "t=") {
		t.Errorf("%q %v", header, err)
	}
}

func TestSettings(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"none", func(*Config) {}, ""},
		{"a URL", func(c *Config) { c.URL, c.Decides = "https://app.example/hook?a=1,b=2", "publish, play,join,message" }, ""},
		{"a list", func(c *Config) { c.URL, c.Decides = "publish=http://a/,events=http://b/x?y=z", "publish" }, ""},
		{"SRS", func(c *Config) { c.Style, c.URL, c.Decides = "srs", "http://a/", "publish,play" }, ""},
		{"a list for SRS", func(c *Config) {
			c.Style, c.URL, c.Decides = "srs", "on_publish=http://a/1,on_unpublish=http://a/2", "publish"
		}, ""},
		{"no URL for a question", func(c *Config) { c.URL, c.Decides = "publish=http://a/", "play" }, "no URL for it"},
		{"no URL for a callback", func(c *Config) { c.Style, c.URL, c.Decides = "srs", "on_publish=http://a/", "play" }, "no URL for it"},
		{"messages for SRS", func(c *Config) { c.Style, c.URL, c.Decides = "srs", "http://a/", "message" }, "do not know"},
		{"questions without a URL", func(c *Config) { c.Decides = "publish" }, "needs --hook"},
		{"another question", func(c *Config) { c.URL, c.Decides = "http://a/", "admin" }, `"admin"`},
		{"another name", func(c *Config) { c.URL = "on_play=http://a/" }, "a list like publish=URL"},
		{"a name twice", func(c *Config) { c.URL = "play=http://a/,play=http://b/" }, "twice"},
		{"FTP", func(c *Config) { c.URL = "ftp://geheim@a/" }, "list like"},
		{"no host", func(c *Config) { c.URL = "http:///geheim" }, "no URL"},
		{"broken", func(c *Config) { c.URL = "play=http://geheim[" }, "no URL"},
		{"another style", func(c *Config) { c.Style = "nginx" }, "--hook-style"},
		{"another failure", func(c *Config) { c.Fail = "maybe" }, "--hook-fail"},
		{"another tale", func(c *Config) { c.Tells = "streams,news" }, `"news"`},
	} {
		config := DefaultConfig()
		c.change(&config)
		err := config.Check()
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "geheim")) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	srs := Config{Style: StyleSRS, URL: "http://a/"}
	if srs.Asks(askJoin) || !srs.Asks(askPlay) || (Config{Style: StyleMiju}).Asks(askPlay) {
		t.Error("asks what cannot be asked, or not what can")
	}
}
