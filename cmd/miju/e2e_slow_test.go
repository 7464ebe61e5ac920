package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"github.com/miju-live/miju/ingest/rtmp/client"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/flv"
	"github.com/miju-live/miju/remux/mpegts"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// The protocols of viewers whose connection holds back what they do not take.
var backpressured = []string{"HTTP-FLV", "HTTP/2 FLV", "WebSocket-FLV", "HTTP-TS", "RTMP"}

// habit is how a viewer reads.
type habit struct {
	// rate is in bytes a second; 0 reads everything.
	rate int
	// stops is after how many bytes it reads no more; 0 is never.
	stops int
}

// habitual is a connection that is read by habit.
type habitual struct {
	net.Conn
	habit
	read   int
	begun  time.Time
	tick   *time.Ticker
	closed chan struct{}
	close  sync.Once
}

// dialHabitual connects with room for little in the kernel, so that the habit
// shows soon, unless it is to read everything.
func dialHabitual(ctx context.Context, addr string, h habit) (*habitual, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if h != (habit{}) {
		if err := c.(*net.TCPConn).SetReadBuffer(16 << 10); err != nil {
			c.Close()
			return nil, err
		}
	}
	return &habitual{Conn: c, habit: h, begun: time.Now(), tick: time.NewTicker(20 * time.Millisecond), closed: make(chan struct{})}, nil
}

func (c *habitual) Close() error {
	c.close.Do(func() {
		close(c.closed)
		c.tick.Stop()
	})
	return c.Conn.Close()
}

func (c *habitual) Read(b []byte) (int, error) {
	if c.stops > 0 && c.read >= c.stops {
		<-c.closed
		return 0, net.ErrClosed
	}
	for c.rate > 0 {
		if free := int(time.Since(c.begun).Seconds()*float64(c.rate)) - c.read; free > 0 {
			b = b[:min(len(b), free)]
			break
		}
		select {
		case <-c.tick.C:
		case <-c.closed:
			return 0, net.ErrClosed
		}
	}
	n, err := c.Conn.Read(b)
	c.read += n
	return n, err
}

type closer func()

func (c closer) Close() error { c(); return nil }

// picture is what an onlooker sees.
type picture struct {
	dts          time.Duration
	randomAccess bool
}

// pictures connects as a viewer of live/x, and returns what brings one picture
// after the other.
func (s *testServer) pictures(ctx context.Context, protocol string, h habit) (func() (picture, error), io.Closer, error) {
	addr := s.http.Addr().String()
	if protocol == "RTMP" {
		addr = s.rtmp.Addr().String()
	}
	c, err := dialHabitual(ctx, addr, h)
	if err != nil {
		return nil, nil, err
	}
	switch protocol {
	case "RTMP":
		d := client.Dialer{DialContext: func(context.Context, string, string) (net.Conn, error) { return c, nil }}
		player, err := d.Dial(ctx, s.rtmpURL("x"))
		if err == nil {
			err = player.Play(ctx)
		}
		return func() (picture, error) {
			return nextPicture(func() (media.Frame, error) { return player.ReadFrame(ctx) })
		}, c, err
	case "WebSocket-FLV":
		r, w := io.Pipe()
		socket, _, err := gws.NewClientFromConn(webSocketBody{w: w}, &gws.ClientOption{Addr: "ws://" + addr + "/live/x.flv"}, c)
		if err != nil {
			return nil, c, err
		}
		done := make(chan struct{})
		go func() { defer close(done); socket.ReadLoop() }()
		return flvPictures(r), closer(func() { r.Close(); c.Close(); <-done }), nil
	}
	if protocol == "HTTP/2 FLV" {
		tr := &http.Transport{Protocols: new(http.Protocols), DialContext: func(context.Context, string, string) (net.Conn, error) { return c, nil }}
		tr.Protocols.SetUnencryptedHTTP2(true)
		r, err := http.NewRequestWithContext(ctx, "GET", s.url("/live/x.flv"), nil)
		if err != nil {
			return nil, c, err
		}
		w, err := tr.RoundTrip(r)
		if err != nil {
			return nil, c, err
		}
		if w.StatusCode != http.StatusOK || w.ProtoMajor != 2 {
			return nil, c, errors.New(w.Status + " by " + w.Proto)
		}
		return flvPictures(w.Body), closer(func() { w.Body.Close(); c.Close(); tr.CloseIdleConnections() }), nil
	}
	path := map[string]string{"HTTP-FLV": "/live/x.flv", "HTTP-TS": "/live/x.ts"}[protocol]
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, r.Status)
	}
	if err != nil {
		return nil, c, err
	}
	if protocol == "HTTP-FLV" {
		return flvPictures(r.Body), c, nil
	}
	return tsPictures(r.Body), c, nil
}

func nextPicture(next func() (media.Frame, error)) (picture, error) {
	for {
		f, err := next()
		if err != nil || f.Track.Kind() == media.KindVideo {
			return picture{f.DTS, f.RandomAccess}, err
		}
	}
}

func flvPictures(body io.Reader) func() (picture, error) {
	r := flv.NewReader(body)
	return func() (picture, error) {
		for {
			typ, ts, tag, err := r.ReadTag()
			if err != nil || typ == flv.TypeVideo && len(tag) > 1 && tag[1] == 1 {
				return picture{ts, err == nil && tag[0]>>4 == 1}, err
			}
		}
	}
}

func tsPictures(body io.Reader) func() (picture, error) {
	d := mpegts.NewDemuxer()
	packets := make([]byte, 7*188)
	return func() (picture, error) {
		return nextPicture(func() (media.Frame, error) {
			for {
				if f, ok := d.Next(); ok {
					return f, nil
				}
				if _, err := io.ReadFull(body, packets); err != nil {
					return media.Frame{}, err
				}
				if err := d.Write(packets); err != nil {
					return media.Frame{}, err
				}
			}
		})
	}
}

// onlooker is a viewer that notes what it sees.
type onlooker struct {
	protocol string
	// count is of pictures, jumps of gaps between two of them that end at a
	// random access point, torn of all other disorder.
	count, jumps, torn atomic.Int64
	// newest is its newest picture's DTS, late the longest that it fell behind
	// the stream since its first picture.
	newest, late atomic.Int64
	gone         chan struct{}
}

// look has a viewer watch until it is cut off, or the test ends.
func (s *testServer) look(t *testing.T, live *stream.Stream, protocol string, h habit) *onlooker {
	t.Helper()
	next, conn, err := s.pictures(t.Context(), protocol, h)
	if err != nil {
		t.Fatal(protocol, err)
	}
	o := &onlooker{protocol: protocol, gone: make(chan struct{})}
	go func() {
		defer close(o.gone)
		o.watch(live, next)
	}()
	t.Cleanup(func() {
		conn.Close()
		<-o.gone
	})
	return o
}

func (o *onlooker) watch(live *stream.Stream, next func() (picture, error)) {
	first, err := next()
	if err != nil {
		return
	}
	behind := live.Newest() - first.dts
	for last := first; ; {
		o.count.Add(1)
		o.newest.Store(int64(last.dts))
		o.late.Store(max(o.late.Load(), int64(live.Newest()-last.dts-behind)))
		p, err := next()
		if err != nil {
			return
		}
		switch d := p.dts - last.dts; {
		case d > 30*time.Millisecond && d < 40*time.Millisecond:
		case d > 0 && p.randomAccess:
			o.jumps.Add(1)
		default:
			o.torn.Add(1)
		}
		last = p
	}
}

// checkHealthy holds a viewer that reads everything to having all of it.
func (o *onlooker) checkHealthy(t *testing.T, most time.Duration) {
	t.Helper()
	if late := time.Duration(o.late.Load()); o.jumps.Load()+o.torn.Load() > 0 || late > most {
		t.Errorf("%s beside slow viewers: %d pictures, %d jumps, %d torn, up to %v late", o.protocol, o.count.Load(), o.jumps.Load(), o.torn.Load(), late)
	}
}

// A viewer that reads a tenth of the stream jumps to the newest random access
// point, as often as need be; one that stops reading is disconnected; and one
// beside them notices nothing.
func TestSlowViewers(t *testing.T) {
	const timeout, lag = 3 * time.Second, 3 * time.Second
	s := start(t, func(c *config) {
		c.Stream.MaxLag = lag
		c.Origin.WriteTimeout, c.RTMP.WriteTimeout = timeout, timeout
	})
	const pictureBytes = 100_000
	live := s.publishPictures(t, pictureBytes)
	var healthy, slow []*onlooker
	for _, p := range backpressured {
		healthy = append(healthy, s.look(t, live, p, habit{}))
		slow = append(slow, s.look(t, live, p, habit{rate: pictureBytes * 30 / 10}))
		s.look(t, live, p, habit{stops: 50_000})
	}
	waitFor(t, "those that stopped to be disconnected", func() bool { return s.hub.Stats().Viewers == int64(len(healthy)+len(slow)) })
	waitFor(t, "them to be counted as slow", func() bool {
		return s.metric(t, "miju_slow_viewers_total") == 4 && s.log.count("viewer was too slow") == 4
	})
	waitFor(t, "the RTMP player to be counted as slow", func() bool {
		return s.metric(t, `miju_players_ended_total{admitted="true",protocol="rtmp",reason="timeout"}`) == 1
	})
	for _, o := range slow {
		waitFor(t, o.protocol+" to jump", func() bool { return o.jumps.Load() > 0 })
		if o.torn.Load() > 0 {
			t.Errorf("%s: not all jumps end at a random access point", o.protocol)
		}
	}
	if n := s.metric(t, "miju_reader_skips_total"); n < float64(len(slow)) {
		t.Errorf("%v jumps are counted", n)
	}
	now := live.Newest()
	for _, o := range healthy {
		first := o.newest.Load()
		waitFor(t, o.protocol+" to go on", func() bool { return o.newest.Load() > first && live.Newest() > now+lag })
		o.checkHealthy(t, lag)
	}
	if n := s.hub.Stats().Viewers; n != int64(len(healthy)+len(slow)) {
		t.Errorf("%d viewers are left", n)
	}
	// Each of the healthy takes 24 Mbit/s, by each of the ways that bytes are counted.
	waitFor(t, "what they take to be measured", func() bool {
		r := s.hub.Stats().EgressRate
		return r > float64(len(healthy))*20e6 && r < float64(len(healthy)+len(slow))*30e6
	})
}

// TestSoakStuckCrowd has two hundred viewers stop at once, again and again,
// beside some that read on.
func TestSoakStuckCrowd(t *testing.T) {
	if os.Getenv("MIJU_SOAK") == "" {
		t.Skip("only in make soak")
	}
	s := start(t, func(c *config) {
		c.Stream.MaxLag = 3 * time.Second
		c.Origin.WriteTimeout, c.RTMP.WriteTimeout = 6*time.Second, 6*time.Second
	})
	const pictureBytes, each, crowd, rounds = 10_400, 5, 200, 4
	live := s.publishPictures(t, pictureBytes)
	var healthy []*onlooker
	for _, p := range backpressured {
		for range each {
			healthy = append(healthy, s.look(t, live, p, habit{}))
		}
	}
	before := heap()
	for round := range rounds {
		var all []io.Closer
		for i := range crowd {
			protocol := backpressured[i%len(backpressured)]
			_, conn, err := s.pictures(t.Context(), protocol, habit{stops: 50_000})
			if err != nil {
				t.Fatal(protocol, err)
			}
			all = append(all, conn)
		}
		most := uint64(0)
		waitFor(t, "all to be disconnected", func() bool {
			most = max(most, heap())
			return s.hub.Stats().Viewers == int64(len(healthy))
		})
		for _, c := range all {
			c.Close()
		}
		// A stream of 3 Mbit/s brings 1.1 MiB in the time that it may lag.
		held, may := most-min(before, most), uint64(crowd*(128<<10+96<<10)+4<<20)
		t.Logf("round %d: %d viewers hold %d KiB at most, each %d bytes", round, crowd, held>>10, held/crowd)
		if held > may {
			t.Errorf("they may hold %d KiB", may>>10)
		}
	}
	if n := s.metric(t, "miju_slow_viewers_total"); n != rounds*crowd*4/5 {
		t.Errorf("%v viewers of HTTP are counted as slow", n)
	}
	worst := time.Duration(0)
	for _, o := range healthy {
		first := o.newest.Load()
		waitFor(t, o.protocol+" to go on", func() bool { return o.newest.Load() > first })
		o.checkHealthy(t, 2*time.Second)
		worst = max(worst, time.Duration(o.late.Load()))
	}
	t.Logf("the healthy were up to %v late", worst)
}

// What viewers that take nothing hold in memory is bounded by how far they may
// lag, however many they are, in as many places, and however long they may stay.
func TestStuckViewersHoldLittle(t *testing.T) {
	s := start(t, func(c *config) {
		c.Stream.MaxLagMiB = 4
		c.Origin.WriteTimeout, c.RTMP.WriteTimeout = time.Minute, time.Minute
	})
	key, err := streamkey.Join("live", "x")
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.hub.Publish(key, stream.Source{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	source := &mediatest.Source{Video: mediatest.H264Track(1), GOP: 30, FrameBytes: 20_000}
	before := heap()
	const rounds = 20
	viewers := 0
	for range rounds {
		for range 800 {
			p.Write(source.Next())
		}
		for _, protocol := range backpressured {
			_, conn, err := s.pictures(t.Context(), protocol, habit{stops: 50_000})
			if err != nil {
				t.Fatal(protocol, err)
			}
			defer conn.Close()
			viewers++
		}
	}
	// A batch and a frame for each, with the goroutines and buffers of both ends
	// of its connection, and for all together what they may lag and a GOP.
	most := uint64(viewers*(128<<10+20<<10+96<<10) + 4<<20 + 2*30*20_000)
	var held uint64
	waitFor(t, fmt.Sprintf("less than %d KiB to be held", most>>10), func() bool {
		now := heap()
		held = now - min(before, now)
		return held < most
	})
	written := s.hub.Stats().Bytes
	t.Logf("%d MiB written, %d KiB held by %d viewers, of %d KiB that may be", written>>20, held>>10, viewers, most>>10)
	if n := s.hub.Stats().Viewers; n != int64(viewers) || written < 8*most {
		t.Errorf("%d viewers of %d, %d MiB written", n, viewers, written>>20)
	}
}
