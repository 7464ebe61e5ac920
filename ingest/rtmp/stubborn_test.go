package rtmp

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/miju-live/miju/ingest/rtmp/chunk"
	rtmpclient "github.com/miju-live/miju/ingest/rtmp/client"
	"github.com/miju-live/miju/ingest/rtmp/message"
	"github.com/miju-live/miju/remux/amf0"
	"github.com/miju-live/miju/remux/flv"
)

// An encoder that asks without end and takes no answer goes when the operator
// wants it, not when its answers have waited long enough.
func TestKickOfOneThatTakesNoAnswer(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.WriteTimeout = time.Minute })
	tcp, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	link := message.NewConn(tcp, patience, chunk.Limits{MaxMessage: 1 << 20, MaxChunkStreams: 64, MaxPartial: 1 << 20})
	if err := link.Connect(); err != nil {
		t.Fatal(err)
	}
	ask := func(stream uint32, name string, transaction amf0.Number, args ...amf0.Value) {
		link.SendCommand(3, message.Command{Name: name, Transaction: transaction, Args: args, Stream: stream})
	}
	ask(0, "connect", 1, amf0.Object{{Name: "app", Value: amf0.String("live")}})
	ask(0, "createStream", 2, amf0.Null{})
	ask(1, "publish", 3, amf0.Null{}, amf0.String("x"), amf0.String("live"))
	if err := link.Flush(0); err != nil {
		t.Fatal(err)
	}
	name := key(t, "live/x")
	waitFor(t, "the publisher", func() bool { _, ok := h.ingest.Publishing(name); return ok })
	for err == nil { // until the server reads no more
		for range 1000 {
			ask(0, "createStream", 4, amf0.Null{})
		}
		err = link.Flush(time.Second)
	}

	if !h.ingest.Kick(name, 0) {
		t.Error("nobody kicked")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	next, err := rtmpclient.Dial(ctx, "rtmp://"+h.addr+"/live/x")
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if err := next.Publish(ctx, flv.Enhanced); err != nil {
		t.Errorf("its stream is not free: %v", err)
	}
}
