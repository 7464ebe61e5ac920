//go:build unix

package nowait_test

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/miju-live/miju/nowait"
)

// pair returns two ends of a connection.
func pair(t *testing.T) (a, b *net.TCPConn) {
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
	other, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	return c.(*net.TCPConn), other.(*net.TCPConn)
}

// call calls do once.
func call(t *testing.T, c *net.TCPConn, do func(uintptr, []byte) (int, error), b []byte) (n int, err error) {
	t.Helper()
	raw, rawErr := c.SyscallConn()
	if rawErr != nil {
		t.Fatal(rawErr)
	}
	if rawErr := raw.Control(func(fd uintptr) { n, err = do(fd, b) }); rawErr != nil {
		t.Fatal(rawErr)
	}
	return n, err
}

// await calls do until it did or failed.
func await(t *testing.T, c *net.TCPConn, do func(uintptr, []byte) (int, error), b []byte) (n int, err error) {
	t.Helper()
	raw, rawErr := c.SyscallConn()
	if rawErr != nil {
		t.Fatal(rawErr)
	}
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if rawErr := raw.Read(func(fd uintptr) bool {
		n, err = do(fd, b)
		return n > 0 || err != nil
	}); rawErr != nil {
		t.Fatal(rawErr)
	}
	return n, err
}

func TestRead(t *testing.T) {
	a, b := pair(t)
	buf := make([]byte, 4)
	if n, err := call(t, b, nowait.Read, buf); n != 0 || err != nil {
		t.Fatalf("nothing there: %d, %v", n, err)
	}
	if _, err := a.Write([]byte("abcdef")); err != nil {
		t.Fatal(err)
	}
	if n, err := await(t, b, nowait.Read, buf); err != nil || string(buf[:n]) != "abcd" {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	if n, err := call(t, b, nowait.Read, nil); n != 0 || err != nil {
		t.Fatalf("no room: %d, %v", n, err)
	}
	if n, err := call(t, b, nowait.Read, buf); err != nil || string(buf[:n]) != "ef" {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	a.Close()
	if n, err := await(t, b, nowait.Read, buf); n != 0 || err != io.EOF {
		t.Fatalf("at the end: %d, %v", n, err)
	}
}

func TestReadAfterReset(t *testing.T) {
	a, b := pair(t)
	if err := errors.Join(a.SetLinger(0), a.Close()); err != nil {
		t.Fatal(err)
	}
	if n, err := await(t, b, nowait.Read, make([]byte, 4)); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("%d, %v", n, err)
	}
}

func TestWrite(t *testing.T) {
	a, b := pair(t)
	piece := make([]byte, 1<<20)
	sent := 0
	for {
		n, err := call(t, a, nowait.Write, piece)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		if sent += n; sent > 1<<30 {
			t.Fatal("there is always room")
		}
	}
	if sent == 0 {
		t.Fatal("there was no room")
	}
	got := make(chan int64, 1)
	go func() {
		n, _ := io.Copy(io.Discard, b)
		got <- n
	}()
	if err := a.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if n := <-got; n != int64(sent) {
		t.Errorf("%d bytes of %d came", n, sent)
	}
	if n, err := call(t, a, nowait.Write, piece); n != 0 || !errors.Is(err, syscall.EPIPE) {
		t.Errorf("behind the end: %d, %v", n, err)
	}
}
