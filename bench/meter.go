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
	PerGB        *float64 `json:"cpu_s_per_gb,omitempty" text:"CPU per GB delivered" unit:"s"`
	PerRequest   *float64 `json:"cpu_us_per_request,omitempty" text:"CPU per request" unit:"µs"`
	PerMillion   *float64 `json:"cpu_s_per_million,omitempty" text:"CPU per million deliveries" unit:"s"`
	CorePercent  *float64 `json:"core_percent_each,omitempty" text:"CPU of each" unit:"% of a core"`
	RSSBefore    float64  `json:"rss_before_mb" text:"memory (RSS) before" unit:"MB"`
	RSS          float64  `json:"rss_mb" text:"memory (RSS) at the end" unit:"MB"`
	RSSEach      float64  `json:"rss_each_kb" text:"memory for each" unit:"kB"`
	ProcessCount int      `json:"processes" text:"processes of the server"`
}

// ToolUse is what the tool itself used, and how late it was.
type ToolUse struct {
	CPUSeconds   float64   `json:"cpu_s" text:"CPU of the tool" unit:"s"`
	MachineShare float64   `json:"machine_share" text:"its share of the machine's cores"`
	MachineBusy  *float64  `json:"machine_busy,omitempty" text:"the machine was busy, all processes" unit:"of 1"`
	TimerLate    Quantiles `json:"timer_late_ms" text:"the tool's timers came late" unit:"ms"`
}

// The bounds beyond which the tool says that it was the bottleneck itself.
const (
	// maxTimerLate is for the timers at p99: a tool that looks later than this
	// sees delays that are its own.
	maxTimerLate = 20 * time.Millisecond
	// maxOwnShare is of the machine's cores.
	maxOwnShare = 0.4
	// busyShare and busyOwnShare go together: on a machine with nothing left,
	// what the tool takes is taken from the server.
	busyShare, busyOwnShare = 0.95, 0.1
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
	w.tool.MachineShare = round4(ratio(own.Seconds(), w.took.Seconds()*float64(runtime.NumCPU())))
	if busy, idle, ok := machineTimes(); ok {
		if all := busy + idle - m.busy - m.idle; all > 0 {
			b := round4((busy - m.busy) / all)
			w.tool.MachineBusy = &b
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
		RSSEach:      round4(ratio(float64(now.rss-m.before.rss)/1e3, float64(n))),
		ProcessCount: len(m.pids),
	}
	return w
}

// slow says why the tool was the bottleneck, nothing if it was not.
func (u *ToolUse) slow() (why []string) {
	if u.TimerLate.P99 > millis(maxTimerLate) {
		why = append(why, fmt.Sprintf("its timers came %.0f ms late (p99; up to %.0f ms), so what it tells of delays is off by as much", u.TimerLate.P99, u.TimerLate.Max))
	}
	switch {
	case u.MachineShare > maxOwnShare:
		why = append(why, fmt.Sprintf("it used %.0f %% of this machine's %d cores itself", 100*u.MachineShare, runtime.NumCPU()))
	case u.MachineBusy != nil && *u.MachineBusy > busyShare && u.MachineShare > busyOwnShare:
		why = append(why, fmt.Sprintf("this machine was %.0f %% busy, %.0f %% with the tool: run it on another one", 100**u.MachineBusy, 100*u.MachineShare))
	}
	return why
}

// each sets what a unit of work cost; nothing without --pid.
func (w *measured) each(field func(*ServerUse) **float64, scale, n float64) {
	if w.server == nil || n == 0 {
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
