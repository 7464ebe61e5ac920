package certs

import (
	"context"
	"sync"

	"github.com/caddyserver/certmagic"
)

// storage keeps what ACME gives in files. A data directory is one server's: so
// its locks need no files, which a process that was killed would leave behind.
type storage struct {
	certmagic.FileStorage

	mu   sync.Mutex
	busy map[string]chan struct{} // closed when the lock is free again
}

var (
	_ certmagic.Storage   = (*storage)(nil)
	_ certmagic.TryLocker = (*storage)(nil)
)

// Lock implements certmagic.Locker.
func (s *storage) Lock(ctx context.Context, name string) error {
	for {
		if ok, _ := s.TryLock(ctx, name); ok {
			return nil
		}
		s.mu.Lock()
		held := s.busy[name]
		s.mu.Unlock()
		if held == nil { // it became free
			continue
		}
		select {
		case <-held:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// TryLock implements certmagic.TryLocker.
func (s *storage) TryLock(_ context.Context, name string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, held := s.busy[name]; held {
		return false, nil
	}
	s.busy[name] = make(chan struct{})
	return true, nil
}

// Unlock implements certmagic.Locker.
func (s *storage) Unlock(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if held, ok := s.busy[name]; ok {
		close(held)
		delete(s.busy, name)
	}
	return nil
}
