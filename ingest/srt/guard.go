package srt

import (
	"context"
	"fmt"
	"os"
	"time"

	gosrt "github.com/datarhei/gosrt"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest"
)

const (
	// peerIdle is after how much silence a peer counts as gone. An SRT peer
	// that has nothing to say sends a keep-alive each second; 5 s are libsrt's
	// own patience (SRTO_PEERIDLETIMEO).
	peerIdle = 5 * time.Second
	// maxLatency bounds the latency that a peer may ask for, of the 65 s that
	// the handshake has room for: all of it is held in memory.
	maxLatency = 10 * time.Second
)

// bounds are what a connection may use. Tests lower them.
type bounds struct {
	// decision is how late a caller may be answered: libsrt's give up after
	// 3 s, and gosrt does not notice that they have.
	decision time.Duration
	// silence is how long an admitted encoder may wait before its first data.
	// One whose answer was lost never sends any, for gosrt answers once, and
	// until its end it keeps the encoder's next attempt from its key.
	silence time.Duration
	// buffered is how many bytes may wait for their time to be delivered:
	// 50 Mbit/s at the largest latency. A peer's own timestamps decide how
	// long they wait, and may say an hour.
	buffered uint64
	// waiting is how many packets may wait, which hold memory though they be
	// empty, and are looked at a hundred times a second: a third more than
	// those 50 Mbit/s are in packets of the usual size.
	waiting uint64
	// unread is for how long a player may take nothing of what is sent. gosrt
	// keeps it for about a second longer than the latency and then drops it.
	unread time.Duration
	// narrow is over how long a player's repetitions are held against what it
	// was sent: long enough for a line that is only bad for a moment.
	narrow time.Duration
	// repeated is how many packets more than it was sent a player may have sent
	// again within that time, on the worst of lines: each of its requests, of a
	// datagram, can name one packet hundreds of times, and gets it as often.
	repeated uint64
	// interval is how often silence and buffered are looked at.
	interval time.Duration
}

var defaultBounds = bounds{decision: 2500 * time.Millisecond, silence: 5 * time.Second, buffered: 64 << 20, waiting: 64 << 10, unread: 5 * time.Second, narrow: 10 * time.Second, repeated: 64 << 10, interval: time.Second}

var (
	errNoPassphrase  = fmt.Errorf("%w: the caller does not encrypt, and must", auth.ErrDenied)
	errBadPassphrase = fmt.Errorf("%w: the caller encrypts with another passphrase", auth.ErrWrong)
	errEncrypted     = fmt.Errorf("%w: the caller encrypts, and there is no passphrase for this", ingest.ErrBadRequest)
	errVersion       = fmt.Errorf("%w: a handshake of SRT before 1.3", ingest.ErrBadRequest)
	errNoData        = fmt.Errorf("%w: no data after the handshake", os.ErrDeadlineExceeded)
)

const (
	// headers is what IPv4, UDP and SRT put before a payload.
	headers = 20 + 8 + 16
	// minMTU leaves room for one packet of MPEG-TS. gosrt makes a buffer of
	// 4 GiB for an MTU below its headers.
	minMTU = headers + 188
)

// usable tells what gosrt cannot work with and lets in.
func (c *conn) usable() error {
	if c.request.Version() != 5 {
		// It has no stream ID and no way to be refused for its encryption;
		// and an answer that nobody asked for ends gosrt's process.
		return errVersion
	}
	if c.mtu < minMTU {
		return fmt.Errorf("%w: an MTU of %d bytes", ingest.ErrBadRequest, c.mtu)
	}
	return nil
}

// unlock holds the caller against the passphrases that it may know, and puts into
// r what one of them proves.
func (c *conn) unlock(ctx context.Context, r *auth.Request) error {
	common := c.listener.passphrase
	switch {
	case !c.request.IsEncrypted() && common != "":
		return errNoPassphrase
	case !c.request.IsEncrypted():
		return nil
	}
	attempts := c.listener.attempts
	if err := attempts.May(r.Action, r.RemoteAddr); err != nil {
		return err
	}
	if common != "" && c.request.SetPassphrase(common) == nil {
		attempts.Right(r.Action, r.RemoteAddr)
		return nil
	}
	own, err := c.listener.own(ctx, *r)
	if err != nil {
		return err
	}
	for _, p := range own {
		if c.request.SetPassphrase(p.Secret) == nil {
			r.Proved = &p.Key
			return nil
		}
	}
	if common == "" && own == nil {
		return errEncrypted
	}
	attempts.Wrong(r.Action, r.RemoteAddr)
	return errBadPassphrase
}

// answerIn is how much of the time for a decision is the server's; the rest is
// for its answer to be sent.
const answerIn = 0.9

var _ ingest.Hurried = (*conn)(nil)

// AnswerBy is when the server must have decided.
func (c *conn) AnswerBy() time.Time {
	return c.came.Add(time.Duration(answerIn * float64(c.listener.bounds.decision)))
}

// refuseLate answers a caller before it gives up. A player is told that there
// is nothing to play, for this is what takes so long.
func (c *conn) refuseLate() {
	c.mu.Lock()
	code := rejectOverload
	if c.action == auth.Play {
		code = rejectNotFound
	}
	c.mu.Unlock()
	c.refuse(code)
}

// watch begins to hold an admitted connection to its bounds. c.mu is held.
func (c *conn) watch() error {
	c.guard.Stop()
	if latency := c.latency(); latency > maxLatency {
		err := fmt.Errorf("%w: the peer asks for a latency of %v, %v are allowed", ingest.ErrTooLarge, latency, maxLatency)
		c.fail(err)
		return err
	}
	admitted := time.Now()
	c.guard = time.AfterFunc(c.listener.bounds.interval, func() { c.look(admitted) })
	return nil
}

func (c *conn) look(admitted time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended() != nil {
		return
	}
	var st gosrt.Statistics
	c.srt.Stats(&st)
	b := c.listener.bounds
	switch {
	case st.Instantaneous.ByteRecvBuf > b.buffered:
		c.fail(fmt.Errorf("%w: %d MiB wait for a time that is far away", ingest.ErrTooLarge, st.Instantaneous.ByteRecvBuf>>20))
	case st.Instantaneous.PktRecvBuf > b.waiting:
		c.fail(fmt.Errorf("%w: %d packets wait for a time that is far away", ingest.ErrTooLarge, st.Instantaneous.PktRecvBuf))
	case c.action != auth.Play && st.Accumulated.PktRecv == 0 && time.Since(admitted) >= b.silence:
		c.fail(errNoData)
	default:
		c.guard.Reset(b.interval)
	}
}

// latency is what was negotiated for the direction that media goes. c.mu is held.
func (c *conn) latency() time.Duration {
	var st gosrt.Statistics
	c.srt.Stats(&st)
	ms := st.Instantaneous.MsRecvTsbPdDelay
	if c.action == auth.Play {
		ms = st.Instantaneous.MsSendTsbPdDelay
	}
	return time.Duration(ms) * time.Millisecond
}
