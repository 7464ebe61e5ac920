package main

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// countedOrigin is an origin as edges see it. It counts what they ask for, and
// stays at its address when the server behind it is another one.
type countedOrigin struct {
	*httptest.Server
	behind atomic.Pointer[testServer] // nil: connections are cut

	mu       sync.Mutex
	requests map[string]int // by URL
}

func countOrigin(t testing.TB, s *testServer) *countedOrigin {
	o := &countedOrigin{requests: map[string]int{}}
	o.behind.Store(s)
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		o.requests[r.URL.String()]++
		o.mu.Unlock()
		s := o.behind.Load()
		if s == nil {
			panic(http.ErrAbortHandler)
		}
		s.route(w, r)
	}))
	t.Cleanup(func() {
		o.CloseClientConnections()
		o.Close()
	})
	return o
}

// count returns how often edges asked for URLs that begin so, and how many
// different ones there were.
func (o *countedOrigin) count(prefix string) (requests, urls int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for u, n := range o.requests {
		if strings.HasPrefix(u, prefix) {
			requests += n
			urls++
		}
	}
	return requests, urls
}

// repeated tells which URLs were asked for more than once.
func (o *countedOrigin) repeated() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var b strings.Builder
	for _, u := range slices.Sorted(maps.Keys(o.requests)) {
		if o.requests[u] > 1 {
			fmt.Fprintf(&b, "%d %s\n", o.requests[u], u)
		}
	}
	return b.String()
}

// edge is a cache in front of an origin, run from a file in deploy.
type edge struct {
	base string
	addr string
	// restart ends it and starts it anew at the same address.
	restart func()
}

// edges are all that deploy has a file for.
var edges = map[string]func(t testing.TB, origin string) *edge{"nginx": startNginx, "varnish": startVarnish}

// freeAddr returns an address of loopback that nobody listens on.
func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// deployed returns a file of deploy with some of it replaced, all of which
// must be in it.
func deployed(t testing.TB, name string, oldNew ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(oldNew); i += 2 {
		if !strings.Contains(string(b), oldNew[i]) {
			t.Fatalf("deploy/%s has no %q", name, oldNew[i])
		}
	}
	return strings.NewReplacer(oldNew...).Replace(string(b))
}

// runEdge spawns an edge until the test ends.
func runEdge(t testing.TB, addr, name string, args ...string) *edge {
	e := &edge{base: "http://" + addr, addr: addr}
	var p *program
	end := func() {
		p.cmd.Process.Signal(syscall.SIGTERM) // it has workers, which it ends
		select {
		case <-p.done:
		case <-time.After(patience):
			t.Errorf("%s does not end", name)
		}
	}
	launch := func() {
		p = spawn(t, name, args...)
		t.Cleanup(end) // before spawn's own, which leaves the workers
		waitFor(t, name+" to answer", func() bool {
			r, err := http.Get(e.base + "/live/nobody.flv")
			if err != nil {
				return false
			}
			r.Body.Close()
			return r.StatusCode == http.StatusNotFound || r.StatusCode == http.StatusUnauthorized
		})
	}
	launch()
	e.restart = func() {
		end()
		launch()
	}
	return e
}

// startNginx runs nginx with deploy/nginx.conf.
func startNginx(t testing.TB, origin string) *edge { return startNginxWith(t, origin) }

// startNginxWith runs nginx with more of the file replaced.
func startNginxWith(t testing.TB, origin string, oldNew ...string) *edge {
	t.Helper()
	addr, dir := freeAddr(t), t.TempDir()
	head := "pid " + dir + "/pid;\nerror_log " + dir + "/error.log;\ndaemon off;\n"
	if os.Getuid() == 0 {
		head += "user root;\n"
	}
	temp := "http {\n"
	for _, module := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temp += module + "_temp_path " + dir + "/" + module + ";\n"
	}
	conf := filepath.Join(dir, "nginx.conf")
	writeFile(t, conf, deployed(t, "nginx.conf", append(oldNew,
		"worker_processes auto;", head+"worker_processes 2;",
		"worker_rlimit_nofile 65536;", "", "worker_connections 16384;", "worker_connections 4096;",
		"http {\n", temp, "/var/cache/nginx/miju", dir+"/cache", "127.0.0.1:8080", origin, "listen 80;", "listen "+addr+";")...))
	t.Cleanup(func() {
		if log, err := os.ReadFile(dir + "/error.log"); err == nil && t.Failed() {
			t.Logf("nginx's log:\n%s", tail(string(log)))
		}
	})
	return runEdge(t, addr, "nginx", "-p", dir, "-c", conf)
}

// startVarnish runs Varnish with deploy/varnish.vcl.
func startVarnish(t testing.TB, origin string) *edge { return startVarnishWith(t, origin) }

// startVarnishWith runs Varnish with more of the file replaced.
func startVarnishWith(t testing.TB, origin string, oldNew ...string) *edge {
	t.Helper()
	addr, dir := freeAddr(t), t.TempDir()
	host, port, err := net.SplitHostPort(origin)
	if err != nil {
		t.Fatal(err)
	}
	vcl := filepath.Join(dir, "varnish.vcl")
	writeFile(t, vcl, deployed(t, "varnish.vcl", append(oldNew, "127.0.0.1", host, `"8080"`, `"`+port+`"`)...))
	return runEdge(t, addr, "varnishd", "-F", "-j", "none", "-n", filepath.Join(dir, "work"), "-a", addr, "-f", vcl, "-s", "malloc,256m", "-p", "timeout_idle=75")
}

// onEdges runs a test on each kind of edge.
func onEdges(t *testing.T, test func(t *testing.T, s *testServer, o *countedOrigin, e *edge), change ...func(*config)) {
	t.Parallel()
	for name, startEdge := range edges {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, change...)
			o := countOrigin(t, s)
			test(t, s, o, startEdge(t, o.Listener.Addr().String()))
		})
	}
}

// TestEdge pulls through an edge what players would.
func TestEdge(t *testing.T) {
	onEdges(t, func(t *testing.T, s *testServer, _ *countedOrigin, e *edge) {
		push(t, "h264-aac.flv", "flv", s.rtmpURL("x"))
		s.waitLive(t, "x")
		for _, path := range []string{"/live/x.flv", "/live/x.m3u8", "/live/x.ts"} {
			t.Run(path, func(t *testing.T) {
				t.Parallel()
				p := probePackets(t, e.base+path, 6)
				if path != "/live/x.ts" { // which has its own form of the clip's packets
					checkPackets(t, "h264-aac.flv", p, true, true)
				} else if len(p.Packets) < 100 {
					t.Errorf("%d packets in six seconds", len(p.Packets))
				}
			})
		}
		t.Run("page", func(t *testing.T) {
			if status, body := get(t, e.base+"/live/x"); status != http.StatusOK || !strings.Contains(body, "<html") {
				t.Errorf("the watch page: %d %s", status, tail(body))
			}
		})
	})
}
