package srt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	gosrt "github.com/datarhei/gosrt"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/ingest/srt/srttest"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/mpegts"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// script is a feed of batches, each after a wait.
type script struct {
	batches [][]byte
	wait    time.Duration
	// endless feeds repeat the last batch.
	endless bool
	taken   int
}

func (s *script) Next(ctx context.Context, bufs [][]byte) ([][]byte, error) {
	if len(s.batches) == 0 {
		return nil, io.EOF
	}
	if s.taken++; s.taken > 1 {
		if err := pause(ctx, s.wait); err != nil {
			return nil, err
		}
	}
	b := s.batches[0]
	if !s.endless || len(s.batches) > 1 {
		s.batches = s.batches[1:]
	}
	return append(bufs[:0], b[:188], b[188:]), nil
}

// cut makes batches of a transport stream: the first share of it at once, the
// rest in so many parts that are no multiples of an SRT payload.
func cut(t *testing.T, file string, first float64, parts int) (whole []byte, batches [][]byte) {
	t.Helper()
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	n := int(float64(len(whole))*first) / 188 * 188
	batches = append(batches, whole[:n])
	for rest := whole[n:]; len(rest) > 0; {
		size := min(max((len(whole)-n)/parts/188, 2)*188, len(rest))
		if len(rest)-size < 2*188 {
			size = len(rest)
		}
		batches = append(batches, rest[:size])
		rest = rest[size:]
	}
	return whole, batches
}

// offline gives a stream that only has a name.
func offline(t *testing.T) *stream.Stream {
	t.Helper()
	key, err := streamkey.Parse("live/alice")
	if err != nil {
		t.Fatal(err)
	}
	pub, err := stream.NewHub(stream.DefaultConfig(), nil).Publish(key, stream.Source{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pub.Close)
	return pub.Stream()
}

// acceptPlayer takes the next caller, who must be a player.
func acceptPlayer(t *testing.T, l *Listener) *conn {
	t.Helper()
	c, r, err := accept(t, l)
	if err != nil || r.Action != auth.Play || r.Key.String() != "live/alice" {
		t.Fatal(r, err)
	}
	c.SetReadDeadline(time.Time{})
	return c.(*conn)
}

// framesOf demuxes a transport stream.
func framesOf(t *testing.T, ts []byte) (frames []media.Frame) {
	t.Helper()
	d := mpegts.NewDemuxer()
	if err := d.Write(ts); err != nil {
		t.Fatal(err)
	}
	d.Flush()
	for f, ok := d.Next(); ok; f, ok = d.Next() {
		frames = append(frames, f)
	}
	return frames
}

// TestPlayersGetEverything sends a stream, half of it at once as a long GOP is,
// to real players over good and bad networks.
func TestPlayersGetEverything(t *testing.T) {
	t.Parallel()
	lossy := srttest.Network{Loss: 0.03, Delay: 40 * time.Millisecond, Jitter: 10 * time.Millisecond, Seed: 5}
	for _, c := range []struct {
		program, passphrase string
		network             srttest.Network
	}{
		{"srt-live-transmit", "", srttest.Network{}},
		{"srt-live-transmit", "0123456789abcdef", lossy},
		{"ffmpeg", "0123456789abcdef", srttest.Network{}},
		{"ffmpeg", "", lossy},
	} {
		t.Run(c.program+", "+c.network.String(), func(t *testing.T) {
			t.Parallel()
			file, want := muxed(t, "h264-aac.flv", "20")
			whole, batches := cut(t, file, 0.5, 100)
			l := listenWith(t, func(config *Config) { config.Passphrase = c.passphrase })
			r := impair(t, l, c.network)
			url := srtURL(r, "#!::r=live/alice,m=request")
			if c.passphrase != "" {
				url += "&passphrase=" + c.passphrase
			}
			out := filepath.Join(t.TempDir(), "out.ts")
			finish := play(t, c.program, url, out)
			sc := acceptPlayer(t, l)
			if err := sc.play(t.Context(), offline(t), &script{batches: batches, wait: 20 * time.Millisecond}); err != nil {
				t.Error(err)
			}
			end, did := sc.Transport(), r.Figures(false)
			t.Logf("%+v, relay %+v", end, did)
			finish()
			got, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if c.program == "srt-live-transmit" && !bytes.Equal(got, whole) {
				t.Errorf("%d bytes came, %d were sent, the same up to %d", len(got), len(whole), common(got, whole))
			}
			checkPictures(t, framesOf(t, got), want, int(did.Never)*payloadSize/188)
			if end.Latency != 400*time.Millisecond || end.Dropped != 0 || end.Lost != 0 || end.Buffered != 0 {
				t.Errorf("%+v", end)
			}
			near(t, "packets", end.Packets, uint64(len(whole)/payloadSize), uint64(len(batches)), 0)
			near(t, "retransmitted", end.Retransmitted, did.Repeated, 20, 20)
			near(t, "RTT", end.RTT, 2*c.network.Delay+c.network.Jitter, 40*time.Millisecond, c.network.Jitter)
		})
	}
}

func common(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// checkPictures compares the data of the frames of each track, whose times a
// player may have moved. At the end some may be missing: that the last datagrams
// were lost shows only when something follows.
func checkPictures(t *testing.T, got, want []media.Frame, missing int) {
	t.Helper()
	for _, kind := range []media.Kind{media.KindVideo, media.KindAudio} {
		g, w := ofKind(got, kind), ofKind(want, kind)
		if len(g) > len(w) || len(g) < len(w)-missing {
			t.Errorf("%d frames of %v, want %d", len(g), kind, len(w))
		}
		for i := range min(len(g), len(w)) {
			if !bytes.Equal(g[i].Data, w[i].Data) {
				t.Errorf("frame %d of %v is another", i, kind)
				break
			}
		}
	}
}

func ofKind(frames []media.Frame, kind media.Kind) (of []media.Frame) {
	for _, f := range frames {
		if f.Track.Codec.Kind() == kind {
			of = append(of, f)
		}
	}
	return of
}

// player connects a player that acknowledges nothing.
func player(t *testing.T, l *Listener) (caller *srttest.Caller, c *conn) {
	t.Helper()
	var err error
	var wait sync.WaitGroup
	wait.Go(func() { caller, err = srttest.Call(l.Addr(), "request:live/alice", 0) })
	c = acceptPlayer(t, l)
	if err := c.Admit(); err != nil {
		t.Fatal(err)
	}
	if wait.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(caller.Hang)
	return caller, c
}

// rolling is a feed of 1 Mbit/s that never ends.
func rolling() *script {
	return &script{batches: [][]byte{make([]byte, payloadSize)}, wait: 10 * time.Millisecond, endless: true}
}

func TestHowPlayersEnd(t *testing.T) {
	t.Run("it takes nothing", func(t *testing.T) {
		t.Parallel()
		l := listen(t)
		l.bounds.unread = 1500 * time.Millisecond
		caller, c := player(t, l)
		stop := every(100*time.Millisecond, caller.KeepAlive)
		defer stop()
		begin := time.Now()
		if err := c.playAdmitted(t.Context(), offline(t), rolling()); !errors.Is(err, os.ErrDeadlineExceeded) || !errors.Is(err, errSlow) {
			t.Error(err)
		}
		if took := time.Since(begin); took < 1500*time.Millisecond || c.Transport().Dropped == 0 && took > 3*time.Second {
			t.Errorf("after %v: %+v", took, c.Transport())
		}
	})
	t.Run("it asks for the same packet without end", func(t *testing.T) {
		t.Parallel()
		l := listen(t)
		l.bounds.repeated = 4 << 10
		caller, c := player(t, l)
		var again []byte
		for range 360 {
			again = binary.BigEndian.AppendUint32(again, 1)
		}
		defer every(10*time.Millisecond, func() { caller.Control(3, 0, 0, again) })()
		if err := c.playAdmitted(t.Context(), offline(t), rolling()); !errors.Is(err, errNarrow) {
			t.Errorf("%v: %+v", err, c.Transport())
		}
	})
	t.Run("it says goodbye", func(t *testing.T) {
		t.Parallel()
		caller, c := player(t, listen(t))
		time.AfterFunc(50*time.Millisecond, caller.Leave)
		if err := c.playAdmitted(t.Context(), offline(t), rolling()); err != nil {
			t.Error(err)
		}
	})
	t.Run("it says goodbye to a stream that stands still", func(t *testing.T) {
		t.Parallel()
		caller, c := player(t, listen(t))
		time.AfterFunc(50*time.Millisecond, caller.Leave)
		f := rolling()
		f.wait = time.Hour
		if err := c.playAdmitted(t.Context(), offline(t), f); err != nil {
			t.Error(err)
		}
	})
	t.Run("it falls silent", func(t *testing.T) {
		t.Parallel()
		caller, c := player(t, listen(t))
		caller.Hang()
		if err := c.playAdmitted(t.Context(), offline(t), rolling()); !errors.Is(err, errCut) && !errors.Is(err, errSlow) {
			t.Error(err)
		}
	})
	t.Run("the server ends it", func(t *testing.T) {
		t.Parallel()
		_, c := player(t, listen(t))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		if err := c.playAdmitted(ctx, offline(t), rolling()); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	t.Run("the listener closes", func(t *testing.T) {
		t.Parallel()
		l := listen(t)
		_, c := player(t, l)
		time.AfterFunc(50*time.Millisecond, func() { l.Close() })
		if err := c.playAdmitted(t.Context(), offline(t), rolling()); !errors.Is(err, ingest.ErrClosing) {
			t.Error(err)
		}
	})
	t.Run("it is gone before it begins", func(t *testing.T) {
		t.Parallel()
		l := listen(t)
		answer := dial(t, l, "request:live/alice", "")
		c := acceptPlayer(t, l)
		c.Close()
		if err := c.play(t.Context(), offline(t), rolling()); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if _, err := answer(); err == nil {
			t.Error("it was let in")
		}
	})
}

// TestStuckPlayer has a real player whose own reader is stuck.
func TestStuckPlayer(t *testing.T) {
	t.Parallel()
	l := listen(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	start(t, nil, w, "srt-live-transmit", "-q", "-a:no", "-t", "40", srtURL(l, "request:live/alice")+"&rcvbuf=300000&fc=200", "file://con")
	c := acceptPlayer(t, l)
	f := rolling()
	f.batches[0] = make([]byte, 8*payloadSize)
	begin := time.Now()
	err = c.play(t.Context(), offline(t), f)
	// libsrt whose buffer is full says nothing at all any more.
	if took := time.Since(begin); !errors.Is(err, errSlow) && !errors.Is(err, errCut) || took > 15*time.Second {
		t.Errorf("%v after %v, %+v", err, took, c.Transport())
	}
}

// TestNarrowLine has a player on a line that carries half of the stream.
func TestNarrowLine(t *testing.T) {
	t.Parallel()
	l := listen(t)
	r := impair(t, l, srttest.Network{Rate: 250e3, Delay: 20 * time.Millisecond})
	play(t, "srt-live-transmit", srtURL(r, "request:live/alice"), os.DevNull)
	c := acceptPlayer(t, l)
	f := rolling() // 4 Mbit/s
	f.batches[0] = make([]byte, 4*payloadSize)
	begin := time.Now()
	err := c.play(t.Context(), offline(t), f)
	if took := time.Since(begin); !errors.Is(err, errNarrow) || !errors.Is(err, os.ErrDeadlineExceeded) || took > 25*time.Second {
		t.Errorf("%v after %v: %+v, relay %+v", err, took, c.Transport(), r.Figures(false))
	}
}

// TestStreamThatStandsStill holds that players stay while an encoder is away
// for longer than SRT's patience with silence.
func TestStreamThatStandsStill(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"srt-live-transmit", "ffmpeg"} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			file, want := muxed(t, "h264-aac.flv", "8")
			whole, batches := cut(t, file, 0.5, 1)
			l := listen(t)
			out := filepath.Join(t.TempDir(), "out.ts")
			finish := play(t, program, srtURL(l, "request:live/alice"), out)
			if err := acceptPlayer(t, l).play(t.Context(), offline(t), &script{batches: batches, wait: peerIdle * 3 / 2}); err != nil {
				t.Error(err)
			}
			finish()
			got, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if program == "srt-live-transmit" && !bytes.Equal(got, whole) {
				t.Errorf("%d bytes came, %d were sent, the same up to %d", len(got), len(whole), common(got, whole))
			}
			checkPictures(t, framesOf(t, got), want, 0)
		})
	}
}

// play records what a program gets. The returned function waits for its end.
func play(t *testing.T, program, url, out string) (finish func()) {
	t.Helper()
	if program == "ffmpeg" {
		wait := client(t, "ffmpeg", "-v", "error", "-i", url+"&latency=400000", "-map", "0", "-c", "copy", "-f", "mpegts", out)
		return func() { wait() }
	}
	f, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return start(t, nil, f, "srt-live-transmit", "-q", "-a:no", "-t", "30", url+"&latency=400", "file://con")
}

// every calls do until it is stopped.
func every(d time.Duration, do func()) (stop func()) {
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		tick := time.NewTicker(d)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				do()
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		wait.Wait()
	}
}

// TestSmallMTU holds that a player behind a narrow tunnel gets whole packets.
func TestSmallMTU(t *testing.T) {
	l := listen(t)
	config := gosrt.DefaultConfig()
	config.StreamId, config.MSS, config.PayloadSize = "request:live/alice", 700, 700-headers
	dialled := make(chan gosrt.Conn, 1)
	go func() {
		reader, err := gosrt.Dial("srt", l.Addr().String(), config)
		if err != nil {
			t.Error(err)
		}
		dialled <- reader
	}()
	c := acceptPlayer(t, l)
	var sizes []uint64
	var wait sync.WaitGroup
	wait.Go(func() {
		reader := <-dialled
		for p, err := reader.ReadPacket(); err == nil; p, err = reader.ReadPacket() {
			sizes = append(sizes, p.Len())
		}
	})
	if err := c.play(t.Context(), offline(t), &script{batches: [][]byte{make([]byte, 7*188)}}); err != nil {
		t.Error(err)
	}
	c.Close()
	wait.Wait()
	if want := []uint64{3 * 188, 3 * 188, 188}; !slices.Equal(sizes, want) {
		t.Errorf("packets of %d bytes, want %d", sizes, want)
	}
}

// TestPace holds that what was there before is sent no faster than four times
// as fast as it plays, or 8 Mbit/s, and that nothing overflows.
func TestPace(t *testing.T) {
	t.Parallel()
	l := listen(t)
	answer := dial(t, l, "request:live/alice", "")
	c := acceptPlayer(t, l)
	const packets = 3000
	f := &script{batches: [][]byte{make([]byte, packets*payloadSize)}}
	var got, most int
	var wait sync.WaitGroup
	wait.Go(func() {
		reader, err := answer()
		if err != nil {
			return
		}
		for begin, n := time.Now(), 0; ; n++ {
			p, err := reader.ReadPacket()
			if err != nil {
				return
			}
			got++
			p.Decommission()
			if time.Since(begin) > 100*time.Millisecond {
				begin, n = time.Now(), 0
			}
			most = max(most, n)
		}
	})
	begin := time.Now()
	err := c.play(t.Context(), offline(t), f)
	took := time.Since(begin)
	c.Close()
	wait.Wait()
	// 760 packets a second are 8 Mbit/s.
	if err != nil || got != packets || took < 3700*time.Millisecond || most > burst+2*80 {
		t.Errorf("%v: %d packets in %v, up to %d in 100 ms", err, got, took, most)
	}
}
