package bench

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"
)

// ServerUse is what the processes of --pid used, by /proc.
type ServerUse struct {
	CPUSeconds float64 `json:"cpu_s" text:"CPU of the server" unit:"s"`
	Cores      float64 `json:"cores" text:"which is" unit:"cores"`
	// What one unit of work cost; only what fits the load is set.
	PerGB       *float64 `json:"cpu_s_per_gb,omitempty" text:"CPU per GB delivered" unit:"s"`
	PerRequest  *float64 `json:"cpu_us_per_request,omitempty" text:"CPU per request" unit:"µs"`
	PerMillion  *float64 `json:"cpu_s_per_million,omitempty" text:"CPU per million deliveries" unit:"s"`
	CorePercent *float64 `json:"core_percent_each,omitempty" text:"CPU of each" unit:"% of a core"`
	RSSBefore   float64  `json:"rss_before_mb" text:"memory (RSS) before" unit:"MB"`
	RSS         float64  `json:"rss_mb" text:"memory (RSS) at the end" unit:"MB"`
	// RSSEach is not set if the memory did not grow: the server had it before.
	RSSEach *float64 `json:"rss_each_kb,omitempty" text:"memory for each" unit:"kB"`
}

// ToolUse is what the tool itself used, and how late it was.
type ToolUse struct {
	CPUSeconds float64 `json:"cpu_s" text:"CPU of the tool" unit:"s"`
	// OwnPercent is the tool's share of all cores of this machine, BusyPercent
	// that of everybody, by /proc.
	OwnPercent  float64   `json:"own_percent" text:"which is of this machine" unit:"%"`
	BusyPercent *float64  `json:"busy_percent,omitempty" text:"this machine was busy" unit:"%"`
	TimerLate   Quantiles `json:"timer_late_ms" text:"the tool's timers were late by" unit:"ms"`
}

// The bounds beyond which the tool says that it was the bottleneck itself.
const (
	// maxTimerLate is for the timers at p99: a tool that looks later than this
	// sees delays that are its own.
	maxTimerLate = 20 * time.Millisecond
	// maxOwnPercent is of the machine's cores.
	maxOwnPercent = 40
	// busyPercent and busyOwnPercent go together: on a machine with nothing
	// left, what the tool takes is taken from the server.
	busyPercent, busyOwnPercent = 95, 10
	// leastWindow is how long a window must be to tell shares by it.
	leastWindow = 500 * time.Millisecond
	// probeEvery is how often the tool looks whether its timers are late.
	probeEvery = 5 * time.Millisecond
)

// meter measures a window of time: the tool, the machine and the server.
type meter struct {
	pids   []int
	before use // of the server, before any load

	late    hist
	probing sync.WaitGroup
	stop    context.CancelFunc

	began      time.Time
	server     use
	own        time.Duration
	busy, idle float64 // of the machine, in any unit
}

// newMeter begins a window; close ends the meter.
func newMeter(pids []int) (*meter, error) {
	before, err := usesOf(pids)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &meter{pids: pids, before: before, stop: cancel}
	m.begin()
	m.probing.Go(func() { m.probe(ctx) })
	return m, nil
}

func (m *meter) close() {
	m.stop()
	m.probing.Wait()
}

// begin begins the window again.
func (m *meter) begin() {
	m.late.reset()
	m.began = time.Now()
	m.server, _ = usesOf(m.pids) // a process that has gone meanwhile is told at the end
	m.own = ownCPU()
	m.busy, m.idle, _ = machineTimes()
}

func (m *meter) probe(ctx context.Context) {
	t := time.NewTimer(probeEvery)
	defer t.Stop()
	for due := time.Now().Add(probeEvery); ; {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		now := time.Now()
		m.late.add(now.Sub(due))
		due = now.Add(probeEvery)
		t.Reset(probeEvery)
	}
}

// measured is what a window came to.
type measured struct {
	took   time.Duration
	tool   ToolUse
	server *ServerUse // nil without --pid
	cpu    time.Duration
	notes  []string
	slow   []string // why the tool was the bottleneck
}

// end ends the window. n is how many the memory of the server goes over.
func (m *meter) end(n int) measured {
	w := measured{took: time.Since(m.began)}
	own := ownCPU() - m.own
	w.tool = ToolUse{CPUSeconds: round4(own.Seconds()), TimerLate: m.late.quantiles()}
	w.tool.OwnPercent = round4(ratio(100*own.Seconds(), w.took.Seconds()*float64(runtime.NumCPU())))
	if busy, idle, ok := machineTimes(); ok {
		if all := busy + idle - m.busy - m.idle; all > 0 {
			b := round4(100 * (busy - m.busy) / all)
			w.tool.BusyPercent = &b
		}
	}
	if w.took > leastWindow {
		w.slow = w.tool.slow()
	}
	if len(m.pids) == 0 {
		return w
	}
	now, err := usesOf(m.pids)
	if err != nil {
		w.notes = append(w.notes, fmt.Sprintf("the server's process ended meanwhile: %v", err))
		return w
	}
	w.cpu = now.cpu - m.server.cpu
	w.server = &ServerUse{
		CPUSeconds: round4(w.cpu.Seconds()), Cores: round4(ratio(w.cpu.Seconds(), w.took.Seconds())),
		RSSBefore: round4(float64(m.before.rss) / 1e6), RSS: round4(float64(now.rss) / 1e6),
	}
	if grown := now.rss - m.before.rss; grown > 0 && n > 0 {
		each := round4(float64(grown) / 1e3 / float64(n))
		w.server.RSSEach = &each
	}
	return w
}

// slow says why the tool was the bottleneck, nothing if it was not.
func (u *ToolUse) slow() (why []string) {
	if u.TimerLate.P99 > millis(maxTimerLate) {
		why = append(why, fmt.Sprintf("its timers came %.0f ms late (p99; up to %.0f ms), so what it tells of delays is off by as much", u.TimerLate.P99, u.TimerLate.Max))
	}
	switch {
	case u.OwnPercent > maxOwnPercent:
		why = append(why, fmt.Sprintf("it used %.0f %% of this machine's %d cores itself", u.OwnPercent, runtime.NumCPU()))
	case u.BusyPercent != nil && *u.BusyPercent > busyPercent && u.OwnPercent > busyOwnPercent:
		why = append(why, fmt.Sprintf("this machine was %.0f %% busy, %.0f %% with the tool: run it on another one", *u.BusyPercent, u.OwnPercent))
	}
	return why
}

// each sets what a unit of work cost; nothing without --pid, and nothing if
// nobody had begun: n would be of refusals.
func (w *measured) each(begun int, field func(*ServerUse) **float64, scale, n float64) {
	if w.server == nil || n == 0 || begun == 0 {
		return
	}
	v := round4(w.cpu.Seconds() * scale / n)
	*field(w.server) = &v
}

// bottleneck is the last line of a report.
func bottleneck(why []string) string {
	if len(why) == 0 {
		return ""
	}
	return "the tool was the bottleneck: " + strings.Join(why, "; ")
}
