package bench

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/flv"
)

const (
	// gapAfter is the least step of timestamps within a track that is a gap.
	gapAfter = 500 * time.Millisecond
	// soundAlone is so much sound without a picture, in frames, that none is
	// awaited any more.
	soundAlone = 100
)

// member is a viewer.
func (f *flvCrowd) member(ctx context.Context, i int, began func()) {
	defer began()
	v := &flvViewer{crowd: f, stream: i % len(f.targets), sampled: f.sampled(i)}
	err := v.watch(ctx, began)
	switch {
	case ctx.Err() != nil:
	case !v.joined:
		f.failures.add(err)
	case err != nil:
		f.ended.Add(1)
	}
}

// flvViewer is one viewer, as long as it looks at what comes.
type flvViewer struct {
	crowd   *flvCrowd
	stream  int
	sampled bool

	c      *conn
	socket bool // it is a WebSocket
	tags   *flv.Reader
	demux  flv.Demuxer

	joined bool
	sound  int                   // frames before there was a picture
	last   map[int]time.Duration // DTS, by track; nil until the viewer follows
}

// watch joins, and goes on with what comes if the viewer is of the sample. A
// viewer that joined and is not gets rid of its connection and returns nil.
func (v *flvViewer) watch(ctx context.Context, began func()) error {
	start := time.Now()
	u := v.crowd.targets[v.stream]
	var err error
	if v.c, err = v.crowd.dialer.dial(ctx, u); err != nil {
		return err
	}
	drained := false
	defer func() {
		if !drained {
			v.c.Close()
		}
	}()
	defer context.AfterFunc(ctx, func() { v.c.Close() })()
	v.crowd.connect.add(time.Since(start))
	asked := time.Now()
	if err := v.c.SetReadDeadline(asked.Add(beginWait)); err != nil {
		return err
	}
	if err := v.ask(); err != nil {
		return err
	}
	for !v.joined {
		if err := v.read(); err != nil {
			return unexpected(err)
		}
	}
	v.crowd.join.add(time.Since(asked))
	v.crowd.joined.Add(1)
	if !v.sampled {
		drained = true
		v.crowd.drain.add(ctx, v.c.Conn, v.socket)
		return nil
	}
	v.crowd.watching.Add(1)
	defer v.crowd.watching.Add(-1)
	began()
	return v.follow()
}

// ask asks for the stream and reads the head of the answer.
func (v *flvViewer) ask() error {
	u := v.crowd.targets[v.stream]
	if strings.HasPrefix(u.Scheme, "ws") {
		v.socket = true
		if err := v.c.upgrade(u); err != nil {
			return err
		}
		v.tags = flv.NewReader(v.c.webSocket())
		return nil
	}
	if err := v.c.get(u, u.RequestURI()); err != nil {
		return err
	}
	r, err := v.c.answer()
	if err != nil {
		return err
	}
	if r.StatusCode != http.StatusOK {
		return refusalOf(r)
	}
	v.tags = flv.NewReader(r.Body)
	return nil
}

// follow reads to the end of the stream.
func (v *flvViewer) follow() error {
	v.last = map[int]time.Duration{}
	v.c.silence, v.c.silences = &silence{last: time.Now()}, &v.crowd.silences
	spread := v.crowd.spreads[v.stream]
	spread.join()
	defer spread.leave()
	for {
		if err := v.read(); err != nil {
			return err
		}
	}
}

// read reads a tag.
func (v *flvViewer) read() error {
	typ, at, body, err := v.tags.ReadTag()
	if err != nil {
		return err
	}
	if err := v.demux.Write(typ, at, body); err != nil {
		return fmt.Errorf("tag of type %d: %w", typ, err)
	}
	for f, ok := v.demux.Next(); ok; f, ok = v.demux.Next() {
		if !v.joined {
			v.joined = v.joins(&f)
		}
		if v.last != nil {
			v.note(&f)
		}
	}
	return nil
}

// joins says whether a viewer has something to show from this frame on.
func (v *flvViewer) joins(f *media.Frame) bool {
	switch f.Track.Kind() {
	case media.KindVideo:
		return f.RandomAccess
	case media.KindAudio:
		v.sound++
		tracks, complete := v.demux.Tracks()
		for _, t := range tracks {
			complete = complete && t.Kind() != media.KindVideo
		}
		return complete || v.sound > soundAlone
	}
	return false
}

// note takes note of a frame in the sample.
func (v *flvViewer) note(f *media.Frame) {
	if f.Track.Kind() == media.KindData {
		return
	}
	v.crowd.frames.Add(1)
	if last, ok := v.last[f.Track.ID]; ok {
		switch step := f.DTS - last; {
		case step < 0:
			v.crowd.backs.Add(1)
		case step > gapAfter:
			v.crowd.gaps.Add(1)
		}
	}
	v.last[f.Track.ID] = f.DTS
	if f.Track.Kind() == media.KindVideo {
		v.crowd.spreads[v.stream].arrived(f.Data, time.Now())
	}
}
