// Package ingest admits publishers of any protocol and copies their frames
// into the hub.
package ingest

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/stream"
)

var (
	// ErrAsked is wrapped by the error of a Conn.Handshake whose peer is to come
	// back with an answer to what it is told: no refusal that anybody need know of.
	ErrAsked = errors.New("asked for a name and a password")
	// ErrBadRequest is wrapped by errors of Conn.Handshake and Conn.ReadFrame
	// that mean "the peer breaks the protocol".
	ErrBadRequest = errors.New("bad request")
	// ErrTooLarge is wrapped by errors of Conn.Handshake and Conn.ReadFrame
	// that mean "the peer exceeds a bound".
	ErrTooLarge = errors.New("over a bound")
	// ErrNoTracks is wrapped by errors of Conn.ReadFrame that mean "nothing
	// here that this server knows how to carry".
	ErrNoTracks = errors.New("no known track")
	// ErrNotPlayable refuses a peer that asks to play over a protocol that
	// this server only accepts publishers on.
	ErrNotPlayable = errors.New("this listener takes publishers only")
	// ErrReplaced ends a publisher that another one has taken the stream from.
	ErrReplaced = errors.New("another encoder has taken over")
	// ErrKicked ends a publisher that an operator wants gone, and refuses it
	// for a while.
	ErrKicked = errors.New("an operator has ended this stream")
	// ErrClosing refuses or ends a publisher because the server shuts down.
	ErrClosing = errors.New("server is shutting down")
)

// Listener brings connections of one protocol.
type Listener interface {
	// Accept waits for the next connection and returns it before any of its
	// handshake: it never waits for a peer. After Close it returns an error
	// that wraps net.ErrClosed.
	Accept() (Conn, error)
	// Close ends Accept. It leaves the accepted connections open where the
	// protocol lets it.
	Close() error
}

// Conn is one encoder's connection. Close and SetReadDeadline may be called
// from any goroutine and end what the other methods wait in; these belong to
// one goroutine.
type Conn interface {
	// Protocol names the protocol for logs and metrics: "rtmp", "srt", "file".
	Protocol() string
	// RemoteAddr is the encoder's address.
	RemoteAddr() net.Addr
	// Handshake reads up to the encoder's wish to publish (or play) and
	// returns it. It returns soon after the read deadline or the end of ctx.
	// An unusable name is an error that wraps streamkey.ErrInvalid.
	Handshake(ctx context.Context) (auth.Request, error)
	// Admit tells the encoder that it may send.
	Admit() error
	// Reject tells the encoder why it may not publish, or publish any
	// longer, as far as its protocol can still say so. It may follow any
	// method, a failed Handshake too, and does not wait for the peer for
	// longer than a second. err wraps a sentinel of this package, auth,
	// media, stream or streamkey.
	Reject(err error)
	// ReadFrame returns the next frame in the encoder's own time, with a
	// Track and without a Set. A frame that came before its track's
	// configuration is left out. io.EOF is a clean end, any other error a
	// connection that was cut off or must be.
	ReadFrame() (media.Frame, error)
	// Tracks returns the tracks known so far, ordered by ID, and whether
	// these are all that the encoder promised. An encoder that promises
	// nothing never is complete.
	Tracks() (tracks []*media.Track, complete bool)
	// SetReadDeadline bounds the wait of Handshake and ReadFrame: after it
	// they fail with an error that wraps os.ErrDeadlineExceeded.
	SetReadDeadline(t time.Time) error
	// Close ends the connection.
	Close() error
}

// Player is a Conn whose peer may ask to play instead: its Handshake returns
// a request for auth.Play.
type Player interface {
	Conn
	// Play tells the peer that s begins, and sends it until s ends or the
	// peer leaves (nil), ctx ends (its error) or the peer fails. One that does
	// not take what is sent is an error that wraps os.ErrDeadlineExceeded.
	Play(ctx context.Context, s *stream.Stream) error
}

// Hurried is a Conn whose peer must have an answer to its wish in time.
type Hurried interface {
	// AnswerBy is when Admit, Play or Reject must have been called.
	AnswerBy() time.Time
}

// Measured is a Conn whose transport can be measured while frames are read.
type Measured interface {
	// Transport may be called from any goroutine.
	Transport() Transport
}

// Promising is a Conn whose encoder announces tracks before it sends them.
type Promising interface {
	// Promised returns the tracks that were announced and whose configuration
	// has not come: their ID and codec, their sample rate and channels if
	// these were said, and no Config. Tracks whose codec is not known are
	// left out.
	Promised() []*media.Track
}

// Leisurely is a Conn that can wait for several frames at a time.
type Leisurely interface {
	// Leisure has ReadFrame return frames a little late while haste says that
	// nobody is the worse for it, if that spares the machine some work.
	Leisure(haste func() stream.Haste)
}

// Transport is how the network under a connection fares, from this side.
type Transport struct {
	// Latency is what was negotiated; 0 where the transport has none.
	Latency time.Duration
	// RTT is the round trip time.
	RTT time.Duration
	// Buffered is how much media waits for its time to be delivered.
	Buffered time.Duration
	// Packets were received (or sent, of a player), Lost were missing at
	// first, Retransmitted came (or went) again, Dropped never came in time.
	Packets, Lost, Retransmitted, Dropped uint64
	// Faults counts by kind what was wrong with the container inside. Ignored
	// names what it holds and nobody carries.
	Faults  map[string]uint64
	Ignored []string
}
