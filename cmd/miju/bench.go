package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/miju-live/miju/ingest/rtmp/chunk"
	"github.com/miju-live/miju/ingest/rtmp/message"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/flv"
)

// benchCommand puts load on a server, this one or another.
func benchCommand() *cobra.Command {
	bench := &cobra.Command{Use: "bench", Short: "Put load on a server and measure it", Args: cobra.NoArgs}
	bench.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() } // or unknown commands would be no error
	var b publishBench
	publish := &cobra.Command{
		Use: "publish", Short: "Publish a clip many times at once", Args: cobra.NoArgs,
		Example: "  miju bench publish --rtmp rtmp://localhost/live/bench -n 200 --file clip.flv -d 60s --pid $(pidof miju)\n" +
			"  miju bench publish --srt 'srt://localhost:8890?streamid=publish:live/bench' -n 50 --file clip.flv",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return b.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	fs := publish.Flags()
	fs.SortFlags = false
	fs.StringVar(&b.url, "rtmp", "", "rtmp or rtmps URL; the publishers' numbers go behind its name")
	fs.StringVar(&b.srt, "srt", "", "srt URL instead, with the stream ID in its query")
	fs.StringVar(&b.file, "file", "", "FLV file, which is played in a loop in its own time")
	fs.IntVarP(&b.n, "number", "n", 1, "publishers")
	fs.DurationVarP(&b.duration, "duration", "d", time.Minute, "how long they publish")
	fs.IntVar(&b.pid, "pid", 0, "process of the server on this machine, to tell its CPU and memory")
	bench.AddCommand(publish)
	return bench
}

// publishBench is one run of many publishers.
type publishBench struct {
	url, srt, file string
	n, pid         int
	duration       time.Duration

	clip           benchClip
	messages, sent atomic.Uint64
	late           atomic.Int64
	live           atomic.Int64
}

// rampUp is the time between the starts of two publishers, so that they do not
// all send their random access points at once.
const rampUp = 10 * time.Millisecond

func (b *publishBench) run(ctx context.Context, out io.Writer) error {
	target, connect := b.url, b.connectRTMP
	if b.srt != "" {
		target, connect = b.srt, b.connectSRT
	}
	u, err := url.Parse(target)
	if err != nil || u.Scheme == "" || b.n < 1 || (b.srt != "") == (b.url != "") {
		return errors.New("one of --rtmp and --srt must be a URL like rtmp://localhost/live/bench, and -n at least 1")
	}
	if b.clip, err = loadBenchClip(b.file); err != nil {
		return err
	}
	before, err := loadOf(b.pid)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, b.duration+time.Duration(b.n)*rampUp)
	defer cancel()
	began := time.Now()
	failures := make([]error, b.n)
	var publishers sync.WaitGroup
	for i := range b.n {
		publishers.Go(func() {
			if sleep(ctx, time.Duration(i)*rampUp) {
				failures[i] = b.publish(ctx, connect, *u, i+1)
			}
		})
	}
	// The server is looked at shortly before the publishers go.
	during, took := before, time.Duration(0)
	if sleep(ctx, b.duration+time.Duration(b.n)*rampUp-b.duration/20) {
		if during, err = loadOf(b.pid); err != nil {
			return err
		}
		took = time.Since(began)
	}
	publishers.Wait()
	return errors.Join(b.report(out, before, during, took), b.failed(failures))
}

func (b *publishBench) failed(failures []error) error {
	n := 0
	var first error
	for _, err := range failures {
		if err != nil {
			if n++; first == nil {
				first = err
			}
		}
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d publishers failed, the first one with: %w", n, b.n, first)
}

// benchSink is a connection that a tag of the clip is sent on, at a time.
type benchSink interface {
	send(ctx context.Context, tag *benchTag, at time.Duration) error
	close()
}

// publish sends the clip in a loop until ctx ends.
func (b *publishBench) publish(ctx context.Context, connect func(context.Context, url.URL, int) (benchSink, error), u url.URL, n int) error {
	c, err := connect(ctx, u, n)
	if err != nil {
		return err
	}
	defer c.close()
	b.live.Add(1)
	began := time.Now()
	for base := time.Duration(0); ; base += b.clip.length {
		for i := range b.clip.tags {
			tag := &b.clip.tags[i]
			at := base + tag.at
			if wait := at - time.Since(began); wait > 0 && !sleep(ctx, wait) {
				return nil
			} else {
				raise(&b.late, int64(-wait))
			}
			err := c.send(ctx, tag, at)
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
			b.messages.Add(1)
			b.sent.Add(uint64(len(tag.body)))
		}
	}
}

// raise makes a at least n.
func raise(a *atomic.Int64, n int64) {
	for old := a.Load(); n > old && !a.CompareAndSwap(old, n); old = a.Load() {
	}
}

// sleep waits, and reports whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func (b *publishBench) report(out io.Writer, before, during load, took time.Duration) error {
	_, err := fmt.Fprintf(out, "%d publishers were live for %v: %d messages, %.1f MB, the latest one %v late\nthe clip has %.1f s, its largest GOP %.0f kB\n",
		b.live.Load(), b.duration, b.messages.Load(), float64(b.sent.Load())/1e6, time.Duration(b.late.Load()).Round(time.Millisecond),
		b.clip.length.Seconds(), float64(b.clip.largestGOP)/1e3)
	if err != nil || b.pid == 0 || took == 0 {
		return err
	}
	cpu := during.cpu - before.cpu
	n := float64(b.n)
	_, err = fmt.Fprintf(out, "the server used %.1f s of CPU, %.1f %% of one core, %.3f %% per publisher\nits memory (RSS) was %.1f MB before and %.1f MB with them, %.0f kB per publisher\n",
		cpu.Seconds(), 100*cpu.Seconds()/took.Seconds(), 100*cpu.Seconds()/took.Seconds()/n,
		float64(before.rss)/1e6, float64(during.rss)/1e6, float64(during.rss-before.rss)/1e3/n)
	return err
}

// maxBenchClip bounds a clip, which is held in memory, in bytes.
const maxBenchClip = 256 << 20

type benchTag struct {
	typ  byte
	at   time.Duration
	body []byte
	// frames are what the body holds.
	frames []media.Frame
}

type benchClip struct {
	tags       []benchTag
	set        *media.TrackSet
	length     time.Duration
	largestGOP int
}

func loadBenchClip(path string) (c benchClip, err error) {
	file, err := os.Open(path)
	if err != nil {
		return c, fmt.Errorf("--file: %w", err)
	}
	defer file.Close()
	r := flv.NewReader(io.LimitReader(file, maxBenchClip))
	var d message.Demuxer
	var gop int
	step := 40 * time.Millisecond // between the last picture and the first again
	for {
		typ, at, body, err := r.ReadTag()
		if errors.Is(err, io.EOF) && len(c.tags) > 0 {
			c.length += step
			c.set = &media.TrackSet{}
			c.set.Tracks, _ = d.Tracks()
			return c, nil
		}
		if err != nil {
			return c, fmt.Errorf("--file %s: %w", path, err)
		}
		c.tags = append(c.tags, benchTag{typ: typ, at: at, body: body})
		c.length = max(c.length, at)
		if err := d.Add(chunk.Message{Type: typ, Timestamp: uint32(at / time.Millisecond), Body: body}); err != nil {
			return c, fmt.Errorf("--file %s: %w", path, err)
		}
		for f, ok, err := d.Next(); ok && err == nil; f, ok, err = d.Next() {
			newest := &c.tags[len(c.tags)-1]
			newest.frames = append(newest.frames, f)
			if f.Track.Kind() == media.KindVideo && f.RandomAccess {
				gop = 0
			}
			gop += len(f.Data)
			c.largestGOP = max(c.largestGOP, gop)
		}
	}
}
