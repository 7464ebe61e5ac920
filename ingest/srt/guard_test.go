package srt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/ingest/srt/srttest"
)

// call connects a caller that does as it is told.
func call(t *testing.T, l *Listener, streamID string, latency time.Duration) (*srttest.Caller, *conn) {
	t.Helper()
	caller, c, err := tryCall(t, l, streamID, latency)
	if err != nil {
		t.Fatal(err)
	}
	return caller, c
}

func tryCall(t *testing.T, l *Listener, streamID string, latency time.Duration) (caller *srttest.Caller, c *conn, err error) {
	t.Helper()
	var callErr error
	var wait sync.WaitGroup
	wait.Go(func() { caller, callErr = srttest.Call(l.Addr(), streamID, latency) })
	ic, _, err := accept(t, l)
	if err == nil {
		err = ic.Admit()
	}
	wait.Wait()
	if callErr != nil {
		t.Fatal(callErr)
	}
	t.Cleanup(caller.Hang)
	return caller, ic.(*conn), err
}

// TestNoDataAfterTheHandshake holds that an encoder which never sends ends
// soon, be it there or not.
func TestNoDataAfterTheHandshake(t *testing.T) {
	for _, c := range []struct {
		name  string
		alive bool
	}{{"an encoder that waits", true}, {"a ghost", false}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := listen(t)
			l.bounds.interval, l.bounds.silence = 20*time.Millisecond, 500*time.Millisecond
			caller, sc := call(t, l, "publish:live/alice", 0)
			if c.alive {
				defer every(50*time.Millisecond, caller.KeepAlive)()
			}
			begin := time.Now()
			_, err := sc.ReadFrame()
			if took := time.Since(begin); !errors.Is(err, errNoData) || !errors.Is(err, os.ErrDeadlineExceeded) || took < 400*time.Millisecond {
				t.Errorf("%v after %v", err, took)
			}
		})
	}
}

// TestAnswerLost holds that a caller whose answer is lost leaves no ghost, and
// comes in at its next attempt.
func TestAnswerLost(t *testing.T) {
	t.Parallel()
	l := listen(t)
	l.bounds.interval, l.bounds.silence = 20*time.Millisecond, 500*time.Millisecond
	var mu sync.Mutex
	lost := 0
	r := impair(t, l, srttest.Network{Change: func(toServer bool, b []byte) bool {
		// The answer to a conclusion (SRT, 3.2.1).
		if toServer || len(b) < 40 || binary.BigEndian.Uint16(b) != 0x8000 || binary.BigEndian.Uint32(b[36:]) != 0xffffffff {
			return true
		}
		mu.Lock()
		defer mu.Unlock()
		lost++
		return lost > 1
	}})
	client(t, "ffmpeg", "-v", "error", "-re", "-i", "../../testdata/h264-aac.flv", "-c", "copy", "-f", "mpegts", srtURL(r, "publish:live/alice"))
	ghost, _, err := accept(t, l)
	if err != nil {
		t.Fatal(err)
	}
	if err := ghost.Admit(); err != nil {
		t.Fatal(err)
	}
	if _, err := ghost.ReadFrame(); !errors.Is(err, errNoData) {
		t.Error(err)
	}
	ghost.Close()
	client(t, "ffmpeg", "-v", "error", "-re", "-i", "../../testdata/h264-aac.flv", "-c", "copy", "-f", "mpegts", srtURL(r, "publish:live/alice"))
	c, _, err := accept(t, l)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Admit(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ReadFrame(); err != nil {
		t.Error(err)
	}
}

// TestFarFuture holds that a peer cannot fill the memory with packets whose
// time never comes, though they be empty.
func TestFarFuture(t *testing.T) {
	for _, size := range []int{payloadSize, 0} {
		t.Run(fmt.Sprint(size, " bytes"), func(t *testing.T) {
			l := listen(t)
			l.bounds.interval, l.bounds.buffered, l.bounds.waiting = 20*time.Millisecond, 1<<20, 1<<10
			caller, c := call(t, l, "publish:live/alice", 0)
			c.SetReadDeadline(time.Now().Add(time.Minute))
			b := make([]byte, size)
			defer every(time.Millisecond, func() { caller.Send(b, 30*time.Minute) })()
			if _, err := c.ReadFrame(); !errors.Is(err, ingest.ErrTooLarge) {
				t.Error(err)
			}
		})
	}
}

// TestSequenceNumbersThatJump holds that a peer that leaves out a million
// packets costs nothing, and is told to have lost them.
func TestSequenceNumbersThatJump(t *testing.T) {
	l := listen(t)
	caller, c := call(t, l, "publish:live/alice", 0)
	for range 10 {
		caller.Send(make([]byte, 188), 0)
		caller.Skip(1e6)
	}
	caller.KeepAlive()
	time.AfterFunc(500*time.Millisecond, caller.Leave)
	if _, err := c.ReadFrame(); err != io.EOF {
		t.Error(err)
	}
	if n := c.Transport().Dropped; n != 9e6 {
		t.Errorf("%d dropped", n)
	}
}

func TestLatencyIsTheLargerOfBoth(t *testing.T) {
	for _, c := range []struct {
		name                 string
		ours, theirs, agreed time.Duration
	}{
		{"ours", 300 * time.Millisecond, 120 * time.Millisecond, 300 * time.Millisecond},
		{"theirs", 120 * time.Millisecond, 8 * time.Second, 8 * time.Second},
		{"too much", 120 * time.Millisecond, 11 * time.Second, 0},
	} {
		for _, id := range []string{"publish:live/alice", "request:live/alice"} {
			t.Run(c.name+" "+id, func(t *testing.T) {
				l := listenWith(t, func(config *Config) { config.Latency = c.ours })
				_, sc, err := tryCall(t, l, id, c.theirs)
				if c.agreed == 0 {
					if !errors.Is(err, ingest.ErrTooLarge) || !strings.Contains(err.Error(), "11s") {
						t.Error(err)
					}
				} else if got := sc.Transport().Latency; err != nil || got != c.agreed {
					t.Error(got, err)
				}
			})
		}
	}
}

// TestNoStreamID holds that the default key is for those that send none at all.
func TestNoStreamID(t *testing.T) {
	l := listenWith(t, func(c *Config) { c.DefaultKey = "live/camera" })
	for _, c := range []struct {
		name, streamID, want string
		err                  error
	}{
		{"none", "", "live/camera", nil},
		{"one", "live/alice", "live/alice", nil},
		{"one that is wrong", "alice", "", io.EOF},
	} {
		t.Run(c.name, func(t *testing.T) {
			dial(t, l, c.streamID, "")
			conn, r, err := accept(t, l)
			if (err != nil) != (c.err != nil) || err == nil && (r.Key.String() != c.want || r.Action.String() != "publish") {
				t.Error(r, err)
			}
			conn.Reject(ingest.ErrClosing)
		})
	}
}
