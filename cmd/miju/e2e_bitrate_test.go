package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/miju-live/miju/ingest/rtmp/client"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/flv"
)

// TestPublisherOverItsBitrate is cut off, and told why.
func TestPublisherOverItsBitrate(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *config) { c.Ingest.MaxPublishBitrate = 100 })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := client.Dial(ctx, s.rtmpURL("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Publish(ctx, flv.Enhanced); err != nil {
		t.Fatal(err)
	}
	source := mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2)}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	sent := 0
	for err == nil {
		<-tick.C
		f := source.Next()
		f.Data = append(f.Data[:len(f.Data):len(f.Data)], make([]byte, 5000)...)
		sent += len(f.Data)
		err = c.WriteFrame(ctx, &f)
	}
	if !strings.Contains(err.Error(), "NetStream.Publish.Rejected") || !strings.Contains(err.Error(), "more than 100 kbit/s") || sent < 100_000 {
		t.Errorf("after %d bytes: %v", sent, err)
	}
	waitFor(t, "the end to be counted", func() bool {
		return s.metric(t, `miju_publishers_ended_total{admitted="true",protocol="rtmp",reason="over_bitrate"}`) == 1
	})
}
