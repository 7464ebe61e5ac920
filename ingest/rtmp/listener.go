// Package rtmp speaks RTMP with encoders and players (RTMP 1.0; Enhanced RTMP v2).
package rtmp

import (
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/miju-live/miju/fanout"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/ingest/rtmp/chunk"
	"github.com/miju-live/miju/stream"
)

// Config is what an operator sets.
type Config struct {
	Listen           string        `flag:"rtmp" group:"network" help:"TCP address for encoders and players that speak RTMP; empty turns it off"`
	ListenTLS        string        `flag:"rtmps" group:"network" help:"TCP address for those that speak RTMP over TLS, which needs --tls-cert and --tls-key, or --acme-domain; empty turns it off"`
	Batch            stream.Batch  `flag:"rtmp-batch" group:"latency" help:"write to RTMP players at most this often, as --flv-batch"`
	IdleBatch        time.Duration `flag:"rtmp-idle-batch" group:"latency" help:"while nobody takes anything of a stream, take what its RTMP encoder sends at most this often, which costs half as much, and sound with its picture while all who watch are written to at pictures; 0 is at once" min:"0s" max:"200ms"`
	MaxMessageKiB    int           `flag:"rtmp-max-message" group:"limits" help:"largest RTMP message, which is the largest coded picture, in KiB" min:"64" max:"16383"`
	MaxUnfinishedMiB int           `flag:"rtmp-max-unfinished" group:"limits" help:"what all RTMP connections together may hold of messages that have begun and not ended, in MiB, lest peers that never end theirs use up the memory; the one that wants more is closed" min:"16" max:"65536"`
	MaxChunkStreams  int           `flag:"rtmp-max-chunk-streams" group:"limits" help:"RTMP chunk streams of one encoder; they use two to eight" min:"8" max:"65598"`
	WriteTimeout     time.Duration `flag:"rtmp-write-timeout" group:"publishing" help:"close an RTMP encoder or player that does not take what is sent to it for this long" min:"100ms" max:"1m"`
}

// DefaultConfig listens on port 1935. A picture may have 8 MiB, which one of
// H.264 or H.265 in 2160p at 50 Mbit/s does not exceed; a thousand encoders may
// each be in the middle of one of 256 KiB.
func DefaultConfig() Config {
	return Config{Listen: ":1935", Batch: stream.BatchAuto, IdleBatch: 30 * time.Millisecond, MaxMessageKiB: 8 << 10, MaxUnfinishedMiB: 256, MaxChunkStreams: 64, WriteTimeout: 10 * time.Second}
}

// Server is what all RTMP connections share: the settings, the budget of
// unfinished messages and the counters. Its listeners bring the connections.
type Server struct {
	config Config
	budget *chunk.Budget
	// players are those who are played to.
	players fanout.Group
	adobe   adobe
	door    func(net.Listener) net.Listener // nil: none
}

// NewServer returns a server without listeners.
func NewServer(c Config) *Server {
	s := &Server{config: c, budget: chunk.NewBudget(int64(c.MaxUnfinishedMiB) << 20)}
	rand.Read(s.adobe.key[:])
	return s
}

// Through has the connections of all listeners come through a door, below TLS if
// there is any. It is to be called before the first listener.
func (s *Server) Through(door func(net.Listener) net.Listener) { s.door = door }

// Stats are the figures of a Server.
type Stats struct {
	// PlayedBytes went to players.
	PlayedBytes uint64
	// UnfinishedBytes are held by messages that have begun and not ended.
	UnfinishedBytes int64
}

// Stats returns the figures of this moment.
func (s *Server) Stats() Stats {
	return Stats{PlayedBytes: s.players.Sent.Load(), UnfinishedBytes: s.budget.Used()}
}

// Wait returns when nothing is left that played to players. They must have gone.
func (s *Server) Wait() { s.players.Wait() }

// Listener brings the connections of encoders and players.
type Listener struct {
	server *Server
	tcp    net.Listener
	tls    *tls.Config // nil: RTMP without TLS
}

var _ ingest.Listener = (*Listener)(nil)

// Listen opens the TCP port for RTMP. A port that is taken is an error that
// wraps syscall.EADDRINUSE.
func (s *Server) Listen() (*Listener, error) {
	return s.listen("RTMP", s.config.Listen, nil)
}

// ListenTLS is Listen for RTMPS.
func (s *Server) ListenTLS(t *tls.Config) (*Listener, error) {
	return s.listen("RTMPS", s.config.ListenTLS, t)
}

func (s *Server) listen(what, address string, t *tls.Config) (*Listener, error) {
	tcp, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s listener on %s: %w", what, address, err)
	}
	if s.door != nil {
		tcp = s.door(tcp)
	}
	return &Listener{server: s, tcp: tcp, tls: t}, nil
}

// Addr returns the TCP address.
func (l *Listener) Addr() net.Addr { return l.tcp.Addr() }

// Accept waits for the next connection. The handshake of TLS comes with that
// of RTMP.
func (l *Listener) Accept() (ingest.Conn, error) {
	c, err := l.tcp.Accept()
	if err != nil {
		return nil, fmt.Errorf("RTMP listener: %w", err)
	}
	if l.tls != nil {
		return newConn(tls.Server(c, l.tls), l.server, "rtmps"), nil
	}
	return newConn(c, l.server, "rtmp"), nil
}

// Close ends Accept and leaves the connections open.
func (l *Listener) Close() error { return l.tcp.Close() }
