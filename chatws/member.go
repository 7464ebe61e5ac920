package chatws

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lxzan/gws"
	"golang.org/x/time/rate"

	"github.com/miju-live/miju/streamkey"
)

const (
	// writeTimeout is how long one write to a member may take.
	writeTimeout = 10 * time.Second
	// writeAtOnce is how much is written at once, in bytes: little enough
	// that a slow member has taken it before its close code must follow.
	writeAtOnce = 32 << 10
	// closeGrace is how long a member has to take its close code, and then to
	// answer it.
	closeGrace = 2 * time.Second
	// maxStrikes is how many refusals a member may earn at once, forgiven at
	// one a second, before the connection is closed.
	maxStrikes = 20
)

// member is one connection, in a room once it has joined. One goroutine
// reads; another writes, and exists only while there is something to write,
// so that a quiet member costs one. Nothing else touches the socket.
type member struct {
	server *Server
	conn   net.Conn
	socket *gws.Conn
	key    streamkey.Key
	token  string
	remote string
	born   time.Time
	author Author // its name is set by joining

	// heard is when the peer last sent anything, in Unix nanoseconds.
	heard  atomic.Int64
	joined atomic.Bool
	// nextPing belongs to the sweep.
	nextPing time.Time

	// The reading goroutine's own.
	room     *room // nil before it joined
	pace     *rate.Limiter
	strikes  *rate.Limiter
	handling bool  // our code runs, not gws's
	ended    error // why gws ended

	slot int // in the room's list, under its lock

	mu       sync.Mutex
	queue    [][]byte // whole frames, shared with other members
	waiting  int      // bytes in queue and in the writer's hands
	writing  bool
	closing  bool // the last frame is queued: nothing may follow
	code     CloseCode
	readDone bool
	undecide func() // ends a running authorization
}

func newMember(s *Server, conn net.Conn, key streamkey.Key, r *http.Request) *member {
	now := time.Now()
	m := &member{
		server: s, conn: conn, key: key, token: r.URL.Query().Get("token"), remote: r.RemoteAddr, born: now,
		author: Author{ID: strconv.FormatUint(s.nextID.Add(1), 36)},
		// Anywhere within the interval, so that those who came at once are
		// not pinged at once.
		nextPing: now.Add(rand.N(pingEvery)),
		pace:     rate.NewLimiter(rate.Limit(s.config.Rate), s.config.Burst),
		strikes:  rate.NewLimiter(1, maxStrikes),
	}
	m.alive()
	return m
}

func (m *member) alive() { m.heard.Store(time.Now().UnixNano()) }

// send queues a frame and sees that somebody writes it. It never waits: a
// member for whom too much waits is closed as slow and gets nothing more.
func (m *member) send(frame []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closing {
		return
	}
	// One frame always fits, or a bound below its size would end everybody.
	if m.waiting > 0 && m.waiting+len(frame) > m.server.config.QueueKiB<<10 {
		m.server.slow.Add(1)
		m.closeLocked(CloseSlow)
		return
	}
	m.enqueue(frame)
}

func (m *member) enqueue(frame []byte) {
	m.queue = append(m.queue, frame)
	m.waiting += len(frame)
	if !m.writing {
		m.writing = true
		// running cannot be at zero: whoever calls is counted in it, or is in
		// a room's lock with m not yet out of the room.
		m.server.running.Add(1)
		go m.write()
	}
}

// close makes a close frame the last that m gets. What waits for it is
// dropped. Only the first close counts.
func (m *member) close(code CloseCode) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closeLocked(code)
}

func (m *member) closeLocked(code CloseCode) {
	if m.closing {
		return
	}
	m.closing, m.code = true, code
	for _, f := range m.queue {
		m.waiting -= len(f)
	}
	m.queue = nil
	if m.undecide != nil {
		m.undecide()
	}
	// A writer that is stuck gets this much longer, and the peer for its
	// answer too.
	m.conn.SetDeadline(time.Now().Add(closeGrace))
	m.enqueue(code.frame())
}

// cut closes the connection at once.
func (m *member) cut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closing, m.queue = true, nil
	if m.undecide != nil {
		m.undecide()
	}
	m.conn.Close()
}

func (m *member) isClosing() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closing
}

// expel closes m and counts why, unless it is being closed already.
func (m *member) expel(why refusal, code CloseCode) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closing {
		m.server.refused[why].Add(1)
		m.closeLocked(code)
	}
}

// write writes what is queued until nothing is.
func (m *member) write() {
	defer m.server.running.Done()
	for {
		batch := m.next()
		if batch == nil {
			return
		}
		size := 0
		for _, f := range batch {
			size += len(f)
		}
		if err := writeAll(m.conn, batch); err != nil {
			m.lost(err)
		}
		m.mu.Lock()
		m.waiting -= size
		m.mu.Unlock()
	}
}

// next takes frames off the queue, up to writeAtOnce bytes. If there are none
// the writer is over, and nil is returned.
func (m *member) next() [][]byte {
	m.mu.Lock()
	n, size := 0, 0
	for n < len(m.queue) && (n == 0 || size+len(m.queue[n]) <= writeAtOnce) {
		size += len(m.queue[n])
		n++
	}
	if n == 0 {
		m.writing = false
		last := m.readDone
		m.mu.Unlock()
		if last {
			m.hangUp()
		}
		return nil
	}
	batch := m.queue[:n:n]
	if m.queue = m.queue[n:]; len(m.queue) == 0 {
		m.queue = nil
	}
	if !m.closing {
		m.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	}
	m.mu.Unlock()
	return batch
}

// writeAll writes whole frames by one system call where the connection can.
func writeAll(conn net.Conn, frames [][]byte) error {
	if _, ok := conn.(*net.TCPConn); ok && len(frames) > 1 {
		buffers := net.Buffers(slices.Clone(frames)) // WriteTo uses it up
		_, err := buffers.WriteTo(conn)
		return err
	}
	b := frames[0]
	if len(frames) > 1 {
		b = slices.Concat(frames...) // one TLS record instead of many
	}
	_, err := conn.Write(b)
	return err
}

// lost ends a connection that does not take what is written. It is too late
// for a close code: part of a frame may have gone out.
func (m *member) lost(err error) {
	m.mu.Lock()
	if !m.closing && errors.Is(err, os.ErrDeadlineExceeded) {
		m.server.slow.Add(1)
		m.code = CloseSlow
	}
	m.mu.Unlock()
	m.cut()
}

// serve reads until the connection ends, and cleans up.
func (m *member) serve() {
	defer m.server.running.Done()
	err := m.readFrames()
	if m.room != nil {
		m.server.leave(m)
	}
	m.mu.Lock()
	m.closing, m.readDone = true, true
	last := !m.writing
	code := m.code
	m.mu.Unlock()
	if last {
		m.hangUp()
	}
	level := slog.LevelInfo // we ended it, and why is worth a line
	if code == 0 || code == CloseGoingAway {
		level = slog.LevelDebug
	}
	m.server.log.Log(context.Background(), level, "chat connection ended", "stream", m.key, "remote", m.remote, "joined", m.joined.Load(),
		"lasted", time.Since(m.born).Round(time.Millisecond), "code", int(code), "err", err)
}

// hangUp closes the connection, on whichever of its two goroutines is the
// last. What the peer still sends is thrown away for a moment first: a socket
// that is closed with bytes unread is reset, and a close code on its way to
// the peer is lost with it.
func (m *member) hangUp() {
	if c, ok := m.conn.(interface{ CloseWrite() error }); ok && c.CloseWrite() == nil {
		m.conn.SetReadDeadline(time.Now().Add(closeGrace))
		io.Copy(io.Discard, io.LimitReader(m.conn, 1<<20))
	}
	m.conn.Close()
	m.server.dismiss(m)
}

// lookAfter closes a member that is silent or does not join, and pings it.
func (m *member) lookAfter(now time.Time) {
	switch {
	case now.Sub(time.Unix(0, m.heard.Load())) >= silence:
		m.expel(refusedSilent, CloseSilent)
	case now.Sub(m.born) >= joinTimeout && !m.joined.Load():
		m.expel(refusedNoJoin, CloseNoJoin)
	case !now.Before(m.nextPing):
		m.nextPing = now.Add(pingEvery)
		m.send(pingFrame)
	}
}
