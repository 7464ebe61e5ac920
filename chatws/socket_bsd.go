//go:build unix && !linux

package chatws

import (
	"errors"
	"syscall"
)

// writeNow is write(2) on a socket that does not block.
func writeNow(fd uintptr, b []byte) (int, syscall.Errno) {
	n, err := syscall.Write(int(fd), b)
	var errno syscall.Errno
	if err != nil && !errors.As(err, &errno) {
		errno = syscall.EIO
	}
	return n, errno
}
