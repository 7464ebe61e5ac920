package srt

import (
	"io"
	"testing"
	"time"

	gosrt "github.com/datarhei/gosrt"

	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/ingest/srt/srttest"
	"github.com/miju-live/miju/media"
)

// impair puts a bad network before l.
func impair(t *testing.T, l *Listener, n srttest.Network) *srttest.Relay {
	t.Helper()
	r, err := srttest.NewRelay(l.Addr(), n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// near fails unless got is want but for what is allowed.
func near[T uint64 | time.Duration](t *testing.T, what string, got, want, above, below T) {
	t.Helper()
	if got > want+above || got+below < want {
		t.Errorf("%s: %v, want %v (up to %v more or %v less)", what, got, want, above, below)
	}
}

// readWatched reads frames up to the end and averages what Transport says of
// the time and the buffer, after the first third of so many frames. It tells
// what was dropped until shortly before the end.
func readWatched(c *conn, n int) (frames []media.Frame, mean ingest.Transport, err error) {
	samples := time.Duration(0)
	for {
		f, err := c.ReadFrame()
		if err != nil {
			mean.RTT /= max(samples, 1)
			mean.Buffered /= max(samples, 1)
			return frames, mean, err
		}
		frames = append(frames, f)
		if len(frames) > n/3 && len(frames) < n-100 {
			t := c.Transport()
			mean.RTT += t.RTT
			mean.Buffered += t.Buffered
			mean.Dropped = t.Dropped
			samples++
		}
	}
}

// TestLossyNetwork pushes through networks that SRT must make good for, and
// holds the figures against what the relay did.
func TestLossyNetwork(t *testing.T) {
	t.Parallel()
	life := map[string]string{"20": "23", "8": "11"}
	clean := srttest.Network{Seed: 1}
	lossy := srttest.Network{Loss: 0.03, Delay: 40 * time.Millisecond, Jitter: 10 * time.Millisecond, Seed: 2}
	for _, c := range []struct {
		program, seconds string
		network          srttest.Network
	}{
		{"srt-live-transmit", "20", lossy},
		{"ffmpeg", "20", lossy},
		{"srt-live-transmit", "8", clean},
		{"srt-live-transmit", "8", srttest.Network{Loss: 0.01, Delay: 10 * time.Millisecond, Jitter: 10 * time.Millisecond, Seed: 3, Reorder: true}},
	} {
		t.Run(c.program+", "+c.network.String(), func(t *testing.T) {
			t.Parallel()
			n := c.network
			file, want := muxed(t, "h264-aac.flv", c.seconds)
			l := listen(t)
			r := impair(t, l, n)
			if url := srtURL(r, "publish:live/alice"); c.program == "ffmpeg" {
				client(t, "ffmpeg", "-v", "error", "-readrate", "1", "-i", file, "-c", "copy", "-f", "mpegts", url+"&latency=400000")
			} else {
				transmit(t, file, "1", life[c.seconds], url+"&latency=400")
			}
			ic, _, err := accept(t, l)
			if err == nil {
				err = ic.Admit()
			}
			if err != nil {
				t.Fatal(err)
			}
			sc := ic.(*conn)
			sc.SetReadDeadline(time.Now().Add(50 * time.Second))
			got, mean, err := readWatched(sc, len(want))
			if err != io.EOF {
				t.Errorf("the end is %v, want io.EOF", err)
			}
			if c.program == "ffmpeg" && len(got) > 30 {
				// It leaves at once, and nobody sends again what was lost last.
				got, want = got[:len(got)-30], want[:len(want)-30]
			}
			checkFrames(t, got, want)
			checkFigures(t, sc, mean, r.Figures(true), n)
		})
	}
}

// checkFigures compares what is told of a connection with what the relay saw.
func checkFigures(t *testing.T, c *conn, mean ingest.Transport, did srttest.Figures, n srttest.Network) {
	t.Helper()
	end := c.Transport()
	var st gosrt.Statistics
	c.srt.Stats(&st)
	t.Logf("mean %+v, end %+v, relay %+v, gosrt's loss %d and drop %d", mean, end, did, st.Accumulated.PktRecvLoss, st.Accumulated.PktRecvDrop)
	// What an encoder lost last before it left is never sent again.
	if end.Latency != 400*time.Millisecond || mean.Dropped != 0 || end.Dropped > did.Never {
		t.Errorf("latency %v, %d dropped", end.Latency, end.Dropped)
	}
	// The last packets may be sent again when nobody reads any more.
	near(t, "packets", end.Packets, did.Passed-did.Repeated+did.Lost-did.Never, 0, 20)
	near(t, "lost", end.Lost, did.Lost, 0, 20)
	near(t, "retransmitted", end.Retransmitted, did.Repeated, 0, 20)
	near(t, "RTT", mean.RTT, 2*n.Delay+n.Jitter, 30*time.Millisecond, n.Jitter)
	// What the network takes is not in the buffer, and what comes again a
	// round trip later is.
	near(t, "buffered", mean.Buffered, end.Latency, end.Latency/5, end.Latency/4)
}

// TestOutage cuts a lossy network for 2 s: the stream goes on, and what it
// missed is told.
func TestOutage(t *testing.T) {
	t.Parallel()
	file, want := muxed(t, "h264-aac.flv", "12")
	l := listen(t)
	r := impair(t, l, srttest.Network{Loss: 0.1, Delay: 20 * time.Millisecond, Jitter: 5 * time.Millisecond, Seed: 4})
	transmit(t, file, "1", "15", srtURL(r, "publish:live/alice")+"&latency=400")
	ic, _, err := accept(t, l)
	if err == nil {
		err = ic.Admit()
	}
	if err != nil {
		t.Fatal(err)
	}
	c := ic.(*conn)
	c.SetReadDeadline(time.Now().Add(50 * time.Second))
	var frames int
	var longest time.Duration
	var last media.Frame
	for {
		f, err := c.ReadFrame()
		if err != nil {
			if err != io.EOF {
				t.Errorf("the end is %v, want io.EOF", err)
			}
			break
		}
		if frames++; frames == len(want)/3 {
			r.Cut(true)
			time.AfterFunc(2*time.Second, func() { r.Cut(false) })
		}
		longest = max(longest, f.Arrival.Sub(last.Arrival)*time.Duration(min(frames-1, 1)))
		last = f
	}
	end, did := c.Transport(), r.Figures(true)
	t.Logf("%d of %d frames, the last at %v of %v, %v without any; %+v, relay %+v", frames, len(want), last.DTS, want[len(want)-1].DTS, longest, end, did)
	if last.DTS < want[len(want)-1].DTS-time.Second || frames < len(want)*3/4 || frames > len(want)*29/30 {
		t.Error("the stream did not go on, or missed nothing")
	}
	// Up to a latency of it is made good afterwards.
	near(t, "the silence", longest, 2*time.Second, 1500*time.Millisecond, 500*time.Millisecond)
	// Some came too late.
	near(t, "dropped", end.Dropped, did.Never, did.Never/4+10, 2)
	near(t, "lost", end.Lost, did.Lost, 40, 20)
}
