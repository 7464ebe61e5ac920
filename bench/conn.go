package bench

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// maxHead bounds the head of an answer, in bytes.
	maxHead = 64 << 10
	// readBuffer is that of a connection while its bytes are looked at.
	readBuffer = 16 << 10
	// socketBuffer is the receive buffer that is asked for, in bytes: it must
	// hold what comes between two looks at a socket. The kernel takes what it
	// allows (net.core.rmem_max).
	socketBuffer = 512 << 10
	// writeWait is how long a server may take nothing of a request.
	writeWait = 10 * time.Second
	userAgent = "miju-bench"
)

// conn is a client's side of an HTTP/1.1 connection.
type conn struct {
	net.Conn // TCP, or TLS on it
	br       *bufio.Reader
	head     headLimit
	// bytes is what came, without that of TLS, and in is where else it is
	// counted.
	bytes atomic.Int64
	in    *atomic.Int64
	// silence, if it is set, is told of every read, and every stallAfter that
	// nothing came. Then reads have no other deadline than silentFor.
	silence  *silence
	silences *silences
}

// silentFor is how long a viewer waits for anything until it takes the
// connection for dead.
const silentFor = 30 * time.Second

// read reads what comes, and notes when nothing does.
func (c *conn) read(p []byte) (n int, err error) {
	if c.silence == nil {
		return c.Conn.Read(p)
	}
	for {
		c.Conn.SetReadDeadline(time.Now().Add(stallAfter))
		n, err = c.Conn.Read(p)
		now := time.Now()
		c.silence.look(c.silences, now, n > 0, 0)
		if n > 0 || err == nil || kindOf(err) != kindTimeout || now.Sub(c.silence.last) > silentFor {
			return n, err
		}
	}
}

// headLimit bounds what is read from a connection while a head is awaited,
// which net/http does not.
type headLimit struct {
	c    *conn
	left int // less than 0 is no bound
}

func (h *headLimit) Read(p []byte) (int, error) {
	if h.left == 0 {
		return 0, fmt.Errorf("%w: a head of more than %d bytes", errProtocol, maxHead)
	}
	if h.left > 0 {
		p = p[:min(len(p), h.left)]
	}
	n, err := h.c.read(p)
	if h.left > 0 {
		h.left -= n
	}
	h.c.bytes.Add(int64(n))
	h.c.in.Add(int64(n))
	return n, err
}

// dialer connects to one server again and again.
type dialer struct {
	tls *tls.Config
	// in is where all bytes are counted that come.
	in *atomic.Int64
	// buffer is that of each connection, in bytes.
	buffer int
}

func (l *Load) dialer(in *atomic.Int64) *dialer {
	return &dialer{tls: l.tlsConfig(), in: in, buffer: readBuffer}
}

func (l *Load) tlsConfig() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: l.Insecure}
}

// secure says of each scheme whether it is over TLS; defaultPorts has its port.
var (
	secure       = map[string]bool{"https": true, "wss": true}
	defaultPorts = map[string]string{"http": "80", "ws": "80", "https": "443", "wss": "443"}
)

// dial connects to the host of a URL of HTTP or WebSocket, within beginWait.
func (d *dialer) dial(ctx context.Context, u *url.URL) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, beginWait)
	defer cancel()
	port := u.Port()
	if port == "" {
		port = defaultPorts[u.Scheme]
	}
	nd := net.Dialer{Control: setReceiveBuffer}
	raw, err := nd.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, err
	}
	if secure[u.Scheme] {
		config := d.tls.Clone()
		config.ServerName, config.NextProtos = u.Hostname(), []string{"http/1.1"}
		t := tls.Client(raw, config)
		if err := t.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, fmt.Errorf("TLS: %w", err)
		}
		raw = t
	}
	c := &conn{Conn: raw, in: d.in}
	c.head.c = c
	c.br = bufio.NewReaderSize(&c.head, d.buffer)
	return c, nil
}

// get asks for a path with its query. The next thing to read is the answer.
func (c *conn) get(u *url.URL, path string, headers ...string) error {
	var b strings.Builder
	b.WriteString("GET " + path + " HTTP/1.1\r\nHost: " + u.Host + "\r\nUser-Agent: " + userAgent + "\r\n")
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	b.WriteString("\r\n")
	if err := c.SetWriteDeadline(time.Now().Add(writeWait)); err != nil {
		return err
	}
	_, err := io.WriteString(c.Conn, b.String())
	return err
}

// getRequest is of answers to get; http.ReadResponse looks at the method only.
var getRequest = &http.Request{Method: http.MethodGet}

// answer reads the head of an answer. Its body is bounded by the caller.
func (c *conn) answer() (*http.Response, error) {
	c.head.left = maxHead
	r, err := http.ReadResponse(c.br, getRequest)
	c.head.left = -1
	if err != nil && c.bytes.Load() > 0 && kindOf(err) == kindOther {
		err = fmt.Errorf("%w: %w", errProtocol, err)
	}
	return r, err
}

// refusalOf is the error for an answer that is not what was asked for.
func refusalOf(r *http.Response) error { return &refusal{strconv.Itoa(r.StatusCode)} }
