package backlog

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// pair is both ends of a connection whose receiver has room for little.
func pair(t *testing.T) (sender *net.TCPConn, receiver net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	receiver, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { receiver.Close() })
	if err := receiver.(*net.TCPConn).SetReadBuffer(16 << 10); err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn), receiver
}

// taken returns how much the kernel takes of what nobody reads.
func taken(t *testing.T, c *net.TCPConn) int {
	t.Helper()
	total := 0
	for b := make([]byte, 64<<10); ; {
		if err := c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, err := c.Write(b)
		total += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return total
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestBound(t *testing.T) {
	for _, c := range []struct {
		name string
		wrap func(net.Conn) net.Conn
	}{
		{"TCP", func(c net.Conn) net.Conn { return c }},
		{"below TLS", func(c net.Conn) net.Conn { return tls.Server(c, &tls.Config{}) }},
		{"a type of our own", func(c net.Conn) net.Conn { return struct{ *net.TCPConn }{c.(*net.TCPConn)} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			free, _ := pair(t)
			bounded, _ := pair(t)
			Bound(c.wrap(bounded))
			// The receiver takes some, and one write may go over the bound.
			if a, b := taken(t, free), taken(t, bounded); b > 3*Bytes || a < 2*b {
				t.Errorf("the kernel takes %d KiB, and %d KiB without the bound", b>>10, a>>10)
			}
		})
	}
}

func TestBoundOfWhatIsNoTCP(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	Bound(a)
	c, _ := pair(t)
	c.Close()
	Bound(c)
}
