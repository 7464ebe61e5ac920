package rtmp

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/ingest/rtmp/chunk"
	"github.com/miju-live/miju/ingest/rtmp/message"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/amf0"
	"github.com/miju-live/miju/stream"
)

// house is a server of publishers and players on a real socket, with a hub
// whose streams a test may write itself.
type house struct {
	*Server
	hub    *stream.Hub
	ingest *ingest.Server
	scheme string
	addr   string
	stop   func() // ends everything and waits; tests need not call it
}

func newHouse(t testing.TB, change ...func(*Config)) *house {
	t.Helper()
	return openHouse(t, nil, ingest.DefaultConfig(), change...)
}

// openHouse serves RTMPS if secure is not nil.
func openHouse(t testing.TB, secure *tls.Config, lifecycle ingest.Config, change ...func(*Config)) *house {
	t.Helper()
	config := DefaultConfig()
	config.Listen, config.ListenTLS = "127.0.0.1:0", "127.0.0.1:0"
	for _, f := range change {
		f(&config)
	}
	h := &house{Server: NewServer(config), hub: stream.NewHub(stream.DefaultConfig(), nil), scheme: "rtmp"}
	l, err := h.Listen()
	if secure != nil {
		l.Close()
		l, err = h.ListenTLS(secure)
		h.scheme = "rtmps"
	}
	if err != nil {
		t.Fatal(err)
	}
	h.addr = l.Addr().String()
	h.ingest = ingest.NewServer(lifecycle, h.hub, auth.Open{}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := h.ingest.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	h.stop = sync.OnceFunc(func() {
		cancel()
		serving.Wait()
		h.hub.Close()
	})
	t.Cleanup(h.stop)
	return h
}

// publish makes a stream that the test writes.
func (h *house) publish(t testing.TB, name string) *stream.Publisher {
	t.Helper()
	pub, err := h.hub.Publish(key(t, name), stream.Source{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pub.Close)
	return pub
}

// outcome waits until a connection has ended so and no other way.
func (h *house) outcome(t *testing.T, want ingest.Outcome) {
	t.Helper()
	waitFor(t, "the end of the connection", func() bool { return len(h.ingest.Stats().Ended) > 0 })
	if ended := h.ingest.Stats().Ended; ended[want] == 0 {
		t.Errorf("ended %+v, want %+v", ended, want)
	}
}

func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(patience)
	for !done() {
		if <-tick.C; time.Now().After(deadline) {
			t.Fatalf("%s does not come", what)
		}
	}
}

// live writes a stream in its own time until the test ends or stop is called.
func live(t testing.TB, pub *stream.Publisher, source *mediatest.Source) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	begin := time.Now()
	pub.Write(source.Next()) // from now on it is live
	var writing sync.WaitGroup
	writing.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		f := source.Next()
		for {
			for ; f.DTS <= time.Since(begin); f = source.Next() {
				pub.Write(f)
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	stop = sync.OnceFunc(func() { cancel(); writing.Wait() })
	t.Cleanup(stop)
	return stop
}

// player connects a client that asks to play.
func (h *house) player(t *testing.T, name string) *client {
	t.Helper()
	tcp, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	if h.scheme == "rtmps" {
		tcp = tls.Client(tcp, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12})
	}
	t.Cleanup(func() { tcp.Close() })
	tcp.SetDeadline(time.Now().Add(patience))
	c := &client{t: t, tcp: tcp, size: 128}
	c.in = chunk.NewReader(bufio.NewReader(tcp), chunk.Limits{MaxMessage: 1 << 20, MaxChunkStreams: 16, MaxPartial: 1 << 20})
	c.shake()
	c.command("connect", 1, connectObject("live"))
	c.expect("_result")
	c.command("createStream", 2, amf0.Null{})
	c.expect("_result")
	c.send(message.Command{Name: "play", Args: []amf0.Value{amf0.Null{}, amf0.String(name), amf0.Number(-2000)}, Stream: streamID})
	return c
}

func (c *client) send(cmd message.Command) {
	c.t.Helper()
	c.message(message.TypeCommand, cmd.Stream, 0, cmd.Append(nil))
}

func (c *client) next() chunk.Message {
	c.t.Helper()
	m, err := c.in.ReadMessage()
	if err != nil {
		c.t.Fatal(err)
	}
	return m
}

// line is a message in short: the code of a status, the name of data, the first
// bytes of media.
func line(t *testing.T, m chunk.Message) string {
	t.Helper()
	switch m.Type {
	case message.TypeCommand, message.TypeData:
		values, err := amf0.Decode(m.Body)
		if err != nil || len(values) == 0 {
			t.Fatal(values, err)
		}
		s := fmt.Sprint(values[0])
		for _, v := range values {
			if o, ok := amf0.AsObject(v); ok && o.Text("code") != "" {
				s += " " + o.Text("code")
			}
		}
		return s
	case message.TypeUserControl:
		return fmt.Sprintf("control % x", m.Body)
	}
	return fmt.Sprintf("%d:% x", m.Type, m.Body[:min(2, len(m.Body))])
}

// expectLines reads messages and compares them.
func (c *client) expectLines(want ...string) {
	c.t.Helper()
	for i, w := range want {
		if m := c.next(); line(c.t, m) != w {
			c.t.Fatalf("message %d is %q, want %q", i, line(c.t, m), w)
		}
	}
}

// overBoth runs a test over RTMP and over RTMPS.
func overBoth(t *testing.T, test func(*testing.T, *house), change ...func(*Config)) {
	t.Run("rtmp", func(t *testing.T) { test(t, newHouse(t, change...)) })
	t.Run("rtmps", func(t *testing.T) {
		h, _ := newSecureHouse(t, change...)
		test(t, h)
	})
}
