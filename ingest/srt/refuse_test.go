package srt

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	gosrt "github.com/datarhei/gosrt"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// dial calls l with gosrt. The returned function waits for the answer.
func dial(t *testing.T, l *Listener, streamID, passphrase string) (answer func() (gosrt.Conn, error)) {
	t.Helper()
	config := gosrt.DefaultConfig()
	config.StreamId, config.Passphrase = streamID, passphrase
	var conn gosrt.Conn
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err = gosrt.Dial("srt", l.Addr().String(), config)
	}()
	t.Cleanup(func() {
		if <-done; conn != nil {
			conn.Close()
		}
	})
	return func() (gosrt.Conn, error) {
		<-done
		return conn, err
	}
}

// admitted gives both ends of a connection.
func admitted(t *testing.T, l *Listener) (encoder gosrt.Conn, c *conn) {
	t.Helper()
	answer := dial(t, l, "live/alice", "")
	ic, _, err := accept(t, l)
	if err == nil {
		err = ic.Admit()
	}
	if err != nil {
		t.Fatal(err)
	}
	if encoder, err = answer(); err != nil {
		t.Fatal(err)
	}
	return encoder, ic.(*conn)
}

func TestCallersAreRefusedWithAReason(t *testing.T) {
	l := listen(t)
	for _, c := range []struct {
		name       string
		streamID   string
		passphrase string
		handshake  error // what Handshake finds
		refuse     error // what the server finds later
		code       int
	}{
		{"no stream ID", "", "", ingest.ErrBadRequest, nil, 1400},
		{"a name with dots", "publish:live/../etc", "", streamkey.ErrInvalid, nil, 1400},
		{"encrypted", "live/alice", "0123456789ab", ingest.ErrBadRequest, nil, 11},
		{"bidirectional", "#!::r=live/alice,m=bidirectional", "", errMode, nil, 1405},
		{"a file", "#!::r=live/alice,m=publish,t=file", "", errType, nil, 1415},
		{"kicked", "live/alice", "", nil, ingest.ErrKicked, 1403},
		{"nothing to play", "read:live/alice", "", nil, stream.ErrOffline, 1404},
		{"denied", "live/alice", "", nil, auth.ErrDenied, 1401},
		{"too many", "live/alice", "", nil, ingest.ErrTooLarge, 1402},
		{"a player", "read:live/alice", "", nil, ingest.ErrNotPlayable, 1405},
		{"busy", "live/alice", "", nil, stream.ErrBusy, 1409},
		{"closing", "live/alice", "", nil, ingest.ErrClosing, 1503},
		{"broken authorizer", "live/alice", "", nil, errors.New("connection refused"), 1500},
	} {
		t.Run(c.name, func(t *testing.T) {
			answer := dial(t, l, c.streamID, c.passphrase)
			conn, _, err := accept(t, l)
			if !errors.Is(err, c.handshake) || (err != nil) != (c.handshake != nil) {
				t.Fatalf("handshake: %v, want %v", err, c.handshake)
			}
			if err == nil {
				err = c.refuse
			}
			conn.Reject(err)
			// gosrt prints the code to base 32, as it is on the wire.
			if _, err := answer(); err == nil || !strings.Contains(err.Error(), "("+strconv.FormatInt(int64(1000+c.code), 32)+")") {
				t.Errorf("the caller sees %v, want %d", err, 1000+c.code)
			}
		})
	}
}

func TestRealCallersSeeTheRefusal(t *testing.T) {
	l := listen(t)
	for _, c := range []struct{ name, streamID string }{
		{"no stream ID", ""},
		{"a name with dots", "publish:live/../etc"},
	} {
		t.Run(c.name, func(t *testing.T) {
			output := client(t, "ffmpeg", "-v", "error", "-re", "-i", "../../testdata/video-only.flv", "-c", "copy", "-f", "mpegts", srtURL(l, c.streamID))
			conn, _, err := accept(t, l)
			if err == nil {
				t.Fatal("no error")
			}
			conn.Reject(err)
			// libsrt prints so when it knows the code.
			if out := output(); !strings.Contains(out, "Application-defined rejection reason") {
				t.Error(out)
			}
		})
	}
}

func TestLateDecision(t *testing.T) {
	for _, c := range []struct{ name, streamID, code string }{
		{"an encoder", "publish:live/alice", strconv.FormatInt(2402, 32)},
		{"a player", "request:live/alice", strconv.FormatInt(2404, 32)},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := listen(t)
			l.bounds.decision = 50 * time.Millisecond
			answer := dial(t, l, c.streamID, "")
			conn, _, err := accept(t, l)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := answer(); err == nil || !strings.Contains(err.Error(), "("+c.code+")") {
				t.Errorf("the caller sees %v, want %s", err, c.code)
			}
			if err := conn.Admit(); !errors.Is(err, errTooLate) {
				t.Error(err)
			}
			conn.Reject(errTooLate)
		})
	}
}

func TestBytesThatAreNoTransportStream(t *testing.T) {
	encoder, c := admitted(t, listen(t))
	var wait sync.WaitGroup
	defer wait.Wait()
	wait.Go(func() {
		random := rand.NewChaCha8([32]byte{1})
		b := make([]byte, 1316)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for range 2000 {
			random.Read(b)
			if _, err := encoder.Write(b); err != nil {
				return
			}
			<-tick.C
		}
	})
	_, err := c.ReadFrame()
	if !errors.Is(err, ingest.ErrBadRequest) {
		t.Error(err)
	}
	c.Reject(err)
}

func TestNoKnownTrack(t *testing.T) {
	l := listen(t)
	client(t, "ffmpeg", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=30", "-t", "20", "-c:v", "mpeg2video", "-f", "mpegts", srtURL(l, "live/alice"))
	c, _, err := accept(t, l)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Admit(); err != nil {
		t.Fatal(err)
	}
	_, err = c.ReadFrame()
	if !errors.Is(err, ingest.ErrNoTracks) || !strings.Contains(err.Error(), "MPEG-2 video (0x02)") {
		t.Error(err)
	}
}

func TestReadDeadline(t *testing.T) {
	_, c := admitted(t, listen(t))
	c.SetReadDeadline(time.Now().Add(time.Hour))
	c.SetReadDeadline(time.Time{})
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := c.ReadFrame(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	_, c = admitted(t, listen(t))
	c.SetReadDeadline(time.Unix(1, 0))
	if _, err := c.ReadFrame(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

func TestHowConnectionsEnd(t *testing.T) {
	t.Run("the encoder closes", func(t *testing.T) {
		encoder, c := admitted(t, listen(t))
		encoder.Close()
		if _, err := c.ReadFrame(); err != io.EOF {
			t.Error(err)
		}
	})
	t.Run("this side closes", func(t *testing.T) {
		_, c := admitted(t, listen(t))
		done := make(chan error)
		go func() {
			_, err := c.ReadFrame()
			done <- err
		}()
		c.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	t.Run("the listener closes", func(t *testing.T) {
		l := listen(t)
		encoder, c := admitted(t, l)
		l.Close()
		if _, err := c.ReadFrame(); !errors.Is(err, ingest.ErrClosing) {
			t.Error(err)
		}
		if _, err := encoder.Read(make([]byte, 1316)); err == nil {
			t.Error("the encoder was not told")
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	t.Run("the listener closes before the answer", func(t *testing.T) {
		l := listen(t)
		dial(t, l, "live/alice", "")
		c, _, err := accept(t, l)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		if err := c.Admit(); !errors.Is(err, ingest.ErrClosing) {
			t.Error(err)
		}
		c.Reject(ingest.ErrClosing)
	})
	t.Run("the encoder is cut off", func(t *testing.T) {
		t.Parallel()
		l := listen(t)
		_, c := muted(t, l)
		if _, err := c.ReadFrame(); !errors.Is(err, errCut) || errors.Is(err, io.EOF) {
			t.Error(err)
		}
	})
}

// muted gives a connection whose encoder's packets no longer arrive.
func muted(t *testing.T, l *Listener) (stop func(), c *conn) {
	t.Helper()
	server, err := net.ResolveUDPAddr("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	back, err := net.DialUDP("udp", nil, server)
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	var mu sync.Mutex
	var encoder *net.UDPAddr
	wait.Go(func() {
		b := make([]byte, 1500)
		for {
			n, from, err := front.ReadFromUDP(b)
			if err != nil {
				return
			}
			mu.Lock()
			encoder = from
			mu.Unlock()
			back.Write(b[:n])
		}
	})
	wait.Go(func() {
		b := make([]byte, 1500)
		for {
			n, err := back.Read(b)
			if err != nil {
				return
			}
			mu.Lock()
			to := encoder
			mu.Unlock()
			front.WriteToUDP(b[:n], to)
		}
	})
	stop = sync.OnceFunc(func() {
		front.Close()
		back.Close()
		wait.Wait()
	})
	t.Cleanup(stop)
	config := gosrt.DefaultConfig()
	config.StreamId = "live/alice"
	dialled := make(chan gosrt.Conn, 1)
	go func() {
		caller, _ := gosrt.Dial("srt", front.LocalAddr().String(), config)
		dialled <- caller
	}()
	ic, _, err := accept(t, l)
	if err == nil {
		err = ic.Admit()
	}
	caller := <-dialled
	if err != nil || caller == nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { caller.Close() })
	stop()
	return stop, ic.(*conn)
}

func TestTakenPort(t *testing.T) {
	l := listen(t)
	c := DefaultConfig()
	c.Listen = l.Addr().String()
	if _, err := Listen(c); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a second SRT listener: %v", err)
	}
	c.Listen = "127.0.0.1:none"
	if _, err := Listen(c); err == nil {
		t.Error("a port that is none")
	}
}

// TestGarbageOnThePort holds that datagrams that are no SRT harm nobody.
func TestGarbageOnThePort(t *testing.T) {
	l := listen(t)
	out, err := net.Dial("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	random := rand.NewChaCha8([32]byte{2})
	for n := range 500 {
		b := make([]byte, n)
		random.Read(b)
		if n > 16 && n%2 == 0 {
			// A handshake for nobody yet, and then anything.
			copy(b, []byte{0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5})
		}
		out.Write(b)
	}
	// The garbage may fill gosrt's backlog for a moment: libsrt asks again,
	// gosrt's own caller does not.
	client(t, "ffmpeg", "-v", "error", "-re", "-i", "../../testdata/video-only.flv", "-c", "copy", "-f", "mpegts", srtURL(l, "live/alice"))
	c, _, err := accept(t, l)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Admit(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ReadFrame(); err != nil {
		t.Error(err)
	}
}

// TestLifecycle runs the listener under the server: a second publisher of a
// key is refused, the first one's frames arrive, and the end leaves nothing.
func TestLifecycle(t *testing.T) {
	l := listen(t)
	changes := make(chan struct{}, 16)
	hub := stream.NewHub(stream.DefaultConfig(), func(streamkey.Key) { changes <- struct{}{} })
	config := ingest.DefaultConfig()
	config.Takeover = ingest.TakeoverReject
	server := ingest.NewServer(config, hub, auth.Open{}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, l) }()

	first := client(t, "ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", "-i", "../../testdata/h264-aac.flv", "-c", "copy", "-f", "mpegts", srtURL(l, "publish:live/alice"))
	<-changes
	key, _ := streamkey.Parse("live/alice")
	s, err := hub.Lookup(key)
	if err != nil {
		t.Fatal(err)
	}
	if s.Tracks().First(media.KindVideo) == nil || s.Tracks().First(media.KindAudio) == nil {
		t.Error("the stream is live without its tracks")
	}
	if _, err := dial(t, l, "publish:live/alice", "")(); err == nil || !strings.Contains(err.Error(), "("+strconv.FormatInt(2409, 32)+")") {
		t.Errorf("the second publisher sees %v", err)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	<-changes
	if out := first(); out == "" {
		t.Error("the encoder did not notice the end")
	}
}
