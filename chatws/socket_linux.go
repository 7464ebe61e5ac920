package chatws

import (
	"syscall"
	"unsafe"
)

// writeNow is write(2) on a socket that does not block. Such a call is over in
// microseconds, so the scheduler need not hear of it: that is a tenth of what
// a message to a large room costs.
func writeNow(fd uintptr, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return int(n), errno
}
