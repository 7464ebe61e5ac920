package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"sync"
	"syscall"

	"github.com/miju-live/miju/ingest/rtmp/client"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/flv"
)

// errProtocol is wrapped by errors that mean "the server breaks the protocol,
// or a bound".
var errProtocol = errors.New("the server breaks the protocol")

// maxKinds bounds the names that a server can make up for its refusals.
const maxKinds = 32

// refusal is a server's word that it does not want to, by its status.
type refusal struct{ status string }

func (r *refusal) Error() string { return "refused: " + r.status }

// failures counts what did not begin: refusals by their status, and failures by
// their kind.
type failures struct {
	mu              sync.Mutex
	refused, failed map[string]int
	first           error
}

// add counts an error, which may be a *refusal.
func (f *failures) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refused == nil {
		f.refused, f.failed = map[string]int{}, map[string]int{}
	}
	var r *refusal
	if errors.As(err, &r) {
		count(f.refused, r.status)
		return
	}
	if f.first == nil {
		f.first = err
	}
	count(f.failed, kindOf(err))
}

// note keeps the first error for the notes, without counting it.
func (f *failures) note(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.first == nil {
		f.first = err
	}
}

func count(m map[string]int, kind string) {
	if _, known := m[kind]; !known && len(m) >= maxKinds {
		kind = "other"
	}
	m[kind]++
}

// totals returns what was counted so far.
func (f *failures) totals() (refused, failed map[string]int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refused == nil {
		return map[string]int{}, map[string]int{}
	}
	return maps.Clone(f.refused), maps.Clone(f.failed)
}

// all returns both together.
func (f *failures) all() map[string]int {
	all, failed := f.totals()
	for kind, n := range failed {
		all[kind] += n
	}
	return all
}

// reset forgets everything.
func (f *failures) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused, f.failed, f.first = nil, nil, nil
}

func (f *failures) sum() (n int) {
	refused, failed := f.totals()
	for _, m := range []map[string]int{refused, failed} {
		for _, v := range m {
			n += v
		}
	}
	return n
}

// notes tell the first failure, and what of them the tool is to blame for.
func (f *failures) notes() (notes, slow []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.first != nil {
		notes = append(notes, fmt.Sprintf("the first failure: %.200v", f.first))
	}
	for _, kind := range []string{kindFiles, kindPorts} {
		if n := f.failed[kind]; n > 0 {
			slow = append(slow, fmt.Sprintf("it was %s for %d connections", kind, n))
		}
	}
	return notes, slow
}

// The kinds of failures.
const (
	kindFiles   = "out of files"
	kindPorts   = "out of local ports"
	kindRefused = "connection refused"
	kindReset   = "reset"
	kindTimeout = "timed out"
	kindEnded   = "ended early"
	kindTLS     = "TLS"
	kindName    = "no such host"
	kindCodec   = "codec"
	kindOther   = "other"

	kindProtocol = "against the protocol"
)

func kindOf(err error) string {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return kindFiles
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return kindPorts
	case errors.Is(err, syscall.ECONNREFUSED):
		return kindRefused
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return kindReset
	case errors.As(err, &dns):
		return kindName
	case errors.As(err, &cert), errors.As(err, &unknown), errors.As(err, &record), errors.As(err, &alert):
		return kindTLS
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return kindTimeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return kindEnded
	case errors.Is(err, errProtocol), errors.Is(err, client.ErrProtocol), errors.Is(err, flv.ErrMalformed), errors.Is(err, flv.ErrTooLarge):
		return kindProtocol
	case errors.Is(err, media.ErrUnsupportedCodec), errors.Is(err, media.ErrBadConfig):
		return kindCodec
	}
	return kindOther
}
