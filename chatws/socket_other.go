//go:build !unix

package chatws

import (
	"errors"
	"net"
	"syscall"
)

// Without a way to write what a socket takes at once, each member has a
// goroutine that writes while there is something to write.

var errNoRaw = errors.New("not on this system")

func rawConn(net.Conn) syscall.RawConn { return nil }

type tryWriter struct{ gather []byte }

func newTryWriter() *tryWriter { return &tryWriter{} }

func (*tryWriter) try(syscall.RawConn, []byte) (int, error) { return 0, errNoRaw }

type socketReader struct{}

func newSocketReader(syscall.RawConn) *socketReader { return &socketReader{} }

func (*socketReader) read() (*readBuffer, int, error) { return nil, 0, errNoRaw }
