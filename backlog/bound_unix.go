//go:build linux || darwin

package backlog

import (
	"runtime"
	"syscall"
)

// notSentLowat is TCP_NOTSENT_LOWAT, which package syscall has not for all of
// these.
var notSentLowat = map[string]int{"linux": 25, "darwin": 0x201}[runtime.GOOS]

func bound(fd uintptr) {
	syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, notSentLowat, Bytes) // a kernel before it goes without
}
