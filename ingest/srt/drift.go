package srt

import (
	"reflect"
	"strconv"
	"strings"
	"time"
	"unsafe"

	gosrt "github.com/datarhei/gosrt"
)

const (
	// driftSample is how often the time of a packet is looked at, driftWindow
	// for how long the one that came with the least delay counts: networks
	// bring some packet in that time without waiting.
	driftSample = 100 * time.Millisecond
	driftWindow = 5 * time.Second
	// driftStep is the least correction.
	driftStep = time.Millisecond
)

// drift follows the encoder's clock, which runs faster or slower than this
// machine's (SRT, 4.7). gosrt adds a drift to the delivery time of every packet
// but never sets it: an encoder that is 50 millionths slow has used up a latency
// of 120 ms after forty minutes, and what is lost then cannot be sent again in
// time; for one that is fast the latency grows for ever.
//
// It belongs to the goroutine in which gosrt handles the connection's packets.
type drift struct {
	field *uint64 // gosrt's, in microseconds; it wraps below zero
	begun time.Time
	next  time.Time // of the next sample
	// stamp is the newest timestamp, media the time that passed by timestamps.
	stamp uint32
	media time.Duration
	// least is the shortest delay since the window began, reference that of the
	// first window.
	since            time.Time
	least, reference time.Duration
	known            bool
	applied          time.Duration
}

// newDrift returns the drift of a connection, nil if gosrt has none.
func newDrift(c gosrt.Conn) *drift {
	v := reflect.ValueOf(c)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return nil
	}
	field := v.Elem().FieldByName("tsbpdDrift")
	if !field.IsValid() || field.Kind() != reflect.Uint64 {
		return nil
	}
	// There is no other way to it. gosrt reads it in the goroutine that calls
	// follow, and nowhere else.
	return &drift{field: (*uint64)(unsafe.Pointer(field.UnsafeAddr()))}
}

// follow looks at a data packet, as gosrt describes it.
func (d *drift) follow(now time.Time, packet func() string) {
	if d == nil || now.Before(d.next) {
		return
	}
	d.next = now.Add(driftSample)
	stamp, ok := timestampOf(packet())
	if !ok {
		return
	}
	if d.begun.IsZero() {
		d.begun, d.since, d.stamp = now, now, stamp
	}
	d.media += time.Duration(int32(stamp-d.stamp)) * time.Microsecond // it wraps after 71 minutes
	d.stamp = stamp
	if delay := now.Sub(d.begun) - d.media; d.since.Equal(now) || delay < d.least {
		d.least = delay
	}
	if now.Sub(d.since) >= driftWindow {
		d.since = d.next
		d.end()
		d.least = maxLatency
	}
}

// end takes what a window has shown.
func (d *drift) end() {
	if !d.known {
		d.known, d.reference = true, d.least
		return
	}
	if to := d.least - d.reference; (to - d.applied).Abs() >= driftStep {
		d.applied = to
		*d.field = uint64(to.Microseconds())
	}
}

// timestampOf finds a packet's timestamp in gosrt's description of it.
func timestampOf(packet string) (uint32, bool) {
	rest, ok := strings.CutPrefix(packet, "timestamp=")
	hex, _, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseUint(hex, 0, 32)
	return uint32(n), ok && err == nil
}
