package peer

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

const (
	// firstByte is how long a proxy may take to begin, after which its connection
	// is served as its own, and headerTimeout for a header from its first byte to
	// its last.
	firstByte     = 10 * time.Second
	headerTimeout = 5 * time.Second
)

// Listener returns l with connections that say who is behind a trusted proxy, and
// without those of addresses that have enough. It is for the socket itself, below
// TLS. Who brings no header and is not counted is handed on as it is.
func (d *Door) Listener(l net.Listener) net.Listener {
	return &listener{Listener: l, door: d, ready: make(chan arrival), done: make(chan struct{}), waiting: map[net.Conn]struct{}{}}
}

var _ net.Listener = (*listener)(nil)

// listener accepts in Accept itself, unless there are trusted proxies: then a
// goroutine does, and one for each connection of a proxy reads its header, so that
// none waits for another.
type listener struct {
	net.Listener
	door  *Door
	ready chan arrival
	done  chan struct{}

	mu      sync.Mutex
	running sync.WaitGroup
	started bool
	closed  bool
	waiting map[net.Conn]struct{} // for their header
}

type arrival struct {
	conn net.Conn
	err  error
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	if len(l.door.trusted) == 0 {
		for {
			c, err := l.Listener.Accept()
			if err != nil {
				return nil, err
			}
			if c = l.let(c, netip.AddrPort{}, nil); c != nil {
				return c, nil
			}
		}
	}
	l.start()
	select {
	case a := <-l.ready:
		return a.conn, a.err
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// let closes what the door does not let in.
func (l *listener) let(c net.Conn, said netip.AddrPort, unread []byte) net.Conn {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return c
	}
	conn := l.door.let(tcp, said, unread)
	if conn == nil {
		c.Close()
	}
	return conn
}

func (l *listener) start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.started && !l.closed {
		l.started = true
		l.running.Go(l.accept)
	}
}

// accept goes on until the listener is closed.
func (l *listener) accept() {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			l.hand(arrival{err: err})
			continue
		}
		if tcp, ok := c.(*net.TCPConn); ok && l.door.trusted.Contain(remoteOf(tcp)) {
			if l.wait(c) {
				l.running.Go(func() { l.introduce(tcp) })
			}
			continue
		}
		if c = l.let(c, netip.AddrPort{}, nil); c != nil {
			l.hand(arrival{conn: c})
		}
	}
}

// hand gives an arrival to Accept.
func (l *listener) hand(a arrival) {
	select {
	case l.ready <- a:
	case <-l.done:
		if a.conn != nil {
			a.conn.Close()
		}
	}
}

// wait notes that c waits for its header.
func (l *listener) wait(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		c.Close()
		return false
	}
	l.waiting[c] = struct{}{}
	return true
}

// introduce reads the header of a proxy's connection and hands that on.
func (l *listener) introduce(c *net.TCPConn) {
	begun := false
	c.SetReadDeadline(time.Now().Add(firstByte)) // one that is closed says so when it is read
	said, unread, err := readHeader(c, func() {
		begun = true
		c.SetReadDeadline(time.Now().Add(headerTimeout))
	})
	l.mu.Lock()
	delete(l.waiting, c)
	l.mu.Unlock()
	if !begun && errors.Is(err, os.ErrDeadlineExceeded) { // it is kept ready
		err = nil
	}
	if err == nil {
		err = c.SetReadDeadline(time.Time{})
	}
	if err != nil {
		l.refuse(c, err)
		return
	}
	if said.IsValid() {
		l.door.proxied.Add(1)
	}
	if conn := l.let(c, said, unread); conn != nil {
		l.hand(arrival{conn: conn})
	}
}

// refuse closes a connection that breaks its header off, or ends before anything
// came: then it is most likely a proxy that looks whether the port is open.
func (l *listener) refuse(c net.Conn, err error) {
	if errors.Is(err, errHeader) || errors.Is(err, os.ErrDeadlineExceeded) {
		l.door.malformed.Add(1)
		l.door.warn("a trusted proxy sends no right PROXY header", "proxy", c.RemoteAddr(), "err", err)
	}
	c.Close()
}

// Close implements net.Listener. It returns when nothing is left that waits for a
// header.
func (l *listener) Close() error {
	err := l.Listener.Close()
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.done)
	}
	for c := range l.waiting {
		c.Close()
	}
	l.mu.Unlock()
	l.running.Wait()
	return err
}
