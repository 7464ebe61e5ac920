package message

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miju-live/miju/ingest/rtmp/chunk"
	"github.com/miju-live/miju/remux/amf0"
)

var limits = chunk.Limits{MaxMessage: 1 << 20, MaxChunkStreams: 8, MaxPartial: 2 << 20}

// pair is two ends of a connection, shaken.
func pair(t *testing.T) (server, client *Conn) {
	t.Helper()
	a, b := net.Pipe()
	t.Cleanup(func() { a.Close(); b.Close() })
	server, client = NewConn(a, 5*time.Second, limits), NewConn(b, 5*time.Second, limits)
	shaken := make(chan error, 1)
	go func() {
		err := client.Connect()
		shaken <- errors.Join(err, client.Flush(0)) // C2
	}()
	if err := errors.Join(server.Accept(), <-shaken); err != nil {
		t.Fatal(err)
	}
	return server, client
}

func TestMessagesOfAnySizeArrive(t *testing.T) {
	server, client := pair(t)
	bodies := [][]byte{nil, []byte("x"), bytes.Repeat([]byte("abc"), 50), bytes.Repeat([]byte("abc"), 100_000)}
	go func() {
		for i, size := range []int{0, 1, 4096, 60000} {
			if size > 0 {
				client.SetChunkSize(size)
			}
			for _, b := range bodies[:3+i/3] {
				client.Send(chunk.Message{ChunkStream: 4, Type: TypeAudio, Timestamp: 0x01000000, Stream: 1, Body: b})
				client.Flush(0)
			}
		}
		client.Write(chunk.Split(60000, chunk.Message{ChunkStream: 6, Type: TypeVideo, Body: []byte("head")}, bodies[3]))
	}()
	for i := range 4 {
		for _, b := range bodies[:3+i/3] {
			m, err := server.ReadMessage()
			if err != nil || !bytes.Equal(m.Body, b) || m.Timestamp != 0x01000000 {
				t.Fatalf("%d bytes, %v; want %d", len(m.Body), err, len(b))
			}
		}
	}
	if m, err := server.ReadMessage(); err != nil || len(m.Body) != 4+len(bodies[3]) {
		t.Fatalf("%d bytes, %v", len(m.Body), err)
	}
}

// A ping is answered and bytes are acknowledged while the reader waits.
func TestPingsAndAcknowledgements(t *testing.T) {
	server, client := pair(t)
	read := make(chan error, 1)
	go func() {
		for {
			if _, err := server.ReadMessage(); err != nil {
				read <- err
				return
			}
		}
	}()
	client.Send(chunk.Message{ChunkStream: 2, Type: TypeUserControl, Body: []byte{0, 6, 0, 0, 0, 42}})
	client.Send(chunk.Message{ChunkStream: 2, Type: TypeUserControl, Body: []byte{0, 99}}) // of no standard
	client.Send(chunk.Message{ChunkStream: 2, Type: TypeWindowAckSize, Body: binary.BigEndian.AppendUint32(nil, 1)})
	go client.Write([][]byte{chunk.Append(nil, 128, chunk.Message{ChunkStream: 4, Type: TypeAudio, Body: make([]byte, 10_000)})})
	var types []byte
	r := client.chunks
	for len(types) < 2 {
		m, err := r.ReadMessage() // below what handles them
		if err != nil {
			t.Fatal(err)
		}
		types = append(types, m.Type)
	}
	if !bytes.Equal(types, []byte{TypeUserControl, TypeAck}) {
		t.Error(types)
	}
	client.net.Close()
	if err := <-read; err != io.EOF {
		t.Error(err)
	}
}

// A peer that does not read costs no more than the timeout, or less where the
// connection must end.
func TestWritesHaveDeadlines(t *testing.T) {
	for name, endBy := range map[string]time.Duration{"the timeout": 0, "a nearer end": time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := net.Pipe()
				defer a.Close()
				defer b.Close()
				c := NewConn(a, 5*time.Second, limits)
				began := time.Now()
				want := 5 * time.Second
				if endBy > 0 {
					want = endBy
					c.EndBy(began.Add(endBy))
				}
				_, err := c.Write([][]byte{[]byte("abc"), []byte("def")})
				if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != want {
					t.Errorf("%v after %v", err, time.Since(began))
				}
			})
		})
	}
}

// EndBy wakes a write that waits.
func TestEndByWakesAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		defer a.Close()
		defer b.Close()
		c := NewConn(a, time.Hour, limits)
		done := make(chan error, 1)
		go func() {
			_, err := c.Write([][]byte{[]byte("abc")})
			done <- err
		}()
		synctest.Wait()
		c.EndBy(time.Now())
		if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	})
}

// A peer that asks and asks while it takes nothing makes little gather.
func TestAnswersThatAreNotTakenAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		c := NewConn(a, time.Hour, limits)
		ended := make(chan error, 3)
		go func() { _, err := c.Write([][]byte{[]byte("media")}); ended <- err }()
		synctest.Wait() // until it sends
		go func() { _, err := c.ReadMessage(); ended <- err }()
		go func() {
			ping := chunk.Append(nil, 128, chunk.Message{ChunkStream: 2, Type: TypeUserControl, Body: []byte{0, 6, 0, 0, 0, 42}})
			_, err := b.Write(bytes.Repeat(ping, 1<<16))
			ended <- err
		}()
		synctest.Wait()
		if n := len(c.out); n <= maxOut || n > maxOut+2*smallBuffer {
			t.Errorf("%d bytes of answers have gathered", n)
		}
		a.Close()
		b.Close()
		for range 3 {
			<-ended
		}
	})
}

func TestFirstByteThatIsNotRTMP(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	go func() { b.Write([]byte("GET / HTTP/1.1\r\n")); b.Close() }()
	if err := NewConn(a, time.Second, limits).Accept(); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
}

// FuzzCommand reads commands of peers.
func FuzzCommand(f *testing.F) {
	f.Add(TypeCommand, Command{Name: "connect", Transaction: 1, Args: []amf0.Value{amf0.Object{{Name: "app", Value: amf0.String("live")}}}}.Append(nil))
	f.Add(TypeCommandAMF3, Command{Name: "pause", Args: []amf0.Value{amf0.Null{}, amf0.Boolean(true)}}.Append([]byte{0}))
	f.Add(TypeCommand, []byte{5})
	f.Add(TypeCommand, []byte{})
	f.Fuzz(func(t *testing.T, typ byte, b []byte) {
		c, err := ParseCommand(chunk.Message{Type: typ, Body: b})
		switch {
		case err == nil:
			for i := range 4 {
				c.Text(i)
				c.Object(i)
				c.True(i)
			}
			if again, err := ParseCommand(chunk.Message{Type: TypeCommand, Body: c.Append(nil)}); len(b) < MaxCommand/2 && (err != nil || again.Name != c.Name) {
				t.Fatalf("%+v, %v", again, err)
			}
		case !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, amf0.ErrMalformed) && !errors.Is(err, amf0.ErrTooLarge):
			t.Fatalf("error %v has no sentinel", err)
		}
	})
}
