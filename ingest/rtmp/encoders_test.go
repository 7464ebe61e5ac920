package rtmp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/codecs"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/stream"
)

const clips = "../../testdata/"

// received is what an encoder's connection brought.
type received struct {
	tracks   []*media.Track
	complete bool
	frames   map[media.Kind][]media.Frame
	err      error
}

// listen takes one encoder and gives all its frames to the test.
func listen(t *testing.T) (address string, done <-chan received) {
	t.Helper()
	config := DefaultConfig()
	config.Listen = "127.0.0.1:0"
	l, err := NewServer(config).Listen()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	ch := make(chan received, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			ch <- received{err: err}
			return
		}
		defer conn.Close()
		ch <- receiveAll(conn)
	}()
	return l.Addr().String(), ch
}

func receiveAll(conn ingest.Conn) (r received) {
	conn.SetReadDeadline(time.Now().Add(patience))
	if _, r.err = conn.Handshake(context.Background()); r.err != nil {
		return r
	}
	if r.err = conn.Admit(); r.err != nil {
		return r
	}
	r.frames = map[media.Kind][]media.Frame{}
	for {
		f, err := conn.ReadFrame()
		if err != nil {
			r.tracks, r.complete = conn.Tracks()
			r.err = err
			return r
		}
		r.frames[f.Track.Kind()] = append(r.frames[f.Track.Kind()], f)
	}
}

// run runs an encoder to its end and returns what it said.
func run(t *testing.T, name string, args ...string) (said string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Fatalf("this test needs %s: %v", name, err)
	}
	return string(out), err
}

// check compares counts and looks at the order of timestamps.
func (r received) check(t *testing.T, video, audio, randomAccess int, first time.Duration) {
	t.Helper()
	if got := len(r.frames[media.KindVideo]); got != video {
		t.Errorf("%d pictures, want %d", got, video)
	}
	if got := len(r.frames[media.KindAudio]); got != audio {
		t.Errorf("%d frames of sound, want %d", got, audio)
	}
	random := 0
	for kind, all := range r.frames {
		last := time.Duration(-1)
		for i, f := range all {
			if f.DTS <= last || f.PTS < f.DTS {
				t.Fatalf("%v frame %d: DTS %v, PTS %v after DTS %v", kind, i, f.DTS, f.PTS, last)
			}
			last = f.DTS
			if kind == media.KindVideo && f.RandomAccess {
				random++
			}
		}
		if len(all) > 0 && (all[0].DTS-first).Abs() > 100*time.Millisecond {
			t.Errorf("%v begins at %v, want %v", kind, all[0].DTS, first)
		}
	}
	if random != randomAccess {
		t.Errorf("%d random access points, want %d", random, randomAccess)
	}
}

func TestFfmpegPublishes(t *testing.T) {
	for _, c := range []struct {
		name         string
		args         []string
		video, audio int
		random       int
		first        time.Duration
	}{
		{"H.264 and AAC", []string{"-i", clips + "h264-aac.flv"}, 240, 375, 4, 0},
		{"B-frames", []string{"-i", clips + "h264-bframes-aac.flv"}, 240, 375, 4, 0},
		{"video only", []string{"-i", clips + "video-only.flv"}, 240, 0, 4, 0},
		{"sound only", []string{"-i", clips + "audio-only.m4a"}, 0, 1323, 0, 0},
		{"timestamps that cross 24 bits", []string{"-i", clips + "h264-aac.flv", "-output_ts_offset", "16775"}, 240, 375, 4, 16775 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			address, done := listen(t)
			args := append([]string{"-hide_banner", "-loglevel", "error"}, c.args...)
			said, err := run(t, "ffmpeg", append(args, "-c", "copy", "-f", "flv", "rtmp://"+address+"/live/x?token=t")...)
			if err != nil {
				t.Fatalf("ffmpeg: %v: %s", err, said)
			}
			r := <-done
			if r.err != io.EOF || !r.complete {
				t.Errorf("%v, tracks complete: %v", r.err, r.complete)
			}
			r.check(t, c.video, c.audio, c.random, c.first)
		})
	}
}

func TestFfmpegIsToldWhyItIsRefused(t *testing.T) {
	config := DefaultConfig()
	config.Listen = "127.0.0.1:0"
	l, err := NewServer(config).Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		defer conn.Close()
		conn.SetReadDeadline(time.Now().Add(patience))
		_, err = conn.Handshake(context.Background())
		conn.Reject(stream.ErrBusy)
		done <- err
	}()
	said, err := run(t, "ffmpeg", "-hide_banner", "-loglevel", "error", "-re", "-i", clips+"h264-aac.flv", "-c", "copy", "-f", "flv", "rtmp://"+l.Addr().String()+"/live/x")
	if err == nil || !strings.Contains(said, stream.ErrBusy.Error()) {
		t.Errorf("%v: %s", err, said)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestGStreamerPublishes(t *testing.T) {
	address, done := listen(t)
	said, err := run(t, "gst-launch-1.0", "-q",
		"filesrc", "location="+clips+"h264-aac.flv", "!", "flvdemux", "name=d",
		"flvmux", "name=m", "streamable=true", "!", "rtmp2sink", "sync=false", "location=rtmp://"+address+"/live/x",
		"d.video", "!", "queue", "!", "h264parse", "!", "m.",
		"d.audio", "!", "queue", "!", "aacparse", "!", "m.")
	if err != nil {
		t.Fatalf("gst-launch-1.0: %v: %s", err, said)
	}
	r := <-done
	if r.err != io.EOF || !r.complete || len(r.tracks) != 2 {
		t.Errorf("%v, tracks %v complete: %v", r.err, r.tracks, r.complete)
	}
	r.check(t, 240, 375, 4, 0)
}

// gortmplib is an Enhanced RTMP encoder written elsewhere: H.265 as "hvc1",
// frame types 0, both forms of coded frames, chunks of 65536 bytes.
func TestGortmplibPublishesH265(t *testing.T) {
	address, done := listen(t)
	u, err := url.Parse("rtmp://" + address + "/live/x")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := &gortmplib.Client{URL: u, Publish: true}
	if err := c.Initialize(ctx); err != nil {
		t.Fatal(err)
	}
	video := &gortmplib.Track{Codec: &codecs.H265{VPS: mediatest.VPS265, SPS: mediatest.SPS265, PPS: mediatest.PPS265}}
	audio := &gortmplib.Track{Codec: &codecs.MPEG4Audio{Config: &mpeg4audio.AudioSpecificConfig{
		Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 48000, ChannelConfig: 2, ChannelCount: 2,
	}}}
	w := &gortmplib.Writer{Conn: c, Tracks: []*gortmplib.Track{video, audio}}
	if err := w.Initialize(); err != nil {
		t.Fatal(err)
	}
	sent := frames(mediatest.H265Track(1), 200)
	for i := range sent {
		f := &sent[i]
		if f.Track.Kind() == media.KindAudio {
			err = w.WriteMPEG4Audio(audio, f.DTS, f.Data)
		} else {
			if i%3 == 0 {
				f.PTS += 40 * time.Millisecond
			}
			var au [][]byte
			for nalu := range media.NALUs(f.Data) {
				au = append(au, nalu)
			}
			err = w.WriteH265(video, f.PTS, f.DTS, au)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	r := <-done
	if !errors.Is(r.err, io.ErrUnexpectedEOF) { // it ends with FIN alone
		t.Error(r.err)
	}
	if !r.complete || len(r.tracks) != 2 || r.tracks[0].Codec != media.H265 || r.tracks[0].Width != 1920 {
		t.Errorf("%v, tracks complete: %v", r.tracks, r.complete)
	}
	next := map[media.Kind]int{}
	for i, f := range sent {
		kind := f.Track.Kind()
		n := next[kind]
		if next[kind]++; n >= len(r.frames[kind]) {
			t.Fatalf("frame %d did not come", i)
		}
		got := r.frames[kind][n]
		offset := (got.PTS - got.DTS) - (f.PTS - f.DTS)
		if !bytes.Equal(got.Data, f.Data) || got.RandomAccess != f.RandomAccess || (got.DTS-f.DTS).Abs() > time.Millisecond || offset.Abs() > time.Millisecond {
			t.Fatalf("frame %d: DTS %v, PTS %v, want %v, %v", i, got.DTS, got.PTS, f.DTS, f.PTS)
		}
	}
}
