package chatws

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestAFloodIsShedAtTheDoor has some send as fast as they can, and come back
// when they are closed: over 10,000 messages a second. Others in the room and
// beside it do not notice.
func TestAFloodIsShedAtTheDoor(t *testing.T) {
	const roomRate, lasting = 200, 3 * time.Second
	s := newStage(t, func(c *Config) { c.RoomRate, c.PresenceLimit = roomRate, 0 })
	inside, _ := s.join(t, "live/x", "inside")
	beside, _ := s.join(t, "live/y", "beside")
	before := heapInUse()
	begun := time.Now()
	var sent atomic.Int64
	var flooding sync.WaitGroup
	for i := range 8 {
		flooding.Go(func() {
			for time.Since(begun) < lasting {
				sent.Add(flood(t, s, fmt.Sprintf("flood%d", i)))
			}
		})
	}
	var waits []time.Duration
	heard := 0
	for time.Since(begun) < lasting {
		for _, c := range []*client{inside, beside} {
			asked := time.Now()
			c.send(`{"type":"ping","id":"p"}`)
			c.until(func(e event) bool {
				if e.Type == "message" {
					heard++
				}
				return e.Type == "pong"
			})
			waits = append(waits, time.Since(asked))
		}
	}
	flooding.Wait()
	took := time.Since(begun)
	slices.Sort(waits)
	st := s.Stats()
	t.Logf("%d messages in %v, %d delivered; %d pings, p50 %v, p99 %v, refused %v", sent.Load(), took, heard, len(waits),
		waits[len(waits)/2], waits[len(waits)*99/100], st.Refused["busy"])
	if rate := float64(sent.Load()) / took.Seconds(); rate < 10_000 {
		t.Errorf("only %.0f a second are no flood", rate)
	}
	if most := int(roomRate * (took.Seconds() + 1)); st.Messages == 0 || int(st.Messages) > most || heard > most {
		t.Errorf("%d messages, %d heard, at most %d are right", st.Messages, heard, most)
	}
	if p := waits[len(waits)*9/10]; p > time.Second {
		t.Errorf("one of ten pings took %v", p)
	}
	if st.Refused["busy"] == 0 || st.Refused["flood"] == 0 || st.Slow != 0 {
		t.Errorf("%+v", st)
	}
	if grown := heapInUse() - before; grown > 64<<20 {
		t.Errorf("the heap has grown by %d MiB", grown>>20)
	}
	say(beside, "all is well")
}

// flood joins, sends until it is closed, and returns how many messages it sent.
func flood(t *testing.T, s *stage, name string) int64 {
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Error(err)
		return 0
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	raw := rawHandshake(t, conn, "live/x")
	raw.write(0x81, fmt.Sprintf(`{"type":"join","token":"member:%s"}`, name))
	var many bytes.Buffer
	for range 100 {
		many.Write(masked(0x81, `{"type":"say","text":"me, me, me, me, me, me, me, me"}`))
	}
	var sent int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(io.Discard, raw.r) // until it is closed
	}()
	for {
		if _, err := conn.Write(many.Bytes()); err != nil {
			break
		}
		sent += 100
		select {
		case <-done:
			return sent
		default:
		}
	}
	<-done
	return sent
}

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}

// TestAGrantThatIsOver closes a member, who may come back with a new one.
func TestAGrantThatIsOver(t *testing.T) {
	inside(t, nil, nil, func(t *testing.T, b *bubble) {
		brief := b.join("live/x", `"token":"brief"`) // a minute
		other := b.join("live/x", `"token":"member:other"`)
		pass(58 * time.Second)
		if _, closed := brief.end(); closed {
			t.Error("closed too early")
		}
		pass(4 * time.Second)
		if code, closed := brief.end(); !closed || code != CloseExpired || code.Retry() {
			t.Errorf("closed %v with %d", closed, code)
		}
		if _, closed := other.end(); closed {
			t.Error("another one was closed")
		}
		if st := b.Stats(); st.Refused["expired"] != 1 || st.Connections != 1 {
			t.Errorf("%+v", st)
		}
		b.join("live/x", `"token":"brief"`)
		if st := b.Stats(); st.Connections != 2 {
			t.Errorf("%+v", st)
		}
	})
}

// TestShutdownOfThousands has some of them read nothing.
func TestShutdownOfThousands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, DefaultConfig(), authorizer{}, &liveSet{}, NewMemoryStore())
		const all, stuck = 2000, 20
		var ends sync.WaitGroup
		var told atomic.Int64
		for i := range all {
			mine, theirs := net.Pipe()
			m := newMember(s, theirs, mustKey(t, fmt.Sprintf("live/r%d", i%50)))
			m.identity, m.role = User{ID: fmt.Sprint(i), Name: "x"}, "member"
			s.running.Add(1)
			s.register(m)
			if err := s.enter(m, &Join{}, ""); err != nil {
				t.Fatal(err)
			}
			m.flush()
			go m.serve()
			if i < stuck {
				defer mine.Close()
				continue
			}
			ends.Go(func() {
				defer mine.Close()
				b, _ := io.ReadAll(&untilClose{mine})
				if bytes.HasSuffix(b, CloseGoingAway.frame()) {
					told.Add(1)
				}
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		begun := time.Now()
		s.Shutdown(ctx)
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		ends.Wait()
		if st := s.Stats(); told.Load() != all-stuck || len(s.conns) != 0 {
			t.Errorf("%d of %d were told: %+v", told.Load(), all-stuck, st)
		}
	})
}

// untilClose reads until the peer says goodbye.
type untilClose struct{ net.Conn }

func (u *untilClose) Read(b []byte) (int, error) {
	n, err := u.Conn.Read(b)
	if err == nil && bytes.HasSuffix(b[:n], CloseGoingAway.frame()) {
		err = io.EOF
	}
	return n, err
}
