package chatws

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// lingerTimeout is how long a peer may take to hang up once it has been told
// why its connection ends.
const lingerTimeout = time.Second

// conn is a member's connection as gws sees it. A TCP connection closed
// while bytes of the peer wait unread is reset, and a reset may overtake the
// close frame; so Close ends our direction only, and hangUp waits for the
// peer before it closes the connection.
type conn struct {
	net.Conn
	// expired is called in the reader's goroutine when no sign of life came
	// in time, before gws hears of it.
	expired func()

	mu      sync.Mutex
	closing bool
	code    CloseCode // of the first close frame sent; 0: none
}

// Read is the connection's, with expired called on time.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) && !c.isClosing() {
		c.expired()
	}
	return n, err
}

// Write sends what gws sends: control frames, each with one call. It has a
// deadline of its own, since that of the last event may have passed.
func (c *conn) Write(p []byte) (int, error) {
	const closeFrame = 0x88 // RFC 6455, 5.2: final, opcode 8
	if len(p) >= 4 && p[0] == closeFrame {
		c.mu.Lock()
		if c.code == 0 {
			c.code = CloseCode(binary.BigEndian.Uint16(p[2:]))
		}
		c.mu.Unlock()
	}
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// SetReadDeadline is the connection's until Close: then the peer gets no more time.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return nil
	}
	return c.Conn.SetReadDeadline(t)
}

// Close ends our direction and gives the peer lingerTimeout to end its own.
func (c *conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return nil
	}
	c.closing = true
	if err := c.Conn.SetReadDeadline(time.Now().Add(lingerTimeout)); err != nil {
		return err
	}
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// hangUp closes the connection once the peer has ended its direction, or its
// time is over. The reader calls it last.
func (c *conn) hangUp() {
	if c.isClosing() {
		io.Copy(io.Discard, c.Conn) // whatever it still sends, until EOF or the deadline
	}
	c.cut()
}

// cut closes the connection at once.
func (c *conn) cut() { c.Conn.Close() }

func (c *conn) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}

// closeCode returns the code of the close frame that was sent, 0 if none was.
func (c *conn) closeCode() CloseCode {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.code
}
