package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	gosrt "github.com/datarhei/gosrt"

	"github.com/miju-live/miju/ingest/rtmp/client"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/flv"
	"github.com/miju-live/miju/remux/mpegts"
)

// rtmpSink sends tags as the RTMP messages that they are.
type rtmpSink struct{ *client.Client }

var _ benchSink = rtmpSink{}

// connectRTMP publishes under the URL's name with a number behind it.
func (b *publishBench) connectRTMP(ctx context.Context, u url.URL, n int) (benchSink, error) {
	u.Path = fmt.Sprintf("%s-%d", strings.TrimRight(u.Path, "/"), n)
	c, err := client.Dial(ctx, u.String())
	if err != nil {
		return nil, err
	}
	if err := c.Publish(ctx, flv.Enhanced); err != nil {
		c.Close()
		return nil, err
	}
	return rtmpSink{c}, nil
}

func (s rtmpSink) send(ctx context.Context, tag *benchTag, at time.Duration) error {
	return s.WriteMessage(ctx, tag.typ, uint32(at/time.Millisecond), tag.body)
}

func (s rtmpSink) close() { s.Close() }

// srtSink sends the frames of tags as MPEG-TS.
type srtSink struct {
	conn    gosrt.Conn
	program *mpegts.Program
	set     *media.TrackSet
	state   mpegts.State
	packets []byte
}

var _ benchSink = (*srtSink)(nil)

// srtPayload is seven packets of MPEG-TS, what SRT's live mode sends at once.
const srtPayload = 7 * 188

// connectSRT publishes under the URL's stream ID with a number behind it.
func (b *publishBench) connectSRT(_ context.Context, u url.URL, n int) (benchSink, error) {
	program, err := mpegts.NewProgram(b.clip.set)
	if err != nil {
		return nil, err
	}
	config := gosrt.DefaultConfig()
	config.StreamId = fmt.Sprintf("%s-%d", u.Query().Get("streamid"), n)
	config.Passphrase = u.Query().Get("passphrase")
	conn, err := gosrt.Dial("srt", u.Host, config)
	if err != nil {
		return nil, fmt.Errorf("SRT call to %s: %w", u.Host, err)
	}
	return &srtSink{conn: conn, program: program, set: b.clip.set}, nil
}

func (s *srtSink) send(_ context.Context, tag *benchTag, at time.Duration) error {
	for _, f := range tag.frames {
		if f.Track.Kind() == media.KindData {
			continue
		}
		f.Set, f.DTS, f.PTS = s.set, at, at+f.PTS-f.DTS
		begin := len(s.packets)
		s.packets = mpegts.AppendFrame(s.packets, s.state, s.program, &f)
		s.state.Follow(s.program, &f, s.packets[begin:])
	}
	sent := 0
	for ; len(s.packets)-sent >= srtPayload; sent += srtPayload {
		if _, err := s.conn.Write(s.packets[sent : sent+srtPayload]); err != nil {
			return fmt.Errorf("SRT write: %w", err)
		}
	}
	s.packets = s.packets[:copy(s.packets, s.packets[sent:])]
	return nil
}

func (s *srtSink) close() { s.conn.Close() }
