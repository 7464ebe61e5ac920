package ingest

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/stream"
)

// Cue points are no stream: it is live when sound or pictures come, with all
// that came before them, and an encoder that brings none is ended.
func TestDataAlone(t *testing.T) {
	cue := func() media.Frame { return media.Frame{Track: data, RandomAccess: true, Data: []byte("cue")} }
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, auth.Open{})
		defer b.stop()
		late, never := newEncoder(nil), newEncoder(nil)
		late.tracks, late.complete = []*media.Track{late.source.Video, data}, false
		b.conns <- late.scripted
		for range 6 {
			b.send(late.scripted, cue())
			time.Sleep(time.Second)
		}
		if _, err := b.hub.Lookup(late.request.Key); !errors.Is(err, stream.ErrOffline) {
			t.Fatal("live without sound or picture")
		}
		b.send(late.scripted, late.source.Next())
		time.Sleep(time.Second)
		b.send(late.scripted, late.source.Next())
		live, err := b.hub.Lookup(late.request.Key)
		if err != nil || live.Stats().Frames != 8 {
			t.Fatal(live, err)
		}
		close(late.frames)
		synctest.Wait()

		b.conns <- never.scripted
		begin := time.Now()
		for over := false; !over; time.Sleep(time.Second) {
			select {
			case never.frames <- cue():
			case <-never.closed:
				over = true
			}
		}
		if e := b.last(t); e.Reason != ReasonTimeout || time.Since(begin) > b.server.config.PublishTimeout+2*time.Second {
			t.Errorf("ended %+v after %v", e, time.Since(begin))
		}
	})
}
