package fanout

import (
	"syscall"

	"github.com/miju-live/miju/nowait"
)

// Writer writes to a TCP connection without waiting.
type Writer struct {
	raw  syscall.RawConn
	call func(fd uintptr) // made once
	b    []byte
	n    int
	err  error
}

// NewWriter returns a Writer to c, a TCP connection or what is around one.
func NewWriter(c syscall.Conn) (*Writer, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	w := &Writer{raw: raw}
	w.call = func(fd uintptr) { w.n, w.err = nowait.Write(fd, w.b) }
	return w, nil
}

// TryWrite writes as much of b as there is room for. Nobody else may write
// meanwhile.
//
// It goes by Control, which keeps the connection from being closed and does
// nothing else: asking the poller first, as RawConn.Write does, is a tenth of what
// a write costs.
func (w *Writer) TryWrite(b []byte) (n int, err error) {
	w.b = b
	defer func() { w.b = nil }()
	for len(w.b) > 0 {
		if err = w.raw.Control(w.call); err == nil {
			err = w.err
		}
		if err != nil || w.n == 0 {
			return n, err
		}
		n += w.n
		w.b = w.b[w.n:]
	}
	return n, nil
}
