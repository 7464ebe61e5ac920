package chatws

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"

	"github.com/lxzan/gws"

	"github.com/miju-live/miju/streamkey"
)

// gws does the handshake and the reading. It writes nothing but the
// handshake's answer: a member has one writer, which also has to send frames
// that are encoded already.

// readBuffer is what is read from a connection at once, in bytes: nearly all
// commands are smaller.
const readBuffer = 512

// memberKey is where gws keeps the member of a connection.
const memberKey = "member"

var (
	errEarlyBytes = errors.New("the client sent frames before the handshake was answered")
	errProtocol   = errors.New("the client breaks the WebSocket protocol")
)

// upgrade makes a member of a request that isHandshake.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request, key streamkey.Key) (*member, error) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		fail(w, http.StatusInternalServerError, "no_upgrade", "this connection cannot become a WebSocket")
		return nil, fmt.Errorf("take over the connection: %w", err)
	}
	if buffered.Reader.Buffered() > 0 {
		conn.Close()
		return nil, errEarlyBytes
	}
	wire := &wire{Conn: conn}
	socket, err := s.upgrader.UpgradeFromConn(wire, bufio.NewReaderSize(conn, readBuffer), r)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("answer the handshake: %w", err)
	}
	m := newMember(s, conn, key, r)
	m.socket = socket
	wire.member = m
	socket.Session().Store(memberKey, m)
	return m, nil
}

// wire is the connection as gws sees it. Once there is a member, all that gws
// writes is a close frame: its answer to the peer's, or its verdict on what
// it read. The member sends it in its own order, and ends the connection.
type wire struct {
	net.Conn
	member *member
}

func (w *wire) Write(b []byte) (int, error) {
	if w.member == nil {
		return w.Conn.Write(b)
	}
	if len(b) > 0 && b[0]&0x0f == opClose {
		var code CloseCode
		if len(b) >= 4 {
			code = CloseCode(binary.BigEndian.Uint16(b[2:]))
		}
		w.member.closedByReader(code)
	}
	return len(b), nil
}

func (w *wire) Close() error { return nil }

// readFrames reads until the connection ends and gives the member what
// comes. The error says why it ended.
func (m *member) readFrames() (err error) {
	defer func() {
		// gws v1.8.9 takes a frame's length for signed and panics at one of
		// 2^63 bytes or more. If our code runs it is our own mistake, which
		// must not end everybody's connection.
		switch p := recover(); {
		case p == nil:
		case m.handling:
			err = fmt.Errorf("obey a chat command: %v", p)
			m.server.log.Error("chat connection failed", "stream", m.key, "err", err, "stack", string(debug.Stack()))
			m.close(CloseInternal)
		default:
			err = fmt.Errorf("%w: %v", errProtocol, p)
			m.expel(refusedFrame, CloseProtocol)
		}
	}()
	m.socket.ReadLoop()
	return m.ended
}

// events brings what gws reads to the member.
type events struct{ gws.BuiltinEventHandler }

var _ gws.Event = events{}

func memberOf(socket *gws.Conn) *member {
	v, _ := socket.Session().Load(memberKey)
	m, _ := v.(*member)
	return m
}

func (events) OnClose(socket *gws.Conn, err error) { memberOf(socket).ended = err }

func (events) OnPing(socket *gws.Conn, payload []byte) { memberOf(socket).receivePing(payload) }

func (events) OnPong(socket *gws.Conn, _ []byte) { memberOf(socket).alive() }

func (events) OnMessage(socket *gws.Conn, message *gws.Message) {
	m := memberOf(socket)
	m.handling = true
	m.receive(message.Opcode == gws.OpcodeText, message.Bytes())
	m.handling = false
	message.Close()
}
