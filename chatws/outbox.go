package chatws

import (
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// writeTimeout is how long one write to a member may take.
	writeTimeout = 10 * time.Second
	// writeAtOnce is how much is written at once, in bytes: little enough
	// that a slow member has taken it before its close code must follow.
	writeAtOnce = 32 << 10
	// closeGrace is how long a member has to take its close code, and then to
	// answer it.
	closeGrace = 2 * time.Second
)

// node holds frames that all members of a room get, in a list that the room
// appends to. Whoever follows the room keeps the node that it took last; what
// is before that is the garbage collector's. So what waits for slow members
// is held once for all of them.
type node struct {
	next atomic.Pointer[node]
	// end counts the bytes of the room's frames up to the end of this node.
	end uint64
	// data is whole frames, at most writeAtOnce bytes unless it is one.
	data []byte
}

// tryWriters are for whoever is no pump.
var tryWriters = sync.Pool{New: func() any { return newTryWriter() }}

// outbox is what waits for one connection. What the socket takes at once is
// written by whoever brings it; only for the rest there is a goroutine, as
// long as there is a rest.
type outbox struct {
	conn    net.Conn
	raw     syscall.RawConn // nil: everything goes by the goroutine
	running *sync.WaitGroup
	bound   uint64 // of what may wait, in bytes
	slow    *atomic.Uint64
	// last is called when reading and writing are over.
	last func()

	mu sync.Mutex
	// own is frames for this connection alone. They go before those of the room.
	own      [][]byte
	ownBytes uint64
	// at is the node of the room that was taken last, nil outside a room.
	at *node
	// rest is what the socket did not take of a write; its first restFrame
	// bytes are the end of a frame.
	rest      []byte
	restFrame int
	inFlight  int  // bytes in the goroutine's hands
	writing   bool // there is a goroutine
	closing   bool // the last frame is in own: nothing may follow
	readDone  bool
	code      CloseCode
}

// add queues a frame of this connection's own. flush sees that it is written.
// A connection that too much waits for is closed as slow.
func (o *outbox) add(frame []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.addLocked(frame)
}

func (o *outbox) addLocked(frame []byte) {
	if o.closing {
		return
	}
	// One frame always fits, or a bound below its size would end everybody.
	if w := o.waiting(); w > 0 && w+uint64(len(frame)) > o.bound {
		o.slow.Add(1)
		o.closeLocked(CloseSlow)
		return
	}
	o.own = append(o.own, frame)
	o.ownBytes += uint64(len(frame))
}

// send queues a frame and writes it if the socket takes it. It never waits.
func (o *outbox) send(frame []byte) {
	w := tryWriters.Get().(*tryWriter)
	defer tryWriters.Put(w)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.addLocked(frame)
	o.flushLocked(w)
}

// waiting is how many bytes wait, but for those of the room.
func (o *outbox) waiting() uint64 {
	return o.ownBytes + uint64(len(o.rest)) + uint64(o.inFlight)
}

// follow has the connection get what the room says after n.
func (o *outbox) follow(n *node) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closing {
		o.at = n
	}
}

// flush writes what the socket takes of what waits. tail is the room's newest
// node, by which it is told whether the connection is slow.
func (o *outbox) flush(w *tryWriter, tail *node) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.writing && o.at != nil && !o.closing {
		if o.waiting()+tail.end-min(tail.end, o.at.end) > o.bound {
			o.slow.Add(1)
			o.closeLocked(CloseSlow)
		}
		return
	}
	o.flushLocked(w)
}

func (o *outbox) flushLocked(w *tryWriter) {
	for !o.writing {
		b := o.take(w.gather)
		if len(b) == 0 {
			return
		}
		n := 0
		if o.raw != nil {
			var err error
			if n, err = w.try(o.raw, b); err != nil {
				o.conn.Close() // its reader ends
				o.drop()
				return
			}
		}
		if n == len(b) {
			continue
		}
		o.restFrame = frameRest(b, n)
		o.rest = slices.Clone(b[n:])
		o.writing = true
		// running cannot be at zero: whoever calls is counted in it, or the
		// connection's reader still is.
		o.running.Add(1)
		go o.write()
	}
}

// drop forgets what waits.
func (o *outbox) drop() {
	o.closing, o.at, o.own, o.ownBytes, o.rest = true, nil, nil, 0, nil
}

// frameRest returns how many of b's bytes after the first n belong to a frame
// of which some are among the first n. b is whole frames.
func frameRest(b []byte, n int) int {
	end := 0
	for end < n {
		end += frameLen(b[end:])
	}
	return end - n
}

// frameLen returns the length of the frame that b begins with, which is one
// of appendFrame's.
func frameLen(b []byte) int {
	head, size := frameHead(b)
	return head + size
}

// take returns the next bytes to write, nil if there are none. They are in
// gather or shared with others.
func (o *outbox) take(gather []byte) []byte {
	if len(o.rest) > 0 {
		b := o.rest
		o.rest, o.restFrame = nil, 0
		return b
	}
	next := o.nextNode()
	switch {
	case len(o.own) == 0 && next == nil:
		return nil
	case len(o.own) == 0 && next.next.Load() == nil:
		o.at = next
		return next.data
	case len(o.own) > 0 && (len(o.own) == 1 && next == nil || len(o.own[0]) >= writeAtOnce):
		b := o.own[0]
		o.shift()
		return b
	}
	b := gather[:0]
	for len(o.own) > 0 && len(b)+len(o.own[0]) <= writeAtOnce {
		b = append(b, o.own[0]...)
		o.shift()
	}
	for len(o.own) == 0 && next != nil && (len(b) == 0 || len(b)+len(next.data) <= writeAtOnce) {
		b = append(b, next.data...)
		o.at = next
		next = o.nextNode()
	}
	return b
}

func (o *outbox) nextNode() *node {
	if o.at == nil {
		return nil
	}
	return o.at.next.Load()
}

// shift takes the first frame off own.
func (o *outbox) shift() {
	o.ownBytes -= uint64(len(o.own[0]))
	if o.own = o.own[1:]; len(o.own) == 0 {
		o.own = nil
	}
}

// close makes a close frame the last that the peer gets. What waits for it is
// dropped. Only the first close counts.
func (o *outbox) close(code CloseCode) {
	w := tryWriters.Get().(*tryWriter)
	defer tryWriters.Put(w)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closeLocked(code)
	o.flushLocked(w)
}

// closeLocked needs flushLocked after it, or a goroutine that writes.
func (o *outbox) closeLocked(code CloseCode) {
	if o.closing {
		return
	}
	rest := o.rest[:o.restFrame]
	o.drop()
	o.rest, o.code = rest, code
	// A writer that is stuck gets this much longer, and the peer for its
	// answer too.
	o.conn.SetDeadline(time.Now().Add(closeGrace))
	frame := code.frame()
	o.own, o.ownBytes = [][]byte{frame}, uint64(len(frame))
}

// cut closes the connection at once.
func (o *outbox) cut() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drop()
	o.conn.Close()
}

func (o *outbox) isClosing() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.closing
}

// write writes what waits until nothing does.
func (o *outbox) write() {
	defer o.running.Done()
	w := tryWriters.Get().(*tryWriter)
	defer tryWriters.Put(w)
	for {
		o.mu.Lock()
		b := o.take(w.gather)
		if o.inFlight = len(b); len(b) == 0 {
			o.writing = false
			last := o.readDone
			if !o.closing {
				o.conn.SetWriteDeadline(time.Time{})
			}
			o.mu.Unlock()
			if last {
				o.last()
			}
			return
		}
		if !o.closing {
			o.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		}
		o.mu.Unlock()
		if _, err := o.conn.Write(b); err != nil {
			o.lost(err)
		}
	}
}

// lost ends a connection that does not take what is written. It is too late
// for a close code: part of a frame may have gone out.
func (o *outbox) lost(err error) {
	o.mu.Lock()
	if !o.closing && errors.Is(err, os.ErrDeadlineExceeded) {
		o.slow.Add(1)
		o.code = CloseSlow
	}
	o.mu.Unlock()
	o.cut()
}

// endReading says that nobody reads any more.
func (o *outbox) endReading() CloseCode {
	o.mu.Lock()
	o.closing, o.at, o.readDone = true, nil, true
	last, code := !o.writing, o.code
	o.mu.Unlock()
	if last {
		o.last()
	}
	return code
}
