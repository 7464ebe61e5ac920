package message

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/yutopp/go-rtmp/handshake"
	"github.com/yutopp/go-rtmp/message"

	"github.com/miju-live/miju/ingest/rtmp/chunk"
)

const (
	// WindowSize is what peers commonly tell each other, in bytes.
	WindowSize = 2_500_000
	// minAckWindow keeps a peer from asking for an acknowledgement of every
	// few bytes.
	minAckWindow = 4096
	// Version of RTMP (5.2.2).
	Version = 3
	// smallBuffer is for what is said before media flows, and by players.
	smallBuffer = 4 << 10
	// maxOut is how many bytes of answers may gather while somebody sends.
	maxOut = 16 << 10
	// recordSize is what goes into one record of TLS.
	recordSize = 16 << 10
	// csControl is the chunk stream of control messages (5.4).
	csControl = 2
)

// Conn carries messages over one connection, acknowledges what comes and
// answers pings. What is sent gathers until it is flushed, or until
// ReadMessage must wait for the peer. ReadMessage belongs to one goroutine; what
// sends may be called from any.
type Conn struct {
	net    net.Conn
	source io.Reader // net, or what reads it at leisure
	// gathers is set for TCP, or what is around it: net writes many slices at once.
	gathers bool
	rhythm  rhythm
	timeout time.Duration
	in      *bufio.Reader
	chunks  *chunk.Reader

	// ackWindow is how many bytes the peer sends between acknowledgements.
	ackWindow, acked uint64
	// endBy, in Unix nanoseconds, is the latest deadline of writes once set.
	endBy atomic.Int64

	// out is what has gathered. Nobody waits for the peer with mu held.
	mu      sync.Mutex
	out     []byte
	outSize int

	// sending holds a token while somebody sends, who sends what has gathered
	// meanwhile before taking it back.
	sending chan struct{}
	bufs    net.Buffers
	kept    bool          // TryWrite kept the token for the Write to come
	record  *bufio.Writer // nil where the socket takes many slices at once
}

// NewConn returns a Conn over c, which stays the caller's to close. A write may
// take as long as timeout. limits bound what the peer sends.
func NewConn(c net.Conn, timeout time.Duration, limits chunk.Limits) *Conn {
	m := &Conn{net: c, source: c, timeout: timeout, ackWindow: WindowSize, outSize: 128, sending: make(chan struct{}, 1)}
	_, m.gathers = c.(syscall.Conn)
	m.in = bufio.NewReaderSize(flushReader{m}, smallBuffer)
	m.chunks = chunk.NewReader(m.in, limits)
	return m
}

// Received returns how many bytes of chunks have been read. It belongs to the
// goroutine of ReadMessage.
func (c *Conn) Received() uint64 { return c.chunks.Bytes() }

// End gives back what the peer's unfinished messages hold of a budget.
func (c *Conn) End() { c.chunks.End() }

// Expect changes the limits, and gathers what comes in a buffer of so many
// bytes if that is more than 0.
func (c *Conn) Expect(limits chunk.Limits, buffer int) {
	c.chunks.SetLimits(limits)
	if buffer > c.in.Size() {
		c.in = bufio.NewReaderSize(c.in, buffer)
		c.chunks.SetSource(c.in)
	}
}

// flushReader reads from the peer, and before it waits sends what the peer
// waits for. If somebody sends already, reading goes on beside that, for the
// peer may wait for it; but not for ever, for a peer may ask and never take an
// answer.
type flushReader struct{ c *Conn }

func (r flushReader) Read(b []byte) (int, error) {
	select {
	case r.c.sending <- struct{}{}:
	default:
		if !r.c.full() {
			return r.c.source.Read(b)
		}
		r.c.sending <- struct{}{}
	}
	if err := r.c.finish(r.c.timeout); err != nil {
		return 0, err
	}
	return r.c.source.Read(b)
}

func (c *Conn) full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.out) > maxOut
}

// Accept does the handshake with a client, without verification (5.2): those
// of the digest form take an answer of version 0 for a plain one. A first byte
// that is not RTMP's is an error that wraps ErrMalformed.
func (c *Conn) Accept() error {
	b, err := c.in.Peek(1)
	if err != nil {
		return fmt.Errorf("RTMP handshake: %w", err)
	}
	if b[0] != Version {
		return fmt.Errorf("%w: RTMP begins with version %d, this with 0x%02x", ErrMalformed, Version, b[0])
	}
	return shaken(handshake.HandshakeWithClient(c.in, outWriter{c}, &handshake.Config{SkipHandshakeVerification: true}))
}

// Connect does the handshake with a server.
func (c *Conn) Connect() error {
	return shaken(handshake.HandshakeWithServer(c.in, outWriter{c}, &handshake.Config{SkipHandshakeVerification: true}))
}

func shaken(err error) error {
	if err != nil {
		return fmt.Errorf("RTMP handshake: %w", inside(err))
	}
	return nil
}

// outWriter gathers the handshake.
type outWriter struct{ c *Conn }

func (w outWriter) Write(b []byte) (int, error) {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	w.c.out = append(w.c.out, b...)
	return len(b), nil
}

// ReadMessage returns the next message that is not about the connection
// itself. Its errors are those of chunk.Reader.ReadMessage.
func (c *Conn) ReadMessage() (chunk.Message, error) {
	for {
		m, err := c.chunks.ReadMessage()
		if err != nil {
			return m, err
		}
		if n := c.chunks.Bytes(); n-c.acked >= c.ackWindow { // 5.4.3
			c.acked = n
			c.control(&message.Ack{SequenceNumber: uint32(n)})
		}
		if !isControl(m.Type) {
			c.rhythm.note(m.Type, len(m.Body))
			return m, nil
		}
		c.obey(m)
	}
}

// obey handles a control message. One that cannot be read is passed over: of
// these none changes what the next bytes mean, and peers send events that no
// standard has.
func (c *Conn) obey(m chunk.Message) {
	var control message.Message
	if message.NewDecoder(bytes.NewReader(m.Body)).Decode(message.TypeID(m.Type), &control) != nil {
		return
	}
	switch control := control.(type) {
	case *message.WinAckSize:
		if control.Size > 0 {
			c.ackWindow = uint64(max(control.Size, minAckWindow))
		}
	case *message.UserCtrl:
		if ping, ok := control.Event.(*message.UserCtrlEventPingRequest); ok {
			c.control(&message.UserCtrl{Event: &message.UserCtrlEventPingResponse{Timestamp: ping.Timestamp}})
		}
	}
}

// Send sends a message. m.ChunkStream must be 2 to 63.
func (c *Conn) Send(m chunk.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = chunk.Append(c.out, c.outSize, m)
}

// SendCommand sends a command on the message stream c.Stream.
func (c *Conn) SendCommand(chunkStream uint32, cmd Command) {
	c.Send(chunk.Message{ChunkStream: chunkStream, Type: TypeCommand, Stream: cmd.Stream, Body: cmd.Append(nil)})
}

// SendWindow tells the peer how often to acknowledge, and how often we do.
func (c *Conn) SendWindow() {
	c.control(&message.WinAckSize{Size: WindowSize})
	c.control(&message.SetPeerBandwidth{Size: WindowSize, Limit: message.LimitTypeDynamic})
}

// SendStreamBegin tells that a message stream begins (7.1.7).
func (c *Conn) SendStreamBegin(stream uint32) {
	c.control(&message.UserCtrl{Event: &message.UserCtrlEventStreamBegin{StreamID: stream}})
}

// SendStreamEOF tells that a message stream has ended.
func (c *Conn) SendStreamEOF(stream uint32) {
	c.control(&message.UserCtrl{Event: &message.UserCtrlEventStreamEOF{StreamID: stream}})
}

// SendBufferLength tells a server how much a player buffers.
func (c *Conn) SendBufferLength(stream uint32, d time.Duration) {
	c.control(&message.UserCtrl{Event: &message.UserCtrlEventSetBufferLength{StreamID: stream, LengthMs: uint32(d / time.Millisecond)}})
}

// control sends a control message (5.4, 7.1.7).
func (c *Conn) control(m message.Message) {
	var body bytes.Buffer
	if message.NewEncoder(&body).Encode(m) != nil {
		return // not one of those that are sent here
	}
	c.Send(chunk.Message{ChunkStream: csControl, Type: byte(m.TypeID()), Body: body.Bytes()})
}

// SetChunkSize tells the peer the size of the chunks that follow, in bytes.
func (c *Conn) SetChunkSize(n int) {
	c.control(&message.SetChunkSize{ChunkSize: uint32(n)})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outSize = n
}

// Flush writes what has gathered, within the timeout, or that of the Conn if it
// is 0.
func (c *Conn) Flush(timeout time.Duration) error {
	if timeout == 0 {
		timeout = c.timeout
	}
	c.sending <- struct{}{}
	return c.finish(timeout)
}

// finish sends what has gathered and lets go of sending.
func (c *Conn) finish(timeout time.Duration) error {
	for {
		c.mu.Lock()
		if len(c.out) == 0 {
			<-c.sending // before anybody can add to it
			c.mu.Unlock()
			return nil
		}
		c.mu.Unlock()
		if err := c.sendOut(timeout); err != nil {
			<-c.sending
			return err
		}
	}
}

// sendOut sends what has gathered, with sending held.
func (c *Conn) sendOut(timeout time.Duration) error {
	c.mu.Lock()
	out := c.out
	c.out = nil
	c.mu.Unlock()
	if len(out) == 0 {
		return nil
	}
	if err := c.setDeadline(timeout); err != nil {
		return err
	}
	_, err := c.net.Write(out)
	return err
}

// Write writes bytes that are chunks already, of the size that was set, behind
// what has gathered. It clears bufs and does not keep them. The timeout is for
// all of them.
func (c *Conn) Write(bufs [][]byte) (n int64, err error) {
	defer clear(bufs)
	if !c.kept {
		c.sending <- struct{}{}
	}
	c.kept = false
	if err = c.sendOut(c.timeout); err == nil {
		n, err = c.send(bufs)
	}
	if err != nil {
		<-c.sending
		return n, err
	}
	return n, c.finish(c.timeout)
}

// TryWriter writes as much as there is room for, without waiting.
type TryWriter interface {
	TryWrite(b []byte) (int, error)
}

// TryWrite is Write of as much of b as w, which writes to the connection, takes at
// once. Behind less than all of it, nothing else is sent until Write was called
// with the rest, by who calls this.
func (c *Conn) TryWrite(w TryWriter, b []byte) (n int, err error) {
	select {
	case c.sending <- struct{}{}:
	default:
		return 0, nil // somebody waits for the peer
	}
	if c.empty() {
		n, err = w.TryWrite(b)
	}
	if err == nil && n < len(b) {
		c.kept = true
		return n, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.out) > 0 && err == nil { // gathered meanwhile; what there is no room for goes with the next write
		var m int
		m, err = w.TryWrite(c.out)
		c.out = c.out[m:]
	}
	<-c.sending
	return n, err
}

func (c *Conn) empty() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.out) == 0
}

func (c *Conn) send(bufs [][]byte) (int64, error) {
	if err := c.setDeadline(c.timeout); err != nil {
		return 0, err
	}
	if c.gathers {
		c.bufs = bufs
		n, err := c.bufs.WriteTo(c.net)
		c.bufs = nil
		return n, err
	}
	return c.sendRecords(bufs)
}

// sendRecords is for sockets that would take each slice for a write of its
// own, as TLS does.
func (c *Conn) sendRecords(bufs [][]byte) (n int64, err error) {
	if c.record == nil {
		c.record = bufio.NewWriterSize(c.net, recordSize)
	}
	for _, b := range bufs {
		m, err := c.record.Write(b)
		if n += int64(m); err != nil {
			return n, err
		}
	}
	return n, c.record.Flush()
}

// EndBy lets no write take longer than until t, those that wait included.
func (c *Conn) EndBy(t time.Time) {
	c.endBy.Store(t.UnixNano())
	c.net.SetWriteDeadline(t)
}

func (c *Conn) setDeadline(timeout time.Duration) error {
	if err := c.net.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if end := c.endBy.Load(); end != 0 { // which the deadline just set may have taken back
		return c.net.SetWriteDeadline(time.Unix(0, end))
	}
	return nil
}

// inside is for where the peer may not just go away.
func inside(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
