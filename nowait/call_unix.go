//go:build unix && (!linux || race)

package nowait

import (
	"errors"
	"syscall"
)

// Possible says whether a socket's bytes can be had and left without waiting.
const Possible = true

// The scheduler hears of these: other systems let nobody past their C library, and
// the race detector knows what one goroutine tells another by way of a socket.

func read(fd uintptr, b []byte) (int, syscall.Errno) {
	n, err := syscall.Read(int(fd), b)
	return n, number(err)
}

func write(fd uintptr, b []byte) (int, syscall.Errno) {
	n, err := syscall.Write(int(fd), b)
	return n, number(err)
}

func number(err error) (errno syscall.Errno) {
	if err != nil && !errors.As(err, &errno) {
		return syscall.EIO
	}
	return errno
}
