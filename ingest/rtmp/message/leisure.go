package message

import (
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/miju-live/miju/nowait"
)

const (
	// idleBytes is how much may gather in the kernel, while nobody waits for
	// anything, before it wakes the reader all the same.
	idleBytes = 64 << 10
	// soundBytes is the same while pictures are waited for: two or three frames
	// of sound, less than a picture has.
	soundBytes = 1200
	// lateSound is when what is less than soundBytes is read all the same: an
	// encoder may have said its last word.
	lateSound = 100 * time.Millisecond
)

// begun is where the ticks of all connections are counted from: those that are
// read at the same moment wake the process once.
var begun = time.Now()

// Leisure says when a peer may be read a little late.
type Leisure struct {
	// Tick is how often it is read while Idle reports true; 0 turns all of this
	// off.
	Tick time.Duration
	// Idle reports whether nobody waits for what the peer sends, Pictures whether
	// those who do wait for its pictures, with which its sound may come.
	Idle, Pictures func() bool
}

// Leisure has the peer read like that from now on, where the system can do it. It
// belongs to the goroutine of ReadMessage.
func (c *Conn) Leisure(l Leisure) { c.source = newLeisure(c.net, l, &c.rhythm) }

// rhythm knows whether a peer's pictures are so large, and come so often, that
// its sound can wait for the next one.
type rhythm struct {
	large int // pictures in a row that cannot be taken for sound
	other int // messages since the last picture
}

const (
	// steadyPictures have to be large before one is waited for.
	steadyPictures = 64
	// maxOther messages without a picture are another rhythm.
	maxOther = 16
)

// note takes notice of a message.
func (r *rhythm) note(typ byte, size int) {
	if typ != TypeVideo {
		if r.other++; r.other > maxOther {
			r.large = 0
		}
		return
	}
	r.other = 0
	if size < soundBytes {
		r.large = 0
	} else if r.large < steadyPictures {
		r.large++
	}
}

func (r *rhythm) steady() bool { return r.large >= steadyPictures }

// leisure reads from a TCP connection every now and then while nobody waits for
// what it brings, once a picture while that is what is waited for, and at once
// otherwise. A wake-up costs several times what it costs to read a frame, so most
// of what a stream without viewers takes is saved, and half the wake-ups of one
// that has some.
type leisure struct {
	Leisure
	conn   net.Conn
	raw    syscall.RawConn
	rhythm *rhythm

	late  *time.Timer // has the kernel wake at once
	empty bool        // there was no more when it was read last
	call  func(fd uintptr) bool
	wait  bool   // call waits for something
	buf   []byte // of call, and what came of it
	n     int
	err   error

	// mu is held while the kernel is told, so that what it was told last is low:
	// from how many bytes on it wakes the process.
	mu  sync.Mutex
	low int
}

// newLeisure returns how to read c from now on, which is c itself if the system
// can do nothing else, or c is not TCP without TLS.
func newLeisure(c net.Conn, o Leisure, r *rhythm) io.Reader {
	t, ok := c.(syscall.Conn) // TCP, or what is around it
	if !ok || !canLinger || o.Tick <= 0 {
		return c
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return c
	}
	l := &leisure{Leisure: o, conn: c, raw: raw, rhythm: r, empty: true, low: 1}
	l.call = func(fd uintptr) bool {
		l.n, l.err = nowait.Read(fd, l.buf)
		return !l.wait || l.n > 0 || l.err != nil
	}
	return l
}

func (l *leisure) Read(b []byte) (int, error) {
	for l.Idle() {
		l.wake(idleBytes)
		if l.empty {
			time.Sleep(l.Tick - time.Since(begun)%l.Tick)
		}
		n, err := l.read(b, false)
		l.empty = n < len(b)
		if n > 0 || err != nil {
			return n, err
		}
	}
	if !l.rhythm.steady() || !l.Pictures() {
		l.wake(1)
		return l.read(b, true)
	}
	l.wake(soundBytes)
	if l.late == nil {
		l.late = time.AfterFunc(lateSound, func() { l.wake(1) })
	} else {
		l.late.Reset(lateSound)
	}
	return l.read(b, true)
}

// read reads what is there; 0 and no error is nothing, if it does not wait.
func (l *leisure) read(b []byte, wait bool) (int, error) {
	l.buf, l.wait, l.n, l.err = b, wait, 0, nil
	err := l.raw.Read(l.call)
	l.buf = nil
	if err == nil {
		err = l.err
	}
	if raw, ok := err.(*net.OpError); ok { // a read like any other
		err = raw.Err
	}
	if err != nil && err != io.EOF {
		err = &net.OpError{Op: "read", Net: "tcp", Source: l.conn.LocalAddr(), Addr: l.conn.RemoteAddr(), Err: err}
	}
	return l.n, err
}

// wake says from how many bytes on the kernel wakes the process, which it does at
// once if so many are there. The timer calls it beside the reader.
func (l *leisure) wake(bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.low != bytes {
		l.low = bytes
		l.raw.Control(func(fd uintptr) { setLowat(fd, bytes) }) // a closed connection says so when it is read
	}
}
