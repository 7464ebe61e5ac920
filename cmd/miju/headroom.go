package main

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// gcPercent is how much garbage may gather, in percent of what is live. Little
	// garbage is made here: a collection is cheap and seldom, a second apart with
	// 200 publishers and at no measurable cost, while Go's own 100 makes half as
	// much memory again of every publisher. GOGC overrides it.
	gcPercent = 30
	// Where the processors have something to do, a collection costs more: each of
	// hundreds of streams with viewers keeps a thousand frames to look at. So
	// above roomShare of the processors garbage may gather up to roomPercent, and
	// roomBytes at most.
	roomShare   = 0.2
	roomPercent = 150
	roomBytes   = 256 << 20
)

// headroom sets how much garbage may gather by the load.
type headroom struct {
	percent int // as set; 0 is gcPercent
	live    [1]metrics.Sample
}

// set looks at the load and sets it. It gives memory back only when the load has
// halved.
func (h *headroom) set(l load) {
	if os.Getenv("GOGC") != "" {
		return
	}
	h.live[0].Name = "/gc/heap/live:bytes"
	metrics.Read(h.live[:])
	if p := h.next(l, h.live[0].Value.Uint64()); p != h.percent {
		h.percent = p
		debug.SetGCPercent(p)
	}
}

// next returns the percent for a load with so many bytes live.
func (h *headroom) next(l load, live uint64) int {
	if l.share < roomShare/2 || l.share < roomShare && h.percent <= gcPercent {
		return gcPercent
	}
	most := roomPercent
	if live > 0 {
		most = int(min(uint64(most), roomBytes*100/live))
	}
	// In steps: what is live changes by a little all the time.
	return max(gcPercent, most/10*10)
}
