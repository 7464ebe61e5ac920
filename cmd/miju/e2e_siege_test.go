package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miju-live/miju/ingest/rtmp/client"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/flv"
)

// siege keeps connections open that say nothing, or a byte at a time.
type siege struct {
	network, addr string
	says          string
	conns         []net.Conn
	said          []int
	begun         bool // all were opened once
}

// reopened bounds the connections that are opened anew each second.
const reopened = 500

// sieges are how each listener is besieged: says is what comes byte by byte, and
// is never whole.
var sieges = []struct{ listener, network, says string }{
	{"rtmp", "tcp", "\x03" + strings.Repeat("\x00", 1500)},
	{"rtmps", "tcp", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("r", 500)},
	{"http", "tcp", "GET /live/x.m3u8 HTTP/1.1\r\nHost: a\r\nX-Slow: " + strings.Repeat("y", 1900)},
	{"http", "tcp", "POST /live/x HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("y", 500)},
	{"https", "tcp", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("r", 500)},
	{"admin", "tcp", "POST /api/v1/announcements HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{\"text\":\"" + strings.Repeat("y", 500)},
	{"srt", "udp", ""},
}

// induction is the first half of SRT's handshake.
func induction() string {
	b := make([]byte, 64)
	binary.BigEndian.PutUint16(b, 0x8000)
	binary.BigEndian.PutUint32(b[16:], 4)
	binary.BigEndian.PutUint16(b[22:], 2)
	binary.BigEndian.PutUint32(b[28:], 1500)
	binary.BigEndian.PutUint32(b[32:], 8192)
	binary.BigEndian.PutUint32(b[36:], 1)
	return string(b)
}

// hold says a byte more on every second connection, and opens anew those that the
// server has closed. It returns how many these were.
func (s *siege) hold() (closed int) {
	opened := 0
	for i, c := range s.conns {
		if c == nil {
			if opened++; opened > reopened && s.begun { // slow ones are not to be a flood
				continue
			}
			c, err := net.Dial(s.network, s.addr)
			if err != nil {
				continue
			}
			s.conns[i], s.said[i] = c, 0
			if s.network == "udp" {
				io.WriteString(c, induction())
			}
			continue
		}
		if s.network == "udp" {
			io.WriteString(c, induction())
			continue
		}
		c.SetReadDeadline(time.Now().Add(50 * time.Microsecond))
		_, err := c.Read(make([]byte, 512))
		var timeout net.Error
		gone := err != nil && !(errors.As(err, &timeout) && timeout.Timeout())
		if n := s.said[i]; !gone && i%2 == 0 && n < len(s.says) {
			// What tells more comes at once, so that all of it is seen.
			more := 1
			if head := strings.Index(s.says, "\r\n\r\n"); n == 0 && head > 0 {
				more = head + 4
			}
			_, err = io.WriteString(c, s.says[n:n+more])
			s.said[i], gone = n+more, err != nil
		}
		if gone {
			c.Close()
			s.conns[i] = nil
			closed++
		}
	}
	s.begun = true
	return closed
}

func (s *siege) end() {
	for _, c := range s.conns {
		if c != nil {
			c.Close()
		}
	}
}

// gapWatch notes what a viewer would notice.
type gapWatch struct {
	mu      sync.Mutex
	last    time.Time
	worst   time.Duration
	dts     time.Duration
	missing int
	frames  int
}

func (w *gapWatch) see(dts time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if w.frames > 0 {
		w.worst = max(w.worst, now.Sub(w.last))
		if step := dts - w.dts; step > 60*time.Millisecond || step <= 0 {
			w.missing++
		}
	}
	w.last, w.dts = now, dts
	w.frames++
}

func (w *gapWatch) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.frames
}

// elsewhere dials from an address that is not the besiegers'.
var elsewhere = client.Dialer{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext}

func watchRTMP(ctx context.Context, url string, w *gapWatch) error {
	c, err := elsewhere.Dial(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Play(ctx); err != nil {
		return err
	}
	for {
		f, err := c.ReadFrame(ctx)
		if err != nil {
			return err
		}
		if f.Track.Kind() == media.KindVideo {
			w.see(f.DTS)
		}
	}
}

func watchFLV(ctx context.Context, url string, w *gapWatch) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	r := flv.NewReader(resp.Body)
	for {
		typ, at, body, err := r.ReadTag()
		if err != nil {
			return err
		}
		if typ == flv.TypeVideo && len(body) > 1 && body[1] != 0 {
			w.see(at)
		}
	}
}

// pushRealTime publishes until ctx ends.
func pushRealTime(ctx context.Context, url string) error {
	c, err := elsewhere.Dial(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Publish(ctx, flv.Enhanced); err != nil {
		return err
	}
	source := mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2)}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; {
		f := source.Next()
		for time.Since(began) < f.DTS {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
		if err := c.WriteFrame(ctx, &f); err != nil {
			return err
		}
	}
}

// besieged is a server in a process of its own.
type besieged struct {
	*program
	addrs map[string]string
}

func runBesieged(t *testing.T) *besieged {
	t.Helper()
	files, _ := certificateFiles(t)
	b := &besieged{addrs: map[string]string{}}
	args := []string{"--data-dir=", "--play-wait=5s", "--tls-cert=" + files.Cert, "--tls-key=" + files.Key}
	for _, l := range []string{"rtmp", "rtmps", "http", "https", "admin", "srt"} {
		b.addrs[l] = freeAddr(t)
		args = append(args, "--"+l+"="+b.addrs[l])
	}
	b.program = runMiju(t, args...)
	waitFor(t, "the server to answer", func() bool {
		r, err := http.Get("http://" + b.addrs["admin"] + "/healthz")
		if err != nil {
			return false
		}
		r.Body.Close()
		return true
	})
	return b
}

// memory is what the process has of the machine's, in MiB.
func (b *besieged) memory(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib := 0
	fmt.Sscan(rest, &kib)
	return kib >> 10
}

// withstand besieges listeners with so many connections each, for so long, while
// viewers watch. It returns the most memory that the server took beyond what it had
// before, and the longest time without a picture beyond what the machine was late
// by anyway.
func withstand(t *testing.T, b *besieged, listeners string, conns int, long time.Duration) (mib int, gap time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	late := lateness(ctx, &running)
	watches := [2]gapWatch{}
	follow := func(what string, f func() error) {
		running.Go(func() {
			if err := f(); err != nil && ctx.Err() == nil {
				t.Errorf("%s: %v", what, err)
			}
		})
	}
	url := "rtmp://" + b.addrs["rtmp"] + "/live/x"
	follow("the publisher", func() error { return pushRealTime(ctx, url) })
	waitFor(t, "the stream", func() bool {
		r, err := http.Head("http://" + b.addrs["http"] + "/live/x.flv")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	follow("the viewer by RTMP", func() error { return watchRTMP(ctx, url, &watches[0]) })
	follow("the viewer by FLV", func() error { return watchFLV(ctx, "http://"+b.addrs["http"]+"/live/x.flv", &watches[1]) })
	waitFor(t, "viewers to see something", func() bool { return watches[0].count() > 5 && watches[1].count() > 5 })
	before := b.memory(t)

	var all []*siege
	for _, s := range sieges {
		if slices.Contains(strings.Fields(listeners), s.listener) {
			x := &siege{network: s.network, addr: b.addrs[s.listener], says: s.says, conns: make([]net.Conn, conns), said: make([]int, conns)}
			defer x.end()
			all = append(all, x)
		}
	}
	closed := make([]int, len(all))
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < long; {
		for i, s := range all {
			closed[i] += s.hold()
		}
		mib = max(mib, b.memory(t)-before)
		<-tick.C
	}
	for i, s := range all {
		if s.network == "tcp" && long > 20*time.Second && closed[i] < conns {
			t.Errorf("%s: only %d connections were closed", s.addr, closed[i])
		}
	}
	for i := range watches {
		w := &watches[i]
		w.mu.Lock()
		if gap = max(gap, w.worst); w.missing > 0 || w.frames < 10 {
			t.Errorf("viewer %d: %d frames, %d gaps in the stream's time", i, w.frames, w.missing)
		}
		w.mu.Unlock()
	}
	t.Logf("%s: %d connections each, closed by the server: %v; %d MiB before, %d more; %v without a picture, the machine was late by %v",
		listeners, conns, closed, before, mib, gap, time.Duration(late.Load()))
	return mib, max(0, gap-2*time.Duration(late.Load()))
}

// lateness measures by how much a ticker of this process was late at worst, which
// is not the server's fault.
func lateness(ctx context.Context, running *sync.WaitGroup) *atomic.Int64 {
	worst := new(atomic.Int64)
	running.Go(func() {
		const every = 10 * time.Millisecond
		tick := time.NewTicker(every)
		defer tick.Stop()
		for last := time.Now(); ctx.Err() == nil; {
			<-tick.C
			now := time.Now()
			worst.Store(max(worst.Load(), int64(now.Sub(last)-every)))
			last = now
		}
	})
	return worst
}

// TestSiege is a small one of all listeners at once.
func TestSiege(t *testing.T) {
	t.Parallel()
	mib, gap := withstand(t, runBesieged(t), "rtmp rtmps http https admin srt", 70, 3*time.Second)
	if mib > 160 || gap > 20*time.Second { // it may be the race detector's
		t.Errorf("%d MiB, %v without a picture", mib, gap)
	}
}

// TestSiegeCrowd is one by 5000 connections on every listener. The bound is that of
// docs/operations.md.
func TestSiegeCrowd(t *testing.T) {
	if os.Getenv("MIJU_SOAK") == "" {
		t.Skip("MIJU_SOAK is not set")
	}
	b := runBesieged(t)
	// Half of the descriptors are ours.
	for _, listeners := range []string{"rtmp rtmps", "http", "https admin", "srt"} {
		mib, gap := withstand(t, b, listeners, 5000, 30*time.Second)
		if mib > 256 || gap > 1500*time.Millisecond {
			t.Errorf("%s: %d MiB, %v without a picture", listeners, mib, gap)
		}
	}
}
