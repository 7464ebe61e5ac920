package bench

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/flv"
)

func testClip(t *testing.T, name string) *clip {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := readClip(f)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// taker is a sink that notes what it gets.
type taker struct {
	began time.Time
	tags  []*tag
	at    []time.Duration
	due   time.Duration
	late  time.Duration
	fail  int // the tag that it does not take
}

func (k *taker) send(_ context.Context, t *tag, at time.Duration) error {
	if k.fail > 0 && len(k.tags) == k.fail {
		return io.ErrClosedPipe
	}
	k.tags, k.at = append(k.tags, t), append(k.at, at)
	k.due = max(k.due, at)
	k.late = max(k.late, time.Since(k.began)-k.due)
	return nil
}

func (k *taker) close() {}

// A clip is played in its own time, and its timestamps go on through all rounds
// without a gap: sequence headers come once.
func TestPublishInRounds(t *testing.T) {
	for _, name := range []string{"h264-aac.flv", "h264-bframes-aac.flv", "video-only.flv"} {
		t.Run(name, func(t *testing.T) {
			c := testClip(t, name)
			synctest.Test(t, func(t *testing.T) {
				p := &pushCrowd{clip: c}
				k := &taker{began: time.Now()}
				ctx, cancel := context.WithTimeout(t.Context(), 3*c.length)
				defer cancel()
				if err := p.publish(ctx, k); err != nil {
					t.Error(err)
				}
				last := map[byte]time.Duration{}
				headers := 0
				for i, tag := range k.tags {
					if len(tag.frames) == 0 {
						headers++
						continue
					}
					before, known := last[tag.typ]
					if step := k.at[i] - before; known && (step < 0 || step > 60*time.Millisecond) {
						t.Errorf("tag %d of type %d comes %v after the one before", i, tag.typ, step)
					}
					last[tag.typ] = k.at[i]
				}
				if headers > 4 || last[flv.TypeVideo] < 3*c.length-50*time.Millisecond || k.late > time.Millisecond || p.lag.quantiles().N != uint64(len(k.tags)) {
					t.Errorf("%d headers, the last picture at %v of %v, %v late", headers, last[flv.TypeVideo], 3*c.length, k.late)
				}
			})
		})
	}
}

func TestPublishEndsWithItsConnection(t *testing.T) {
	c := testClip(t, "video-only.flv")
	synctest.Test(t, func(t *testing.T) {
		p := &pushCrowd{clip: c}
		if err := p.publish(t.Context(), &taker{began: time.Now(), fail: 7}); !errors.Is(err, io.ErrClosedPipe) || p.messages.Load() != 7 {
			t.Errorf("%v behind %d messages", err, p.messages.Load())
		}
	})
}

func TestClips(t *testing.T) {
	video := mediatest.H264Track(1)
	other := *video
	other.Config = bytes.Clone(video.Config)
	other.Config[3]++ // the level
	source := &mediatest.Source{Video: video, FrameBytes: 100}
	head := flv.AppendSequenceHeader(flv.AppendFileHeader(nil, true, false), video, 0, flv.Enhanced)
	frame := func(at time.Duration) []byte {
		f := source.Next()
		f.DTS, f.PTS = at, at
		return frameTag(&f)
	}
	const ms = time.Millisecond
	for _, c := range []struct {
		name    string
		file    []byte
		length  time.Duration
		changes bool
		err     error
	}{
		{"two frames", bytes.Join([][]byte{head, frame(5000 * ms), frame(5040 * ms)}, nil), 80 * ms, false, nil},
		{"the same header between", bytes.Join([][]byte{head, frame(0), flv.AppendSequenceHeader(nil, video, 40*ms, flv.Enhanced), frame(40 * ms)}, nil), 80 * ms, false, nil},
		{"another header between", bytes.Join([][]byte{head, frame(0), flv.AppendSequenceHeader(nil, &other, 40*ms, flv.Enhanced), frame(40 * ms)}, nil), 80 * ms, true, nil},
		{"cut off", bytes.Join([][]byte{head, frame(0), frame(40 * ms), frame(80 * ms)[:50]}, nil), 80 * ms, false, nil},
		{"one frame", append(head[:len(head):len(head)], frame(0)...), 0, false, errEmpty},
		{"nothing", head, 0, false, errEmpty},
		{"no FLV", []byte("<html>hello</html>"), 0, false, flv.ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := readClip(bytes.NewReader(c.file))
			if !errors.Is(err, c.err) {
				t.Fatal(err)
			}
			if err == nil && (got.length != c.length || got.changes != c.changes || len(got.set.Tracks) != 1 || got.set.Tracks[0].Kind() != media.KindVideo) {
				t.Errorf("%+v", got)
			}
		})
	}
}
