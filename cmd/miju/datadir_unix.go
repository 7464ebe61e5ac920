//go:build !windows

package main

import (
	"errors"
	"os"
	"syscall"
)

// lockFile locks f, or fails with errDataInUse. A file system without locks is
// taken at its word that there is one server.
func lockFile(f *os.File) error {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		return errDataInUse
	}
	return nil
}
