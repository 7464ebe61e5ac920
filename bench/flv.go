package bench

import (
	"context"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"
)

// FLVConfig is a load of viewers by HTTP-FLV or WebSocket-FLV.
type FLVConfig struct {
	Load
	Streams int `flag:"streams" min:"1" max:"100000" help:"streams that the viewers spread over: {i} in the URL is from 1 to this"`
	Sample  int `flag:"sample" min:"0" max:"100000" help:"viewers that read every frame; the others' bytes are only counted"`
}

// DefaultFLV is a short look at a server.
func DefaultFLV() FLVConfig {
	return FLVConfig{Load: Load{N: 100, Duration: 20 * time.Second, Ramp: 200}, Streams: 1, Sample: 10}
}

// FLVReport is what viewers by HTTP-FLV or WebSocket-FLV saw.
type FLVReport struct {
	Run
	Viewers  int            `json:"viewers" text:"viewers"`
	Joined   int            `json:"joined" text:"got a picture"`
	Watching int            `json:"watching" text:"watched at the end"`
	Refused  map[string]int `json:"refused" text:"refused, by status"`
	Failed   map[string]int `json:"failed" text:"failed, by cause"`
	// Disconnected had joined and ended before the load did.
	Disconnected int       `json:"disconnected" text:"disconnected by the server"`
	Connect      Quantiles `json:"connect_ms" text:"connecting took" unit:"ms"`
	Join         Quantiles `json:"join_ms" text:"request to random access point" unit:"ms"`
	// Bytes are all that came on the connections, from first to last: heads of
	// answers and the framing around the tags too, TLS not.
	Bytes       int64   `json:"bytes" text:"received in all" unit:"bytes"`
	WindowBytes int64   `json:"window_bytes" text:"received in the window" unit:"bytes"`
	MbitPerS    float64 `json:"mbit_per_s" text:"delivered" unit:"Mbit/s"`
	// Stalls are silences of over 500 ms on any connection.
	Stalls         int     `json:"stalls" text:"stalls (silence over 500 ms)"`
	StalledViewers int     `json:"stalled_viewers" text:"viewers that stalled"`
	LongestSilence float64 `json:"longest_silence_ms" text:"longest silence" unit:"ms"`
	// What the sample saw.
	Sample      int       `json:"sample" text:"viewers in the sample"`
	SampleTags  int       `json:"sample_frames" text:"frames that the sample got"`
	SampleGaps  int       `json:"sample_gaps" text:"timestamp gaps (over 500 ms)"`
	SampleBacks int       `json:"sample_steps_back" text:"timestamp steps back"`
	Spread      Quantiles `json:"spread_ms" text:"a picture's spread over the sample" unit:"ms"`
	End
}

// flvSchemes are those of HTTP-FLV and WebSocket-FLV.
var flvSchemes = []string{"http", "https", "ws", "wss"}

// FLV runs a load of viewers. The report tells what was measured even if there
// is an error, which wraps ErrNothing if nobody got a picture.
func FLV(ctx context.Context, c FLVConfig) (*FLVReport, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	targets, err := c.targets(c.Streams, flvSchemes...)
	if err != nil {
		return nil, err
	}
	if err := fit(c.N, targets); err != nil {
		return nil, err
	}
	f := newFLVCrowd(&c, targets)
	draining, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	f.drain.start(draining, c.N)
	w, err := c.run(ctx, f)
	stop()
	f.drain.readers.Wait()
	if err != nil {
		return nil, err
	}
	r := f.report(&w)
	if r.Joined == 0 {
		err = fmt.Errorf("%w: no viewer got a picture", ErrNothing)
	}
	return r, err
}

// flvCrowd is all viewers of a load.
type flvCrowd struct {
	config  *FLVConfig
	targets []*url.URL
	dialer  *dialer
	drain   drain

	failures       failures
	connect, join  hist
	bytes          atomic.Int64
	joined, ended  atomic.Int64 // ended of those that joined
	watching       atomic.Int64 // of the sample
	silences       silences
	frames         atomic.Int64
	gaps, backs    atomic.Int64
	spreads        []*spread // by stream
	before, inside int64     // bytes
	endWatching    int
}

func newFLVCrowd(c *FLVConfig, targets []*url.URL) *flvCrowd {
	f := &flvCrowd{config: c, targets: targets}
	f.dialer = c.dialer(&f.bytes)
	f.drain.bytes, f.drain.silences = &f.bytes, &f.silences
	f.spreads = make([]*spread, len(targets))
	for i := range f.spreads {
		f.spreads[i] = newSpread()
	}
	return f
}

// sampled says whether viewer i is of the sample, which is spread over all that
// join; with several streams it is of the same few, so that arrivals can be
// compared.
func (f *flvCrowd) sampled(i int) bool {
	sample, streams := f.config.Sample, len(f.targets)
	if sample >= f.config.N {
		return true
	}
	if sample == 0 {
		return false
	}
	if streams == 1 {
		return i*sample/f.config.N != (i-1)*sample/f.config.N || i == 0
	}
	each := max(2, sample/streams) // of so many streams
	stream, rank := i%streams, i/streams
	return rank < each && stream*each+rank < sample
}

func (f *flvCrowd) active() int { return int(f.watching.Load() + f.drain.alive.Load()) }

func (f *flvCrowd) begin() {
	f.before = f.bytes.Load()
	f.silences.begin()
	f.frames.Store(0)
	f.gaps.Store(0)
	f.backs.Store(0)
	for _, s := range f.spreads {
		s.reset()
	}
}

func (f *flvCrowd) end() {
	f.inside = f.bytes.Load() - f.before
	f.endWatching = f.active()
}

func (f *flvCrowd) status() string {
	return fmt.Sprintf("%d of %d viewers, %.1f MB, %d stalls, %d failed, %d disconnected", f.active(), f.config.N,
		float64(f.bytes.Load())/1e6, f.silences.stalls.Load(), f.failures.sum(), f.disconnected())
}

func (f *flvCrowd) disconnected() int { return int(f.ended.Load() + f.drain.dead.Load()) }

func (f *flvCrowd) report(w *measured) *FLVReport {
	r := &FLVReport{
		Run: f.config.head("flv", w), Viewers: f.config.N, Joined: int(f.joined.Load()), Watching: f.endWatching,
		Disconnected: f.disconnected(), Connect: f.connect.quantiles(), Join: f.join.quantiles(),
		Bytes: f.bytes.Load(), WindowBytes: f.inside, MbitPerS: round4(ratio(float64(f.inside)*8/1e6, w.took.Seconds())),
		Stalls: int(f.silences.stalls.Load()), StalledViewers: int(f.silences.viewers.Load()),
		LongestSilence: millis(time.Duration(f.silences.longest.Load())),
		SampleTags:     int(f.frames.Load()), SampleGaps: int(f.gaps.Load()), SampleBacks: int(f.backs.Load()),
	}
	r.Refused, r.Failed = f.failures.totals()
	for i := range f.config.N {
		if f.sampled(i) {
			r.Sample++
		}
	}
	var spreads hist
	for _, s := range f.spreads {
		spreads.merge(&s.took)
	}
	r.Spread = spreads.quantiles()
	w.each(r.Joined, func(s *ServerUse) **float64 { return &s.PerGB }, 1e9, float64(f.inside))
	w.each(r.Joined, func(s *ServerUse) **float64 { return &s.CorePercent }, 100/w.took.Seconds(), float64(f.endWatching))
	r.End = w.tail(&f.failures)
	return r
}
