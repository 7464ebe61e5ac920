// Package rtmp speaks RTMP with encoders (RTMP 1.0; Enhanced RTMP v2).
package rtmp

import (
	"fmt"
	"net"
	"time"

	"github.com/miju-live/miju/ingest"
)

// Config is what an operator sets.
type Config struct {
	Listen          string        `flag:"rtmp" group:"network" help:"TCP address for encoders that send RTMP; empty turns it off"`
	MaxMessageKiB   int           `flag:"rtmp-max-message" group:"limits" help:"largest RTMP message, which is the largest coded picture, in KiB" min:"64" max:"16383"`
	MaxChunkStreams int           `flag:"rtmp-max-chunk-streams" group:"limits" help:"RTMP chunk streams of one encoder; they use two to eight" min:"8" max:"65598"`
	WriteTimeout    time.Duration `flag:"rtmp-write-timeout" group:"publishing" help:"close an RTMP encoder that does not read our answers for this long" min:"100ms" max:"1m"`
}

// DefaultConfig listens on port 1935. A picture may have 8 MiB, which one of
// H.264 or H.265 in 2160p at 50 Mbit/s does not exceed.
func DefaultConfig() Config {
	return Config{Listen: ":1935", MaxMessageKiB: 8 << 10, MaxChunkStreams: 64, WriteTimeout: 5 * time.Second}
}

// Listener brings the connections of encoders.
type Listener struct {
	config Config
	tcp    net.Listener
}

var _ ingest.Listener = (*Listener)(nil)

// Listen opens the TCP port. A port that is taken is an error that wraps
// syscall.EADDRINUSE.
func Listen(c Config) (*Listener, error) {
	tcp, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("RTMP listener on %s: %w", c.Listen, err)
	}
	return &Listener{config: c, tcp: tcp}, nil
}

// Addr returns the TCP address.
func (l *Listener) Addr() net.Addr { return l.tcp.Addr() }

// Accept waits for the next connection.
func (l *Listener) Accept() (ingest.Conn, error) {
	c, err := l.tcp.Accept()
	if err != nil {
		return nil, fmt.Errorf("RTMP listener: %w", err)
	}
	return newConn(c, l.config), nil
}

// Close ends Accept and leaves the connections open.
func (l *Listener) Close() error { return l.tcp.Close() }
