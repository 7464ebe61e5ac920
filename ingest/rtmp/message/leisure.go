package message

import (
	"io"
	"net"
	"syscall"
	"time"
)

// leisureBytes is how much may gather in the kernel before it wakes the reader
// all the same.
const leisureBytes = 64 << 10

// begun is where the ticks of all connections are counted from: those that are
// read at the same moment wake the process once.
var begun = time.Now()

// leisure reads from a TCP connection every now and then while nobody waits for
// what it brings, and at once otherwise. A wake-up costs several times what it
// costs to read a frame, so most of what a stream without viewers takes is saved.
type leisure struct {
	conn net.Conn
	raw  syscall.RawConn
	idle func() bool
	tick time.Duration

	low   bool // the kernel wakes nobody for little
	empty bool // there was no more when it was read last
	try   func(fd uintptr) bool
	buf   []byte // of try, and what came of it
	n     int
	err   error
}

// newLeisure returns how to read c from now on: once a tick while idle reports
// true, if the system can do that and c is TCP without TLS.
func newLeisure(c net.Conn, tick time.Duration, idle func() bool) io.Reader {
	t, ok := c.(*net.TCPConn)
	if !ok || !canTry || tick <= 0 {
		return c
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return c
	}
	l := &leisure{conn: c, raw: raw, idle: idle, tick: tick, empty: true}
	l.try = func(fd uintptr) bool {
		l.n, l.err = tryRead(fd, l.buf)
		return true
	}
	return l
}

func (l *leisure) Read(b []byte) (int, error) {
	for l.idle() {
		l.wake(leisureBytes)
		if l.empty {
			time.Sleep(l.tick - time.Since(begun)%l.tick)
		}
		n, err := l.now(b)
		l.empty = n < len(b)
		if n > 0 || err != nil {
			return n, err
		}
	}
	l.wake(1)
	return l.conn.Read(b)
}

// now reads what is there; 0 and no error is nothing.
func (l *leisure) now(b []byte) (int, error) {
	l.buf = b
	err := l.raw.Read(l.try)
	l.buf = nil
	if err == nil {
		err = l.err
	}
	if err != nil && err != io.EOF {
		err = &net.OpError{Op: "read", Net: "tcp", Source: l.conn.LocalAddr(), Addr: l.conn.RemoteAddr(), Err: err}
	}
	return l.n, err
}

// wake says from how many bytes on the kernel wakes the process.
func (l *leisure) wake(bytes int) {
	if low := bytes > 1; low != l.low {
		l.low = low
		l.raw.Control(func(fd uintptr) { setLowat(fd, bytes) }) // a closed connection says so when it is read
	}
}
