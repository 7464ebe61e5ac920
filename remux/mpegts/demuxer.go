// Package mpegts takes H.264, H.265 and AAC out of MPEG transport streams.
package mpegts

import (
	"bytes"
	"errors"
	"fmt"
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
	// maxUnsynced is how many bytes may go by without a sync byte every 188.
	maxUnsynced = 64 << 10
	// syncRun is how many sync bytes in a row are believed.
	syncRun = 3
	// maxStreams bounds the elementary streams that are followed, and so the
	// memory of one demuxer. A program of more than a few is a mistake here.
	maxStreams = 8
	// maxIgnored bounds the names of streams left out.
	maxIgnored = 16
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
	pid   uint16
	codec media.Codec
	info  esInfo
	id    int
	cont  continuity
	pes   assembly
	// stuffed says that the newest packet was not full.
	stuffed bool
	parser  parser
}

// Demuxer takes the frames of the first program out of a transport stream
// (ISO 13818-1). It holds at most one PES packet for each of maxStreams
// elementary streams. The zero value is not usable; a Demuxer belongs to one
// goroutine.
type Demuxer struct {
	carry    []byte
	synced   bool
	unsynced int
	stats    Stats

	pat        sections
	patVersion int
	program    program
	pmt        sections
	pmtVersion int

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
	return &Demuxer{patVersion: -1, pmtVersion: -1, streams: make(map[uint16]*elementary)}
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
		if e.pes.open && !e.stuffed {
			e.pes.drop()
			d.stats.Discarded++
			continue
		}
		d.endPES(e)
	}
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
func (d *Demuxer) Ignored() []string { return slices.Clone(d.ignored) }

// Stats returns the counts so far.
func (d *Demuxer) Stats() Stats { return d.stats }

// packets reads all whole packets of b and returns the rest.
func (d *Demuxer) packets(b []byte) []byte {
	for d.err == nil {
		if !d.synced {
			if b = d.findSync(b); !d.synced {
				return b
			}
		}
		if len(b) < packetSize {
			return b
		}
		if b[0] != syncByte {
			d.synced = false
			d.stats.SyncLosses++
			continue
		}
		d.unsynced = max(0, d.unsynced-packetSize)
		d.packet(b[:packetSize])
		b = b[packetSize:]
	}
	return nil
}

// findSync skips to the first of syncRun sync bytes at packet distance.
func (d *Demuxer) findSync(b []byte) []byte {
	const need = (syncRun-1)*packetSize + 1
	i := 0
	for ; len(b)-i >= need; i++ {
		if b[i] == syncByte && b[i+packetSize] == syncByte && b[i+2*packetSize] == syncByte {
			d.synced = true
			break
		}
	}
	d.stats.Skipped += uint64(i)
	if d.unsynced += i; d.unsynced > maxUnsynced {
		d.err = fmt.Errorf("%w: %d bytes without packets of %d", ErrNotTS, d.unsynced, packetSize)
	}
	return b[i:]
}

func (d *Demuxer) packet(b []byte) {
	var p packet
	d.stats.Packets++
	if err := p.unmarshal(b); err != nil || p.corrupt {
		d.stats.Corrupt++
		return
	}
	switch {
	case p.payload == nil || p.pid == pidNull:
	case p.scrambled:
		d.stats.Scrambled++
	case p.pid == pidPAT:
		d.section(&d.pat, &p, d.readPAT)
	case d.program.number != 0 && p.pid == d.program.pmtPID:
		d.section(&d.pmt, &p, d.readPMT)
	default:
		if e := d.streams[p.pid]; e != nil {
			d.elementary(e, &p)
		}
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
		e.parser.lost()
	}
	if !d.continues(&e.cont, p, lost) {
		return
	}
	if p.start {
		d.endPES(e)
		e.pes.begin()
	}
	if !e.pes.open {
		return // the rest of a packet that was given up, or stuffing
	}
	e.stuffed = len(p.payload) < packetSize-4
	whole, ok := e.pes.append(p.payload)
	if !ok {
		d.err = fmt.Errorf("%w: more than %d bytes of %s", ErrTooLarge, e.pes.max, e.info.name())
		return
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

func (d *Demuxer) readPAT(b []byte) {
	var t table
	if err := t.unmarshal(tablePAT, b); err != nil {
		d.stats.BadSections++
		return
	}
	if !t.current || int(t.version) == d.patVersion {
		return
	}
	first, ok := firstProgram(t.body)
	if !ok {
		return
	}
	d.patVersion = int(t.version)
	if first != d.program {
		d.program, d.pmt, d.pmtVersion = first, sections{}, -1
	}
}

func (d *Demuxer) readPMT(b []byte) {
	if b[0] != tablePMT {
		return // other tables may share the PID
	}
	var t table
	if err := t.unmarshal(tablePMT, b); err != nil {
		d.stats.BadSections++
		return
	}
	if !t.current || t.id != d.program.number || int(t.version) == d.pmtVersion {
		return
	}
	infos, err := unmarshalPMT(t.body)
	if err != nil {
		d.stats.BadSections++
		return
	}
	d.pmtVersion = int(t.version)
	d.apply(infos)
}

// apply makes the PMT's streams the ones that are followed. A stream that was
// there before goes on as it was.
func (d *Demuxer) apply(infos []esInfo) {
	before := d.streams
	d.streams, d.order, d.ignored = make(map[uint16]*elementary), nil, nil
	for i := range infos {
		info := &infos[i]
		codec, known := info.codec()
		if !known || len(d.order) == maxStreams || d.streams[info.pid] != nil {
			if len(d.ignored) < maxIgnored {
				d.ignored = append(d.ignored, info.name())
			}
			continue
		}
		e := before[info.pid]
		if e == nil || e.codec != codec {
			e = &elementary{pid: info.pid, codec: codec}
		}
		e.info = *info
		e.info.descriptors = bytes.Clone(info.descriptors)
		d.streams[info.pid] = e
		d.order = append(d.order, e)
	}
	d.number()
	d.checkTracks()
}

// number gives IDs to the streams that have none: 1 to the first video, 2 to
// the first audio, and from 3 on to the others.
func (d *Demuxer) number() {
	taken := make(map[int]bool)
	for _, e := range d.order {
		taken[e.id] = true
	}
	for _, e := range d.order {
		if e.id != 0 {
			continue
		}
		e.id = 3
		switch {
		case e.codec.Kind() == media.KindVideo && !taken[1]:
			e.id = 1
		case e.codec.Kind() == media.KindAudio && !taken[2]:
			e.id = 2
		}
		for e.id >= 3 && taken[e.id] {
			e.id++
		}
		taken[e.id] = true
		switch {
		case e.codec == media.AAC:
			e.parser, e.pes.max = &audioParser{id: e.id}, maxAudioPES
		case e.codec.Kind() == media.KindAudio:
			e.parser, e.pes.max = &soundParser{id: e.id, codec: e.codec, channels: e.info.opusChannels()}, maxAudioPES
		default:
			e.parser, e.pes.max = &videoParser{id: e.id, codec: e.codec}, maxVideoPES
		}
	}
}
