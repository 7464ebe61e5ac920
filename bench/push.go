package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/miju-live/miju/ingest/rtmp/client"
)

// PushConfig is a load of publishers, by RTMP, RTMPS or SRT.
type PushConfig struct {
	Load
	// Clip is an FLV file that all of them play in a loop, in its own time.
	Clip io.Reader
}

// DefaultPush is a short look at a server.
func DefaultPush() PushConfig {
	return PushConfig{Load: Load{N: 1, Duration: 20 * time.Second, Ramp: 100}}
}

// PushReport is how publishers fared.
type PushReport struct {
	Run
	Publishers int            `json:"publishers" text:"publishers"`
	Connected  int            `json:"connected" text:"were let in"`
	Publishing int            `json:"publishing" text:"published at the end"`
	Refused    map[string]int `json:"refused" text:"refused, by reason"`
	Failed     map[string]int `json:"failed" text:"failed, by cause"`
	Dropped    int            `json:"dropped" text:"cut off while they published"`
	// Handshake is from the connection's begin to the word that the publisher
	// may begin.
	Handshake Quantiles `json:"handshake_ms" text:"handshake" unit:"ms"`
	// Bytes are those of the clip's tags, without what RTMP or SRT put around.
	Bytes       int64   `json:"bytes" text:"sent in all" unit:"bytes"`
	WindowBytes int64   `json:"window_bytes" text:"sent in the window" unit:"bytes"`
	MbitPerS    float64 `json:"mbit_per_s" text:"sent" unit:"Mbit/s"`
	Messages    int64   `json:"messages" text:"messages in the window"`
	// Lag is how long after its time a message was taken by the connection: a
	// server that reads too slowly makes it grow.
	Lag Quantiles `json:"lag_ms" text:"behind real time" unit:"ms"`
	// The clip.
	ClipSeconds float64 `json:"clip_s" text:"the clip is" unit:"s"`
	ClipMbit    float64 `json:"clip_mbit_per_s" text:"of" unit:"Mbit/s"`
	End
}

// Push runs a load of publishers. The report tells what was measured even if
// there is an error, which wraps ErrNothing if nobody was let in.
func Push(ctx context.Context, c PushConfig) (*PushReport, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	targets, err := c.targets(c.N, "rtmp", "rtmps", "srt")
	if err != nil {
		return nil, err
	}
	if err := fit(c.N, targets); err != nil {
		return nil, err
	}
	p := &pushCrowd{config: &c, targets: targets}
	if p.clip, err = readClip(c.Clip); err != nil {
		return nil, errClip(err)
	}
	w, err := c.run(ctx, p)
	if err != nil {
		return nil, err
	}
	r := p.report(&w)
	if r.Connected == 0 {
		err = fmt.Errorf("%w: no publisher was let in", ErrNothing)
	}
	return r, err
}

// sink is a connection on which one publishes.
type sink interface {
	// send sends a tag, at a time since the first.
	send(ctx context.Context, t *tag, at time.Duration) error
	close()
}

// pushCrowd is all publishers of a load.
type pushCrowd struct {
	config  *PushConfig
	targets []*url.URL
	clip    *clip

	failures        failures
	handshake, lag  hist
	connected, live atomic.Int64
	dropped         atomic.Int64
	bytes, messages atomic.Int64
	before, inside  int64 // bytes
	told            int64 // messages before the window
	endLive         int
	endMessages     int64
}

// member is a publisher.
func (p *pushCrowd) member(ctx context.Context, i int, began func()) {
	defer began()
	start := time.Now()
	s, err := p.connect(ctx, p.targets[i])
	if err != nil {
		if ctx.Err() == nil {
			p.failures.add(err)
		}
		return
	}
	defer s.close()
	p.handshake.add(time.Since(start))
	p.connected.Add(1)
	p.live.Add(1)
	defer p.live.Add(-1)
	began()
	if err := p.publish(ctx, s); err != nil && ctx.Err() == nil {
		p.dropped.Add(1)
		p.failures.note(err)
	}
}

func (p *pushCrowd) connect(ctx context.Context, u *url.URL) (sink, error) {
	ctx, cancel := context.WithTimeout(ctx, beginWait)
	defer cancel()
	if u.Scheme == "srt" {
		return dialSRT(u, p.clip)
	}
	return dialRTMP(ctx, u, p.config.tlsConfig())
}

// publish sends the clip again and again, in its own time, until ctx ends or
// the connection does.
func (p *pushCrowd) publish(ctx context.Context, s sink) error {
	began := time.Now()
	due := time.Duration(0) // tags of a clip may stand behind later ones
	for round := time.Duration(0); ; round += p.clip.length {
		for i := range p.clip.tags {
			t := &p.clip.tags[i]
			if round > 0 && len(t.frames) == 0 && !p.clip.changes {
				continue // encoders say once what they send
			}
			at := round + t.at
			due = max(due, at)
			if !sleep(ctx, due-time.Since(began)) {
				return nil
			}
			if err := s.send(ctx, t, at); err != nil {
				return err
			}
			p.lag.add(time.Since(began) - due)
			p.bytes.Add(int64(len(t.body)))
			p.messages.Add(1)
		}
	}
}

func (p *pushCrowd) active() int { return int(p.live.Load()) }

func (p *pushCrowd) begin() {
	p.before, p.told = p.bytes.Load(), p.messages.Load()
	p.lag.reset()
}

func (p *pushCrowd) end() {
	p.inside, p.endMessages = p.bytes.Load()-p.before, p.messages.Load()-p.told
	p.endLive = p.active()
}

func (p *pushCrowd) status() string {
	return fmt.Sprintf("%d of %d publishers, %.1f MB, behind by %v at most, %d failed, %d cut off", p.active(), p.config.N,
		float64(p.bytes.Load())/1e6, time.Duration(p.lag.max.Load()).Round(time.Millisecond), p.failures.sum(), p.dropped.Load())
}

func (p *pushCrowd) report(w *measured) *PushReport {
	seconds := w.took.Seconds()
	r := &PushReport{
		Run: p.config.head("push", w), Publishers: p.config.N, Connected: int(p.connected.Load()), Publishing: p.endLive,
		Dropped: int(p.dropped.Load()), Handshake: p.handshake.quantiles(), Bytes: p.bytes.Load(), WindowBytes: p.inside,
		MbitPerS: round4(ratio(float64(p.inside)*8/1e6, seconds)), Messages: p.endMessages, Lag: p.lag.quantiles(),
		ClipSeconds: round4(p.clip.length.Seconds()), ClipMbit: round4(float64(p.clip.bytes) * 8 / 1e6 / p.clip.length.Seconds()),
	}
	r.Refused, r.Failed = p.failures.totals()
	w.each(r.Connected, func(s *ServerUse) **float64 { return &s.PerGB }, 1e9, float64(p.inside))
	w.each(r.Connected, func(s *ServerUse) **float64 { return &s.CorePercent }, 100/seconds, float64(p.endLive))
	r.End = w.tail(&p.failures)
	return r
}

// refusedRTMP makes a refusal of a server's status.
func refusedRTMP(err error) error {
	var status *client.StatusError
	if errors.As(err, &status) {
		return &refusal{fmt.Sprintf("%.60s", status.Code)}
	}
	return err
}
