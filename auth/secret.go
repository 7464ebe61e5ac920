package auth

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// SecretFile is the name of the signing secret's file in the data directory.
const SecretFile = "auth.secret"

const (
	// minSecret is the shortest secret, in bytes (RFC 7518, 3.2: a key for HS256
	// must be as long as the hash).
	minSecret = 32
	// maxSecret is the longest, and maxSecrets the most in a file.
	maxSecret, maxSecrets = 1024, 16
)

// OpenSecret returns the secret that signs tokens, from SecretFile in dir. It
// makes one if there is none; fresh says so. The key is the file's text without
// the line's end: any backend can sign with what it reads there.
func OpenSecret(dir string) (secret []byte, fresh bool, err error) {
	return OpenSecretAs(filepath.Join(dir, SecretFile))
}

// OpenSecretAs is OpenSecret for a secret of another use, in a file of its own.
func OpenSecretAs(path string) (secret []byte, fresh bool, err error) {
	secret, err = readSecret(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return secret, false, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, false, fmt.Errorf("make the data directory: %w", err)
	}
	if err := writeOnce(path, []byte(NewSecret()+"\n")); err != nil && !errors.Is(err, fs.ErrExist) { // somebody else did
		return nil, false, fmt.Errorf("make the signing secret: %w", err)
	} else if err == nil {
		fresh = true
	}
	secret, err = readSecret(path)
	return secret, fresh, err
}

// writeOnce writes a new secret whole, or not at all, and never over another.
func writeOnce(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.secret") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), path)
}

// NewSecret returns a random text of 256 bits.
func NewSecret() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// ReadSecret returns the secret in a file that nobody else may read: one line.
func ReadSecret(path string) ([]byte, error) { return readSecret(path) }

func readSecret(path string) ([]byte, error) {
	b, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	secret := strings.TrimSpace(string(b))
	if len(secret) < minSecret || len(secret) > maxSecret || strings.ContainsAny(secret, "\r\n") {
		return nil, fmt.Errorf("%s must hold one line of %d to %d characters", path, minSecret, maxSecret)
	}
	return []byte(secret), nil
}

// readSecrets reads a file of secrets that others have given out, one a line.
func readSecrets(path string) ([]string, error) {
	b, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	all := strings.Fields(string(b))
	if len(all) == 0 || len(all) > maxSecrets {
		return nil, fmt.Errorf("%s has %d secrets, it may have 1 to %d", path, len(all), maxSecrets)
	}
	for _, s := range all {
		if len(s) < 6 { // CDNs' consoles take no shorter ones
			return nil, fmt.Errorf("%s has a secret of %d characters, 6 are the least", path, len(s))
		}
	}
	return all, nil
}

// readPrivate reads a file that nobody else may read.
func readPrivate(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode(); runtime.GOOS != "windows" && mode.Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (%v): chmod 600 it, and replace what is in it if somebody may have read it", path, mode.Perm())
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecret*maxSecrets+1))
	if err == nil && len(b) > maxSecret*maxSecrets {
		err = fmt.Errorf("%s is too large for a file of secrets", path)
	}
	return b, err
}
