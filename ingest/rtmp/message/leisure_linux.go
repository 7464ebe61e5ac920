package message

import (
	"io"
	"os"
	"syscall"
)

// canTry says that a socket can be read without waiting, and kept from waking
// the process for every segment. (Other systems do not hold SO_RCVLOWAT to
// polling as Linux does.)
const canTry = true

// tryRead reads what is there; 0 and no error is nothing.
func tryRead(fd uintptr, b []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), b)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return 0, nil
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0 && len(b) > 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

func setLowat(fd uintptr, bytes int) {
	syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, bytes)
}
