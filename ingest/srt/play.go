package srt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	gosrt "github.com/datarhei/gosrt"

	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/tsfeed"
)

const (
	// payloadSize is what one SRT packet carries: seven packets of MPEG-TS, as
	// SRT's live mode has it (SRTO_PAYLOADSIZE).
	payloadSize = 7 * 188
	// catchUp is how many times as fast as it plays media is sent that was
	// there before: SRT would send all of it at once, and routers drop that.
	catchUp = 4
	// minRate is the least pace, in packets per second: 8 Mbit/s, for streams
	// that have just begun.
	minRate = 8e6 / 8 / payloadSize
	// burst is how many packets go out without a pace: a large picture.
	burst = 64
	// maxUnsent bounds what gosrt has and has not sent. Its queue of 1024 ends
	// the connection when it is full.
	maxUnsent = 512
	// tick is how often gosrt sends.
	tick = 10 * time.Millisecond
)

var (
	errSlow = fmt.Errorf("%w: the player takes nothing of what is sent", os.ErrDeadlineExceeded)
	// errNarrow ends a player to which more is sent again than for the first
	// time: it asks for what its line dropped for want of room, until the line
	// carries little else and it sees no whole picture.
	errNarrow = fmt.Errorf("%w: the player's line carries less than the stream", os.ErrDeadlineExceeded)
	errGone   = errors.New("the player has gone")
)

var _ ingest.Player = (*conn)(nil)

// Play sends s as MPEG-TS from its newest random access point on. The error
// wraps media.ErrUnsupportedCodec if MPEG-TS does not carry s.
func (c *conn) Play(ctx context.Context, s *stream.Stream) error {
	f, err := tsfeed.NewReader(s, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return c.play(ctx, s, f)
}

// feed brings a stream as MPEG-TS.
type feed interface {
	// Next waits and returns slices of whole packets, in the buffer of bufs,
	// which it overwrites. io.EOF is the end.
	Next(ctx context.Context, bufs [][]byte) ([][]byte, error)
}

// play admits the player and sends it what f brings. It returns nil when the
// player has gone and at the end of f.
func (c *conn) play(ctx context.Context, s *stream.Stream, f feed) error {
	if err := c.Admit(); err != nil {
		return err
	}
	return c.playAdmitted(ctx, s, f)
}

func (c *conn) playAdmitted(ctx context.Context, s *stream.Stream, f feed) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var reader sync.WaitGroup
	defer reader.Wait()
	defer c.stop()
	reader.Go(func() { cancel(c.discard()) })
	out := &sender{
		conn: c.srt, played: &c.listener.played, size: min(payloadSize, (int(c.mtu)-headers)/188*188), latency: c.Transport().Latency,
		unread: c.listener.bounds.unread, narrow: c.listener.bounds.narrow, flood: c.listener.bounds.repeated,
		progress: time.Now(), filled: time.Now(),
	}
	err := out.copy(ctx, s, f)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// discard reads what the player sends, which is nothing, until it goes.
func (c *conn) discard() error {
	for {
		p, err := c.srt.ReadPacket()
		if err == nil {
			p.Decommission()
			continue
		}
		if err = c.why(err); err == io.EOF || errors.Is(err, net.ErrClosed) {
			return errGone
		}
		return err
	}
}

func (c *conn) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end()
}

// sender paces what goes to one player, and tells whether it takes it. SRT has
// no backpressure: what is not acknowledged in time is dropped.
type sender struct {
	conn    gosrt.Conn
	played  *atomic.Uint64
	latency time.Duration
	unread  time.Duration
	narrow  time.Duration
	flood   uint64 // bounds.repeated

	payload []byte
	size    int    // of a full payload
	written uint64 // packets
	rate    float64
	tokens  float64
	filled  time.Time

	// acked and dropped are counts as of progress, when the player last took
	// something or had nothing to take.
	acked, dropped int64
	progress       time.Time
	// sent and repeated are counts as of window, when narrow began.
	sent, repeated uint64
	window         time.Time
}

// copy sends until f ends.
func (o *sender) copy(ctx context.Context, s *stream.Stream, f feed) error {
	var batch [][]byte
	for {
		var err error
		batch, err = f.Next(ctx, batch)
		if err == io.EOF {
			return o.drain(ctx)
		}
		if err != nil {
			return err
		}
		st := s.Stats()
		o.setRate(st.CachedBytes, st.CachedDuration)
		for _, b := range batch {
			if err := o.write(ctx, b); err != nil {
				return err
			}
		}
		if err := o.flush(ctx); err != nil {
			return err
		}
	}
}

func (o *sender) setRate(bytes uint64, duration time.Duration) {
	o.rate = max(minRate, catchUp*float64(bytes)/float64(o.size)/max(duration, time.Second).Seconds())
}

func (o *sender) write(ctx context.Context, b []byte) error {
	for len(b) > 0 {
		n := min(o.size-len(o.payload), len(b))
		o.payload = append(o.payload, b[:n]...)
		b = b[n:]
		if len(o.payload) == o.size {
			if err := o.flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush sends what is gathered, when it may.
func (o *sender) flush(ctx context.Context) error {
	if len(o.payload) == 0 {
		return nil
	}
	if err := o.pace(ctx); err != nil {
		return err
	}
	if _, err := o.conn.Write(o.payload); err != nil {
		// Read knows why it is closed; if it is not, the queue is full.
		return errGoneOr(ctx, errSlow)
	}
	o.played.Add(uint64(len(o.payload)))
	o.payload = o.payload[:0]
	o.written++
	return nil
}

// errGoneOr waits a moment for the reader to find out that the peer has gone.
func errGoneOr(ctx context.Context, err error) error {
	t := time.NewTimer(10 * tick)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return err
	}
}

// pace waits until one more packet may be written.
func (o *sender) pace(ctx context.Context) error {
	for {
		if now := time.Now(); now.Sub(o.filled) >= tick {
			o.tokens = min(o.tokens+o.rate*now.Sub(o.filled).Seconds(), burst+2*o.rate*tick.Seconds())
			o.filled = now
			unsent, err := o.look(now)
			if err != nil {
				return err
			}
			o.tokens = min(o.tokens, max(0, maxUnsent-float64(unsent)))
		}
		if o.tokens >= 1 {
			o.tokens--
			return nil
		}
		if err := pause(ctx, tick); err != nil {
			return err
		}
	}
}

// look tells how many packets gosrt has yet to send, and whether the player
// still takes any.
func (o *sender) look(now time.Time) (unsent uint64, err error) {
	var st gosrt.Statistics
	o.conn.Stats(&st)
	total := &st.Accumulated
	unsent = o.written - min(o.written, total.PktSentUnique)
	waiting := st.Instantaneous.PktSendBuf
	acked := int64(total.PktSentUnique) - int64(waiting) - int64(total.PktSendDrop)
	if acked > o.acked || waiting == 0 && int64(total.PktSendDrop) == o.dropped {
		o.acked, o.dropped, o.progress = max(acked, o.acked), int64(total.PktSendDrop), now
	}
	if now.Sub(o.progress) > o.unread {
		return unsent, errSlow
	}
	repeated, sent := total.PktRetrans-o.repeated, total.PktSentUnique-o.sent
	if repeated > sent+o.flood {
		return unsent, errNarrow
	}
	if now.Sub(o.window) >= o.narrow {
		if !o.window.IsZero() && repeated > sent+burst {
			return unsent, errNarrow
		}
		o.sent, o.repeated, o.window = total.PktSentUnique, total.PktRetrans, now
	}
	return unsent, nil
}

// drain waits until the player has what was sent: what is acknowledged is
// played a latency later, and not at all after the goodbye.
func (o *sender) drain(ctx context.Context) error {
	wrote := time.Now()
	for {
		var st gosrt.Statistics
		o.conn.Stats(&st)
		waits := st.Accumulated.PktSentUnique < o.written || st.Instantaneous.PktSendBuf > 0
		if passed := time.Since(wrote); passed > o.latency+10*tick && !waits || passed > o.latency+time.Second {
			return nil
		}
		if err := pause(ctx, tick); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
