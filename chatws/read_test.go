package chatws

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// get asks for a file of a chat.
func (s *stage) get(t testing.TB, path string) (*http.Response, string) {
	t.Helper()
	r, err := http.Get(s.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return r, string(b)
}

type chunkFile struct {
	Type     string
	Number   int64
	Next     int64
	Duration int64
	Position
	Users  int
	Limits Limits
	Events []event
}

func parseChunk(t testing.TB, s string) (c chunkFile) {
	t.Helper()
	if err := json.Unmarshal([]byte(s), &c); err != nil {
		t.Fatalf("%v: %s", err, s)
	}
	return c
}

// TestReadersOfChunksMissNothing follows a room by chunks while it talks, and
// compares with what a member got.
func TestReadersOfChunksMissNothing(t *testing.T) {
	s := newStage(t)
	a, _ := s.join(t, "live/x", "a")
	say(a, "before")
	r, body := s.get(t, "/live/x/chat/index.json?token=alice")
	index := parseChunk(t, body)
	if index.Type != "index" || index.Offset != 1 || index.Duration != 1000 || len(index.Events) != 1 || index.Users != 1 || index.Limits.Text != 500 {
		t.Errorf("%s", body)
	}
	if r.Header.Get("Cache-Control") != "max-age=1" || r.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%v", r.Header)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var said []string
	wg.Go(func() {
		pace := time.NewTicker(time.Millisecond) // or old chunks give way to these
		defer pace.Stop()
		for i := 0; ctx.Err() == nil; i++ {
			<-pace.C
			text := fmt.Sprint("m", i)
			a.send(`{"type":"say","text":"` + text + `"}`)
			a.until(func(e event) bool { return e.Text == text })
			said = append(said, text)
		}
	})
	var got []string
	epoch, offset := index.Epoch, index.Offset
	read := func(n int64) {
		r, body := s.get(t, fmt.Sprintf("/live/x/chat/%d.json", n))
		c := parseChunk(t, body)
		if r.StatusCode != 200 || c.Number != n || c.Epoch != epoch || c.Type != "chunk" || r.Header.Get("Cache-Control") != "max-age=3600, immutable" {
			t.Fatalf("%d: %d %.300s", n, r.StatusCode, body)
		}
		for _, e := range c.Events {
			if e.Offset == 0 || e.Offset <= index.Offset {
				continue
			}
			if e.Offset != offset+1 {
				t.Fatalf("%d after %d", e.Offset, offset)
			}
			offset = e.Offset
			got = append(got, e.Text)
		}
		if c.Offset != offset {
			t.Errorf("it ends at %d, and says %d", offset, c.Offset)
		}
		if _, again := s.get(t, fmt.Sprintf("/live/x/chat/%d.json", n)); again != body {
			t.Errorf("chunk %d changes from %d bytes to %.200s", n, len(body), again)
		}
	}
	n := index.Next
	for ; n < index.Next+3; n++ {
		read(n)
	}
	cancel()
	wg.Wait()
	for len(got) < len(said) {
		read(n)
		n++
	}
	if strings.Join(got, " ") != strings.Join(said, " ") || len(said) == 0 {
		t.Errorf("%d of %d", len(got), len(said))
	}
}

func TestChunksAreWholeWhenTheyCome(t *testing.T) {
	inside(t, nil, nil, func(t *testing.T, b *bubble) {
		a := b.join("live/x", `"name":"a"`)
		r := b.room(mustKey(t, "live/x"))
		first := r.indexNow(time.Now())
		n := parseChunk(t, string(first)).Next
		texts := func(s string) (all string) {
			for _, e := range parseChunk(t, s).Events {
				all += e.Text
			}
			return all
		}
		begun := time.Now()
		got := make(chan string, 10)
		for range 10 { // many wait for the same
			go func() {
				b, err := r.chunk(t.Context(), n)
				got <- fmt.Sprint(string(b), err)
			}()
		}
		pass(500 * time.Millisecond)
		a.send(`{"type":"say","text":"one"}`)
		pass(499 * time.Millisecond)
		if len(got) != 0 {
			t.Error("it came before its time")
		}
		whole := strings.TrimSuffix(<-got, "<nil>")
		if texts(whole) != "one" || time.Since(begun) > time.Second {
			t.Errorf("%s after %v", whole, time.Since(begun))
		}
		a.send(`{"type":"say","text":"two"}`)
		pass(5 * time.Second)
		for i, want := range []string{"one", "two", "", "", ""} {
			if b, err := r.chunk(t.Context(), n+int64(i)); err != nil || texts(string(b)) != want {
				t.Errorf("%d: %s, %v", i, b, err)
			}
		}
		if _, err := r.chunk(t.Context(), n+8); err != errTooSoon {
			t.Error(err)
		}
		if _, err := r.chunk(t.Context(), n-1); err != errTooOld {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := r.chunk(ctx, n+6); err != context.DeadlineExceeded {
			t.Error(err)
		}
		// Nobody asks for a while: chunks end, and begin anew with higher numbers.
		pass(chunksKept + 5*time.Second)
		if _, err := r.chunk(t.Context(), n+3); err != errTooOld {
			t.Error(err)
		}
		a.send(`{"type":"say","text":"three"}`)
		pass(3 * time.Second)
		again := parseChunk(t, string(r.indexNow(time.Now())))
		if again.Next < n+60 || again.Offset != 3 {
			t.Errorf("%+v", again)
		}
		// While somebody asks, there are no more than may be.
		for range 200 {
			a.send(`{"type":"say","text":"` + strings.Repeat("x", 400) + `"}`)
			pass(time.Second)
			r.indexNow(time.Now())
		}
		if c := r.chunks; len(c.whole) > 60 || c.bytes > maxChunkBytes {
			t.Errorf("%d chunks of %d bytes", len(c.whole), c.bytes)
		}
	})
}

func TestFilesOfAChat(t *testing.T) {
	s := newStage(t)
	s.join(t, "live/x", "a")
	now := s.chunkNumber(time.Now())
	for _, c := range []struct {
		method, path string
		status       int
		want, cache  string
	}{
		{"GET", "/live/x/chat/", 404, "not_found", "no-store"},
		{"GET", "/live/x/chat/index.html", 404, "not_found", "no-store"},
		{"GET", "/live/x/chat/0123.json", 404, "not_found", "no-store"},
		{"GET", "/live/x/chat/-1.json", 404, "not_found", "no-store"},
		{"GET", "/live/x/chat/9999999999999999999.json", 404, "not_found", "no-store"},
		{"GET", "/live/x/chat/1/2.json", 404, "not_found", "no-store"},
		{"GET", "/live/x.y/chat/index.json", 404, "invalid_room", "no-store"},
		// Before anybody asked for the index: what may yet come is in no cache as gone.
		{"GET", fmt.Sprintf("/live/x/chat/%d.json", now-1), 404, "gone", "max-age=60"},
		{"GET", fmt.Sprintf("/live/x/chat/%d.json", now+30), 404, "too_soon", "no-store"},
		{"GET", fmt.Sprintf("/live/nobody/chat/%d.json", now-1), 404, "gone", "max-age=60"},
		{"GET", fmt.Sprintf("/live/nobody/chat/%d.json", now+30), 404, "too_soon", "no-store"},
		{"GET", "/live/x/chat/index.json?token=bad", 403, "denied", "no-store"},
		{"GET", "/live/x/chat/index.json?token=slow", 503, "undecided", "no-store"},
		{"GET", "/live/x/chat/index.json", 200, `"type":"index"`, "max-age=1"},
		{"HEAD", "/live/x/chat/index.json", 200, "", "max-age=1"},
		{"GET", fmt.Sprintf("/live/x/chat/%d.json", now-5), 404, "gone", "max-age=60"},
		{"GET", fmt.Sprintf("/live/x/chat/%d.json", now+50), 404, "too_soon", "no-store"},
		{"POST", "/live/x/chat/index.json", 405, "method", "no-store"},
		{"OPTIONS", "/live/x/chat/index.json", 204, "", ""},
		{"GET", "/live/x/chat/events?token=bad", 403, "denied", "no-store"},
		{"GET", "/live/x/chat/events?resume=1", 400, "bad_resume", "no-store"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, s.url+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		w, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(w.Body)
		w.Body.Close()
		if err != nil || w.StatusCode != c.status || !strings.Contains(string(b), c.want) || w.Header.Get("Cache-Control") != c.cache {
			t.Errorf("%s %s: %d %s %q, %v", c.method, c.path, w.StatusCode, b, w.Header.Get("Cache-Control"), err)
		}
		if c.path != "/live/x.y/chat/index.json" && w.Header.Get("Access-Control-Allow-Origin") != "*" && c.path != "/live/x/chat/1/2.json" {
			t.Errorf("%s: no page may read it", c.path)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// eventReader reads server-sent events.
type eventReader struct {
	t      testing.TB
	r      *bufio.Reader
	cancel context.CancelFunc
	body   io.Closer
	id     string
}

func (s *stage) events(t testing.TB, path string, header ...string) *eventReader {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(header) == 2 {
		r.Header.Set(header[0], header[1])
	}
	w, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	e := &eventReader{t: t, r: bufio.NewReader(w.Body), cancel: cancel, body: w.Body}
	t.Cleanup(e.close)
	if w.StatusCode != 200 || w.Header.Get("Content-Type") != "text/event-stream" || w.Header.Get("Cache-Control") != "no-store" {
		t.Fatal(w.StatusCode, w.Header)
	}
	return e
}

func (e *eventReader) close() {
	e.cancel()
	e.body.Close()
	http.DefaultClient.CloseIdleConnections()
}

// next returns the next event, and notes its id.
func (e *eventReader) next() (x event) {
	e.t.Helper()
	for {
		line, err := e.r.ReadString('\n')
		if err != nil {
			e.t.Fatal(err)
		}
		line = strings.TrimSuffix(line, "\n")
		if id, ok := strings.CutPrefix(line, "id: "); ok {
			e.id = id
		} else if data, ok := strings.CutPrefix(line, "data: "); ok {
			if err := json.Unmarshal([]byte(data), &x); err != nil {
				e.t.Fatal(err)
			}
			return x
		}
	}
}

func (e *eventReader) texts(n int) string {
	e.t.Helper()
	var all []string
	for len(all) < n {
		if x := e.next(); x.Offset > 0 && x.Type != "welcome" {
			all = append(all, x.Text)
		}
	}
	return strings.Join(all, " ")
}

func TestServerSentEvents(t *testing.T) {
	s := newStage(t)
	a, _ := s.join(t, "live/x", "a")
	say(a, "1", "2", "3")
	at := func(offset int) string { return fmt.Sprintf("%d-%d", s.epoch, offset) }
	e := s.events(t, "/live/x/chat/events?history=2")
	if w := e.next(); w.Type != "welcome" || w.Replay != 2 || w.Users != 2 || e.id != "" {
		t.Errorf("%s, %q", w.raw, e.id)
	}
	if x := e.next(); x.Text != "2" || e.id != "" {
		t.Errorf("%s, %q", x.raw, e.id)
	}
	if x := e.next(); x.Text != "3" || e.id != at(3) {
		t.Errorf("%s, %q", x.raw, e.id)
	}
	say(a, "4", "5")
	if got := e.texts(2); got != "4 5" || e.id != at(5) {
		t.Errorf("%q, %q", got, e.id)
	}
	e.close()
	say(a, "6", "7")
	e = s.events(t, "/live/x/chat/events", "Last-Event-ID", e.id)
	if w := e.next(); !w.Resumed || w.Replay != 2 {
		t.Errorf("%s", w.raw)
	}
	if got := e.texts(2); got != "6 7" || e.id != at(7) {
		t.Errorf("%q, %q", got, e.id)
	}
	mod := s.as(t, "live/x", "moderator:m")
	r := s.events(t, "/live/x/chat/events?token=member:r&resume="+at(7))
	if w := r.next(); w.You.ID != "r" || !w.Resumed || r.id != at(7) {
		t.Errorf("%s, %q", w.raw, r.id)
	}
	mod.ok(`{"type":"ban","id":"1","user":"r"}`)
	for x := r.next(); x.Type != "closed"; x = r.next() {
	}
	if b, err := io.ReadAll(r.r); err != nil || string(b) != "\n" {
		t.Errorf("after its end: %q, %v", b, err)
	}
	if w, body := s.get(t, "/live/x/chat/events?token=member:r"); w.StatusCode != 403 || !strings.Contains(body, "banned") {
		t.Errorf("%d %s", w.StatusCode, body)
	}
	s.Shutdown(t.Context())
	x := e.next()
	for x.Type != "closed" {
		x = e.next()
	}
	if !strings.Contains(x.raw, "1001") {
		t.Errorf("%s", x.raw)
	}
	if w, _ := s.get(t, "/live/x/chat/events"); w.StatusCode != 503 || w.Header.Get("Retry-After") == "" {
		t.Errorf("%d", w.StatusCode)
	}
	if w, _ := s.get(t, "/live/x/chat/index.json"); w.StatusCode != 503 || w.Header.Get("Retry-After") == "" {
		t.Errorf("%d", w.StatusCode)
	}
}

// TestASlowReaderOfEventsIsClosed reads nothing until too much waits.
func TestASlowReaderOfEventsIsClosed(t *testing.T) {
	s := newStage(t, func(c *Config) { c.QueueKiB, c.MaxText, c.MaxFrameKiB = 64, 4000, 16 })
	e := s.events(t, "/live/x/chat/events")
	a, _ := s.join(t, "live/x", "a")
	text := strings.Repeat("x", 3900)
	waitUntil(t, func() bool {
		for range 50 {
			a.send(`{"type":"say","text":"` + text + `"}`)
			a.next("message")
		}
		return s.Stats().Slow == 1
	})
	e.close()
	waitUntil(t, func() bool { return s.Stats().Connections == 1 })
}

func TestOffsetOf(t *testing.T) {
	for _, e := range eventKinds {
		want := uint64(0)
		if s, ok := e.(stamped); ok {
			s.stamp().Offset = 12345
			want = 12345
		}
		n, ok := offsetOf(encode(e))
		if n != want || ok != (want != 0) {
			t.Errorf("%s: %d, %v", e.kind(), n, ok)
		}
		if s, ok := e.(stamped); ok {
			s.stamp().Offset = 0
		}
	}
	if n, ok := offsetOf(encode(&Message{ID: `","offset":7`, Stamp: Stamp{Offset: 3}})); n != 3 || !ok {
		t.Error(n)
	}
	if _, ok := offsetOf(encode(&Pong{ID: `","offset":7,`})); ok {
		t.Error("a pong has no offset")
	}
}

func TestCrowdedRoomsSendReadersToTheChunks(t *testing.T) {
	s := newStage(t, func(c *Config) { c.SocketLimit = 2 })
	s.join(t, "live/x", "a")
	s.join(t, "live/x", "b")
	c := s.connect(t, "live/x/chat")
	c.send(`{"type":"join"}`)
	if code := c.closeCode(); code != CloseCrowded {
		t.Errorf("closed with %d", code)
	}
	if w, body := s.get(t, "/live/x/chat/events"); w.StatusCode != 503 || !strings.Contains(body, "crowded") {
		t.Errorf("%d %s", w.StatusCode, body)
	}
	s.as(t, "live/x", "moderator:m")
	if w, _ := s.get(t, "/live/x/chat/index.json"); w.StatusCode != 200 {
		t.Errorf("%d", w.StatusCode)
	}
}
