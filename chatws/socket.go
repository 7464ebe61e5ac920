package chatws

import (
	"net"
	"syscall"

	"github.com/miju-live/miju/nowait"
)

// rawConn returns the connection below c on which try and wait work, nil if
// there is none, as below TLS, or on a system where each member must have a
// goroutine that waits for its socket.
func rawConn(c net.Conn) syscall.RawConn {
	s, ok := c.(syscall.Conn)
	if !ok || !nowait.Possible {
		return nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// tryWriter writes to sockets what they take at once. A goroutine that waits
// for nobody can so serve a whole room: a member of which all is well costs
// one system call for each write and no switch to a goroutine of its own.
type tryWriter struct {
	b    []byte
	n    int
	err  error
	call func(fd uintptr) bool
	// gather is where what goes out together is put.
	gather []byte
}

func newTryWriter() *tryWriter {
	w := &tryWriter{gather: make([]byte, 0, writeAtOnce)}
	w.call = w.write
	return w
}

// try returns how much of b the socket took.
func (w *tryWriter) try(raw syscall.RawConn, b []byte) (int, error) {
	w.b, w.n, w.err = b, 0, nil
	err := raw.Write(w.call)
	w.b = nil
	if err == nil {
		err = w.err
	}
	return w.n, err
}

func (w *tryWriter) write(fd uintptr) bool {
	w.n, w.err = nowait.Write(fd, w.b)
	return true
}

// socketReader reads from a socket without holding a buffer while nothing
// comes.
type socketReader struct {
	raw  syscall.RawConn
	buf  *readBuffer
	n    int
	err  error
	call func(fd uintptr) bool
}

func newSocketReader(raw syscall.RawConn) *socketReader {
	r := &socketReader{raw: raw}
	r.call = r.take
	return r
}

// read waits for bytes. The buffer goes back to readBuffers.
func (r *socketReader) read() (*readBuffer, int, error) {
	r.buf, r.n, r.err = nil, 0, nil
	err := r.raw.Read(r.call)
	buf, n := r.buf, r.n
	r.buf = nil
	if err == nil {
		err = r.err
	}
	return buf, n, err
}

func (r *socketReader) take(fd uintptr) bool {
	buf := readBuffers.Get().(*readBuffer)
	if r.n, r.err = nowait.Read(fd, buf[:]); r.n > 0 {
		r.buf = buf
		return true
	}
	readBuffers.Put(buf)
	return r.err != nil
}
