package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// nginxConf is a CDN edge: it passes HTTP-FLV through as it comes and caches
// HLS, merging what is asked for at once.
const nginxConf = `
%[4]sdaemon off;
master_process off;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
events { worker_connections 256; }
http {
  access_log off;
  proxy_cache_path %[1]s/cache keys_zone=hls:1m inactive=1m;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi;
  scgi_temp_path %[1]s/scgi;
  server {
    listen 127.0.0.1:%[2]d;
    proxy_http_version 1.1;
    location ~ \.flv$ {
      proxy_pass http://%[3]s;
      proxy_buffering off;
    }
    location / {
      proxy_pass http://%[3]s;
      proxy_cache hls;
      proxy_cache_lock on;
      add_header X-Edge $upstream_cache_status always;
    }
  }
}
`

// startEdge runs nginx in front of s and returns its base URL.
func startEdge(t *testing.T, s *testServer) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	dir := t.TempDir()
	user := ""
	if os.Getuid() == 0 {
		user = "user root;\n"
	}
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, dir, port, s.http.Addr(), user), 0o600); err != nil {
		t.Fatal(err)
	}
	spawn(t, "nginx", "-p", dir, "-c", conf)
	base := fmt.Sprintf("http://127.0.0.1:%d", port)
	waitFor(t, "nginx to answer", func() bool {
		r, err := http.Get(base + "/live/none.flv")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusNotFound
	})
	return base
}

// TestEdge pulls through nginx what a CDN would.
func TestEdge(t *testing.T) {
	s := start(t)
	edge := startEdge(t, s)
	push(t, "h264-aac.flv", "flv", s.rtmpURL("x"))
	s.waitLive(t, "x")
	t.Run("players", func(t *testing.T) {
		for _, path := range []string{"/live/x.flv", "/live/x.m3u8"} {
			t.Run(path, func(t *testing.T) {
				t.Parallel()
				checkPackets(t, "h264-aac.flv", probePackets(t, edge+path, 6), true, true)
			})
		}
	})
	init := ""
	for _, line := range strings.Split(mediaPlaylist(t, edge, "/live/x.m3u8"), "\n") {
		if rest, ok := strings.CutPrefix(line, `#EXT-X-MAP:URI="`); ok {
			init, _, _ = strings.Cut(rest, `"`)
		}
	}
	if init == "" {
		t.Fatal("the playlist names no initialization section")
	}
	statuses := ""
	for range 2 {
		r, err := http.Get(edge + "/live/x/" + init)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		statuses += r.Header.Get("X-Edge") + " "
	}
	if !strings.HasSuffix(statuses, "HIT ") {
		t.Errorf("the edge does not keep initialization sections: %s", statuses)
	}
}

// mediaPlaylist returns the first media playlist that a multivariant one names.
func mediaPlaylist(t *testing.T, base, path string) string {
	t.Helper()
	_, multivariant := get(t, base+path)
	for _, line := range strings.Split(multivariant, "\n") {
		if line != "" && line[0] != '#' {
			status, body := get(t, base+path[:strings.LastIndex(path, "/")+1]+line)
			if status != http.StatusOK {
				t.Fatalf("%s: %d %s", line, status, body)
			}
			return body
		}
	}
	t.Fatalf("no media playlist in %s", multivariant)
	return ""
}
