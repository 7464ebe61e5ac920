package ingest

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
)

// weighty is an encoder that sends more than frames.
type weighty struct {
	*scripted
	received uint64
}

func (c *weighty) Received() uint64 { return c.received }

func TestBitrateOfAPublisher(t *testing.T) {
	const limit = 1000 // bytes a second
	for _, c := range []struct {
		name  string
		rate  func(second int) uint64
		after int // seconds until it ends; 0: never
	}{
		{"just as much", func(int) uint64 { return limit }, 0},
		{"twice as much", func(int) uint64 { return 2 * limit }, 11},
		{"a tenth more", func(int) uint64 { return limit * 11 / 10 }, 90},
		{"catching up", func(s int) uint64 { return uint64(s / 50 % 2 * (1 - min(1, s%50)) * 9 * limit) }, 0},
		{"all at once", func(int) uint64 { return 20 * limit }, 1},
	} {
		b := bitrate{limit: limit}
		now, total, ended := time.Unix(1e9, 0), uint64(0), 0
		b.note(now, 0)
		for s := 1; s < 1000 && ended == 0; s++ {
			total += c.rate(s)
			if err := b.note(now.Add(time.Duration(s)*time.Second), total); errors.Is(err, ErrBitrate) {
				ended = s
			}
		}
		if d := ended - c.after; d < -1 || d > 1 {
			t.Errorf("%s: ended after %d s, want %d", c.name, ended, c.after)
		}
	}
}

// TestPublisherOverItsBitrate is told, classed by its own reason, and its stream
// waits for it to come back with less.
func TestPublisherOverItsBitrate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, grantFunc(func(auth.Request) (auth.Grant, error) { return auth.Grant{MaxBitrate: 800}, nil }))
		b.server.config.MaxPublishBitrate, b.server.config.MaxIngest = 8000, 1
		defer b.stop()
		c := &weighty{scripted: newScripted("live/x")}
		s := &mediatest.Source{Video: mediatest.H264Track(1)}
		c.tracks, c.complete = []*media.Track{s.Video}, true
		b.conns <- c
		b.send(c.scripted, s.Next())
		for range 5 {
			time.Sleep(time.Second) // of the bubble's clock
			c.received += 2 * 800_000 / 8
			b.send(c.scripted, s.Next())
		}
		if got := b.server.IngestRate(); got != 1.6e6 {
			t.Errorf("%v bit/s", got)
		}
		other := newScripted("live/y")
		b.conns <- other
		if e := b.last(t); e.Reason != ReasonBitrate || e.Admitted || !errors.Is(other.rejected, ErrBitrate) {
			t.Errorf("a second publisher: %+v", e)
		}
		c.received += 10 * 800_000 / 8
		b.send(c.scripted, s.Next())
		if e := b.last(t); e.Reason != ReasonBitrate || !e.Admitted || !errors.Is(c.rejected, ErrBitrate) {
			t.Errorf("%+v, %v", e, c.rejected)
		}
		if _, err := b.hub.Lookup(c.request.Key); err != nil {
			t.Errorf("its stream: %v", err)
		}
		if got := b.server.IngestRate(); got != 0 {
			t.Errorf("%v bit/s afterwards", got)
		}
		time.Sleep(time.Minute)
	})
}

func TestLimitOf(t *testing.T) {
	for _, c := range []struct{ a, b, kbit int }{{0, 0, 0}, {8000, 0, 8000}, {0, 8000, 8000}, {8000, 800, 800}, {800, 8000, 800}} {
		if got := limitOf(c.a, c.b); got != float64(c.kbit)*125 {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
