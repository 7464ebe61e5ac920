//go:build unix

package bench

import "syscall"

// setReceiveBuffer is done before connecting, which is when a window's scale
// is settled. That a kernel does not want to is no error.
func setReceiveBuffer(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, socketBuffer)
	})
}
