package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestClientsSpeakForNobodyThroughEdges: an edge that is trusted tells who asks,
// whatever its clients write and whichever way they take.
func TestClientsSpeakForNobodyThroughEdges(t *testing.T) {
	t.Parallel()
	const claimed = "198.51.100.1"
	for name, startEdge := range edges {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			var mu sync.Mutex
			last := map[string]string{} // of X-Forwarded-For, by path
			o := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
				last[r.URL.Path] = strings.TrimSpace(hops[len(hops)-1])
				mu.Unlock()
				s.route(w, r)
			}))
			t.Cleanup(func() {
				o.CloseClientConnections()
				o.Close()
			})
			e := startEdge(t, o.Listener.Addr().String())
			paths := []string{"/live/x", "/live/x.m3u8", "/live/x/video.m3u8", "/live/x/chat/index.json", "/t/a.b.c/live/x.m3u8", "/live/x.flv"}
			for _, path := range paths {
				ask(t, "GET", e.base+path, "X-Forwarded-For", claimed)
			}
			// What asks for another protocol and gets none has no connection of the edge's.
			c, err := net.DialTimeout("tcp", e.addr, patience)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience))
			fmt.Fprintf(c, "GET /live/first.flv HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", e.addr)
			answer, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, answer.Body)
			fmt.Fprintf(c, "GET /live/second.flv HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nX-Forwarded-For: %s\r\n\r\n", e.addr, claimed)
			io.Copy(io.Discard, c)
			mu.Lock()
			defer mu.Unlock()
			for path, hop := range last {
				if hop == claimed {
					t.Errorf("%s seems to come from %s", path, hop)
				}
			}
			for _, path := range append(paths, "/live/first.flv") {
				if _, asked := last[path]; !asked {
					t.Errorf("the origin was not asked for %s: %v", path, last)
				}
			}
		})
	}
}
