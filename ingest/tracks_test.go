package ingest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/stream"
)

// announcing is an encoder that promises tracks.
type announcing struct {
	*scripted
	promised []*media.Track
}

var _ Promising = (*announcing)(nil)

func (c *announcing) Promised() []*media.Track { return c.promised }

// TestTracksOfALiveStream says when the stream of an encoder goes live and with
// which tracks, then and five seconds later.
func TestTracksOfALiveStream(t *testing.T) {
	const never = time.Hour
	sound := []*media.Track{{ID: 2, Codec: media.AAC, SampleRate: 44100, Channels: 1}}
	for _, c := range []struct {
		name         string
		audio, video bool // as the encoder has it
		soundFrom    time.Duration
		known        []*media.Track // from the start
		complete     bool
		promised     []*media.Track
		liveBy       time.Duration
		first, later string
		silence      bool
	}{
		{"both", true, true, 0, []*media.Track{video, audio}, true, nil, 50 * time.Millisecond, "H.264 AAC", "H.264 AAC", false},
		{"both, without metadata", true, true, 0, []*media.Track{video, audio}, false, nil, time.Second, "H.264 AAC", "H.264 AAC", false},
		{"pictures only", false, true, 0, []*media.Track{video}, true, nil, 50 * time.Millisecond, "H.264", "H.264", false},
		{"pictures only, without metadata", false, true, 0, []*media.Track{video}, false, nil, time.Second, "H.264", "H.264", false},
		{"sound only", true, false, 0, []*media.Track{audio}, true, nil, 50 * time.Millisecond, "AAC", "AAC", false},
		{"promised sound comes after 4 s", true, true, 4 * time.Second, []*media.Track{video}, false, sound, time.Second, "H.264 AAC", "H.264 AAC", true},
		{"known sound comes after 4 s", true, true, 4 * time.Second, []*media.Track{video, audio}, true, nil, time.Second, "H.264 AAC", "H.264 AAC", true},
		{"promised sound never comes", true, true, never, []*media.Track{video}, false, sound, time.Second, "H.264 AAC", "H.264 AAC", true},
		{"sound comes unannounced after 4 s", true, true, 4 * time.Second, []*media.Track{video}, false, nil, time.Second, "H.264", "H.264 AAC", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, auth.Open{})
				defer b.stop()
				conn := &announcing{newScripted("live/x"), c.promised}
				conn.tracks, conn.complete = c.known, c.complete
				b.conns <- conn
				source := mediatest.Source{}
				if c.video {
					source.Video = video
				}
				if c.audio {
					source.Audio = audio
				}
				begun := time.Now()
				var live *stream.Stream
				var r *stream.Reader
				for time.Since(begun) < 5*time.Second {
					f := source.Next()
					time.Sleep(f.DTS - time.Since(begun))
					if f.Track == audio && f.DTS < c.soundFrom {
						continue
					}
					b.send(conn.scripted, f)
					s, err := b.hub.Lookup(conn.request.Key)
					if errors.Is(err, stream.ErrOffline) && time.Since(begun) > c.liveBy+50*time.Millisecond {
						t.Fatalf("not live after %v", time.Since(begun))
					}
					if live == nil && err == nil {
						live = s
						r = s.NewReader(stream.ReaderOptions{All: true, Wake: stream.WakeNow})
						defer r.Close()
						if got := codecs(s); got != c.first {
							t.Errorf("goes live with %s", got)
						}
					}
				}
				if got := codecs(live); got != c.later {
					t.Errorf("has %s", got)
				}
				close(conn.frames)
				synctest.Wait()
				if got := b.server.Stats().Repairs[RepairSilence] > 0; got != c.silence {
					t.Errorf("repairs %v", b.server.Stats().Repairs)
				}
				dts := map[int][]time.Duration{}
				for {
					e, err := r.Next(t.Context())
					if err != nil {
						break
					}
					dts[e.Frame.Track.ID] = append(dts[e.Frame.Track.ID], e.Frame.DTS)
				}
				for id, all := range dts {
					if all[len(all)-1] < 4900*time.Millisecond || c.silence && all[0] > 50*time.Millisecond || !slices.IsSorted(all) {
						t.Errorf("track %d from %v to %v", id, all[0], all[len(all)-1])
					}
				}
			})
		})
	}
}

func codecs(s *stream.Stream) string {
	all := fmt.Sprint(describe(s.Tracks().Tracks))
	return all[1 : len(all)-1]
}
