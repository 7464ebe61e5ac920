//go:build unix

package chatws

import (
	"io"
	"net"
	"syscall"
)

// rawConn returns the connection below c on which try and wait work, nil if
// there is none, as below TLS.
func rawConn(c net.Conn) syscall.RawConn {
	s, ok := c.(syscall.Conn)
	if !ok {
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
	for {
		n, err := writeNow(fd, w.b)
		switch err {
		case 0:
			w.n = n
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
		default:
			w.err = err
		}
		return true
	}
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
	switch {
	case err != nil:
		return nil, 0, err
	case r.err != nil:
		return nil, 0, r.err
	case n == 0:
		readBuffers.Put(buf)
		return nil, 0, io.EOF
	}
	return buf, n, nil
}

func (r *socketReader) take(fd uintptr) bool {
	buf := readBuffers.Get().(*readBuffer)
	for {
		n, err := syscall.Read(int(fd), buf[:])
		switch err {
		case nil:
			r.buf, r.n = buf, n
			return true
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			readBuffers.Put(buf)
			return false
		}
		readBuffers.Put(buf)
		r.err = err
		return true
	}
}
