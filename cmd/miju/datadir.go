package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

var errDataInUse = errors.New("it belongs to another server that is running; end that one or name another --data-dir")

// lockData makes the data directory and takes it for this server alone, until
// the file that it returns is closed or the process is gone.
func lockData(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make --data-dir: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("--data-dir is not this user's: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("lock --data-dir: %w", err)
	}
	if err := lockFile(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("--data-dir %s: %w", dir, err)
	}
	return f, nil
}

// closeData closes what is in the data directory, and leaves it to others.
func (s *server) closeData() {
	s.closeHooks()
	s.closeStore()
	if s.data != nil {
		s.data.Close()
		s.data = nil
	}
}
