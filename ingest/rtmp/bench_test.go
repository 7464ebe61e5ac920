package rtmp

import (
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/miju-live/miju/ingest/rtmp/chunk"
	"github.com/miju-live/miju/ingest/rtmp/message"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/amf0"
	"github.com/miju-live/miju/remux/flv"
)

// loop is a connection on which an encoder says the same for ever.
type loop struct {
	net.Conn
	wire []byte
	at   int
}

func (l *loop) Read(b []byte) (int, error) {
	n := copy(b, l.wire[l.at:])
	l.at = (l.at + n) % len(l.wire)
	return n, nil
}

func (l *loop) Write(b []byte) (int, error)      { return len(b), nil }
func (l *loop) SetWriteDeadline(time.Time) error { return nil }

// BenchmarkReadFrame is 10 kB pictures and AAC in chunks of 4096 bytes, from
// the socket to the frame. A frame allocates its body and nothing else; the
// acknowledgement of every 2.5 MB is the fraction above.
func BenchmarkReadFrame(b *testing.B) {
	s := mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2), FrameBytes: 10_000}
	var wire []byte
	const n = 600
	for range n {
		f := s.Next()
		typ, data := body(f, flv.Enhanced)
		wire = chunk.Append(wire, chunkSize, chunk.Message{ChunkStream: 4, Type: typ, Stream: streamID, Timestamp: uint32(f.DTS / time.Millisecond), Body: data})
	}
	c := newConn(&loop{wire: append(setup(), wire...)}, NewServer(DefaultConfig()), "rtmp")
	if err := c.Admit(); err != nil {
		b.Fatal(err)
	}
	if _, err := c.ReadFrame(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(wire) / n))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.ReadFrame(); err != nil {
			b.Fatal(err)
		}
	}
}

// setup is what stands before the frames: the chunk size and both sequence
// headers. They come again with each round, as encoders repeat them.
func setup() []byte {
	wire := chunk.Append(nil, 128, chunk.Message{ChunkStream: 2, Type: chunk.TypeSetChunkSize, Body: []byte{0, 0, chunkSize >> 8, 0}})
	typ, data := sequenceHeader(mediatest.H264Track(1), flv.Enhanced)
	wire = chunk.Append(wire, chunkSize, chunk.Message{ChunkStream: 4, Type: typ, Body: data})
	typ, data = sequenceHeader(mediatest.AACTrack(2), flv.Enhanced)
	return chunk.Append(wire, chunkSize, chunk.Message{ChunkStream: 4, Type: typ, Body: data})
}

// BenchmarkPlay writes 10 kB pictures to a thousand players over the loopback.
// An op is one picture on its way to all of them; its chunks are made once, and
// a player's share of the allocations is told apart.
func BenchmarkPlay(b *testing.B) {
	const players = 1000
	h := newHouse(b)
	pub := h.publish(b, "live/x")
	source := mediatest.Source{Video: mediatest.H264Track(1), FrameBytes: 10_000, GOP: 1 << 30}
	pub.Write(source.Next())
	var reading sync.WaitGroup
	defer reading.Wait()
	for range players {
		tcp, err := net.Dial("tcp", h.addr)
		if err != nil {
			b.Fatal(err)
		}
		defer tcp.Close()
		play := message.Command{Name: "play", Transaction: 3, Args: []amf0.Value{amf0.Null{}, amf0.String("x")}, Stream: streamID}
		hello := append([]byte{3}, make([]byte, 2*1536)...)
		if _, err := tcp.Write(append(append(hello, connectWire("live")...), wire(play.Append(nil))...)); err != nil {
			b.Fatal(err)
		}
		reading.Go(func() { io.Copy(io.Discard, tcp) })
	}
	sent := func() uint64 { return h.Stats().PlayedBytes / players / 10_000 }
	waitFor(b, "the first picture", func() bool { return h.ingest.Stats().Players == players && sent() >= 1 })
	b.SetBytes(players * 10_000)
	b.ReportAllocs()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n := uint64(1)
	for b.Loop() {
		pub.Write(source.Next())
		n++
		for sent() < n {
			runtime.Gosched()
		}
	}
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(n-1)/players, "allocs/player")
}
