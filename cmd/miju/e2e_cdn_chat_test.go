package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lxzan/gws"
)

// chunkReader reads a room by its files, as docs/chat.md says.
type chunkReader struct {
	client *http.Client
	base   string // of the room's files

	mu     sync.Mutex
	heard  []string // IDs of messages
	seen   map[string]bool
	begun  int // how often it began with the index
	failed string
}

type chatFile struct {
	Epoch  int64
	Offset uint64
	Number int64
	Next   int64
	Events []chatEvent
}

// run reads until ctx ends.
func (r *chunkReader) run(ctx context.Context) {
	for ctx.Err() == nil {
		index, ok := r.get(ctx, "index.json")
		if !ok {
			select { // as a client waits before it tries again
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		r.mu.Lock()
		r.begun++
		r.mu.Unlock()
		r.take(index.Events, 0)
		for at, n := index.Offset, index.Next; ; n++ {
			c, ok := r.get(ctx, fmt.Sprintf("%d.json", n))
			if !ok || c.Epoch != index.Epoch {
				break
			}
			if c.Number != n {
				r.fail("chunk %d instead of %d", c.Number, n)
			}
			at = r.take(c.Events, at)
			if c.Offset > at {
				r.fail("chunk %d ends at %d, and without what is after %d", n, c.Offset, at)
			}
		}
	}
}

// take takes events. After a position there is one after the other; 0 is none.
func (r *chunkReader) take(events []chatEvent, at uint64) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range events {
		if at > 0 && e.Offset > at+1 && r.failed == "" {
			r.failed = fmt.Sprintf("%d after %d", e.Offset, at)
		}
		at = max(at, e.Offset)
		if e.Type == "message" && !r.seen[e.ID] {
			r.seen[e.ID] = true
			r.heard = append(r.heard, e.ID)
		}
	}
	return at
}

func (r *chunkReader) fail(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = fmt.Sprintf(format, args...)
}

func (r *chunkReader) get(ctx context.Context, file string) (f chatFile, ok bool) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base+file, nil)
	if err != nil {
		r.fail("%v", err)
		return f, false
	}
	w, err := r.client.Do(q)
	if err != nil {
		return f, false
	}
	defer w.Body.Close()
	b, err := io.ReadAll(w.Body)
	if err != nil || w.StatusCode != http.StatusOK {
		return f, false
	}
	if err := json.Unmarshal(b, &f); err != nil {
		r.fail("%s is %.200s: %v", file, b, err)
	}
	return f, err == nil
}

// readChunks has many read a room by an edge until stop is called.
func readChunks(t *testing.T, e *edge, n int) (all []*chunkReader, stop func()) {
	transport := &http.Transport{MaxIdleConnsPerHost: n}
	ctx, cancel := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	for range n {
		r := &chunkReader{client: &http.Client{Transport: transport}, base: e.base + "/live/x/chat/", seen: map[string]bool{}}
		all = append(all, r)
		reading.Go(func() { r.run(ctx) })
	}
	stop = sync.OnceFunc(func() {
		cancel()
		reading.Wait()
		transport.CloseIdleConnections()
	})
	t.Cleanup(stop)
	waitFor(t, "all to read", func() bool {
		for _, r := range all {
			r.mu.Lock()
			begun := r.begun
			r.mu.Unlock()
			if begun == 0 {
				return false
			}
		}
		return true
	})
	return all, stop
}

// haveHeard reports whether all have heard a message.
func haveHeard(all []*chunkReader, id string) bool {
	for _, r := range all {
		r.mu.Lock()
		heard := r.seen[id]
		r.mu.Unlock()
		if !heard {
			return false
		}
	}
	return true
}

// heardAll waits until all readers have heard the last of kept, and holds that
// they heard all of it, in its order and once.
func heardAll(t *testing.T, all []*chunkReader, kept []chatEvent) {
	t.Helper()
	var want []string
	for _, e := range kept {
		want = append(want, e.ID)
	}
	waitFor(t, "the last message", func() bool { return haveHeard(all, want[len(want)-1]) })
	for i, r := range all {
		r.mu.Lock()
		if got := strings.Join(r.heard, " "); got != strings.Join(want, " ") || r.failed != "" {
			t.Errorf("reader %d heard %d of %d messages; %s\n%s\n%s", i, len(r.heard), len(want), r.failed, got, want)
		}
		r.mu.Unlock()
	}
}

func talkative(c *config) { c.Chat.Rate, c.Chat.Burst, c.Chat.RoomRate = 1000, 10000, 100000 }

// TestEdgeChat has hundreds read a room by an edge, at the cost of one reader.
func TestEdgeChat(t *testing.T) {
	onEdges(t, func(t *testing.T, _ *testServer, o *countedOrigin, e *edge) {
		l, _ := enterChat(t, "ws"+strings.TrimPrefix(e.base, "http")+"/live/x/chat", `{"type":"join","name":"Ann"}`)
		born := time.Now()
		all, stop := readChunks(t, e, 300)
		began := time.Now()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		n := 0
		for ; time.Since(began) < 4*time.Second; n++ {
			<-tick.C
			l.send(t, fmt.Sprintf(`{"type":"say","id":"%d","text":"message %d %s"}`, n, n, strings.Repeat("a", n%100)))
		}
		var said []chatEvent
		for len(said) < n {
			said = append(said, l.next(t, "message"))
		}
		heardAll(t, all, said)
		stop()
		requests, urls := o.count("/live/x/chat/1")
		indexes, _ := o.count("/live/x/chat/index.json")
		t.Logf("%d messages; the origin had %d requests for %d chunks and %d for the index", len(said), requests, urls, indexes)
		if requests != urls || urls < 4 || urls > int(time.Since(born)/time.Second)+2 || indexes > 10 {
			t.Errorf("the origin had %d requests for %d chunks and %d for the index\n%s", requests, urls, indexes, o.repeated())
		}
		edgeChatFiles(t, o, e)
		l.close()
		edgeChatDown(t, o, e)
	}, talkative)
}

// edgeChatFiles holds what is in caches, and what is not.
func edgeChatFiles(t *testing.T, o *countedOrigin, e *edge) {
	t.Helper()
	var index chatFile
	asked := time.Now()
	a := ask(t, "GET", e.base+"/live/x/chat/index.json?token=a&b=c")
	if err := json.Unmarshal([]byte(a.body), &index); err != nil || a.status != http.StatusOK || a.header.Get("Cache-Control") != "max-age=1" ||
		a.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Fatalf("%d %v %v", a.status, a.header, err)
	}
	path := fmt.Sprintf("/live/x/chat/%d.json", index.Next-2)
	plain := ask(t, "GET", e.base+path+"?_HLS_msn=1&x=y")
	packed := ask(t, "GET", e.base+path, "Accept-Encoding", "br, gzip")
	text, err := unpack([]byte(packed.body))
	if err != nil || text != plain.body || packed.header.Get("Content-Encoding") != "gzip" ||
		packed.header.Get("X-Cache") != "HIT" || plain.header.Get("Cache-Control") != "max-age=3600, immutable" {
		t.Errorf("%v %v %v", plain.header, packed.header, err)
	}
	if n, _ := o.count(path); n != 1 {
		t.Errorf("the origin had %d requests for %s", n, path)
	}
	if n, _ := o.count("/live/x/chat/index.json?"); n != 0 {
		t.Errorf("the origin had %d requests with a query", n)
	}
	// Nobody can make a chunk missing for all by asking for it early.
	early := fmt.Sprintf("/live/x/chat/%d.json", index.Next+3)
	for range 2 {
		if a := ask(t, "GET", e.base+early); a.status != http.StatusNotFound && time.Since(asked) < time.Second {
			t.Errorf("%d for a chunk to come", a.status)
		}
	}
	waitFor(t, "that chunk", func() bool { return ask(t, "GET", e.base+early).status == http.StatusOK })
}

// edgeChatDown holds that a crowd that finds no origin does not storm it.
func edgeChatDown(t *testing.T, o *countedOrigin, e *edge) {
	t.Helper()
	o.behind.Store(nil)
	o.CloseClientConnections()
	url := e.base + "/live/x/chat/index.json"
	waitFor(t, "the index to be out of the cache", func() bool { return ask(t, "GET", url).status >= 500 })
	before, _ := o.count("/live/x/chat/index.json")
	began := time.Now()
	var asking sync.WaitGroup
	for range 50 {
		asking.Go(func() {
			if a, err := request(t.Context(), "GET", url); err != nil || a.status < 500 {
				t.Errorf("%d %v", a.status, err)
			}
		})
	}
	asking.Wait()
	// One a second, and Varnish asks twice.
	if n, _ := o.count("/live/x/chat/index.json"); n-before > 2*(2+int(time.Since(began)/time.Second)) {
		t.Errorf("%d requests of 50 that found no origin, in %v", n-before, time.Since(began))
	}
}

// TestEdgeChatLife has readers outlive their edge and the origin.
func TestEdgeChatLife(t *testing.T) {
	onEdges(t, func(t *testing.T, s *testServer, o *countedOrigin, e *edge) {
		dir := "--data-dir=" + s.config.Data.Dir
		k := &talker{url: "ws" + strings.TrimPrefix(e.base, "http") + "/live/x/chat", name: "Ann", acked: map[string]string{}, every: 100 * time.Millisecond}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var talking sync.WaitGroup
		all, stop := readChunks(t, e, 20)
		talking.Go(func() {
			if err := k.run(ctx); err != nil {
				t.Error(err)
			}
		})
		more := func() {
			enough := talkers{k}.acknowledged() + 10
			waitFor(t, "more messages", func() bool { return t.Failed() || talkers{k}.acknowledged() > enough })
			kept := exportedMessages(t, "live/x", dir)
			waitFor(t, "readers to hear them", func() bool { return t.Failed() || haveHeard(all, kept[len(kept)-1].ID) })
		}
		more()
		e.restart()
		more()
		o.behind.Store(nil)
		o.CloseClientConnections()
		s.stop()
		s = start(t, talkative, func(c *config) { c.Data.Dir = s.config.Data.Dir })
		o.behind.Store(s)
		more()
		k.look(func() { k.quiet = true })
		waitFor(t, "the last words", func() bool { return t.Failed() || talkers{k}.settled() })
		kept := exportedMessages(t, "live/x", dir)
		heardAll(t, all, kept)
		cancel()
		talking.Wait()
		stop()
		t.Logf("%d messages", len(kept))
	}, talkative)
}

// TestEdgeChatEvents reads server-sent events through edges, and goes on where
// it was. What is said comes at once, and edges say who is behind them.
func TestEdgeChatEvents(t *testing.T) {
	onEdges(t, func(t *testing.T, s *testServer, _ *countedOrigin, e *edge) {
		l, _ := enterChat(t, "ws"+strings.TrimPrefix(e.base, "http")+"/live/x/chat", `{"type":"join","name":"Ann"}`)
		l.say(t, "1", "before")
		events := func(token string, want ...string) (last string) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.base+"/live/x/chat/events?history=1", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Last-Event-ID", token)
			w, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Body.Close()
			lines := bufio.NewScanner(w.Body)
			for _, text := range want {
				if text == "now" {
					l.say(t, "now", "now")
				}
				for found := false; !found; {
					if !lines.Scan() {
						t.Fatalf("no %q: %v", text, lines.Err())
					}
					line := lines.Text()
					if id, ok := strings.CutPrefix(line, "id: "); ok {
						last = id
					}
					if found = strings.Contains(line, `"message"`); found && !strings.Contains(line, text) {
						t.Errorf("%s where %q was to come", line, text)
					}
				}
			}
			return last
		}
		last := events("", "before", "now")
		l.say(t, "3", "missed")
		l.say(t, "4", "too")
		events(last, "missed", "too")

		// Who is behind the edge: its own word counts, not the client's.
		c, _, err := gws.NewClientFromConn(gws.BuiltinEventHandler{}, &gws.ClientOption{
			Addr: "ws" + strings.TrimPrefix(e.base, "http") + "/live/x/chat", RequestHeader: http.Header{"X-Forwarded-For": {"192.0.2.7"}},
		}, from(t, "127.0.0.9", e.addr))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.WriteString(`{"type":"join","name":"Bob"}`); err != nil {
			t.Fatal(err)
		}
		var state string
		waitFor(t, "both", func() bool {
			_, state = get(t, s.adminURL("/api/v1/rooms/live/x"))
			return strings.Contains(state, "Bob")
		})
		c.NetConn().Close()
		if !strings.Contains(state, `"127.0.0.9"`) || strings.Contains(state, "192.0.2.7") {
			t.Error(state)
		}

		// A page of elsewhere may not chat, one of the edge's may.
		for origin, want := range map[string]int{e.base: http.StatusSwitchingProtocols, "https://evil.example": http.StatusForbidden} {
			c, w, err := gws.NewClient(gws.BuiltinEventHandler{}, &gws.ClientOption{
				Addr: "ws" + strings.TrimPrefix(e.base, "http") + "/live/x/chat", RequestHeader: http.Header{"Origin": {origin}},
			})
			if w == nil || w.StatusCode != want {
				t.Errorf("%s: %v %v", origin, w, err)
			}
			if c != nil {
				c.NetConn().Close()
			}
		}
	}, talkative, func(c *config) { c.Peers.Trusted, c.Origin.AllowOrigin = "127.0.0.1", "" })
}

// from connects from an address of this machine.
func from(t testing.TB, local, addr string) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
