package srttest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/datarhei/gosrt/circular"
	"github.com/datarhei/gosrt/packet"
)

// Caller is a connection that does what it is told: it sends what it is given
// under any timestamp, answers nothing (but for Repeat), and leaves without a
// word.
type Caller struct {
	conn   net.Conn
	peer   uint32
	number uint32
	acked  atomic.Uint32

	mu   sync.Mutex
	sent map[uint32][]byte // what Repeat may have to send again; nil without it
}

// patience is how long an answer is waited for.
const patience = 10 * time.Second

// Call connects to server. Latency is what the caller asks for, up to 65 s. A
// refusal is an error that ends in the code.
func Call(server net.Addr, streamID string, latency time.Duration) (*Caller, error) {
	return CallWith(server, streamID, latency, func(*packet.CIFHandshake) {})
}

// CallWith is Call with a conclusion that change has changed.
func CallWith(server net.Addr, streamID string, latency time.Duration, change func(*packet.CIFHandshake)) (*Caller, error) {
	conn, err := net.Dial("udp", server.String())
	if err != nil {
		return nil, err
	}
	c := &Caller{conn: conn}
	if err := c.shake(streamID, latency, change); err != nil {
		conn.Close()
		return nil, fmt.Errorf("SRT handshake: %w", err)
	}
	return c, nil
}

// shake goes through induction and conclusion (SRT, 4.3.1).
func (c *Caller) shake(streamID string, latency time.Duration, change func(*packet.CIFHandshake)) error {
	h := packet.CIFHandshake{
		IsRequest: true, Version: 4, ExtensionField: 2, HandshakeType: packet.HSTYPE_INDUCTION,
		InitialPacketSequenceNumber: circular.New(0, packet.MAX_SEQUENCENUMBER),
		MaxTransmissionUnitSize:     1500, MaxFlowWindowSize: 8192, SRTSocketId: 1 + rand.Uint32N(1<<30),
	}
	h.PeerIP.FromNetAddr(c.conn.LocalAddr())
	answer, err := c.ask(h)
	if err != nil {
		return err
	}
	h.Version, h.ExtensionField, h.HandshakeType, h.SynCookie = 5, 0, packet.HSTYPE_CONCLUSION, answer.SynCookie
	ms := uint16(latency / time.Millisecond)
	h.HasHS, h.SRTHS = true, &packet.CIFHandshakeExtension{SRTVersion: 0x010501, RecvTSBPDDelay: ms, SendTSBPDDelay: ms}
	f := &h.SRTHS.SRTFlags
	f.TSBPDSND, f.TSBPDRCV, f.CRYPT, f.TLPKTDROP, f.PERIODICNAK, f.REXMITFLG = true, true, true, true, true, true
	h.HasSID, h.StreamId = streamID != "", streamID
	change(&h)
	if answer, err = c.ask(h); err != nil {
		return err
	}
	if answer.HandshakeType != packet.HSTYPE_CONCLUSION {
		return fmt.Errorf("refused: %d", answer.HandshakeType.Val())
	}
	c.peer = answer.SRTSocketId
	return nil
}

// ask sends a handshake and waits for the answer to it.
func (c *Caller) ask(h packet.CIFHandshake) (answer packet.CIFHandshake, err error) {
	p := packet.NewPacket(nil)
	p.Header().IsControlPacket, p.Header().ControlType = true, packet.CTRLTYPE_HANDSHAKE
	if err := p.MarshalCIF(&h); err != nil {
		return answer, err
	}
	var b bytes.Buffer
	if err := p.Marshal(&b); err != nil {
		return answer, err
	}
	in := make([]byte, maxDatagram)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if _, err := c.conn.Write(b.Bytes()); err != nil {
			return answer, err
		}
		// Asked again as libsrt does, for the first may have been lost.
		c.conn.SetReadDeadline(time.Now().Add(250 * time.Millisecond))
		n, err := c.conn.Read(in)
		if err != nil {
			continue
		}
		q, err := packet.NewPacketFromData(nil, in[:n])
		if err != nil || !q.Header().IsControlPacket || q.Header().ControlType != packet.CTRLTYPE_HANDSHAKE {
			continue
		}
		if err := q.UnmarshalCIF(&answer); err == nil && (h.HandshakeType != packet.HSTYPE_CONCLUSION || answer.HandshakeType != packet.HSTYPE_INDUCTION) {
			return answer, nil
		}
	}
	return answer, fmt.Errorf("no answer within %v", patience)
}

// Send sends payload as the next data packet, stamped as of at after the
// beginning of the connection.
func (c *Caller) Send(payload []byte, at time.Duration) error {
	b := make([]byte, headerSize, headerSize+len(payload))
	binary.BigEndian.PutUint32(b, c.number)
	binary.BigEndian.PutUint32(b[4:], 0xc0000001) // a message of its own
	binary.BigEndian.PutUint32(b[8:], uint32(at.Microseconds()))
	binary.BigEndian.PutUint32(b[12:], c.peer)
	b = append(b, payload...)
	c.mu.Lock()
	if c.sent != nil {
		c.sent[c.number] = b
	}
	c.mu.Unlock()
	c.number = (c.number + 1) & packet.MAX_SEQUENCENUMBER
	_, err := c.conn.Write(b)
	return err
}

// Record keeps what is sent from now on for Repeat.
func (c *Caller) Record() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = map[uint32][]byte{}
}

// Repeat sends again what the peer asks for, until the caller leaves.
func (c *Caller) Repeat() {
	c.conn.SetReadDeadline(time.Time{})
	b := make([]byte, maxDatagram)
	for {
		n, err := c.conn.Read(b)
		if isClosed(err) {
			return
		}
		if err != nil || n < headerSize+4 {
			continue
		}
		switch content := b[headerSize:n]; binary.BigEndian.Uint16(b) {
		case 0x8002: // ACK (SRT, 3.2.4)
			c.acked.Store(binary.BigEndian.Uint32(content))
		case 0x8003: // NAK (SRT, 3.2.5 and appendix A)
			c.repeat(content)
		}
	}
}

// repeat sends the packets of a loss list, the first bit of whose numbers
// marks the beginning of a range.
func (c *Caller) repeat(list []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(list) >= 4 {
		first := binary.BigEndian.Uint32(list)
		last := first & packet.MAX_SEQUENCENUMBER
		if list = list[4:]; first != last && len(list) >= 4 {
			first, last = last, binary.BigEndian.Uint32(list)
			list = list[4:]
		}
		for n := first; n <= last && c.sent[n] != nil; n++ {
			c.sent[n][4] |= 0x04
			c.conn.Write(c.sent[n])
		}
	}
}

// Unacknowledged is how many packets Repeat has not heard to be there.
func (c *Caller) Unacknowledged() int { return int(c.number) - int(c.acked.Load()) }

// Skip leaves n sequence numbers out.
func (c *Caller) Skip(n uint32) { c.number = (c.number + n) & packet.MAX_SEQUENCENUMBER }

// KeepAlive says that the caller is there.
func (c *Caller) KeepAlive() { c.Control(1, 0, 0, make([]byte, 4)) }

// Control sends a control packet of any kind and content (SRT, 3.2).
func (c *Caller) Control(kind, subkind uint16, specific uint32, content []byte) {
	b := make([]byte, headerSize, headerSize+len(content))
	binary.BigEndian.PutUint16(b, 0x8000|kind)
	binary.BigEndian.PutUint16(b[2:], subkind)
	binary.BigEndian.PutUint32(b[4:], specific)
	binary.BigEndian.PutUint32(b[12:], c.peer)
	c.conn.Write(append(b, content...))
}

// AwaitGoodbye acknowledges what comes, and does what keep says every now and then,
// until the peer says goodbye (SRT, 3.2.9) or ctx ends.
func (c *Caller) AwaitGoodbye(ctx context.Context, keep func()) error {
	b := make([]byte, maxDatagram)
	var next time.Time
	for ctx.Err() == nil {
		if time.Now().After(next) {
			keep()
			next = time.Now().Add(50 * time.Millisecond)
		}
		c.conn.SetReadDeadline(next)
		n, err := c.conn.Read(b)
		if isClosed(err) {
			return err
		}
		switch {
		case err != nil || n < headerSize:
		case binary.BigEndian.Uint16(b) == 0x8005:
			return nil
		case b[0] < 0x80: // data: a light ACK (SRT, 3.2.4)
			c.Control(2, 0, 0, binary.BigEndian.AppendUint32(nil, (binary.BigEndian.Uint32(b)+1)&packet.MAX_SEQUENCENUMBER))
		}
	}
	return ctx.Err()
}

// Leave says goodbye, as Hang does not.
func (c *Caller) Leave() {
	c.Control(5, 0, 0, make([]byte, 4))
	c.Hang()
}

// Hang falls silent for ever.
func (c *Caller) Hang() { c.conn.Close() }
