package main

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miju-live/miju/auth"
)

// Nothing that permits something may be in what the server writes. Whatever
// these tests get to see of it is searched for every secret that they use: the log at
// its most talkative, what processes print, every HTTP answer, the operators'
// metrics and API, the files of the data directory. start, spawn, run and the
// default HTTP transport see to that, so that no test has to. Secrets are known by
// their look (tokens, stream keys, whatever holds the marker), by the settings
// and the files that these name, and by mint. What is found fails the run.

// marker is to be part of passwords, passphrases and the like that tests invent.
const marker = "geheim"

// looks begin or hold what is secret in any case: the marker, and the beginnings
// of JSON Web Tokens ({"alg":", {"kid":", {"typ":" in base64).
var looks = []string{marker, "eyJhbGciOi", "eyJraWQiOi", "eyJ0eXAiOi"}

// streamKeyLook is what stream keys look like, and what is enough of one to tell.
var streamKeyLook = regexp.MustCompile(`mk_[a-z2-7]{12}`)

// exceptions are commands whose output is the secret that was asked for.
var exceptions = [][]string{{"token"}, {"key", "create"}, {"key", "rotate"}}

// firstStartLook is the one line with a token that a server prints: at its first
// start, to whoever started it.
var firstStartLook = regexp.MustCompile(`(?m)^ +Stream key  .*$`)

const (
	// windowSize is how much of a secret tells it from all else, in bytes; enough
	// of a long one is looked for that a log may have cut it.
	windowSize, enough = 6, 12
	// maxWatched bounds what is searched of one answer, in bytes.
	maxWatched = 4 << 20
)

// leakWatch knows secrets, and where they leaked.
type leakWatch struct {
	mu      sync.RWMutex // of the secrets
	secrets map[[windowSize]byte][]string
	// begins tells by a hash of three bytes where it is worth looking.
	begins [1 << 18]bool

	telling sync.Mutex
	found   map[string]bool
}

// beginning is the hash of the first three bytes of b.
func beginning(b []byte) int { return (int(b[0])<<10 ^ int(b[1])<<5 ^ int(b[2])) & (1<<18 - 1) }

// leaks is of all tests.
var leaks = newLeakWatch()

func newLeakWatch() *leakWatch {
	w := &leakWatch{secrets: map[[windowSize]byte][]string{}, found: map[string]bool{}}
	for _, s := range looks {
		w.keep(s)
	}
	return w
}

// keep takes note of secrets. What is shorter than a window is found by its marker
// or not at all.
func (w *leakWatch) keep(secrets ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range secrets {
		for _, s := range []string{s, url.QueryEscape(s)} {
			if len(s) < windowSize {
				continue
			}
			s = s[:min(len(s), enough)]
			at := [windowSize]byte([]byte(s))
			w.begins[beginning(at[:])] = true
			if !slices.Contains(w.secrets[at], s) {
				w.secrets[at] = append(w.secrets[at], s)
			}
		}
	}
}

// search looks for secrets in what was written somewhere and reports whether there
// are none.
func (w *leakWatch) search(where string, written []byte) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	clean := true
	tell := func(i, n int) {
		w.telling.Lock()
		defer w.telling.Unlock()
		clean = false
		around := string(written[max(0, i-80):min(len(written), i+n+20)])
		w.found[fmt.Sprintf("%s: …%q…", where, around)] = true
	}
	for i := 0; i+windowSize <= len(written); i++ {
		if !w.begins[beginning(written[i:])] {
			continue
		}
		for _, s := range w.secrets[[windowSize]byte(written[i:])] {
			if bytes.HasPrefix(written[i:], []byte(s)) {
				tell(i, len(s))
			}
		}
	}
	for _, at := range streamKeyLook.FindAllIndex(written, -1) {
		tell(at[0], at[1]-at[0])
	}
	return clean
}

// report prints what leaked and returns the exit status for it.
func (w *leakWatch) report(out io.Writer) int {
	w.telling.Lock()
	defer w.telling.Unlock()
	for _, found := range slices.Sorted(maps.Keys(w.found)) {
		fmt.Fprintln(out, "SECRET LEAKED in", found)
	}
	return min(1, len(w.found))
}

// keepSettings takes note of the secrets that settings are, hold as a URL's
// password, or name a file of.
func (w *leakWatch) keepSettings(c *config) {
	eachSetting(c, func(s setting) {
		v, _ := s.value.Interface().(string)
		if strings.Contains(s.name, "passphrase") && !strings.ContainsRune(v, '/') {
			w.keep(v)
		}
		if u, err := url.Parse(v); err == nil && u.User != nil {
			password, _ := u.User.Password()
			w.keep(password)
		}
		info, err := os.Stat(v)
		if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 || info.Size() > 16<<10 || s.name == "chat-filter" {
			return
		}
		b, err := os.ReadFile(v)
		if err != nil {
			return
		}
		w.keepFile(b)
	})
}

// keepFile takes note of the secrets in a file, PEM or words. Words that are short or
// have a slash or a star are names and patterns.
func (w *leakWatch) keepFile(b []byte) {
	if bytes.HasPrefix(b, []byte("-----")) {
		for {
			var block *pem.Block
			if block, b = pem.Decode(b); block == nil {
				return
			}
			if strings.HasSuffix(block.Type, "PRIVATE KEY") {
				text := base64.StdEncoding.EncodeToString(block.Bytes)
				w.keep(text[min(len(text), 24):]) // all keys of a kind begin alike
			}
		}
	}
	for word := range strings.FieldsSeq(string(b)) {
		if len(word) >= 8 && !strings.ContainsAny(word, "/*") {
			w.keep(word)
		}
	}
}

// isSecretFile reports whether a file of a data directory is there to hold a secret.
func isSecretFile(name string) bool {
	base := filepath.Base(name)
	return strings.HasPrefix(base, auth.SecretFile) || strings.HasSuffix(base, ".key") || strings.HasSuffix(base, ".secret")
}

// searchDir searches a data directory but for the files where secrets belong, which
// others must not be able to read.
func (w *leakWatch) searchDir(t testing.TB, dir string) {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		switch {
		case err != nil || !d.Type().IsRegular(): // it may be gone already
			return nil
		case isSecretFile(name):
			if info, err := d.Info(); err == nil && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("others can read %s: %v", name, info.Mode())
			}
			return nil
		case strings.HasPrefix(name, "hls"+string(filepath.Separator)): // pictures and sound
			return nil
		}
		b, err := os.ReadFile(path)
		if err == nil {
			w.search(t.Name()+", file "+name, b)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// keepSecretsOf takes note of the secrets that a server keeps in its data directory.
func (w *leakWatch) keepSecretsOf(dir string) {
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && isSecretFile(path) {
			if b, err := os.ReadFile(path); err == nil {
				w.keepFile(b)
			}
		}
		return nil
	})
}

// watchedLog logs to book, and beyond its level to what is searched in the end.
func watchedLog(book *logBook) (log *slog.Logger, all *logBook) {
	all = &logBook{}
	return slog.New(slog.NewMultiHandler(
		slog.NewTextHandler(book, nil),
		slog.NewJSONHandler(all, &slog.HandlerOptions{Level: slog.LevelDebug}),
	)), all
}

// searchServer searches what a server of this process tells its operators.
func (w *leakWatch) searchServer(t testing.TB, s *server) {
	handler := s.adminHandler()
	token := ""
	if s.secret != nil {
		var err error
		if token, err = auth.Mint(s.secret, auth.Claims{Actions: auth.ActionsOf(auth.Admin)}); err != nil {
			t.Error(err)
		}
	}
	for _, path := range []string{"/metrics", "/api/v1/streams", "/api/v1/rooms", "/api/v1/sanctions"} {
		answer := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Host = "localhost"
		r.Header.Set("Authorization", "Bearer "+token)
		handler.ServeHTTP(answer, r)
		w.search(t.Name()+", "+path, answer.Body.Bytes())
	}
}

// searchProcess searches what a process printed and left in its data directory.
func (w *leakWatch) searchProcess(t testing.TB, p *program) {
	dirs := []string{filepath.Join(p.cmd.Dir, "data")}
	for _, arg := range p.cmd.Args[1:] {
		if dir, ok := strings.CutPrefix(arg, "--data-dir="); ok {
			dirs = append(dirs, dir)
		}
	}
	for _, dir := range dirs {
		w.keepSecretsOf(dir)
		w.searchDir(t, dir)
	}
	if !excepted(p.cmd.Args[1:]) {
		w.search(t.Name()+", output of miju "+strings.Join(p.cmd.Args[1:], " "), firstStartLook.ReplaceAll([]byte(p.output.String()), nil))
	}
}

func excepted(args []string) bool {
	return slices.ContainsFunc(exceptions, func(e []string) bool {
		return len(args) > 0 && args[0] == e[0] && !slices.ContainsFunc(e, func(word string) bool { return !slices.Contains(args, word) })
	})
}

// watchHTTP has every answer searched that comes by the default transport.
func (w *leakWatch) watchHTTP() { http.DefaultTransport = w.transport(http.DefaultTransport) }

func (w *leakWatch) transport(below http.RoundTripper) http.RoundTripper {
	return watchedTransport{w, below}
}

type watchedTransport struct {
	watch *leakWatch
	below http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t watchedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.below.RoundTrip(r)
	if err != nil {
		return resp, err
	}
	var head bytes.Buffer
	resp.Header.Write(&head)
	where := "answer to " + r.Method + " " + r.URL.Path
	t.watch.search("header of the "+where, head.Bytes())
	kind := resp.Header.Get("Content-Type")
	if resp.StatusCode == http.StatusSwitchingProtocols || strings.HasPrefix(kind, "video/") || strings.HasPrefix(kind, "audio/") {
		return resp, nil
	}
	body := &watchedBody{ReadCloser: resp.Body}
	body.over = sync.OnceFunc(func() {
		body.mu.Lock()
		defer body.mu.Unlock()
		b := body.kept.Bytes()
		if strings.Contains(kind, "mpegurl") { // its URIs carry the credential of its own request: docs/hls.md
			for _, values := range r.URL.Query() {
				for _, v := range values {
					b = bytes.ReplaceAll(b, []byte(url.QueryEscape(v)), nil)
				}
			}
		}
		t.watch.search(where, b)
	})
	resp.Body = body
	return resp, nil
}

// CloseIdleConnections lets http.Client do so.
func (t watchedTransport) CloseIdleConnections() {
	if c, ok := t.below.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// watchedBody is searched when it is over.
type watchedBody struct {
	io.ReadCloser
	mu   sync.Mutex
	kept bytes.Buffer
	over func()
}

// Read implements io.Reader.
func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	if room := maxWatched - b.kept.Len(); room > 0 {
		b.kept.Write(p[:min(n, room)])
	}
	b.mu.Unlock()
	if err != nil {
		b.over()
	}
	return n, err
}

// Close implements io.Closer.
func (b *watchedBody) Close() error {
	b.over()
	return b.ReadCloser.Close()
}
