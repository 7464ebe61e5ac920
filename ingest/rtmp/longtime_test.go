package rtmp

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miju-live/miju/ingest/rtmp/chunk"
	"github.com/miju-live/miju/ingest/rtmp/message"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/flv"
)

// What encoders and players see after hours and weeks.

const (
	limit24 = (1<<24 - 1) * time.Millisecond // above it timestamps are extended
	limit32 = (1 << 32) * time.Millisecond   // here they wrap
)

// An encoder's timestamps cross both limits, in small chunks so that type 3
// headers are extended, too: its times go on.
func TestTimestampsOfWeeks(t *testing.T) {
	for name, limit := range map[string]time.Duration{"24 bits": limit24, "32 bits": limit32} {
		t.Run(name, func(t *testing.T) {
			c, conn := admitted(t)
			all := frames(mediatest.H264Track(1), 120)
			for _, track := range all[0].Set.Tracks {
				typ, b := sequenceHeader(track, flv.Enhanced)
				c.message(typ, streamID, 0, b)
			}
			var wire []byte
			for i := range all {
				f := &all[i]
				typ, b := body(*f, flv.Enhanced)
				f.DTS += limit - time.Second
				wire = chunk.Append(wire, 128, chunk.Message{ChunkStream: 4, Type: typ, Stream: streamID, Timestamp: uint32((f.DTS + time.Millisecond/2) / time.Millisecond), Body: b})
			}
			go c.tcp.Write(wire)
			receive(t, conn, all)
		})
	}
}

// clipFrames returns the frames of a clip, each random access point made larger
// than a player's chunk by filler data (H.264, 7.4.2.7).
func clipFrames(t *testing.T, name string) []media.Frame {
	t.Helper()
	b, err := os.ReadFile(clips + name)
	if err != nil {
		t.Fatal(err)
	}
	var d message.Demuxer
	var all []media.Frame
	for r := flv.NewReader(bytes.NewReader(b)); ; {
		typ, at, body, err := r.ReadTag()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = d.Add(chunk.Message{Type: typ, Timestamp: uint32(at / time.Millisecond), Body: body})
		}
		if err != nil {
			t.Fatal(err)
		}
		for {
			f, ok, err := d.Next()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			if f.Track.Kind() == media.KindVideo && f.RandomAccess {
				filler := append(append([]byte{0x0c}, bytes.Repeat([]byte{0xff}, 2*playChunkSize)...), 0x80)
				f.Data = append(binary.BigEndian.AppendUint32(f.Data[:len(f.Data):len(f.Data)], uint32(len(filler))), filler...)
			}
			all = append(all, f)
		}
	}
	tracks, _ := d.Tracks()
	set := &media.TrackSet{Tracks: tracks, Anchor: media.Anchor{Wall: time.Now()}}
	for i := range all {
		all[i].Set = set
	}
	return all
}

// A stream's time crosses both limits while ffmpeg plays it.
func TestFfmpegPlaysForWeeks(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]time.Duration{"24 bits": limit24, "32 bits": limit32} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			pub := h.publish(t, "live/x")
			all := clipFrames(t, "h264-aac.flv")
			pictures := 0
			for i := range all {
				f := &all[i]
				f.DTS += limit - 3*time.Second
				f.PTS += limit - 3*time.Second
				if f.Track.Kind() == media.KindVideo {
					pictures++
				}
			}
			pub.Write(all[0])
			written := make(chan struct{})
			go func() {
				defer close(written)
				defer pub.Close()
				waitFor(t, "ffmpeg", func() bool { return h.ingest.Stats().Players == 1 })
				tick := time.NewTicker(2 * time.Millisecond)
				defer tick.Stop()
				for _, f := range all[1:] {
					<-tick.C
					pub.Write(f)
				}
			}()
			said, err := run(t, "ffmpeg", "-hide_banner", "-nostats", "-xerror", "-copyts", "-i", h.url("x"), "-map", "0", "-c", "copy", "-f", "framecrc", "-")
			<-written
			if err != nil || strings.Contains(strings.ToLower(said), "monoton") {
				t.Errorf("ffmpeg: %v: %s", err, said)
			}
			got := strings.Count(said, "\n0, ")
			if got != pictures {
				t.Errorf("%d pictures, want %d", got, pictures)
			}
		})
	}
}
