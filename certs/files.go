package certs

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// maxFile bounds a file of certificates, in bytes.
const maxFile = 1 << 20

// load reads the two files as one pair.
func (c Config) load() (*tls.Certificate, error) {
	if c.Cert == "" || c.Key == "" {
		return nil, errNone
	}
	pair, err := loadPair(c.Cert, c.Key)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert %s, --tls-key %s: %w", c.Cert, c.Key, err)
	}
	return pair, nil
}

func loadPair(cert, key string) (*tls.Certificate, error) {
	certPEM, err := read(cert)
	if err != nil {
		return nil, err
	}
	keyPEM, err := read(key)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	clear(keyPEM)
	if err != nil {
		return nil, err
	}
	return &pair, nil
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s is too large for a certificate", path)
	}
	return b, err
}

// files is a pair of files that somebody else replaces, one after the other or
// by a link to another directory.
type files struct {
	source  *Source
	current atomic.Pointer[tls.Certificate]

	mu sync.Mutex
	// good is what the files were when current was read of them, bad when they
	// were refused last.
	good, bad state
}

// state tells whether a pair of files is the one that was there before.
type state [2]os.FileInfo

func (c Config) stat() (s state) {
	for i, path := range []string{c.Cert, c.Key} {
		if info, err := os.Stat(path); err == nil { // of what links lead to
			s[i] = info
		}
	}
	return s
}

func (s state) equal(t state) bool {
	for i := range s {
		if s[i] == nil || t[i] == nil {
			if s[i] != t[i] {
				return false
			}
			continue
		}
		if !os.SameFile(s[i], t[i]) || s[i].Size() != t[i].Size() || !s[i].ModTime().Equal(t[i].ModTime()) {
			return false
		}
	}
	return true
}

func openFiles(s *Source) (*files, error) {
	f := &files{source: s, good: s.config.stat()}
	pair, err := s.config.load()
	if err != nil {
		return nil, err
	}
	f.current.Store(pair)
	if key := f.good[1]; runtime.GOOS != "windows" && key != nil && key.Mode().Perm()&0o004 != 0 {
		s.log.Warn("everybody on this machine can read the private key of TLS: chmod 600 it", "file", s.config.Key)
	}
	if time.Now().After(pair.Leaf.NotAfter) {
		s.log.Error("the certificate of TLS has expired", "file", s.config.Cert, "at", pair.Leaf.NotAfter.UTC())
	}
	return f, nil
}

// look reads the files if they have changed. A pair that is no good is looked at
// again each time: it may have been half written, within what the file system's
// clock tells apart.
func (f *files) look() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := f.source.config.stat(); !now.equal(f.good) {
		f.take(now)
	}
}

func (f *files) reload() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bad = state{} // who asks shall be answered
	f.take(f.source.config.stat())
}

// take has the files for the certificate of handshakes to come, if they are good.
func (f *files) take(now state) {
	s := f.source
	pair, err := s.config.load()
	if err == nil {
		err = f.refuse(pair)
	}
	if err != nil {
		if !now.equal(f.bad) || f.bad == (state{}) {
			s.failed.Add(1)
			s.log.Error("the new certificate of TLS is no good, the old one stays", "err", err)
		}
		f.bad = now
		return
	}
	f.good, f.bad = now, state{}
	if same(f.current.Swap(pair), pair) {
		return
	}
	s.renewed.Add(1)
	s.log.Info("a new certificate of TLS is in use", "expires", pair.Leaf.NotAfter.UTC(), "names", pair.Leaf.DNSNames)
}

// refuse returns why a pair is worse than the one there is.
func (f *files) refuse(pair *tls.Certificate) error {
	now, old := time.Now(), f.current.Load()
	if now.After(old.Leaf.NotAfter) { // it cannot get worse
		return nil
	}
	switch {
	case now.After(pair.Leaf.NotAfter):
		return fmt.Errorf("it has expired at %v", pair.Leaf.NotAfter.UTC())
	case now.Before(pair.Leaf.NotBefore):
		return errors.New("it is not good yet")
	}
	return nil
}

func same(a, b *tls.Certificate) bool {
	return len(a.Certificate) == len(b.Certificate) && bytes.Equal(bytes.Join(a.Certificate, nil), bytes.Join(b.Certificate, nil))
}
