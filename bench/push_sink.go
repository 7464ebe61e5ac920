package bench

import (
	"context"
	"crypto/tls"
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

var _ sink = rtmpSink{}

func dialRTMP(ctx context.Context, u *url.URL, secure *tls.Config) (sink, error) {
	c, err := (&client.Dialer{TLS: secure}).Dial(ctx, u.String())
	if err != nil {
		return nil, refusedRTMP(err)
	}
	if err := c.Publish(ctx, flv.Enhanced); err != nil {
		c.Close()
		return nil, refusedRTMP(err)
	}
	return rtmpSink{c}, nil
}

func (s rtmpSink) send(ctx context.Context, t *tag, at time.Duration) error {
	return s.WriteMessage(ctx, t.typ, uint32(at/time.Millisecond), t.body)
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

var _ sink = (*srtSink)(nil)

// srtPayload is seven packets of MPEG-TS, what SRT's live mode sends at once.
const srtPayload = 7 * 188

// dialSRT calls a URL with the stream ID in its query. SRT has no end of the
// handshake other than its own, after three seconds.
func dialSRT(u *url.URL, c *clip) (sink, error) {
	program, err := mpegts.NewProgram(c.set)
	if err != nil {
		return nil, err
	}
	config := gosrt.DefaultConfig()
	config.StreamId = u.Query().Get("streamid")
	if config.StreamId == "" && u.Fragment != "" {
		config.StreamId = "#" + u.Fragment // of ?streamid=#!::r=…, as many write it
	}
	config.Passphrase = u.Query().Get("passphrase")
	conn, err := gosrt.Dial("srt", u.Host, config)
	if err != nil {
		if _, why, ok := strings.Cut(err.Error(), "connection rejected: "); ok {
			return nil, &refusal{fmt.Sprintf("%.60s", why)}
		}
		return nil, fmt.Errorf("SRT call: %w", err)
	}
	return &srtSink{conn: conn, program: program, set: c.set}, nil
}

func (s *srtSink) send(_ context.Context, t *tag, at time.Duration) error {
	for _, f := range t.frames {
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
