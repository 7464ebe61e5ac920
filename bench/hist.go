package bench

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// subBuckets is how many buckets a power of two of microseconds has: a value
// is told to within 1/64 of itself.
const (
	subBits    = 6
	subBuckets = 1 << subBits
	// buckets reach to 2^40 µs, twelve days.
	buckets = (40 - subBits + 1) * subBuckets
)

// hist counts durations that many goroutines bring. The zero hist is ready.
type hist struct {
	counts [buckets]atomic.Uint64
	max    atomic.Int64 // in ns
}

// add counts d; less than nothing is nothing.
func (h *hist) add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucketOf(uint64(d/time.Microsecond))].Add(1)
	raise(&h.max, int64(d))
}

func bucketOf(v uint64) int {
	if v < subBuckets {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	return min(shift*subBuckets+int(v>>shift), buckets-1)
}

// valueOf is the middle of a bucket.
func valueOf(bucket int) time.Duration {
	if bucket < subBuckets {
		return time.Duration(bucket) * time.Microsecond
	}
	shift := bucket/subBuckets - 1
	low := uint64(bucket-shift*subBuckets) << shift
	return time.Duration(low+(1<<shift)/2) * time.Microsecond
}

// raise makes a at least n.
func raise(a *atomic.Int64, n int64) {
	for old := a.Load(); n > old && !a.CompareAndSwap(old, n); old = a.Load() {
	}
}

// reset forgets everything.
func (h *hist) reset() {
	for i := range h.counts {
		h.counts[i].Store(0)
	}
	h.max.Store(0)
}

// Quantiles are of durations, in milliseconds, to within 2 %; Max is exact.
type Quantiles struct {
	// N is how many there were.
	N   uint64  `json:"n"`
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func (h *hist) quantiles() Quantiles {
	var q Quantiles
	for i := range h.counts {
		q.N += h.counts[i].Load()
	}
	longest := time.Duration(h.max.Load())
	q.Max = millis(longest)
	q.P50 = millis(min(h.at(q.N-q.N/2), longest))
	q.P99 = millis(min(h.at(q.N-q.N/100), longest))
	return q
}

// at is the value of this rank, counted from 1.
func (h *hist) at(rank uint64) time.Duration {
	var sum uint64
	for i := range h.counts {
		if sum += h.counts[i].Load(); sum >= rank && sum > 0 {
			return valueOf(i)
		}
	}
	return 0
}

// millis is in milliseconds, to a thousandth.
func millis(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}

// merge adds what other has counted.
func (h *hist) merge(other *hist) {
	for i := range h.counts {
		h.counts[i].Add(other.counts[i].Load())
	}
	raise(&h.max, other.max.Load())
}
