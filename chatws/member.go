package chatws

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/streamkey"
)

const (
	// joinTimeout is how long a connection may take to join.
	joinTimeout = 10 * time.Second
	// pingEvery is how often members are asked for a sign of life, and
	// silence how long they may be without one.
	pingEvery = 15 * time.Second
	silence   = 30 * time.Second
	// maxStrikes is how many refusals a member may earn at once, forgiven at
	// one a second, before the connection is closed.
	maxStrikes = 20
	// maxAfterClose is how much is read of a peer that was sent a close frame
	// and has not answered it, in bytes: more than can be under way.
	maxAfterClose = 256 << 10
)

// readBuffer is what is read from a connection at once.
type readBuffer [readBufferSize]byte

// readBuffers are lent to connections of which something was read.
var readBuffers = sync.Pool{New: func() any { return new(readBuffer) }}

// member is one connection, in a room once it has joined. One goroutine
// reads; what is written is outbox's.
type member struct {
	server  *Server
	key     streamkey.Key
	token   string
	remote  string
	address netip.Addr
	// readsOnly is a reader of server-sent events: nothing is heard of it.
	readsOnly bool
	// left says that the peer has closed by itself. It is the reader's.
	left bool
	born time.Time
	out  outbox

	// heard is when the peer last sent anything, in Unix nanoseconds.
	heard atomic.Int64
	// room is nil before it joined.
	room atomic.Pointer[room]
	// expelled says that its user has no time to come back.
	expelled atomic.Bool
	// nextPing belongs to the sweep.
	nextPing time.Time

	// Set by joining.
	identity User
	role     auth.Role
	expires  time.Time
	// credential is what its grant is revoked by.
	credential atomic.Pointer[string]
	user       *user  // under the room's lock
	shard      *shard // under the room's lock

	// The reading goroutine's own.
	inbox                 inbox
	afterClose            int // bytes
	pace, strikes, reacts bucket

	mu       sync.Mutex
	undecide context.CancelFunc // ends a running authorization
}

var _ visitor = (*member)(nil)

func newMember(s *Server, conn net.Conn, key streamkey.Key) *member {
	now := time.Now()
	m := &member{
		server: s, key: key, born: now,
		// Anywhere within the interval, so that those who came at once are
		// not pinged at once.
		nextPing: now.Add(rand.N(pingEvery)),
	}
	m.out = outbox{conn: conn, running: &s.running, bound: uint64(s.config.QueueKiB) << 10, slow: &s.slow, last: m.hangUp}
	if conn != nil {
		m.out.raw = rawConn(conn)
	}
	m.alive()
	return m
}

func (m *member) alive() { m.heard.Store(time.Now().UnixNano()) }

// close makes code the last that the peer hears.
func (m *member) close(code CloseCode) {
	m.out.close(code)
	m.stopDeciding()
}

// cut closes the connection at once.
func (m *member) cut() {
	m.out.cut()
	m.stopDeciding()
}

func (m *member) stopDeciding() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.undecide != nil {
		m.undecide()
	}
}

// expel closes m and counts why, unless it is being closed already.
func (m *member) expel(why string, code CloseCode) {
	if !m.out.isClosing() {
		m.server.refused[why].Add(1)
		m.close(code)
	}
}

// serve reads until the connection ends, and cleans up.
func (m *member) serve() {
	defer m.server.running.Done()
	err := m.read()
	if r := m.room.Load(); r != nil {
		r.leave(m, time.Now())
	}
	code := m.out.endReading()
	attrs := []any{
		"stream", m.key, "remote", m.remote, "joined", m.room.Load() != nil,
		"lasted", time.Since(m.born).Round(time.Millisecond), "code", int(code), "err", err,
	}
	level := slog.LevelDebug
	if code != 0 && code != CloseGoingAway && !m.left { // we ended it, and why is worth a line
		level = slog.LevelInfo
		logged, passed := m.server.endings.Take(time.Now())
		if !logged {
			return
		}
		if passed > 0 {
			attrs = append(attrs, "unlogged", passed)
		}
	}
	m.server.log.Log(context.Background(), level, "chat connection ended", attrs...)
}

// hangUp closes the connection, on whichever of its two goroutines is the
// last. What the peer still sends is thrown away for a moment first: a socket
// that is closed with bytes unread is reset, and a close code on its way to
// the peer is lost with it.
func (m *member) hangUp() {
	conn := m.out.conn
	if c, ok := conn.(interface{ CloseWrite() error }); ok && c.CloseWrite() == nil {
		conn.SetReadDeadline(time.Now().Add(closeGrace))
		io.Copy(io.Discard, io.LimitReader(conn, 1<<20))
	}
	conn.Close()
	m.server.dismiss(m)
}

// read reads until the connection ends and obeys what comes. The error says
// why it ended.
func (m *member) read() (err error) {
	defer func() {
		// A mistake of ours must not end everybody's connection.
		if p := recover(); p != nil {
			err = fmt.Errorf("obey a chat command: %v", p)
			m.server.log.Error("chat connection failed", "stream", m.key, "err", err, "stack", string(debug.Stack()))
			m.close(CloseInternal)
		}
	}()
	if m.out.raw == nil {
		buf := make([]byte, 512)
		for {
			n, err := m.out.conn.Read(buf)
			if err == nil {
				err = m.received(buf[:n])
			}
			if err != nil {
				return err
			}
		}
	}
	reader := newSocketReader(m.out.raw)
	for {
		buf, n, err := reader.read()
		if err != nil {
			return err
		}
		err = m.received(buf[:n])
		readBuffers.Put(buf)
		if err != nil {
			return err
		}
	}
}

// received takes what was read.
func (m *member) received(b []byte) error {
	m.alive()
	if m.out.isClosing() {
		if m.afterClose += len(b); m.afterClose > maxAfterClose {
			return errEnded
		}
	}
	code, err := m.inbox.read(b, m.server.config.MaxFrameKiB<<10, m)
	switch code {
	case 0:
		return err
	case CloseTooBig:
		if !m.out.isClosing() {
			m.server.oversize.Add(1)
			m.close(code)
		}
	default:
		m.expel("bad_frame", code)
	}
	return errEnded
}

// visitControl implements visitor.
func (m *member) visitControl(opcode byte, payload []byte) error {
	switch opcode {
	case opPing: // RFC 6455, 5.5.2, but within its rate
		if m.mayAct(time.Now()) == 0 {
			m.out.send(appendFrame(nil, opPong, payload))
		} else if m.strike() {
			m.expel("flood", CloseFlood)
		}
	case opClose:
		code, ok := closeCodeOf(payload)
		if !ok {
			m.expel("bad_frame", CloseProtocol)
		}
		m.left = !m.out.isClosing()
		m.close(code) // as it asks (5.5.1), unless it was we who asked
		return errEnded
	}
	return nil
}

// closeCodeOf reads a close frame (RFC 6455, 5.5.1 and 7.4); the code is 0 if it
// has none.
func closeCodeOf(payload []byte) (CloseCode, bool) {
	if len(payload) == 0 {
		return 0, true
	}
	if len(payload) < 2 || !utf8.Valid(payload[2:]) {
		return 0, false
	}
	code := CloseCode(binary.BigEndian.Uint16(payload))
	switch {
	case code < 1000, code >= 1004 && code <= 1006, code > 1014 && code < 3000, code >= 5000:
		return 0, false
	}
	return code, true
}

// visitMessage implements visitor.
func (m *member) visitMessage(text bool, payload []byte) error {
	if m.out.isClosing() {
		return nil
	}
	if !text {
		m.expel("bad_frame", CloseBadFrame)
		return nil
	}
	id, err := m.obey(payload)
	var refusal *Refusal
	if errors.As(err, &refusal) {
		m.refuse(id, refusal)
	}
	return nil
}

// refuse tells a member what was wrong with its command, or closes one that
// goes on regardless.
func (m *member) refuse(id string, r *Refusal) {
	m.server.refused[string(r.Code)].Add(1)
	if m.strike() {
		m.expel("flood", CloseFlood)
		return
	}
	m.out.send(textFrame(r.event(id)))
}

// strike counts a refusal and reports whether it is one too many.
func (m *member) strike() bool { return m.strikes.take(time.Now(), 1, 1, maxStrikes) > 0 }

// mayAct returns 0 if m may send a command now, or after how long it may.
func (m *member) mayAct(now time.Time) time.Duration {
	rate, burst := float32(m.server.config.Rate), float32(m.server.config.Burst)
	if m.role.Moderates() {
		rate, burst = rate*10, burst*10
	}
	return m.pace.take(now, 1, rate, burst)
}

// lookAfter closes a member that is silent, does not join or has no grant any
// more, and pings it.
func (m *member) lookAfter(now time.Time) {
	joined := m.room.Load() != nil
	switch {
	case !m.readsOnly && now.UnixNano()-m.heard.Load() >= int64(silence):
		m.expel("silent", CloseSilent)
	case !joined && now.Sub(m.born) >= joinTimeout:
		m.expel("no_join", CloseNoJoin)
	case joined && !m.expires.IsZero() && !now.Before(m.expires):
		m.expel("expired", CloseExpired)
	case !now.Before(m.nextPing):
		m.nextPing = now.Add(pingEvery)
		m.out.send(pingFrame)
	}
}
