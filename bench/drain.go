package bench

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// discardBuffer is what a reader of what nobody looks at has, in bytes.
	discardBuffer = 8 << 10
	// pongEvery is how often a WebSocket that nobody reads gets a pong that
	// was not asked for (RFC 6455, 5.5.3), so that the server sees life.
	pongEvery = 10 * time.Second
)

// drain empties the sockets of viewers that nobody looks at any more, as
// cheaply as it can.
type drain struct {
	bytes    *atomic.Int64 // what came
	silences *silences
	dead     atomic.Int64 // viewers that ended by themselves
	alive    atomic.Int64
	readers  sync.WaitGroup
	shards   []shard // of sockets without a goroutine of their own
}

// add takes a connection over, of which nothing is buffered that counts.
func (d *drain) add(ctx context.Context, c net.Conn, webSocket bool) {
	d.alive.Add(1)
	if d.take(c, webSocket) {
		return
	}
	d.readers.Go(func() { d.read(ctx, c, webSocket) })
}

// read is a goroutine for one connection, where nothing cheaper works: over TLS
// and on other systems than Linux.
func (d *drain) read(ctx context.Context, c net.Conn, webSocket bool) {
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	buf := make([]byte, discardBuffer)
	v := silence{last: time.Now()}
	pong := v.last
	for {
		c.SetReadDeadline(time.Now().Add(stallAfter))
		n, err := c.Read(buf)
		d.bytes.Add(int64(n))
		now := time.Now()
		v.look(d.silences, now, n > 0, 0)
		if webSocket && now.Sub(pong) > pongEvery {
			pong = now
			c.SetWriteDeadline(now.Add(stallAfter))
			c.Write(appendFrame(nil, opPong, nil))
		}
		if err == nil || kindOf(err) == kindTimeout {
			continue
		}
		if ctx.Err() == nil {
			d.dead.Add(1)
			d.alive.Add(-1)
		}
		return
	}
}
