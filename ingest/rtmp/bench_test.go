package rtmp

import (
	"net"
	"testing"
	"time"

	"github.com/miju-live/miju/ingest/rtmp/chunk"
	"github.com/miju-live/miju/media/mediatest"
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
