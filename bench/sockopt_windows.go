package bench

import "syscall"

// setReceiveBuffer is done before connecting, which is when a window's scale
// is settled. That a system does not want to is no error.
func setReceiveBuffer(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(syscall.Handle(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, socketBuffer)
	})
}
