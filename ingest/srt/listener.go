// Package srt speaks SRT with encoders that send MPEG-TS and players that take it.
package srt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	gosrt "github.com/datarhei/gosrt"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/streamkey"
)

// Config is what an operator sets.
type Config struct {
	Listen     string        `flag:"srt" group:"network" help:"UDP address for encoders and players that speak SRT; empty turns it off"`
	Latency    time.Duration `flag:"srt-latency" group:"latency" help:"how long SRT waits for lost packets to be sent again, unless the peer asks for more; 3 to 4 round trips are usual" min:"20ms" max:"8s"`
	Passphrase string        `flag:"srt-passphrase" group:"auth" help:"the passphrase, of 10 to 79 characters, that every SRT caller must encrypt with; empty takes only callers that do not encrypt"`
	DefaultKey string        `flag:"srt-default-key" group:"publishing" help:"where SRT encoders publish that send no stream ID, such as live/camera; empty refuses them"`
}

// DefaultConfig listens on port 8890 with SRT's own latency.
func DefaultConfig() Config {
	return Config{Listen: ":8890", Latency: 120 * time.Millisecond}
}

// The lengths of a passphrase that SRT allows (libsrt, SRTO_PASSPHRASE).
const (
	minPassphrase = 10
	maxPassphrase = 79
)

// Check returns what is wrong with c beyond its ranges. The error does not
// repeat the passphrase.
func (c Config) Check() error {
	if n := len(c.Passphrase); n != 0 && (n < minPassphrase || n > maxPassphrase) {
		return fmt.Errorf("--srt-passphrase has %d characters, it may have %d to %d", n, minPassphrase, maxPassphrase)
	}
	if c.DefaultKey != "" {
		if _, err := streamkey.Parse(c.DefaultKey); err != nil {
			return fmt.Errorf("--srt-default-key: %w", err)
		}
	}
	return nil
}

// PassphraseFunc finds what the caller of r may encrypt with to prove that it may
// do what it asks; nil if nobody can here. Its error refuses the caller as one of an auth.Authorizer would.
type PassphraseFunc func(ctx context.Context, r auth.Request) ([]auth.Passphrase, error)

// Listener brings SRT callers. All its connections share one UDP socket, so
// its Close ends them too.
type Listener struct {
	srt gosrt.Listener
	// passphrase is everybody's, "" if there is none; own finds those that permit
	// something.
	passphrase string
	own        PassphraseFunc
	// defaultKey is for encoders without a stream ID; zero is none.
	defaultKey streamkey.Key
	bounds     bounds
	attempts   *auth.Attempts // nil: wrong passphrases are not counted
	// mtu is that of the handshake read last. It belongs to Accept.
	mtu uint32

	played atomic.Uint64
	mu     sync.Mutex
	closed bool
	// admitted finds connections by their SRT socket ID.
	admitted map[uint32]*conn
}

var _ ingest.Listener = (*Listener)(nil)

// Listen opens the UDP port. A port that is taken is an error that wraps
// syscall.EADDRINUSE.
func Listen(c Config) (*Listener, error) {
	return ListenWith(c, func(context.Context, auth.Request) ([]auth.Passphrase, error) { return nil, nil })
}

// ListenWith is Listen with passphrases that are credentials, beside the one for all.
func ListenWith(c Config, own PassphraseFunc) (*Listener, error) {
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("SRT listener: %w", err)
	}
	addr, err := net.ResolveUDPAddr("udp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("SRT listener on %s: %w", c.Listen, err)
	}
	// gosrt sets SO_REUSEADDR, with which UDP sockets silently share a port.
	// One without it tells whether somebody is there.
	if addr.Port != 0 {
		probe, err := net.ListenUDP("udp", addr)
		if err != nil {
			return nil, fmt.Errorf("SRT listener on %s: %w", c.Listen, err)
		}
		probe.Close()
	}
	l := &Listener{passphrase: c.Passphrase, own: own, bounds: defaultBounds, admitted: make(map[uint32]*conn)}
	if c.DefaultKey != "" {
		l.defaultKey, _ = streamkey.Parse(c.DefaultKey)
	}
	config := gosrt.DefaultConfig()
	config.ReceiverLatency, config.PeerLatency = c.Latency, c.Latency
	config.PeerIdleTimeout = peerIdle
	config.Logger = observer{l}
	if l.srt, err = gosrt.Listen("srt", addr.String(), config); err != nil {
		return nil, fmt.Errorf("SRT listener on %s: %w", c.Listen, err)
	}
	return l, nil
}

// CountWrong has callers pause whose passphrases are wrong too often. It is to be
// called before the first Accept.
func (l *Listener) CountWrong(a *auth.Attempts) { l.attempts = a }

// Stats are the figures of a Listener.
type Stats struct {
	// PlayedBytes went to players, each counted once however often it was sent.
	PlayedBytes uint64
}

// Stats returns the figures of this moment. A nil Listener has none.
func (l *Listener) Stats() Stats {
	if l == nil {
		return Stats{}
	}
	return Stats{PlayedBytes: l.played.Load()}
}

// Addr returns the UDP address.
func (l *Listener) Addr() net.Addr { return l.srt.Addr() }

// Accept waits for the next caller. gosrt has its handshake by then, but for
// the answer.
func (l *Listener) Accept() (ingest.Conn, error) {
	for {
		request, err := l.next()
		switch {
		case err == nil:
			return newConn(l, request, l.mtu), nil
		case errors.Is(err, errMalformed):
			// It did not say enough to be answered.
		case errors.Is(err, gosrt.ErrListenerClosed):
			return nil, fmt.Errorf("SRT listener: %w", net.ErrClosed)
		default:
			// For good, too: gosrt reads no more.
			return nil, fmt.Errorf("SRT listener: %w: %w", net.ErrClosed, err)
		}
	}
}

var errMalformed = errors.New("malformed handshake")

// next waits for a handshake. gosrt 0.11.0 reads beyond the end of one whose
// extensions are cut off, which anybody may send.
func (l *Listener) next() (r gosrt.ConnRequest, err error) {
	defer func() {
		if broken := recover(); broken != nil {
			err = fmt.Errorf("%w: %v", errMalformed, broken)
		}
	}()
	return l.srt.Accept2()
}

// Close ends Accept and all connections. Encoders are told.
func (l *Listener) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.srt.Close()
	return nil
}

func (l *Listener) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// accept answers a caller with yes. It and Close exclude each other, for
// gosrt would let a connection in that its Close does not see.
func (l *Listener) accept(c *conn) (gosrt.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, ingest.ErrClosing
	}
	l.admitted[c.request.SocketId()] = c
	s, err := c.request.Accept()
	if err != nil {
		delete(l.admitted, c.request.SocketId())
	}
	return s, err
}

func (l *Listener) forget(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.admitted, c.request.SocketId())
}
