// Package nowait reads and writes sockets that do not block, without telling the
// scheduler: a call that is over in microseconds need not be looked after.
//
// The Go runtime's watcher of long system calls goes to sleep when the process does,
// and the first call that is told of wakes it again. A server of many small streams
// falls asleep thousands of times a second: the watcher's wake-ups were half of all
// there. It is told of a read once in a while all the same.
package nowait

import (
	"io"
	"os"
	"syscall"
)

// Read reads from a non-blocking socket what is there, which may be nothing: 0 and
// no error. It returns io.EOF behind the peer's last byte.
func Read(fd uintptr, b []byte) (int, error) {
	for {
		switch n, errno := read(fd, b); {
		case errno == syscall.EINTR:
			continue
		case errno == syscall.EAGAIN:
			return 0, nil
		case errno != 0:
			return 0, os.NewSyscallError("read", errno)
		case n == 0 && len(b) > 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Write writes to a non-blocking socket as much of b as there is room for, which
// may be nothing: 0 and no error.
func Write(fd uintptr, b []byte) (int, error) {
	for {
		switch n, errno := write(fd, b); {
		case errno == syscall.EINTR:
			continue
		case errno == syscall.EAGAIN:
			return 0, nil
		case errno != 0:
			return 0, os.NewSyscallError("write", errno)
		default:
			return n, nil
		}
	}
}
