package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/flv"
)

// serve answers connection after connection, counted from 0, with f, behind
// its request. It returns where.
func serve(t *testing.T, f func(i int, c net.Conn) error) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for i := 0; ; i++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(patience))
				if r, err := http.ReadRequest(bufio.NewReader(c)); err != nil || r.Method != http.MethodGet {
					return
				}
				if err := f(i, c); err != nil {
					t.Error(err)
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return l.Addr().String()
}

// clipTags makes FLV of frames at these times, the first one a random access
// point.
type clipTags struct {
	source *mediatest.Source
}

func newClipTags() *clipTags {
	return &clipTags{&mediatest.Source{Video: mediatest.H264Track(1), GOP: 1 << 30, FrameBytes: 300}}
}

func (c *clipTags) head() []byte {
	return flv.AppendSequenceHeader(flv.AppendFileHeader(nil, true, false), c.source.Video, 0, flv.Enhanced)
}

func (c *clipTags) frames(ats ...time.Duration) (b []byte) {
	for _, at := range ats {
		f := c.source.Next()
		f.DTS, f.PTS = at, at
		b = append(b, frameTag(&f)...)
	}
	return b
}

func frameTag(f *media.Frame) []byte {
	b := append(flv.AppendFrameHead(nil, f, flv.Enhanced), f.Data...)
	return flv.AppendTrailer(b, f, flv.Enhanced)
}

const okHead = "HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\n\r\n"

// untilClosed waits until the client has gone.
func untilClosed(c net.Conn) error {
	io.Copy(io.Discard, c)
	return nil
}

// A server that falls silent, and whose timestamps jump, is found out: by the
// sample and by those that are only drained.
func TestFLVFindsStallsAndGaps(t *testing.T) {
	release := make(chan struct{})
	const ms = time.Millisecond
	address := serve(t, func(_ int, c net.Conn) error {
		tags := newClipTags()
		if _, err := c.Write(append(append([]byte(okHead), tags.head()...), tags.frames(0, 33*ms)...)); err != nil {
			return err
		}
		select {
		case <-release:
		case <-time.After(patience):
			return errors.New("no window")
		}
		if _, err := c.Write(tags.frames(66*ms, 1200*ms, 1100*ms)); err != nil {
			return err
		}
		return untilClosed(c)
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := DefaultFLV()
	c.URL, c.N, c.Sample, c.Duration = "http://"+address+"/live/x.flv", 4, 2, patience
	opened := false
	c.Progress = func(line string) {
		if strings.Contains(line, " of 1m0s: 4 of 4 viewers") && !opened {
			opened = true
			close(release)
		}
		if opened && strings.Contains(line, " 4 stalls") {
			cancel()
		}
	}
	r, err := FLV(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	if r.Joined != 4 || r.Watching != 4 || r.Sample != 2 || r.StalledViewers != 4 || r.Stalls < 4 || r.LongestSilence < 500 {
		t.Errorf("%+v", r)
	}
	if r.SampleTags != 6 || r.SampleGaps != 2 || r.SampleBacks != 2 || r.Spread.N != 3 {
		t.Errorf("%+v", r)
	}
	if r.Bytes != r.WindowBytes+4*int64(len(okHead)+len(newClipTags().head())+len(newClipTags().frames(0, 33*ms))) {
		t.Errorf("%d bytes in all, %d in the window", r.Bytes, r.WindowBytes)
	}
}

// Whatever a server answers is told by its kind, and ends.
func TestFLVOfServersThatFail(t *testing.T) {
	say := func(s string) func(net.Conn) error {
		return func(c net.Conn) error { io.WriteString(c, s); return nil }
	}
	endless := func(c net.Conn) error {
		for {
			if _, err := io.WriteString(c, "X-More: "+strings.Repeat("x", 1000)+"\r\n"); err != nil {
				return nil
			}
		}
	}
	body := string(newClipTags().head())
	for _, s := range []struct {
		name, scheme, refused, failed string
		answer                        func(net.Conn) error
	}{
		{"503", "http", "503", "", say("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")},
		{"a redirect", "http", "302", "", say("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n")},
		{"no upgrade", "ws", "200", "", say(okHead)},
		{"an upgrade that is none", "ws", "", kindProtocol, say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n")},
		{"nothing", "http", "", kindEnded, say("")},
		{"nonsense", "http", "", kindProtocol, say("hello\r\n\r\n")},
		{"an endless head", "http", "", kindProtocol, func(c net.Conn) error {
			io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			return endless(c)
		}},
		{"no FLV", "http", "", kindProtocol, say(okHead + "<html>hello</html>")},
		{"a stream that ends", "http", "", kindEnded, say(okHead + body)},
		{"half a tag", "http", "", kindEnded, say(okHead + body + "\x09\x00\xff")},
		{"a tag that is none", "http", "", kindProtocol, say(okHead + body + "\x09\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x17\x00\x00\x00\x0c")},
		{"a codec that nobody has", "http", "", kindCodec, say(okHead + "FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00" + "\x09\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x12\x00\x00\x00\x00\x00\x00\x00\x10")},
	} {
		t.Run(s.name, func(t *testing.T) {
			address := serve(t, func(_ int, c net.Conn) error { return s.answer(c) })
			c := DefaultFLV()
			c.URL, c.N = s.scheme+"://"+address+"/live/x.flv", 2
			r, err := FLV(t.Context(), c)
			if !errors.Is(err, ErrNothing) {
				t.Error(err)
			}
			want := map[string]int{s.refused + s.failed: 2}
			got := r.Failed
			if s.refused != "" {
				got = r.Refused
			}
			if fmt.Sprint(got) != fmt.Sprint(want) || r.Joined != 0 || len(r.Refused)+len(r.Failed) != 1 {
				t.Errorf("refused %v, failed %v, %v", r.Refused, r.Failed, r.Notes)
			}
		})
	}
}

func TestFLVOfNoServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	c := DefaultFLV()
	c.URL, c.N = "http://"+address+"/live/x.flv", 3
	r, err := FLV(t.Context(), c)
	if !errors.Is(err, ErrNothing) || r.Failed[kindRefused] != 3 {
		t.Errorf("%v %+v", err, r)
	}
}

// The sample is as large as it was asked for, and with several streams there
// are two of each that is in it.
func TestSample(t *testing.T) {
	for _, c := range []struct{ n, streams, sample, want int }{
		{100, 1, 10, 10},
		{100, 1, 1, 1},
		{100, 1, 0, 0},
		{7, 1, 10, 7},
		{7, 1, 3, 3},
		{1000, 50, 10, 10},
		{1000, 3, 10, 9},
		{20, 20, 4, 2},
	} {
		f := &flvCrowd{config: &FLVConfig{Load: Load{N: c.n}, Sample: c.sample}}
		f.targets = make([]*url.URL, c.streams)
		got := 0
		for i := range c.n {
			if f.sampled(i) {
				got++
			}
		}
		if got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}
