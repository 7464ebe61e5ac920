// Package srttest puts a bad network between the peers of an SRT connection,
// and calls as no real encoder would.
package srttest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Network is how bad a network is, the same both ways.
type Network struct {
	// Loss is the share of datagrams that vanish, from 0 to 1. Handshakes and
	// goodbyes do not.
	Loss float64
	// Delay is how long a datagram takes, and Jitter up to how much longer.
	Delay, Jitter time.Duration
	// Reorder lets one datagram overtake another.
	Reorder bool
	// Rate is how many bytes a second get through, 0 for any; what would wait
	// for longer than maxQueue is dropped.
	Rate float64
	// Seed makes another network of the same kind.
	Seed uint64
	// Change may alter a datagram; it is dropped if Change returns false. It
	// is called by one goroutine for each direction.
	Change func(toServer bool, datagram []byte) bool
}

// Relay is a UDP port that stands for a server's.
type Relay struct {
	front, back *net.UDPConn
	network     Network
	wait        sync.WaitGroup
	up, down    *line

	mu     sync.Mutex
	caller *net.UDPAddr
	cut    bool
}

// NewRelay relays between server and the one that called last. It must be closed.
func NewRelay(server net.Addr, n Network) (*Relay, error) {
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	back, err := net.Dial("udp", server.String())
	if err != nil {
		front.Close()
		return nil, err
	}
	r := &Relay{front: front, back: back.(*net.UDPConn), network: n}
	// More than the kernel's default, for what comes at once.
	front.SetReadBuffer(4 << 20)
	r.back.SetReadBuffer(4 << 20)
	r.up = newLine(r, true, func(b []byte) { r.back.Write(b) })
	r.down = newLine(r, false, func(b []byte) {
		r.mu.Lock()
		to := r.caller
		r.mu.Unlock()
		front.WriteToUDP(b, to)
	})
	r.wait.Go(func() {
		defer r.up.close()
		b := make([]byte, maxDatagram)
		for {
			n, from, err := front.ReadFromUDP(b)
			if err != nil {
				return
			}
			r.mu.Lock()
			r.caller = from
			r.mu.Unlock()
			r.up.take(b[:n])
		}
	})
	r.wait.Go(func() {
		defer r.down.close()
		b := make([]byte, maxDatagram)
		for {
			n, err := r.back.Read(b)
			if isClosed(err) {
				return
			}
			if err == nil { // else the server's port is not open (any more)
				r.down.take(b[:n])
			}
		}
	})
	r.wait.Go(r.up.run)
	r.wait.Go(r.down.run)
	return r, nil
}

// Addr is where to call.
func (r *Relay) Addr() net.Addr { return r.front.LocalAddr() }

// Cut drops everything, both ways and handshakes too, until it is called with
// false.
func (r *Relay) Cut(cut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = cut
}

func (r *Relay) isCut() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cut
}

// Close ends the relay; both peers hear nothing any more.
func (r *Relay) Close() {
	r.front.Close()
	r.back.Close()
	r.wait.Wait()
}

// Figures are what happened to the data packets of one direction.
type Figures struct {
	// Passed counts datagrams, Repeated those of them marked as sent again.
	Passed, Repeated uint64
	// Lost counts sequence numbers whose first datagram was dropped, Never
	// those between the first and the last of which none passed, be it that
	// the sender gave them up.
	Lost, Never uint64
}

// Figures returns what happened so far on the way to the server, or from it.
func (r *Relay) Figures(toServer bool) Figures {
	l := r.down
	if toServer {
		l = r.up
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.figures
	if len(l.seen) == 0 {
		return f
	}
	lowest, highest := uint32(1<<31), uint32(0)
	for seq, passed := range l.seen {
		lowest, highest = min(lowest, seq), max(highest, seq)
		if passed {
			f.Never--
		}
	}
	f.Never += uint64(highest - lowest + 1)
	return f
}

const (
	maxDatagram = 2048
	// maxQueue is how long the queue of a router is that has too little Rate.
	maxQueue = 100 * time.Millisecond
)

// line is one direction.
type line struct {
	relay    *Relay
	toServer bool
	send     func([]byte)
	random   *rand.Rand

	mu      sync.Mutex
	queue   queue
	newest  time.Time // when the last one will be due
	free    time.Time // when the line can take another, by its Rate
	ended   bool
	changed chan struct{}
	figures Figures
	// seen says of each sequence number whether it passed.
	seen map[uint32]bool
}

func newLine(r *Relay, toServer bool, send func([]byte)) *line {
	seed := r.network.Seed * 2
	if toServer {
		seed++
	}
	return &line{
		relay: r, toServer: toServer, send: send, random: rand.New(rand.NewPCG(seed, 0)),
		changed: make(chan struct{}, 1), seen: map[uint32]bool{},
	}
}

// take drops a datagram or queues it.
func (l *line) take(b []byte) {
	n := &l.relay.network
	b = append([]byte(nil), b...)
	passes := !l.relay.isCut()
	if passes && n.Change != nil {
		passes = n.Change(l.toServer, b)
	}
	if lost := l.random.Float64() < n.Loss; lost && !isCeremony(b) {
		passes = false
	}
	if n.Rate > 0 && passes {
		passes = l.occupy(len(b)) || isCeremony(b)
	}
	delay := n.Delay + time.Duration(l.random.Float64()*float64(n.Jitter))
	l.mu.Lock()
	l.count(b, passes)
	if passes {
		due := time.Now().Add(delay)
		if n.Rate > 0 {
			due = l.free.Add(delay)
		}
		if !n.Reorder && due.Before(l.newest) {
			due = l.newest
		}
		l.newest = due
		l.queue.push(datagram{due, b})
	}
	l.mu.Unlock()
	l.wake()
}

// occupy takes the time that n bytes need. It belongs to the one who takes.
func (l *line) occupy(n int) bool {
	now := time.Now()
	if l.free.Before(now) {
		l.free = now
	}
	if l.free.Sub(now) > maxQueue {
		return false
	}
	l.free = l.free.Add(time.Duration(float64(n) / l.relay.network.Rate * float64(time.Second)))
	return true
}

// count notes a data packet (SRT, 3.1). l.mu is held.
func (l *line) count(b []byte, passes bool) {
	if len(b) < headerSize || b[0]&0x80 != 0 {
		return
	}
	seq := binary.BigEndian.Uint32(b)
	passed, known := l.seen[seq]
	if !known && !passes {
		l.figures.Lost++
	}
	l.seen[seq] = passed || passes
	if passes {
		l.figures.Passed++
		if b[4]&0x04 != 0 {
			l.figures.Repeated++
		}
	}
}

func (l *line) wake() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

func (l *line) close() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.wake()
}

// run sends datagrams when they are due.
func (l *line) run() {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		l.mu.Lock()
		due := l.queue.due(time.Now())
		next, waits := l.queue.next()
		ended := l.ended
		l.mu.Unlock()
		for _, b := range due {
			l.send(b)
		}
		if ended {
			return
		}
		if waits {
			t.Reset(time.Until(next))
		}
		select {
		case <-l.changed:
		case <-t.C:
		}
	}
}

// String describes the network for the names of tests.
func (n Network) String() string {
	s := fmt.Sprintf("%g %% loss, %v and up to %v more each way", n.Loss*100, n.Delay, n.Jitter)
	if n.Reorder {
		s += ", out of order"
	}
	return s
}
