package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/certs/acmetest"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// These tests run a whole server in this process, on ports of its own choice,
// and real clients against it.

// beforeMain prepares a process for what a test does to it.
var beforeMain = func() {}

func TestMain(m *testing.M) {
	if os.Getenv(mainEnv) != "" { // a test wants a process that it can kill
		beforeMain()
		main()
		return
	}
	leaks.watchHTTP()
	goleak.VerifyTestMain(m, append(acmetest.Leaks(), goleak.Cleanup(func(code int) { os.Exit(max(code, stopPostgres(), leaks.report(os.Stderr))) }))...)
}

// patience is how long a test waits for what must come: far longer than it
// takes, so that a busy machine fails nothing.
const patience = 60 * time.Second

type testServer struct {
	*server
	// log is what operators see, all of it what there is at most.
	log, all *logBook
	// secrets are what must be nowhere in the log.
	secrets []string
	stop    func() // ends the server and waits for it; tests need not call it
}

// start runs a server until the test ends.
func start(t testing.TB, change ...func(*config)) *testServer {
	t.Helper()
	return startWith(t, auth.Open{}, change...)
}

// startWith is start with doors.
func startWith(t testing.TB, doors auth.Authorizer, change ...func(*config)) *testServer {
	t.Helper()
	c := defaultConfig()
	c.RTMP.Listen, c.SRT.Listen, c.HTTP.Listen, c.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	c.Data.Dir = t.TempDir()
	for _, f := range change {
		f(&c)
	}
	if err := c.validate(); err != nil {
		t.Fatal(err)
	}
	leaks.keepSettings(&c)
	book := &logBook{}
	log, all := watchedLog(book)
	s, err := listen(t.Context(), c, doors, log)
	if err != nil {
		t.Fatal(err)
	}
	leaks.keep(string(s.secret))
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.serve(ctx) }()
	ts := &testServer{server: s, log: book, all: all}
	ts.stop = sync.OnceFunc(func() {
		leaks.searchServer(t, s)
		cancel()
		select {
		case err := <-served:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Error("the server does not end")
		}
		http.DefaultClient.CloseIdleConnections()
		leaks.keepSecretsOf(c.Data.Dir)
		leaks.search(t.Name()+", log", []byte(all.String()))
		leaks.searchDir(t, c.Data.Dir)
	})
	t.Cleanup(func() {
		ts.stop()
		if t.Failed() {
			t.Logf("the server's log:\n%s", book)
		}
	})
	return ts
}

// logBook keeps what a server logs.
type logBook struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// count returns the number of lines that hold all of the words.
func (l *logBook) count(words ...string) int {
	n := 0
	for line := range strings.Lines(l.String()) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			n++
		}
	}
	return n
}

func (s *testServer) rtmpURL(name string) string {
	return fmt.Sprintf("rtmp://%s/live/%s", s.rtmp.Addr(), name)
}

func (s *testServer) srtURL(streamID string) string {
	return fmt.Sprintf("srt://%s?streamid=%s&pkt_size=1316", s.srt.Addr(), streamID)
}

func (s *testServer) url(path string) string { return fmt.Sprintf("http://%s%s", s.http.Addr(), path) }

func (s *testServer) adminURL(path string) string {
	return fmt.Sprintf("http://%s%s", s.admin.Addr(), path)
}

// waitLive waits until live/name can be played.
func (s *testServer) waitLive(t testing.TB, name string) {
	t.Helper()
	key, err := streamkey.Join("live", name)
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, key.String()+" to go live", func() bool {
		_, err := s.hub.Lookup(key)
		return err == nil
	})
}

// stream returns the live stream live/name.
func (s *testServer) stream(t testing.TB, name string) *stream.Stream {
	t.Helper()
	key, err := streamkey.Join("live", name)
	if err != nil {
		t.Fatal(err)
	}
	live, err := s.hub.Lookup(key)
	if err != nil {
		t.Fatal(err)
	}
	return live
}

// waitFor waits until done, asking often.
func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// get returns the status and the body of a URL.
func get(t testing.TB, url string) (int, string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

// operate returns what an operator is shown at a path.
func (s *testServer) operate(t testing.TB, path string) (int, string) {
	t.Helper()
	var header []string
	if s.doors != nil && s.config.operatorsNeedToken() {
		header = []string{"Authorization", "Bearer " + s.mint(t, auth.ActionsOf(auth.Admin))}
	}
	a := ask(t, http.MethodGet, s.adminURL(path), header...)
	return a.status, a.body
}

// metric returns the value of a metric as /metrics prints it, 0 if it is not there.
func (s *testServer) metric(t testing.TB, series string) float64 {
	t.Helper()
	_, body := s.operate(t, "/metrics")
	for line := range strings.Lines(body) {
		if rest, ok := strings.CutPrefix(line, series+" "); ok {
			var v float64
			if _, err := fmt.Sscan(rest, &v); err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	return 0
}

// program runs a client until it ends or the test does. A program that is not
// installed fails the test: "make test" installs what is missing.
type program struct {
	cmd    *exec.Cmd
	output logBook
	done   chan struct{}
	err    error
}

func spawn(t testing.TB, name string, args ...string) *program {
	t.Helper()
	return spawnCommand(t, exec.Command(name, args...))
}

func spawnCommand(t testing.TB, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{cmd: cmd, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if cmd.Path == os.Args[0] || filepath.Base(cmd.Path) == "miju" {
			leaks.searchProcess(t, p)
		}
		if t.Failed() {
			t.Logf("%s printed:\n%s", filepath.Base(cmd.Path), tail(p.output.String()))
		}
	})
	return p
}

func tail(s string) string { return s[max(0, len(s)-4000):] }

// kill ends the program and waits for it.
func (p *program) kill() {
	p.cmd.Process.Kill() // that it has ended already is no error here
	<-p.done
}

// wait waits for the program to end by itself.
func (p *program) wait(t testing.TB) error {
	t.Helper()
	select {
	case <-p.done:
		return p.err
	case <-time.After(3 * patience):
		t.Fatalf("%s does not end", p.cmd.Path)
		return nil
	}
}

func clipPath(name string) string { return filepath.Join("..", "..", "testdata", name) }

// push publishes a clip in real time, in a loop, with ffmpeg.
func push(t testing.TB, clipName, format, url string) *program {
	t.Helper()
	args := []string{"-hide_banner", "-loglevel", "warning", "-nostdin", "-re"}
	if clipName != "audio-only.m4a" { // ffmpeg cannot loop it without a break; it is long enough
		args = append(args, "-stream_loop", "-1")
	}
	args = append(args, "-i", clipPath(clipName), "-c", "copy", "-f", format)
	if format == "flv" {
		args = append(args, "-flvflags", "no_duration_filesize")
	}
	return spawn(t, "ffmpeg", append(args, url)...)
}

// command runs a program to its end and returns its standard output. Its
// standard error must stay empty if clean is set.
func command(t testing.TB, clean bool, name string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || clean && stderr.Len() > 0 {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, tail(stderr.String()))
	}
	return out
}

// packet is one coded frame as ffprobe shows it.
type packet struct {
	Type  string `json:"codec_type"`
	PTS   string `json:"pts_time"`
	DTS   string `json:"dts_time"`
	Flags string `json:"flags"`
	Hash  string `json:"data_hash"`
}

func (p packet) seconds(t testing.TB, s string) time.Duration {
	t.Helper()
	var f float64
	if _, err := fmt.Sscan(s, &f); err != nil {
		t.Fatalf("time %q of a %s packet: %v", s, p.Type, err)
	}
	return time.Duration(f * float64(time.Second))
}

type probed struct {
	Packets []packet       `json:"packets"`
	Streams []probedStream `json:"streams"`
}

type probedStream struct {
	Codec      string `json:"codec_name"`
	Type       string `json:"codec_type"`
	Tag        string `json:"codec_tag_string"`
	Width      int    `json:"width"`
	Height     int    `json:"height"`
	SampleRate string `json:"sample_rate"`
	Channels   int    `json:"channels"`
}

// probePackets reads packets of a file or URL: all of a file's, length seconds of a stream's.
func probePackets(t testing.TB, url string, length int) probed {
	t.Helper()
	args := []string{"-v", "error", "-show_packets", "-show_streams", "-show_data_hash", "md5", "-of", "json"}
	if length > 0 {
		args = append(args, "-read_intervals", fmt.Sprintf("%%+%d", length))
	}
	var p probed
	if out := command(t, false, "ffprobe", append(args, url)...); json.Unmarshal(out, &p) != nil {
		t.Errorf("ffprobe of %s printed %s", url, tail(string(out)))
	}
	return p
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
