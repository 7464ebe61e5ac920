package origin

import (
	"bytes"
	"testing"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// A viewer that wants to be at the live edge gets the pictures of the GOP in an
// eighth of their time, without their sound, and then what all get.
func TestJoinLive(t *testing.T) {
	for _, c := range []struct {
		name      string
		frames    int // of both kinds, into the second GOP
		reorder   int
		hurried   bool
		audioOnly bool
	}{
		{name: "in the middle of a GOP", frames: 130, hurried: true},
		{name: "with B-frames", frames: 130, reorder: 2, hurried: true},
		{name: "at the beginning of a GOP", frames: 15},
		{name: "sound alone", frames: 200, audioOnly: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			pub := publishLive(t)
			source := &mediatest.Source{Audio: mediatest.AACTrack(2), GOP: 90}
			if !c.audioOnly {
				source.Video = mediatest.H264Track(1)
			}
			var newest time.Duration
			for range c.frames {
				f := source.Next()
				if c.reorder > 0 && f.Track.Kind() == media.KindVideo {
					f.PTS += time.Duration(c.reorder) * 33 * time.Millisecond
				}
				newest = max(newest, f.DTS)
				pub.Write(f)
			}
			live := pub.Stream()
			edge := JoinLive.edgeFor(live)
			if want := newest; !c.audioOnly && edge != want || c.audioOnly && edge != 0 {
				t.Errorf("the live edge is at %v, not %v", edge, want)
			}
			m := &flvMuxer{stream: live, catchUp: catchUp{edge}}
			usual := &flvMuxer{stream: live}
			reader := live.NewReader(stream.ReaderOptions{Wake: stream.WakeNow})
			defer reader.Close()
			batch, err := reader.NextBatch(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			first := batch[0].Frame.DTS
			last := time.Duration(-1)
			for _, e := range batch {
				before := m.catchUp
				m.clock, usual.clock = clockTags{time.Hour}, clockTags{time.Hour} // told at other times
				bufs := bytes.Join(m.Append(nil, e), nil)
				want := bytes.Join(usual.Append(nil, e), nil)
				if !c.hurried || e.Frame.DTS >= edge {
					continue
				}
				fast, ok := before.hurry(&e.Frame)
				if e.Frame.Track.Kind() == media.KindAudio {
					if ok || len(bufs) > 0 {
						t.Errorf("sound at %v is sent", e.Frame.DTS)
					}
					continue
				}
				if len(bufs) != len(want) {
					t.Errorf("%d bytes instead of %d at %v", len(bufs), len(want), e.Frame.DTS)
				}
				if fast.DTS < edge-(edge-first)/hurried || fast.DTS < last+time.Millisecond || fast.PTS < fast.DTS {
					t.Errorf("the picture of %v is at %v, shown at %v, behind %v", e.Frame.DTS, fast.DTS, fast.PTS, last)
				}
				last = fast.DTS
			}
			if c.hurried != (last >= 0) {
				t.Errorf("hurried to %v", last)
			}
			for !m.Same(usual) {
				pub.Write(source.Next())
				if batch, err = reader.NextBatch(t.Context(), batch); err != nil {
					t.Fatal(err)
				}
				for _, e := range batch {
					got, want := bytes.Join(m.Append(nil, e), nil), bytes.Join(usual.Append(nil, e), nil)
					if e.Frame.DTS > edge && !bytes.Equal(got, want) {
						t.Error("behind the edge it differs")
					}
				}
			}
		})
	}
}

func publishLive(t *testing.T) *stream.Publisher {
	t.Helper()
	key, err := streamkey.Parse("live/x")
	if err != nil {
		t.Fatal(err)
	}
	hub := stream.NewHub(stream.DefaultConfig(), nil)
	t.Cleanup(hub.Close)
	pub, err := hub.Publish(key, stream.Source{})
	if err != nil {
		t.Fatal(err)
	}
	return pub
}
