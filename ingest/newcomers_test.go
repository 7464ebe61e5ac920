package ingest

import (
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/media"
)

// TestOneAddressHoldsNotAllPlaces: connections that bring nothing use up the
// places of their own address only, until they bring something or go.
func TestOneAddressHoldsNotAllPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, auth.Open{})
		defer b.stop()
		b.server.config.MaxNewcomers = 3
		n := 0
		from := func(ip net.IP) *scripted {
			n++
			c := newScripted(fmt.Sprintf("live/x%d", n))
			c.remote = &net.TCPAddr{IP: ip, Port: n}
			c.tracks, c.complete = []*media.Track{video}, true
			b.conns <- c
			synctest.Wait()
			return c
		}
		connect := func(host byte) *scripted { return from(net.IPv4(192, 0, 2, host)) }
		refused := func(c *scripted) bool {
			select {
			case <-c.closed:
				return true
			default:
				return false
			}
		}
		first := []*scripted{connect(1), connect(1), connect(1)}
		if c := connect(1); !refused(c) || b.last(t).Reason != ReasonTooLarge {
			t.Errorf("a fourth: %+v", b.last(t))
		}
		other := connect(2)
		if refused(other) {
			t.Error("another address is refused")
		}
		b.send(first[0], in{video, 0, 0, 0}.frame())
		synctest.Wait()
		next := connect(1)
		if refused(next) {
			t.Error("refused though one has brought a frame")
		}
		close(first[1].frames)
		synctest.Wait()
		if c := connect(1); refused(c) {
			t.Error("refused though one has gone")
		}
		if c := connect(1); !refused(c) {
			t.Error("there are three again")
		}
		for i := range 4 { // of one house
			if c := from(net.ParseIP(fmt.Sprintf("2001:db8::1:%x", i))); refused(c) != (i == 3) {
				t.Errorf("%d of one /64", i)
			}
		}
	})
}

// TestFramesOfOnePublisherAreBounded: what comes faster than codecs can waits.
func TestFramesOfOnePublisherAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, n := time.Now(), 0
		var p pacer
		for time.Since(begun) < 10*time.Second {
			p.wait(t.Context(), time.Now())
			n++
			if n%100 == 0 {
				time.Sleep(time.Millisecond) // 100,000 a second, if nothing held them
			}
		}
		if n < 9*maxFrameRate || n > 11*maxFrameRate {
			t.Errorf("%d frames in ten seconds", n)
		}
		begun = time.Now()
		for range 10 * 9000 { // what many tracks bring
			p.wait(t.Context(), time.Now())
			time.Sleep(time.Second / 9000)
		}
		if passed := time.Since(begun); passed > 10100*time.Millisecond {
			t.Errorf("ten seconds of many tracks took %v", passed)
		}
	})
}
