// Package mpegts takes pictures and sound out of MPEG transport streams, and
// puts them in.
package mpegts

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/miju-live/miju/media"
)

var (
	// ErrNotTS is wrapped by errors that mean "this is no transport stream".
	ErrNotTS = errors.New("not an MPEG transport stream")
	// ErrNoTracks is wrapped by errors that mean "the program holds nothing
	// that is carried here"; the text names what it holds.
	ErrNoTracks = errors.New("no known track")
	// ErrTooLarge is wrapped by errors that mean "over a bound".
	ErrTooLarge = errors.New("PES packet over its bound")
)

const (
	// maxStreams bounds the elementary streams that are followed, and so the
	// memory of one demuxer. A program of more than a few is a mistake here.
	maxStreams = 8
	// maxIgnored bounds the names of streams left out.
	maxIgnored = 16
	// maxScrambled is how many scrambled packets in a row, before any that told
	// its configuration, make a stream one that is not carried.
	maxScrambled = 100
)

// Stats counts what a Demuxer met.
type Stats struct {
	// Packets were read, Skipped bytes were not part of any.
	Packets, Skipped uint64
	// SyncLosses counts how often the packets' borders were lost.
	SyncLosses uint64
	// Corrupt packets had transport_error_indicator set or made no sense.
	Corrupt uint64
	// Scrambled packets were left out.
	Scrambled uint64
	// Duplicates were left out; Gaps are jumps of continuity counters.
	Duplicates, Gaps uint64
	// Discarded counts PES packets that were given up: incomplete, or without
	// a usable header.
	Discarded uint64
	// BadSections counts PAT and PMT sections that failed their CRC or syntax.
	BadSections uint64
	// Untimed counts PES packets and audio frames left out for want of a PTS.
	Untimed uint64
	// Malformed counts access units, ADTS headers and parameter sets that
	// broke their syntax.
	Malformed uint64
	// Undescribed counts pictures left out for want of parameter sets.
	Undescribed uint64
}

// Faults returns the counts of what was wrong that are not zero, by name.
func (s Stats) Faults() map[string]uint64 {
	faults := map[string]uint64{
		"skipped_bytes": s.Skipped, "sync_losses": s.SyncLosses, "corrupt_packets": s.Corrupt, "scrambled_packets": s.Scrambled,
		"duplicate_packets": s.Duplicates, "continuity_gaps": s.Gaps, "discarded_pes": s.Discarded, "bad_sections": s.BadSections,
		"untimed": s.Untimed, "malformed": s.Malformed, "undescribed": s.Undescribed,
	}
	maps.DeleteFunc(faults, func(_ string, n uint64) bool { return n == 0 })
	return faults
}

// parser makes frames of the PES packets of one elementary stream.
type parser interface {
	// frames appends the frames of p, whose times are unrolled, to dst. Their
	// Data is not shared with p.
	frames(dst []media.Frame, p *pes, st *Stats) []media.Frame
	// lost says that bytes are missing.
	lost()
	// track returns the newest track, nil before the first configuration.
	track() *media.Track
}

// elementary is one elementary stream that is carried.
type elementary struct {
	pid    uint16
	codec  media.Codec
	info   esInfo
	id     int
	cont   continuity
	pes    assembly
	ending ending
	// scrambled counts packets since the last that was not.
	scrambled int
	parser    parser
}

// Demuxer takes the frames of the first program out of a transport stream
// (ISO 13818-1). It holds at most one PES packet for each of maxStreams
// elementary streams. The zero value is not usable; a Demuxer belongs to one
// goroutine.
type Demuxer struct {
	borders
	stats Stats

	pat     sections
	program program
	pmt     sections

	streams map[uint16]*elementary
	// order holds the same streams as the PMT does.
	order   []*elementary
	ignored []string
	clock   clock

	queue []media.Frame
	head  int
	err   error
}

// NewDemuxer returns a Demuxer at the start of a stream.
func NewDemuxer() *Demuxer {
	return &Demuxer{streams: make(map[uint16]*elementary)}
}

// Write takes the next bytes of the stream, cut anywhere; it keeps no slice of
// b. An error ends the demuxing and wraps ErrNotTS, ErrNoTracks or ErrTooLarge;
// frames before it are still there for Next.
func (d *Demuxer) Write(b []byte) error {
	if d.err != nil {
		return d.err
	}
	if len(d.carry) > 0 {
		d.carry = append(d.carry, b...)
		b = d.carry
	}
	rest := d.packets(b)
	d.carry = append(d.carry[:0], rest...)
	return d.err
}

// Next returns the next frame, in the order in which they became complete,
// without Set and Arrival. It is false when more bytes are needed.
func (d *Demuxer) Next() (media.Frame, bool) {
	if d.head == len(d.queue) {
		clear(d.queue)
		d.queue, d.head = d.queue[:0], 0
		return media.Frame{}, false
	}
	d.head++
	return d.queue[d.head-1], true
}

// Flush hands over the pictures whose end only the next one would have told.
// It is for the end of the stream. A picture is whole if its last packet has
// stuffing, as all have but one in 184; what looks cut short is discarded.
func (d *Demuxer) Flush() {
	for _, e := range d.order {
		d.flush(e)
	}
}

func (d *Demuxer) flush(e *elementary) {
	if e.pes.open && !e.ending.stuffed {
		e.pes.drop()
		d.stats.Discarded++
		return
	}
	d.endPES(e)
}

// Tracks returns the tracks whose configuration is known, ordered by ID, and
// whether these are all that the PMT promises, less Ignored.
func (d *Demuxer) Tracks() (tracks []*media.Track, complete bool) {
	for _, e := range d.order {
		if t := e.parser.track(); t != nil {
			tracks = append(tracks, t)
		}
	}
	slices.SortFunc(tracks, func(a, b *media.Track) int { return a.ID - b.ID })
	return tracks, len(d.order) > 0 && len(tracks) == len(d.order)
}

// Promised returns the tracks that the PMT announces and whose configuration
// has not come: their ID and codec.
func (d *Demuxer) Promised() (tracks []*media.Track) {
	for _, e := range d.order {
		if e.parser.track() == nil {
			tracks = append(tracks, &media.Track{ID: e.id, Codec: e.codec})
		}
	}
	return tracks
}

// Ignored names the elementary streams of the program that are not carried,
// such as "AC-3 audio (0x81)".
// They must not be changed.
func (d *Demuxer) Ignored() []string { return slices.Clip(d.ignored) }

// Stats returns the counts so far.
func (d *Demuxer) Stats() Stats { return d.stats }

func (d *Demuxer) packet(b []byte) {
	var p packet
	d.stats.Packets++
	if err := p.unmarshal(b); err != nil || p.corrupt {
		d.stats.Corrupt++
		return
	}
	e := d.streams[p.pid]
	switch {
	case p.pid == pidNull:
	case p.payload == nil:
		if p.discontinuity {
			d.jump(e, &p)
		}
	case p.scrambled:
		d.stats.Scrambled++
		d.scrambled(e)
	case p.pid == pidPAT:
		d.section(&d.pat, &p, d.readPAT)
	case d.program.number != 0 && p.pid == d.program.pmtPID:
		d.section(&d.pmt, &p, d.readPMT)
	case e != nil:
		e.scrambled = 0
		d.elementary(e, &p)
	}
}

// jump takes a packet without payload that says where the counter goes on.
func (d *Demuxer) jump(e *elementary, p *packet) {
	switch {
	case p.pid == pidPAT:
		d.pat.cont.jump(p)
	case d.program.number != 0 && p.pid == d.program.pmtPID:
		d.pmt.cont.jump(p)
	case e != nil:
		e.cont.jump(p)
	}
}

// scrambled gives a stream up that has been scrambled from its beginning. One
// that was clear before may be clear again: it only has a gap.
func (d *Demuxer) scrambled(e *elementary) {
	if e == nil || e.parser.track() != nil {
		return
	}
	if e.scrambled++; e.scrambled >= maxScrambled {
		d.refuse(e, e.codec.String()+", scrambled")
	}
}

// continues counts what the continuity counter says; duplicates are to be
// left out.
func (d *Demuxer) continues(c *continuity, p *packet, lost func()) bool {
	duplicate, gap := c.next(p)
	if duplicate {
		d.stats.Duplicates++
	}
	if gap {
		d.stats.Gaps++
		lost()
	}
	return !duplicate
}

func (d *Demuxer) section(s *sections, p *packet, done func([]byte)) {
	if d.continues(&s.cont, p, func() { s.buf = s.buf[:0] }) && !s.push(p, done) {
		d.stats.BadSections++
	}
}

func (d *Demuxer) elementary(e *elementary, p *packet) {
	lost := func() {
		if e.pes.drop() {
			d.stats.Discarded++
		}
		e.ending.lost()
		e.parser.lost()
	}
	if !d.continues(&e.cont, p, lost) {
		return
	}
	if e.ending.next(p) {
		d.stats.Malformed++ // it was taken for whole before this
	}
	if p.start {
		d.endPES(e)
		e.pes.begin()
	}
	if !e.pes.open {
		return // the rest of a packet that was given up, or stuffing
	}
	whole, ok := e.pes.append(p.payload)
	if !ok {
		d.err = fmt.Errorf("%w: more than %d bytes of %s", ErrTooLarge, e.pes.max, e.codec)
		return
	}
	if whole == nil && e.pes.size == 0 && e.ending.tells() {
		whole, _ = e.pes.end()
		e.ending.early = true
	}
	if whole != nil {
		d.readPES(e, whole)
	}
}

// endPES takes the PES packet of e as it is, for the next one starts.
func (d *Demuxer) endPES(e *elementary) {
	whole, complete := e.pes.end()
	switch {
	case !complete:
		d.stats.Discarded++
		e.parser.lost()
	case whole != nil:
		d.readPES(e, whole)
	}
}

func (d *Demuxer) readPES(e *elementary, whole []byte) {
	var p pes
	if err := p.unmarshal(whole); err != nil {
		d.stats.Discarded++
		e.parser.lost()
		return
	}
	if p.timed {
		d.clock.unroll(&p)
	}
	d.queue = e.parser.frames(d.queue, &p, &d.stats)
	if s, ok := e.parser.(*soundParser); ok && s.refused != "" {
		d.refuse(e, s.refused)
	}
}

// refuse stops following a stream that turned out to hold what is not carried.
func (d *Demuxer) refuse(e *elementary, name string) {
	delete(d.streams, e.pid)
	d.order = slices.DeleteFunc(d.order, func(o *elementary) bool { return o == e })
	if len(d.ignored) < maxIgnored {
		d.ignored = append(d.ignored, name)
	}
	d.checkTracks()
}

// checkTracks ends the demuxing if nothing is left to follow.
func (d *Demuxer) checkTracks() {
	if len(d.order) == 0 && len(d.ignored) > 0 {
		d.err = fmt.Errorf("%w: the program has only %s", ErrNoTracks, strings.Join(d.ignored, ", "))
	}
}
