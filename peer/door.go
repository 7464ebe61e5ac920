package peer

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what an operator sets.
type Config struct {
	Trusted               string `flag:"trusted-proxy" group:"network" help:"proxies and balancers whose word is taken for who is behind them, as networks like 10.0.0.0/8,192.0.2.7: by a PROXY header (versions 1 and 2) at the beginning of a connection, or by X-Forwarded-For. Name none that passes on what clients write there themselves"`
	ConnectionsPerAddress int    `flag:"max-connections-per-address" group:"limits" help:"TCP connections that one address (IPv6: one /64) may have open, over all listeners; more are closed at once. It does not go for this machine and for --trusted-proxy. 0: no limit" min:"0" max:"1000000"`
}

// DefaultConfig trusts nobody, and lets an edge or a large network have 4000
// connections.
func DefaultConfig() Config { return Config{ConnectionsPerAddress: 4000} }

// Check returns what is wrong with c beyond its ranges.
func (c Config) Check() error {
	if _, err := ParseNetworks(c.Trusted); err != nil {
		return fmt.Errorf("--trusted-proxy: %w", err)
	}
	return nil
}

// Door is what all TCP listeners of a server share: whom it believes who is
// behind them, and how many connections each address has open.
type Door struct {
	trusted Networks
	most    int
	log     *slog.Logger

	mu   sync.Mutex
	open map[netip.Prefix]int

	crowded, malformed, proxied atomic.Uint64
	logged                      atomic.Int64 // when the log spoke of a refusal last, in Unix seconds
}

// New returns a door by settings that c.Check finds nothing wrong with.
func New(c Config, log *slog.Logger) *Door {
	trusted, _ := ParseNetworks(c.Trusted)
	return &Door{trusted: trusted, most: c.ConnectionsPerAddress, log: log, open: map[netip.Prefix]int{}}
}

// Trusted returns whose word is taken.
func (d *Door) Trusted() Networks { return d.trusted }

// Stats are the figures of a Door since its start.
type Stats struct {
	// Crowded counts connections that were closed because their address had
	// enough, Malformed those of trusted proxies whose PROXY header was none, Proxied
	// those whose header was taken.
	Crowded, Malformed, Proxied uint64
	// Addresses have connections open that are counted.
	Addresses int
}

// Stats returns the figures of this moment.
func (d *Door) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return Stats{Crowded: d.crowded.Load(), Malformed: d.malformed.Load(), Proxied: d.proxied.Load(), Addresses: len(d.open)}
}

// Introduce has a request come from who is behind a trusted proxy, without a port,
// where X-Forwarded-For says so.
func (d *Door) Introduce(r *http.Request) {
	if len(d.trusted) == 0 {
		return
	}
	if hops := r.Header["X-Forwarded-For"]; len(hops) > 0 {
		sender := Address(r.RemoteAddr)
		if behind := d.trusted.Behind(sender, hops); behind != sender {
			r.RemoteAddr = netip.AddrPortFrom(behind, 0).String()
		}
	}
}

// Handler has next see requests after Introduce.
func (d *Door) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.Introduce(r)
		next.ServeHTTP(w, r)
	})
}

// let counts the connection of a in, and returns what it is to be served as: nil
// if a has enough already. said is what a PROXY header says of it, if one does.
func (d *Door) let(c *net.TCPConn, said netip.AddrPort, unread []byte) net.Conn {
	a := remoteOf(c)
	if said.IsValid() {
		a = said.Addr()
	}
	counted := d.most > 0 && a.IsValid() && !a.IsLoopback() && !d.trusted.Contain(a)
	if !counted && !said.IsValid() && unread == nil {
		return c
	}
	conn := &Conn{TCPConn: c, unread: unread, remote: c.RemoteAddr()}
	if said.IsValid() {
		conn.remote = net.TCPAddrFromAddrPort(said)
	}
	if counted {
		conn.door, conn.customer = d, Customer(a)
		if !d.enter(conn.customer) {
			d.crowded.Add(1)
			d.warn("an address has too many connections", "remote", a)
			return nil
		}
	}
	return conn
}

// remoteOf returns the address at the other end of a socket.
func remoteOf(c *net.TCPConn) netip.Addr {
	if t, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return plain(t.AddrPort().Addr())
	}
	return netip.Addr{}
}

func (d *Door) enter(customer netip.Prefix) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open[customer] >= d.most {
		return false
	}
	d.open[customer]++
	return true
}

func (d *Door) leave(customer netip.Prefix) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open[customer]--; d.open[customer] <= 0 {
		delete(d.open, customer)
	}
}

// warn speaks of refusals, every ten seconds at most.
func (d *Door) warn(what string, attrs ...any) {
	now, last := time.Now().Unix(), d.logged.Load()
	if now-last >= 10 && d.logged.CompareAndSwap(last, now) {
		d.log.Warn(what, attrs...)
	}
}

// Conn is a TCP connection that was told where it comes from, or is counted. What
// works with the socket itself goes by SyscallConn and TCPConn, which know nothing
// of what Unread returns.
type Conn struct {
	*net.TCPConn
	remote   net.Addr
	unread   []byte
	door     *Door // nil if it is not counted
	customer netip.Prefix
	left     atomic.Bool
}

var _ net.Conn = (*Conn)(nil)

// RemoteAddr implements net.Conn: it is who is behind the proxies.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// Read implements net.Conn.
func (c *Conn) Read(b []byte) (int, error) {
	if len(c.unread) == 0 {
		return c.TCPConn.Read(b)
	}
	n := copy(b, c.unread)
	if c.unread = c.unread[n:]; len(c.unread) == 0 {
		c.unread = nil
	}
	return n, nil
}

// Unread takes what was read of the socket and not by Read, a few bytes if it is
// anything. It is for who reads TCPConn instead.
func (c *Conn) Unread() []byte {
	b := c.unread
	c.unread = nil
	return b
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	if c.door != nil && c.left.CompareAndSwap(false, true) {
		c.door.leave(c.customer)
	}
	return c.TCPConn.Close()
}
