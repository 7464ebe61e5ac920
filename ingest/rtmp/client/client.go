// Package client publishes to RTMP servers and plays from them (RTMP 1.0;
// Enhanced RTMP v2).
package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/miju-live/miju/ingest/rtmp/chunk"
	"github.com/miju-live/miju/ingest/rtmp/message"
	"github.com/miju-live/miju/remux/amf0"
)

// ErrProtocol is wrapped by errors that mean "the server breaks the protocol,
// or a bound".
var ErrProtocol = errors.New("RTMP server breaks the protocol")

// StatusError is a server's refusal, or its word that a stream must end.
type StatusError struct {
	// Code is like "NetStream.Publish.BadName", Description for people.
	Code, Description string
}

// Error returns both.
func (e *StatusError) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Description) }

const (
	// writeTimeout is how long a server may take nothing of a message.
	writeTimeout = 10 * time.Second
	// sizes of what comes, in bytes.
	maxMessage, maxPartial = 16 << 20, 24 << 20
	maxChunkStreams        = 64
	readBuffer             = 32 << 10
	// chunkSize is that of what is sent, in bytes.
	chunkSize = 60000
	// csCommand and csStream are the chunk streams of commands.
	csCommand, csStream = 3, 8
	goodbyeTimeout      = time.Second
)

// Dialer connects to servers. The zero Dialer is ready for use.
type Dialer struct {
	// TLS is for rtmps URLs; nil trusts what the system trusts.
	TLS *tls.Config
	// DialContext opens the connection below; nil is that of a net.Dialer.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
}

// Client is a connection to a server that publishes one stream or plays one.
// Close may be called from any goroutine, the other methods belong to one. A
// context that ends inside of a method leaves the Client of no use.
type Client struct {
	socket net.Conn
	link   *message.Conn
	target target
	server amf0.Object

	transaction amf0.Number
	frames      message.Demuxer
	announce    message.Announcer
	bufs        [][]byte

	// reading is the goroutine that hears a server out while we publish.
	publishing bool
	reading    sync.WaitGroup
	failed     chan struct{} // closed when it has ended, for why
	why        error
}

// Dial is Dial of the zero Dialer.
func Dial(ctx context.Context, url string) (*Client, error) { return (&Dialer{}).Dial(ctx, url) }

// Dial connects to a URL like rtmp://host:1935/app/name?token=… or rtmps, up to
// the answer to connect. A refusal is a *StatusError.
func (d *Dialer) Dial(ctx context.Context, url string) (*Client, error) {
	t, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	dial := d.DialContext
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	socket, err := dial(ctx, "tcp", t.address)
	if err != nil {
		return nil, err
	}
	if t.secure {
		config := &tls.Config{MinVersion: tls.VersionTLS12}
		if d.TLS != nil {
			config = d.TLS.Clone()
		}
		if config.ServerName == "" {
			config.ServerName = t.host
		}
		socket = tls.Client(socket, config)
	}
	c := newClient(socket, t)
	if err := c.until(ctx, c.connect); err != nil {
		socket.Close()
		return nil, err
	}
	return c, nil
}

func newClient(socket net.Conn, t target) *Client {
	limits := chunk.Limits{MaxMessage: maxMessage, MaxChunkStreams: maxChunkStreams, MaxPartial: maxPartial}
	c := &Client{socket: socket, link: message.NewConn(socket, writeTimeout, limits), target: t, failed: make(chan struct{})}
	c.link.Expect(limits, readBuffer)
	return c
}

// until runs f, which ends with an error soon after ctx does.
func (c *Client) until(ctx context.Context, f func() error) error {
	if ctx.Done() == nil {
		return f()
	}
	stop := context.AfterFunc(ctx, func() {
		c.socket.SetReadDeadline(time.Unix(1, 0))
		c.link.EndBy(time.Unix(1, 0))
	})
	defer stop()
	if err := f(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	return nil
}

func (c *Client) connect() error {
	if t, ok := c.socket.(*tls.Conn); ok {
		if err := t.Handshake(); err != nil {
			return fmt.Errorf("TLS handshake: %w", err)
		}
	}
	if err := c.link.Connect(); err != nil {
		return err
	}
	c.link.SetChunkSize(chunkSize)
	answer, err := c.call("connect", amf0.Object{
		{Name: "app", Value: amf0.String(c.target.app)},
		{Name: "type", Value: amf0.String("nonprivate")},
		{Name: "flashVer", Value: amf0.String("FMLE/3.0 (compatible; Miju)")},
		{Name: "tcUrl", Value: amf0.String(c.target.tcURL)},
		{Name: "fpad", Value: amf0.Boolean(false)},
		{Name: "capabilities", Value: amf0.Number(239)},
		{Name: "audioCodecs", Value: amf0.Number(3575)},
		{Name: "videoCodecs", Value: amf0.Number(252)},
		{Name: "videoFunction", Value: amf0.Number(1)},
		{Name: "fourCcList", Value: amf0.StrictArray{amf0.String("*")}},
	})
	c.server, _ = answer.Object(0)
	return err
}

// Server returns what the server told of itself in its answer to connect, such
// as the fourCcList of Enhanced RTMP.
func (c *Client) Server() amf0.Object { return c.server }

// call sends a command and waits for its answer.
func (c *Client) call(name string, args ...amf0.Value) (message.Command, error) {
	c.transaction++
	c.link.SendCommand(csCommand, message.Command{Name: name, Transaction: c.transaction, Args: args})
	for {
		cmd, err := c.nextCommand()
		if err != nil {
			return cmd, err
		}
		if cmd.Transaction != c.transaction {
			continue
		}
		switch cmd.Name {
		case "_result":
			return cmd, nil
		case "_error":
			return cmd, statusError(cmd, name)
		}
	}
}

// statusError is what a refusal's information object says.
func statusError(cmd message.Command, asked string) error {
	o, _ := cmd.Object(1)
	e := &StatusError{Code: o.Text("code"), Description: o.Text("description")}
	if e.Code == "" {
		e.Code = asked + " failed"
	}
	return e
}

// nextCommand passes over everything else.
func (c *Client) nextCommand() (message.Command, error) {
	for {
		m, err := c.next()
		if err != nil {
			return message.Command{}, err
		}
		if message.IsCommand(m.Type) {
			return parseCommand(m)
		}
	}
}

func (c *Client) next() (chunk.Message, error) {
	m, err := c.link.ReadMessage()
	switch {
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	case errors.Is(err, chunk.ErrMalformed), errors.Is(err, chunk.ErrTooLarge):
		err = fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return m, err
}

func parseCommand(m chunk.Message) (message.Command, error) {
	cmd, err := message.ParseCommand(m)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return cmd, err
}

// ask opens the message stream and asks to publish or play on it, up to the
// status that says it begins.
func (c *Client) ask(ctx context.Context, name, start string, args ...amf0.Value) error {
	return c.until(ctx, func() error {
		answer, err := c.call("createStream", amf0.Null{})
		if err != nil {
			return err
		}
		c.target.stream = uint32(answer.Number(1))
		args := append([]amf0.Value{amf0.Null{}, amf0.String(c.target.name)}, args...)
		c.transaction++
		c.link.SendCommand(csStream, message.Command{Name: name, Transaction: c.transaction, Args: args, Stream: c.target.stream})
		for {
			cmd, err := c.nextCommand()
			if err != nil {
				return err
			}
			switch o, _ := cmd.Object(1); {
			case cmd.Name == "_error", cmd.Name == "onStatus" && o.Text("level") == "error":
				return statusError(cmd, name)
			case cmd.Name == "onStatus" && o.Text("code") == start:
				return nil
			}
		}
	})
}

// Close ends the stream, if there is one, and the connection. A publisher waits
// a moment for the server to take what was sent: closing at once, with words of
// the server unread, would take it back (TCP resets).
func (c *Client) Close() error {
	if c.target.stream != 0 {
		c.link.SendCommand(csCommand, message.Command{Name: "deleteStream", Args: []amf0.Value{amf0.Null{}, amf0.Number(c.target.stream)}})
		if c.link.Flush(goodbyeTimeout) == nil && c.publishing {
			if half, ok := c.socket.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
				c.socket.SetReadDeadline(time.Now().Add(goodbyeTimeout))
				c.reading.Wait()
			}
		}
	}
	c.link.End()
	err := c.socket.Close()
	c.reading.Wait()
	return err
}
