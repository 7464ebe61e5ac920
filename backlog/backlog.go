// Package backlog bounds what the kernel holds of a live stream for a viewer
// that takes it slowly.
package backlog

import (
	"net"
	"syscall"
)

// Bytes is how much may wait in the kernel to be sent for the first time. What
// was sent and is not acknowledged comes on top, so that it slows nobody down,
// however long the line.
const Bytes = 128 << 10

// Bound bounds what waits in the kernel behind c, the TCP connection under it
// if it is one of TLS. Without a bound the kernel takes up to 4 MiB (Linux,
// net.ipv4.tcp_wmem): over a minute of a stream for who takes a tenth of it, who
// would also be taken for stuck, since a third of all that must have gone before
// the kernel asks for more. Where the system has no such option, or c is no TCP
// connection, nothing is bounded.
func Bound(c net.Conn) {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn()
	}
	s, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(bound) // a connection that is closed is bounded
}
