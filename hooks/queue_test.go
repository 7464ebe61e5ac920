package hooks

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/miju-live/miju/streamkey"
)

// runQueue opens a queue with quick retries and runs it until stop is called.
func runQueue(t *testing.T, dir, at string, change func(*queueOptions)) (q *queue, stop func()) {
	t.Helper()
	o := queueOptions{
		most: 1000, giveUp: time.Hour, client: newClient(deliveriesAtOnce, nil), urls: endpoints{"": at}, log: newLog(), pause: time.Millisecond,
	}
	if change != nil {
		change(&o)
	}
	q, err := openQueue(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { q.run(ctx, func() {}) })
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		if err := q.close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return q, stop
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for !done() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func told(stream, kind string) entry {
	e := Event{ID: newID("e"), Type: kind, Stream: stream}
	x := entry{stream: stream, kind: kind, seal: e.seal}
	if kind == streamViewers {
		x.rank = rankViewers
	}
	return x
}

// sequencesOf are the numbers that were heard of each stream.
func (a *application) sequencesOf() map[string][]int {
	all := map[string][]int{}
	for _, m := range a.all() {
		stream, _ := m["stream"].(string)
		n, _ := m["sequence"].(float64)
		all[stream] = append(all[stream], int(n))
	}
	return all
}

func inOrder(n []int, from, to int) bool {
	for i, x := range n {
		if x != from+i {
			return false
		}
	}
	return len(n) == to-from+1
}

// TestOrder: each stream's events come in their order, and one whose events are
// not taken holds up no other.
func TestOrder(t *testing.T) {
	var mu sync.Mutex
	stuck, tries := true, map[string]int{}
	a := newApplication(t, func(w http.ResponseWriter, _ *http.Request, m map[string]any) {
		mu.Lock()
		defer mu.Unlock()
		id, _ := m["id"].(string)
		tries[id]++
		n, _ := m["sequence"].(float64)
		if m["stream"] == "live/stuck" && stuck || int(n)%7 == 3 && tries[id] < 3 {
			w.WriteHeader(500)
		}
	})
	q, _ := runQueue(t, t.TempDir(), a.URL, nil)
	for i := range 400 {
		q.add(told(fmt.Sprint("live/", i%10), streamStarted))
		if i < 5 {
			q.add(told("live/stuck", streamStarted))
		}
	}
	eventually(t, "400 events", func() bool { return q.stats().Delivered == 400 && q.stats().Waiting == 5 })
	if st := q.stats(); st.Retried == 0 {
		t.Errorf("%+v", st)
	}
	mu.Lock()
	stuck = false
	mu.Unlock()
	eventually(t, "the rest", func() bool { return q.stats().Delivered == 405 })
	for stream, all := range a.sequencesOf() {
		last, n := 0, 0
		for _, x := range all {
			if x != last && x != last+1 {
				t.Errorf("%s: %v", stream, all)
			}
			if x != last {
				n++
			}
			last = x
		}
		if want := 40; stream != "live/stuck" && n != want {
			t.Errorf("%s: %d events", stream, n)
		}
	}
}

// TestTheQueueOutlivesTheServer: what was not told is told at the next start with
// the ID that it had, what has begun and not ended has ended, and the numbers go
// on.
func TestTheQueueOutlivesTheServer(t *testing.T) {
	dir := t.TempDir()
	var down sync.Mutex
	closed := true
	a := newApplication(t, func(w http.ResponseWriter, _ *http.Request, _ map[string]any) {
		down.Lock()
		defer down.Unlock()
		if closed {
			w.WriteHeader(503)
		}
	})
	h := &Hooks{config: DefaultConfig(), urls: endpoints{"": a.URL}, now: time.Now, lives: map[streamkey.Key]*life{}}
	q, stop := runQueue(t, dir, a.URL, nil)
	h.queue = q
	server := q.server
	h.Live(alice, "s1", Publisher{Session: "c1", Protocol: "rtmp", Address: "192.0.2.7:5"})
	h.Suspended(alice, "s1", "cut")
	h.Suspended(alice, "s1", "cut") // no news
	h.Live(alice, "s1", Publisher{Session: "c2", Protocol: "rtmp", Address: "192.0.2.7:6"})
	eventually(t, "the first try", func() bool { return q.stats().Retried > 0 && q.waiting.Load() == 3 })
	id := a.all()[0]["id"]
	stop() // as good as a crash: nobody has said that live/alice has ended

	down.Lock()
	closed = false
	down.Unlock()
	a.mu.Lock()
	a.heard = nil
	a.mu.Unlock()
	q, stop = runQueue(t, dir, a.URL, nil)
	eventually(t, "what is left", func() bool { return q.stats().Delivered == 4 })
	heard := a.all()
	for i, want := range []string{streamStarted, streamSuspended, streamResumed, streamEnded} {
		if heard[i]["type"] != want || heard[i]["sequence"] != float64(i+1) || heard[i]["session"] != "s1" || heard[i]["server"] != server {
			t.Errorf("%v, want %s", heard[i], want)
		}
	}
	if heard[0]["id"] != id || heard[3]["reason"] != ReasonServerLost || heard[3]["started"] != heard[0]["time"] || heard[1]["reason"] != "cut" {
		t.Errorf("%v", heard)
	}
	stop()
	q, stop = runQueue(t, dir, a.URL, nil)
	defer stop()
	q.add(told("live/alice", streamStarted))
	eventually(t, "one more", func() bool { return q.stats().Delivered == 1 })
	if n := a.sequencesOf()["live/alice"]; !inOrder(n, 1, 5) {
		t.Errorf("%v", n)
	}
	if info, err := os.Stat(filepath.Join(dir, queueFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
}

// TestFullQueue drops counts of viewers first, and then the oldest.
func TestFullQueue(t *testing.T) {
	var mu sync.Mutex
	closed := true
	a := newApplication(t, func(w http.ResponseWriter, _ *http.Request, _ map[string]any) {
		mu.Lock()
		defer mu.Unlock()
		if closed {
			w.WriteHeader(503)
		}
	})
	q, _ := runQueue(t, "", a.URL, func(o *queueOptions) { o.most = 10 })
	for range 5 {
		q.add(told("live/a", streamStarted))
		q.add(told("live/a", streamViewers))
	}
	for range 8 {
		q.add(told("live/b", streamStarted))
	}
	eventually(t, "room to be made", func() bool { return q.stats().Waiting == 10 && q.stats().Overflowed == 8 })
	mu.Lock()
	closed = false
	mu.Unlock()
	a.mu.Lock()
	a.heard = nil
	a.mu.Unlock()
	eventually(t, "the rest", func() bool { return q.stats().Waiting == 0 })
	seen := map[string]int{}
	for _, m := range a.all() {
		b, err := json.Marshal([]any{m["stream"], m["type"]})
		if err != nil {
			t.Fatal(err)
		}
		seen[string(b)]++
	}
	if seen[`["live/a","stream.viewers"]`] > 0 || seen[`["live/b","stream.started"]`] < 8 || seen[`["live/a","stream.started"]`] > 3 {
		t.Errorf("%v", seen)
	}
}

// TestGivingUp: what could not be told for too long is not told at all.
func TestGivingUp(t *testing.T) {
	a := newApplication(t, nil)
	q, _ := runQueue(t, "", a.URL, func(o *queueOptions) { o.giveUp = 0 })
	q.add(told("live/a", streamStarted))
	eventually(t, "an event to be given up", func() bool { return q.stats().Expired == 1 && q.stats().Waiting == 0 })
	if len(a.all()) > 0 {
		t.Error("it was told")
	}
}

// TestLives: events of a key come in the order that makes sense, in whichever
// order the server notices.
func TestLives(t *testing.T) {
	a := newApplication(t, nil)
	h, _ := newHooks(t, a.URL, false, nil)
	p := Publisher{Session: "c1", Protocol: "srt", Address: "[2001:db8::1]:5", Subject: "a1"}
	h.Watched(alice, "s0", 3) // of nothing
	h.Suspended(alice, "s0", "cut")
	h.Ended(alice, "s0", "cut")
	h.Live(alice, "s1", p)
	h.Live(alice, "s1", p)
	h.Watched(alice, "s1", 0)
	h.Watched(alice, "s1", 3)
	h.Watched(alice, "s0", 4)
	h.Watched(alice, "s1", 0)
	h.Watched(alice, "s1", 0)
	h.Found(alice, "") // its publisher will say why
	h.Suspended(alice, "s1", "timeout")
	h.Found(alice, "s1")
	h.Live(alice, "s2", p) // before the hub has said that s1 is over
	h.Found(alice, "s2")
	h.Ended(alice, "s1", "cut")
	h.Suspended(alice, "s2", "cut")
	h.Found(alice, "")
	h.Found(alice, "")
	h.Live(alice, "s3", p)
	h.Ended(alice, "s3", "ended")
	want := []string{
		"started s1 ", "viewers s1 ", "viewers s1 ", "suspended s1 timeout", "ended s1 not_resumed", "started s2 ", "suspended s2 cut", "ended s2 not_resumed",
		"started s3 ", "ended s3 ended",
	}
	eventually(t, "the events", func() bool { return len(a.all()) == len(want) })
	for i, m := range a.all() {
		reason, _ := m["reason"].(string)
		if got := fmt.Sprintf("%s %s %s", m["type"].(string)[len("stream."):], m["session"], reason); got != want[i] || m["sequence"] != float64(i+1) {
			t.Errorf("%d: %s (%v), want %s", i, got, m["sequence"], want[i])
		}
	}
	m := a.all()[0]
	if b, err := json.Marshal(m["publisher"]); err != nil || string(b) != `{"address":"2001:db8::1","protocol":"srt","session":"c1","subject":"a1"}` {
		t.Errorf("%s %v", b, err)
	}
}

// TestHangingDeliveries: an application that hangs about one stream hears of
// others meanwhile.
func TestHangingDeliveries(t *testing.T) {
	a := newApplication(t, func(_ http.ResponseWriter, r *http.Request, m map[string]any) {
		if m["stream"] == "live/stuck" {
			<-r.Context().Done()
		}
	})
	q, _ := runQueue(t, "", a.URL, nil)
	q.add(told("live/stuck", streamStarted))
	eventually(t, "it to hang", func() bool { return len(a.all()) == 1 })
	for i := range 100 {
		q.add(told(fmt.Sprint("live/", i%5), streamStarted))
	}
	eventually(t, "the others", func() bool { return q.stats().Delivered == 100 && q.stats().Waiting == 1 })
	if st := q.stats(); st.Retried != 0 {
		t.Errorf("%+v", st)
	}
}

func newLog() *slog.Logger { return slog.New(slog.DiscardHandler) }
