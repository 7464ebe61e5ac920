//go:build !unix

package fanout

import (
	"errors"
	"syscall"
)

// canTry is false where a socket cannot be asked to take what there is room for:
// every viewer is written to by its own goroutine.
const canTry = false

// Writer writes to a TCP connection without waiting.
type Writer struct{}

// NewWriter returns an error that wraps errors.ErrUnsupported.
func NewWriter(syscall.Conn) (*Writer, error) { return nil, errors.ErrUnsupported }

// TryWrite writes nothing.
func (w *Writer) TryWrite([]byte) (int, error) { return 0, errors.ErrUnsupported }
