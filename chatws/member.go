package chatws

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/lxzan/gws"
	"golang.org/x/time/rate"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/streamkey"
)

const (
	// writeTimeout is how long one write to a member may take.
	writeTimeout = 10 * time.Second
	// writeAtOnce is how much is written at once, in bytes: little enough
	// that a slow member has taken it before its close code must follow.
	writeAtOnce = 32 << 10
	// maxStrikes is how many commands may be refused in a row before the
	// connection is closed.
	maxStrikes = 20
)

var (
	errFull = errors.New("the room is full")
	errRate = errors.New("rate")
)

// member is one connection to a room.
type member struct {
	server *Server
	key    streamkey.Key
	grant  auth.Grant
	author Author
	socket *gws.Conn
	pace   *rate.Limiter
	joined bool
	// strikes counts the commands refused since the last good one.
	strikes int

	mu      sync.Mutex
	queue   [][]byte
	waiting int           // bytes in queue
	wake    chan struct{} // holds one if there is something to do
	ending  CloseCode     // 0: not
	reason  string
	gone    bool
}

func newMember(s *Server, key streamkey.Key, g auth.Grant) *member {
	return &member{
		server: s, key: key, grant: g, author: Author{ID: strconv.FormatUint(s.nextID.Add(1), 36)},
		pace: rate.NewLimiter(rate.Limit(s.config.Rate), s.config.Burst), wake: make(chan struct{}, 1),
	}
}

// sessionMember is the name of the member in its socket's session.
const sessionMember = "member"

// serve reads until the connection ends; another goroutine writes.
func (m *member) serve(socket *gws.Conn) {
	m.mu.Lock()
	m.socket = socket
	m.mu.Unlock()
	socket.Session().Store(sessionMember, m)
	socket.SetReadDeadline(time.Now().Add(joinTimeout)) // a connection that is gone fails in ReadLoop
	written := make(chan struct{})
	go func() {
		defer close(written)
		m.write()
	}()
	socket.ReadLoop()
	if m.joined {
		m.server.leave(m)
	}
	m.mu.Lock()
	m.gone = true
	m.mu.Unlock()
	m.poke()
	<-written
	socket.NetConn().Close() // gws has closed it in most cases
}

// handler passes gws's events to their members.
type handler struct{ gws.BuiltinEventHandler }

func memberOf(socket *gws.Conn) *member {
	v, _ := socket.Session().Load(sessionMember)
	m, _ := v.(*member)
	return m
}

// OnMessage is called in serve's goroutine.
func (handler) OnMessage(socket *gws.Conn, message *gws.Message) {
	defer message.Close()
	memberOf(socket).read(message)
}

// OnPong notes a sign of life.
func (handler) OnPong(socket *gws.Conn, _ []byte) { memberOf(socket).alive() }

// OnPing notes a sign of life and answers it.
func (handler) OnPing(socket *gws.Conn, payload []byte) {
	memberOf(socket).alive()
	socket.SetWriteDeadline(time.Now().Add(writeTimeout))
	socket.WritePong(payload)
}

// OnClose is called when the connection has ended, by whomever.
func (handler) OnClose(socket *gws.Conn, err error) {
	m := memberOf(socket)
	var closed *gws.CloseError
	var stuck net.Error
	switch {
	case errors.As(err, &closed) && closed.Code == 1009:
		m.server.oversize.Add(1)
		m.server.log.Info("chat member ended", "stream", m.key, "code", closed.Code, "err", "a frame over the bound")
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &stuck) && stuck.Timeout():
		if !m.joined {
			m.server.refused[refusedNoJoin].Add(1)
		}
	}
}

// alive moves the time until which a sign of life must come.
func (m *member) alive() {
	if m.joined {
		m.socket.SetReadDeadline(time.Now().Add(silence))
	}
}

// read obeys one frame.
func (m *member) read(message *gws.Message) {
	if message.Opcode != gws.OpcodeText {
		m.server.refused[refusedFrame].Add(1)
		m.end(CloseBadFrame, "commands are text frames")
		return
	}
	m.alive()
	err := m.obey(message.Bytes())
	switch {
	case err == nil:
		m.strikes = 0
	case errors.Is(err, errFull):
		m.server.refused[refusedFull].Add(1)
		m.end(CloseFull, err.Error())
	default:
		m.refuse(err)
	}
}

func (m *member) refuse(err error) {
	for cause, r := range map[error]refusal{errBadCommand: refusedCommand, errBadName: refusedName, errBadText: refusedText, errRate: refusedRate} {
		if errors.Is(err, cause) {
			m.server.refused[r].Add(1)
		}
	}
	if m.strikes++; m.strikes > maxStrikes {
		m.server.refused[refusedFlood].Add(1)
		m.end(CloseFlood, "too many commands were refused")
		return
	}
	m.send(errorEvent(err).frame())
}

func (m *member) obey(frame []byte) error {
	if !m.pace.Allow() {
		return fmt.Errorf("%w: slower, please: %d a second", errRate, m.server.config.Rate)
	}
	c, err := parseCommand(frame)
	if err != nil {
		return err
	}
	switch {
	case c.Type == "ping":
		m.send((&Event{Type: EventPong, At: time.Now().UnixMilli()}).frame())
		return nil
	case c.Type == "join" && m.joined:
		return fmt.Errorf("%w: you are in the room already", errBadCommand)
	case c.Type == "join":
		return m.join(c.Name)
	case !m.joined:
		return fmt.Errorf("%w: join first", errBadCommand)
	}
	text, err := cleanText(c.Text, m.server.config.MaxText)
	if err != nil {
		return err
	}
	if r := m.server.room(m.key); r != nil {
		r.say(m, text)
	}
	return nil
}

func (m *member) join(name string) error {
	if m.grant.Name != "" {
		name = m.grant.Name
	}
	name, err := cleanName(name)
	if err != nil {
		return err
	}
	if name == "" {
		name = "guest-" + m.author.ID
	}
	m.author.Name = name
	if err := m.server.join(m); err != nil {
		return err
	}
	m.joined = true
	m.alive()
	return nil
}

// send queues a frame. It never waits: a member for whom too much waits is
// ended as slow and gets nothing more.
func (m *member) send(frame []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ending != 0 || m.gone {
		return
	}
	if m.waiting+len(frame) > m.server.config.QueueKiB<<10 {
		m.server.slow.Add(1)
		m.server.log.Info("chat member ended", "stream", m.key, "code", CloseSlow, "err", "too slow")
		m.queue, m.waiting = nil, 0
		m.ending, m.reason = CloseSlow, "slow, come back"
	} else {
		m.queue = append(m.queue, frame)
		m.waiting += len(frame)
	}
	m.poke()
}

// end closes the connection after what is queued.
func (m *member) end(code CloseCode, reason string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ending == 0 {
		m.ending, m.reason = code, reason
		m.poke()
	}
}

// cut closes the connection at once.
func (m *member) cut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.socket != nil {
		m.socket.NetConn().Close()
	}
}

func (m *member) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// write sends what is queued until the connection ends. The bytes go around
// gws to the connection, whole frames at a time, so that its pongs and its
// close frame fall between them.
func (m *member) write() {
	conn := m.socket.NetConn()
	var out net.Buffers
	for range m.wake {
		for {
			frames, ending, reason, gone := m.next()
			if gone {
				return
			}
			if len(frames) == 0 {
				if ending == 0 {
					break
				}
				m.socket.SetWriteDeadline(time.Now().Add(time.Second))
				m.socket.WriteClose(uint16(ending), []byte(reason))
				conn.SetReadDeadline(time.Now().Add(time.Second)) // the peer answers, or not
				return
			}
			conn.SetWriteDeadline(time.Now().Add(writeTimeout))
			out = frames
			if _, err := out.WriteTo(conn); err != nil {
				conn.Close() // ends ReadLoop
				return
			}
		}
	}
}

// next takes frames off the queue, up to writeAtOnce bytes.
func (m *member) next() (frames [][]byte, ending CloseCode, reason string, gone bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, size := 0, 0
	for n < len(m.queue) && (n == 0 || size+len(m.queue[n]) <= writeAtOnce) {
		size += len(m.queue[n])
		n++
	}
	frames = m.queue[:n:n]
	if m.queue = m.queue[n:]; len(m.queue) == 0 {
		m.queue = nil
	}
	m.waiting -= size
	return frames, m.ending, m.reason, m.gone
}
