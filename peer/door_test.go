package peer

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

// gate is a listener behind a door.
type gate struct {
	*Door
	net.Listener
	log strings.Builder
}

func newGate(t *testing.T, c Config) *gate {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{}
	g.Door = New(c, slog.New(slog.NewTextHandler(&g.log, nil)))
	g.Listener = g.Door.Listener(inner)
	t.Cleanup(func() { g.Close() })
	return g
}

// send opens a connection that begins with what.
func (g *gate) send(t *testing.T, what string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", g.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, what); err != nil {
		t.Fatal(err)
	}
	return c
}

// accept returns the next connection, and what it reads of it.
func (g *gate) accept(t *testing.T, bytes int) (net.Conn, string) {
	t.Helper()
	c, err := g.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, bytes)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Error(err)
	}
	return c, string(b)
}

// isClosed reports whether the other side has closed a connection.
func isClosed(c net.Conn) bool {
	c.SetReadDeadline(time.Now().Add(patience))
	_, err := c.Read(make([]byte, 1))
	var timeout net.Error
	return err != nil && !(errors.As(err, &timeout) && timeout.Timeout())
}

func TestTrustedProxyIsBelieved(t *testing.T) {
	g := newGate(t, Config{Trusted: "127.0.0.1", ConnectionsPerAddress: 10})
	for what, want := range map[string]string{
		"PROXY TCP4 203.0.113.7 192.0.2.1 56302 1935\r\nhello": "203.0.113.7:56302",
		v2(0x21, 0x21, six...) + "hello":                       "[2001:db8::7]:56302",
		v2(0x20, 0x00) + "hello":                               "127.0.0.1",
		"PROXY UNKNOWN\r\nhello":                               "127.0.0.1",
		"hello":                                                "127.0.0.1",
		"Phello"[:5]:                                           "127.0.0.1",
	} {
		g.send(t, what)
		c, said := g.accept(t, 5)
		if got := c.RemoteAddr().String(); !strings.HasPrefix(got, want) || !strings.HasSuffix(what, said) {
			t.Errorf("%q comes from %s and says %q", what, got, said)
		}
	}
	if st := g.Stats(); st.Proxied != 2 || st.Malformed != 0 || st.Addresses != 2 || g.log.Len() > 0 {
		t.Errorf("%+v %s", st, &g.log)
	}
}

// TestNobodyElseIsBelieved: what they send is read as what it is.
func TestNobodyElseIsBelieved(t *testing.T) {
	for _, trusted := range []string{"", "192.0.2.0/24"} {
		g := newGate(t, Config{Trusted: trusted})
		const header = "PROXY TCP4 203.0.113.7 192.0.2.1 56302 1935\r\n"
		g.send(t, header)
		c, said := g.accept(t, len(header))
		if _, direct := c.(*net.TCPConn); !direct || said != header || !strings.HasPrefix(c.RemoteAddr().String(), "127.0.0.1:") {
			t.Errorf("%T from %s says %q", c, c.RemoteAddr(), said)
		}
	}
}

// TestNoneWaitsForAnother: connections whose header does not come hold nobody up,
// and end with the listener.
func TestNoneWaitsForAnother(t *testing.T) {
	g := newGate(t, Config{Trusted: "127.0.0.0/8"})
	var silent []net.Conn
	for i := range 50 {
		silent = append(silent, g.send(t, prefixV2[:i%5]))
	}
	g.send(t, "PROXY TCP4 203.0.113.7 192.0.2.1 56302 1935\r\nhello")
	if c, _ := g.accept(t, 5); c.RemoteAddr().String() != "203.0.113.7:56302" {
		t.Error(c.RemoteAddr())
	}
	g.Close()
	for _, c := range silent {
		if !isClosed(c) {
			t.Error("a connection is still open")
		}
	}
	if _, err := g.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

func TestMalformedHeaderIsRefused(t *testing.T) {
	g := newGate(t, Config{Trusted: "127.0.0.1"})
	var accepting sync.WaitGroup
	accepting.Go(func() { g.Accept() })
	c := g.send(t, v2(0x2f, 0x11, four...))
	if !isClosed(c) {
		t.Error("it is open")
	}
	g.send(t, "").Close() // a look whether the port is open
	g.Close()
	accepting.Wait()
	if st := g.Stats(); st.Malformed != 1 || !strings.Contains(g.log.String(), "PROXY header") {
		t.Errorf("%+v %s", st, &g.log)
	}
}

func TestConnectionsOfAnAddress(t *testing.T) {
	g := newGate(t, Config{Trusted: "127.0.0.1", ConnectionsPerAddress: 2})
	from := func(address string) net.Conn {
		return g.send(t, fmt.Sprintf("PROXY TCP6 %s 2001:db8::1 1 2\r\nx", address))
	}
	from("2001:db8:1:2::1")
	first, _ := g.accept(t, 1)
	from("2001:db8:1:2:ffff::2")
	g.accept(t, 1)
	var accepting sync.WaitGroup
	next := make(chan net.Conn, 1)
	accepting.Go(func() {
		c, err := g.Accept()
		if err != nil {
			t.Error(err)
		}
		next <- c
	})
	if !isClosed(from("2001:db8:1:2::3")) {
		t.Error("a third one is open")
	}
	from("2001:db8:1:3::1")
	accepting.Wait()
	if c := <-next; !strings.HasPrefix(c.RemoteAddr().String(), "[2001:db8:1:3::1]") {
		t.Error(c.RemoteAddr())
	} else {
		c.Close()
	}
	first.Close()
	first.Close() // once counts
	from("2001:db8:1:2::3")
	if c, _ := g.accept(t, 1); !strings.HasPrefix(c.RemoteAddr().String(), "[2001:db8:1:2::3]") {
		t.Error(c.RemoteAddr())
	}
	for range 5 {
		g.send(t, "x") // this machine, and a proxy
		g.accept(t, 1)
	}
	g.Close() // and nobody logs any more
	if st := g.Stats(); st.Crowded != 1 || st.Addresses != 1 || !strings.Contains(g.log.String(), "too many connections") {
		t.Errorf("%+v %s", st, &g.log)
	}
}

func TestForwarded(t *testing.T) {
	for _, c := range []struct{ trusted, peer, hop, want string }{
		{"10.0.0.0/8", "10.1.1.1:5", "203.0.113.1", "203.0.113.1:0"},
		{"10.0.0.0/8", "10.1.1.1:5", "2001:db8::1", "[2001:db8::1]:0"},
		{"10.0.0.0/8", "10.1.1.1:5", "", "10.1.1.1:5"},
		{"10.0.0.0/8", "192.0.2.1:5", "203.0.113.1", "192.0.2.1:5"},
		{"", "10.1.1.1:5", "203.0.113.1", "10.1.1.1:5"},
	} {
		d := New(Config{Trusted: c.trusted}, slog.New(slog.DiscardHandler))
		r := httptest.NewRequest("GET", "/", nil)
		if r.RemoteAddr = c.peer; c.hop != "" {
			r.Header.Set("X-Forwarded-For", c.hop)
		}
		d.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.RemoteAddr != c.want {
				t.Errorf("%+v: %s", c, r.RemoteAddr)
			}
		})).ServeHTTP(httptest.NewRecorder(), r)
	}
}
