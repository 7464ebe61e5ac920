package chatws

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/miju-live/miju/auth"
)

// BenchmarkBroadcast is one message to a room, from the bytes of the sender's
// frame to the last of the writes: unmasking, JSON, rates, sanctions, order,
// logs, the frame, the acknowledgement, and for each member a lock, the poller
// and a write(2). What is written to is the null device, so the system call is
// counted and TCP is not: on loopback the same call would do the receivers'
// half too. Nothing is merged: each message is out before the next comes.
func BenchmarkBroadcast(b *testing.B) {
	for _, members := range []int{1, 1000} {
		b.Run(fmt.Sprint(members), func(b *testing.B) { benchBroadcast(b, members) })
	}
}

func benchBroadcast(b *testing.B, members int) {
	c := DefaultConfig()
	c.Rate, c.Burst, c.RoomRate, c.Batch, c.PresenceLimit = 1_000_000, 1_000_000, 1_000_000, 0, 0
	s := newServer(b, c, authorizer{}, &liveSet{}, NewMemoryStore())
	s.started = true // without what looks at the time, which would say something too
	s.pumps.start(&s.running)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	sink := &sink{File: null, done: make(chan struct{}, 1)}
	var all []*member
	for i := range members {
		m := newMember(s, sink, mustKey(b, "live/x"))
		m.identity, m.role = User{ID: fmt.Sprintf("user-%d", i), Name: "somebody"}, auth.RoleMember
		if err := s.enter(m, &Join{}, ""); err != nil {
			b.Fatal(err)
		}
		m.flush()
		s.register(m)
		all = append(all, m)
	}
	defer s.Shutdown(b.Context())
	sink.written.Store(0)
	next := 0
	b.ReportAllocs()
	for b.Loop() {
		next++
		frame := masked(0x81, fmt.Sprintf(`{"type":"say","id":"%d","text":"Did you see that? I would not have believed it."}`, next))
		sink.target.Store(int64(next * members))
		if err := all[next%members].received(frame); err != nil {
			b.Fatal(err)
		}
		<-sink.done
	}
	if n := sink.written.Load(); n != int64(next*members) || s.Stats().Messages != uint64(next) {
		b.Errorf("%d writes and %d messages, want %d to each of %d", n, s.Stats().Messages, next, members)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(next*members), "ns/delivery")
}

// sink is the null device as a connection. It says when a number of writes is
// reached.
type sink struct {
	*os.File
	target, written atomic.Int64
	done            chan struct{}
}

var _ net.Conn = (*sink)(nil)

func (s *sink) count() {
	if s.written.Add(1) == s.target.Load() {
		s.done <- struct{}{}
	}
}

// Write implements net.Conn, where there is no raw connection.
func (s *sink) Write(b []byte) (int, error) {
	defer s.count()
	return s.File.Write(b)
}

func (*sink) LocalAddr() net.Addr  { return nil }
func (*sink) RemoteAddr() net.Addr { return nil }
func (*sink) Close() error         { return nil } // it is everybody's

func (s *sink) SyscallConn() (syscall.RawConn, error) {
	raw, err := s.File.SyscallConn()
	return rawSink{raw, s}, err
}

type rawSink struct {
	syscall.RawConn
	sink *sink
}

func (r rawSink) Write(f func(uintptr) bool) error {
	defer r.sink.count()
	return r.RawConn.Write(f)
}
