package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestPortTaken: the error names the port, what it is for and the flag.
func TestPortTaken(t *testing.T) {
	for _, c := range []struct{ flag, what, network string }{
		{"rtmp", "RTMP", "tcp"}, {"srt", "SRT", "udp"}, {"http", "HTTP", "tcp"}, {"admin", "the admin listener", "tcp"},
	} {
		t.Run(c.flag, func(t *testing.T) {
			var port string
			if c.network == "tcp" {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				port = fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
			} else {
				l, err := net.ListenPacket("udp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				port = fmt.Sprint(l.LocalAddr().(*net.UDPAddr).Port)
			}
			args := []string{"--rtmp=127.0.0.1:0", "--srt=127.0.0.1:0", "--http=127.0.0.1:0", "--admin=127.0.0.1:0", "--data-dir=" + t.TempDir(), "--" + c.flag + "=127.0.0.1:" + port}
			_, err := run(t, nil, args...)
			if err == nil || !strings.Contains(err.Error(), "port "+port+" for "+c.what+" is taken") || !strings.Contains(err.Error(), "--"+c.flag) {
				t.Error(err)
			}
		})
	}
}

// TestFileAndDemo plays a file and the demo as streams.
func TestFileAndDemo(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *config) {
		c.Files.Demo = true
		c.Files.File = "live/clip=" + clipPath("h264-bframes-aac.flv")
	})
	for name, protocol := range map[string]string{"demo": `"remote": "demo"`, "clip": "h264-bframes-aac.flv"} {
		s.waitLive(t, name)
		if _, api := get(t, s.adminURL("/api/v1/streams")); !strings.Contains(api, protocol) {
			t.Error(api)
		}
	}
	checkPackets(t, "h264-bframes-aac.flv", probePackets(t, s.url("/live/clip.flv"), 10), true, true) // over its end
}

// TestProcess builds the program, runs it as an operator does, watches the
// demo, and ends it by a signal with a publisher and viewers on it.
func TestProcess(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "miju")
	build := exec.Command("go", "build", "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) { runProcess(t, bin, sig) })
	}
}

func runProcess(t *testing.T, bin string, sig syscall.Signal) {
	p := spawn(t, bin, "--demo", "--rtmp=127.0.0.1:0", "--srt=127.0.0.1:0", "--http=127.0.0.1:0", "--admin=127.0.0.1:0", "--data-dir="+t.TempDir())
	field := func(name string) string {
		var value string
		waitFor(t, name+" to be printed", func() bool {
			for line := range strings.Lines(p.output.String()) {
				if rest, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
					value = strings.TrimSpace(rest)
					return true
				}
			}
			return false
		})
		return value
	}
	demo := field("Demo")
	server, flv := field("Server"), strings.Replace(field("HTTP-FLV"), "NAME", "demo", 1)
	if !strings.HasSuffix(demo, "/live/demo") || !strings.HasPrefix(server, "rtmp://") {
		t.Fatalf("demo %q, server %q", demo, server)
	}
	// OBS would send this: the server's URL and the key.
	push(t, "h264-aac.flv", "flv", server+"/mine")
	waitFor(t, "both streams", func() bool {
		for _, url := range []string{flv, strings.Replace(flv, "demo", "mine", 1)} {
			r, err := http.Head(url)
			if err != nil {
				t.Fatal(err)
			}
			r.Body.Close()
			if r.StatusCode != http.StatusOK {
				return false
			}
		}
		return true
	})
	r, err := http.Get(flv)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if _, err := io.ReadFull(r.Body, make([]byte, 10000)); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	var rest bytes.Buffer
	if _, err := rest.ReadFrom(r.Body); err != nil {
		t.Errorf("the viewer's answer was cut: %v", err)
	}
	if err := p.wait(t); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Errorf("exit status %d", exit.ExitCode())
		}
	}
	if d := time.Since(begun); d > 5*time.Second {
		t.Errorf("it took %v to end", d)
	}
}

// TestEndsWhileItWaits: who starts it by mistake need not wait for a database
// that is not there.
func TestEndsWhileItWaits(t *testing.T) {
	t.Parallel()
	p := runMiju(t, "--rtmp=", "--srt=", "--http=127.0.0.1:0", "--admin=", "--db=postgres://miju:geheim@127.0.0.1:1/miju")
	waitFor(t, "it to wait", func() bool { return p.output.count("waiting for the chat database") == 1 })
	begun := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.wait(t)
	if d := time.Since(begun); d > 10*time.Second || strings.Contains(p.output.String(), "geheim") {
		t.Errorf("it ended after %v: %s", d, p.output.String())
	}
}
