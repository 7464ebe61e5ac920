package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/ingest/rtmp/client"
)

// TestHalfOpenConnections: however many from elsewhere say nothing, an encoder
// publishes, and a player plays.
func TestHalfOpenConnections(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *config) {
		c.Ingest.MaxPublishers, c.Ingest.MaxPlayers, c.Ingest.MaxNewcomers, c.Ingest.HandshakeTimeout = 1, 20, 10, time.Minute
	})
	for i := range 100 {
		from(t, fmt.Sprint("127.0.0.", 10+i%10), s.rtmp.Addr().String())
	}
	waitFor(t, "those that are too many to go", func() bool {
		n := uint64(0)
		for outcome, count := range s.ingest.Stats().Ended {
			if outcome.Reason == ingest.ReasonTooLarge {
				n += count
			}
		}
		return n == 79
	})
	publishThrough(t, client.Dialer{}, s.rtmpURL("x"))
	s.waitLive(t, "x")
	player, err := (&client.Dialer{}).Dial(t.Context(), s.rtmpURL("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer player.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := player.Play(ctx); err != nil {
		t.Error(err)
	}
	var status *client.StatusError
	if _, err := publishShortly(ctx, s.rtmpURL("y")); !errors.As(err, &status) || status.Code != "NetStream.Publish.Rejected" {
		t.Errorf("a second one publishes: %v", err)
	}
	waitFor(t, "20 to be left beside the publisher", func() bool { return s.ingest.Stats().Open == 21 })
}
