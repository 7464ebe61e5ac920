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

// TestStrangersKeepNobodyOut: connections that do not say what they want take no
// place of a publisher's, and when they are too many the oldest of the address with the
// most of them goes.
func TestStrangersKeepNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, auth.Open{})
		defer b.stop()
		b.server.config.MaxPublishers, b.server.config.MaxPlayers, b.server.config.MaxNewcomers = 2, 8, 6
		b.server.config.HandshakeTimeout = time.Hour
		n := 0
		connect := func(host byte, silent bool) *scripted {
			n++
			c := newScripted(fmt.Sprintf("live/x%d", n))
			c.remote, c.silent = &net.TCPAddr{IP: net.IPv4(192, 0, 2, host), Port: n}, silent
			c.tracks, c.complete = []*media.Track{video}, true
			b.conns <- c
			time.Sleep(time.Millisecond) // or they are all as old
			synctest.Wait()
			return c
		}
		gone := func(c *scripted) bool {
			select {
			case <-c.closed:
				return true
			default:
				return false
			}
		}
		var many, few []*scripted
		for range 6 {
			many = append(many, connect(1, true))
		}
		for range 3 {
			few = append(few, connect(2, true))
		}
		slow := connect(3, true)
		for range 3 { // they are ten
			if c := connect(1, true); !gone(c) || b.last(t).Reason != ReasonTooLarge {
				t.Errorf("a seventh of an address: %+v", b.last(t))
			}
		}
		for i := range 2 {
			if c := connect(4, false); gone(c) || !c.admitted {
				t.Errorf("publisher %d: %v", i, c.rejected)
			}
		}
		for i, want := range []bool{true, false} { // it made room, and that of the first publisher was free again
			if gone(many[i]) != want {
				t.Errorf("%d of the many: gone %v", i, !want)
			}
		}
		if e := b.server.Recent(); e[len(e)-1].Reason != ReasonTooLarge || many[0].rejected == nil {
			t.Errorf("%+v", e[len(e)-1])
		}
		if c := connect(4, false); !gone(c) || c.admitted || b.last(t).Reason != ReasonTooLarge {
			t.Errorf("a third publisher: %+v", b.last(t))
		}
		for range 50 { // whoever comes in a loop
			connect(1, true)
		}
		for _, c := range append(few, slow) {
			if gone(c) {
				t.Error("who has few had to go")
			}
		}
		// From everywhere: the oldest go.
		var all []*scripted
		for host := range byte(20) {
			all = append(all, connect(100+host, true))
		}
		for i, c := range all {
			if gone(c) != (i < 10) {
				t.Errorf("%d of everywhere: gone %v", i, gone(c))
			}
		}
		if !gone(slow) {
			t.Error("the slow one is still there")
		}
		if b.server.newcomers.strangers != 10 {
			t.Errorf("%d strangers", b.server.newcomers.strangers)
		}
		for _, c := range all {
			c.deadline.Set(time.Unix(1, 0))
		}
		synctest.Wait()
		if c := &b.server.newcomers; c.strangers != 0 || len(c.of) != 1 { // the publishers'
			t.Errorf("%d strangers, %d addresses", c.strangers, len(c.of))
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
