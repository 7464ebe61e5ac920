package message

import "syscall"

// canLinger says that a socket can be kept from waking the process for every
// segment. (Other systems do not hold SO_RCVLOWAT to polling as Linux does.)
const canLinger = true

func setLowat(fd uintptr, bytes int) {
	syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, bytes)
}
