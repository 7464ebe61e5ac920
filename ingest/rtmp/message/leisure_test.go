//go:build linux

package message

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// atLeisure is a connection that is read at leisure while idle is true.
func atLeisure(t *testing.T) (peer *net.TCPConn, conn net.Conn, r io.Reader, idle *atomic.Bool) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if conn, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	idle = new(atomic.Bool)
	idle.Store(true)
	r = newLeisure(conn, Leisure{Tick: 30 * time.Millisecond, Idle: idle.Load, Pictures: func() bool { return false }}, new(rhythm))
	if _, ok := r.(*leisure); !ok {
		t.Fatalf("a TCP connection is read by %T", r)
	}
	return c.(*net.TCPConn), conn, r, idle
}

func TestLeisureBringsEverything(t *testing.T) {
	for _, c := range []struct {
		name   string
		buffer int
		size   int
	}{
		{"a little", 32 << 10, 10},
		{"a little at a time", 3, 1000},
		{"more than wakes", 32 << 10, 10 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			peer, _, r, idle := atLeisure(t)
			sent := make([]byte, c.size)
			for i := range sent {
				sent[i] = byte(i * i >> 8)
			}
			go func() {
				peer.Write(sent)
				peer.CloseWrite()
			}()
			var got bytes.Buffer
			b := make([]byte, c.buffer)
			for i := 0; ; i++ {
				n, err := r.Read(b)
				got.Write(b[:n])
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				idle.Store(i%8 < 4) // and back
			}
			if !bytes.Equal(got.Bytes(), sent) {
				t.Errorf("%d bytes of %d came, or others", got.Len(), len(sent))
			}
		})
	}
}

// TestLeisureReadsSeldom: what was sent in many writes comes in few reads,
// however slow the machine is.
func TestLeisureReadsSeldom(t *testing.T) {
	peer, _, r, _ := atLeisure(t)
	const writes = 300
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for range writes {
			peer.Write(make([]byte, 20))
			<-tick.C
		}
		peer.CloseWrite()
	}()
	reads, b := 0, make([]byte, 32<<10)
	for {
		_, err := r.Read(b)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		reads++
	}
	if reads > writes/4 {
		t.Errorf("%d reads of %d writes", reads, writes)
	}
}

// TestLeisureEnds: somebody begins to watch, and what comes then, however
// little, comes without waiting for more.
func TestLeisureEnds(t *testing.T) {
	peer, _, r, idle := atLeisure(t)
	b := make([]byte, 100)
	for range 3 {
		idle.Store(true)
		if _, err := peer.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if n, err := r.Read(b); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		idle.Store(false)
		wrote := make(chan error, 1)
		go func() { // while it waits, or before
			_, err := peer.Write([]byte("yz"))
			wrote <- err
		}()
		if n, err := io.ReadFull(r, b[:2]); n != 2 || err != nil {
			t.Fatal(n, err)
		}
		if err := <-wrote; err != nil {
			t.Fatal(err)
		}
	}
}

func TestLeisureIsInterrupted(t *testing.T) {
	for _, c := range []struct {
		name string
		by   func(peer *net.TCPConn, conn net.Conn) error
		want error
	}{
		{"deadline", func(_ *net.TCPConn, c net.Conn) error { return c.SetReadDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		{"close", func(_ *net.TCPConn, c net.Conn) error { return c.Close() }, net.ErrClosed},
		{"end", func(p *net.TCPConn, _ net.Conn) error { return p.Close() }, io.EOF},
		{"reset", func(p *net.TCPConn, _ net.Conn) error { return errors.Join(p.SetLinger(0), p.Close()) }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			peer, conn, r, _ := atLeisure(t)
			ended := make(chan error, 1)
			go func() {
				_, err := r.Read(make([]byte, 100))
				ended <- err
			}()
			if err := c.by(peer, conn); err != nil {
				t.Fatal(err)
			}
			err := <-ended
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestLeisureNeedsTCP: what has no socket of its own is read as ever.
func TestLeisureNeedsTCP(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if r := newLeisure(a, Leisure{Tick: time.Millisecond, Idle: func() bool { return true }}, new(rhythm)); r != io.Reader(a) {
		t.Errorf("%T", r)
	}
}

// TestSoundComesWithItsPicture: while pictures are waited for, what is less than
// one is read with the next, and by itself when none comes.
func TestSoundComesWithItsPicture(t *testing.T) {
	peer, conn, _, _ := atLeisure(t)
	r := newLeisure(conn, Leisure{
		Tick: 30 * time.Millisecond, Idle: func() bool { return false }, Pictures: func() bool { return true },
	}, &rhythm{large: steadyPictures})
	b := make([]byte, 32<<10)
	const rounds, sounds = 20, 3
	reads := 0
	for range rounds {
		wrote := make(chan error, 1)
		go func() {
			tick := time.NewTicker(2 * time.Millisecond)
			defer tick.Stop()
			for range sounds {
				if _, err := peer.Write(make([]byte, 300)); err != nil {
					wrote <- err
					return
				}
				<-tick.C
			}
			_, err := peer.Write(make([]byte, 5000))
			wrote <- err
		}()
		for got := 0; got < 300*sounds+5000; reads++ {
			n, err := r.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			got += n
		}
		if err := <-wrote; err != nil {
			t.Fatal(err)
		}
	}
	// On a machine so busy that the timer comes first there are more; all are four
	// a round.
	if reads > 2*rounds {
		t.Errorf("%d reads in %d rounds", reads, rounds)
	}
	for range 3 { // no picture comes: also behind the timer of the last time
		if _, err := peer.Write([]byte("deleteStream")); err != nil {
			t.Fatal(err)
		}
		if n, err := r.Read(b); err != nil || string(b[:n]) != "deleteStream" {
			t.Fatalf("%q, %v", b[:n], err)
		}
	}
}

func TestRhythm(t *testing.T) {
	repeat := func(n int, typ byte, size int) (all []step) {
		for range n {
			all = append(all, step{typ, size})
		}
		return all
	}
	large, small, sound := 10_000, 900, 300
	usual := repeat(steadyPictures, TypeVideo, large)
	for _, c := range []struct {
		name  string
		steps [][]step
		want  bool
	}{
		{"nothing yet", nil, false},
		{"a few pictures", [][]step{usual[1:]}, false},
		{"large pictures", [][]step{usual}, true},
		{"with sound between", [][]step{repeat(3, TypeAudio, sound), usual, repeat(maxOther, TypeAudio, sound)}, true},
		{"a small picture", [][]step{usual, repeat(1, TypeVideo, small)}, false},
		{"a while after a small picture", [][]step{usual, repeat(1, TypeVideo, small), usual}, true},
		{"pictures ended", [][]step{usual, repeat(maxOther+1, TypeAudio, sound)}, false},
		{"sound only", [][]step{repeat(1000, TypeAudio, large)}, false},
	} {
		var r rhythm
		for _, steps := range c.steps {
			for _, s := range steps {
				r.note(s.typ, s.size)
			}
		}
		if r.steady() != c.want {
			t.Errorf("%s: %v", c.name, r.steady())
		}
	}
}

type step struct {
	typ  byte
	size int
}
