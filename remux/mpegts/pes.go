package mpegts

import (
	"encoding/binary"
	"errors"
)

// Bounds of one PES packet. The largest pictures of real encoders, 4K IDR at
// 100 Mbit/s and more, stay under 4 MiB; audio PES packets have their size in
// 16 bits.
const (
	maxVideoPES = 8 << 20
	maxAudioPES = 256 << 10
)

var errPES = errors.New("malformed PES packet")

// pes is one PES packet (ISO 13818-1, 2.4.3.6).
type pes struct {
	// timed says that there is a PTS; without a DTS, dts equals pts.
	timed    bool
	pts, dts int64
	payload  []byte
}

// unmarshal reads a whole PES packet. The payload is a slice of b; the times
// are 33 bits of 90 kHz ticks.
func (p *pes) unmarshal(b []byte) error {
	*p = pes{}
	if len(b) < 9 || b[0] != 0 || b[1] != 0 || b[2] != 1 {
		return errPES
	}
	// All stream IDs but a few have this header, '10' first (table 2-21);
	// padding and the like carry nothing for us.
	if b[6]>>6 != 2 || b[6]&0x30 != 0 {
		return errPES
	}
	n := 9 + int(b[8])
	if n > len(b) {
		return errPES
	}
	header := b[9:n]
	p.payload = b[n:]
	switch b[7] >> 6 {
	case 2:
		if len(header) < 5 {
			return errPES
		}
		p.timed, p.pts = true, timestamp(header)
		p.dts = p.pts
	case 3:
		if len(header) < 10 {
			return errPES
		}
		p.timed, p.pts, p.dts = true, timestamp(header), timestamp(header[5:])
	}
	return nil
}

// timestamp reads 33 bits with marker bits between them (2.4.3.7).
func timestamp(b []byte) int64 {
	return int64(b[0]>>1&7)<<30 | int64(binary.BigEndian.Uint16(b[1:])>>1)<<15 | int64(binary.BigEndian.Uint16(b[3:])>>1)
}

// assembly puts the PES packets of one PID together.
type assembly struct {
	buf []byte
	// open says that the start was seen and nothing is missing since.
	open bool
	// size is the whole size once it is known, 0 if the next start tells.
	size int
	max  int
}

// begin starts a PES packet.
func (a *assembly) begin() {
	a.buf, a.size, a.open = a.buf[:0], 0, true
}

// append adds a payload. It returns the whole packet once its size says that
// it is complete, valid until begin, and false if it grew beyond the bound.
func (a *assembly) append(b []byte) (whole []byte, ok bool) {
	if len(a.buf)+len(b) > a.max {
		a.open = false
		return nil, false
	}
	a.buf = append(a.buf, b...)
	if a.size == 0 && len(a.buf) >= 6 {
		if n := int(binary.BigEndian.Uint16(a.buf[4:])); n > 0 {
			a.size = 6 + n
		}
	}
	if a.size > 0 && len(a.buf) >= a.size {
		a.open = false
		return a.buf[:a.size], true
	}
	return nil, true
}

// end returns a packet of unknown size, which ends where the next one starts.
func (a *assembly) end() (whole []byte, complete bool) {
	if !a.open {
		return nil, true
	}
	a.open = false
	return a.buf, a.size == 0
}

// drop forgets what was gathered and reports whether that was anything.
func (a *assembly) drop() bool {
	open := a.open
	a.open = false
	return open
}

// trustEnding is after how many PES packets that ended in stuffing, and only
// there, stuffing is taken for the end: a second of pictures.
const trustEnding = 30

// ending learns whether an encoder stuffs the last packet of a PES packet and no
// other, as most do. Then a picture whose size is not told is whole when its
// last packet is there, a picture's time before the next one begins.
type ending struct {
	// stuffed says that the newest packet was.
	stuffed bool
	// early says that the PES packet was taken for whole.
	early bool
	good  int
	never bool
}

// next takes the next packet. It reports whether a PES packet that was taken for
// whole goes on.
func (e *ending) next(p *packet) (wrong bool) {
	switch {
	case !e.stuffed:
	case p.start:
		e.good++
	default:
		wrong, e.never = e.early, true
	}
	e.stuffed, e.early = p.stuffed, false
	return wrong
}

// lost says that packets are missing.
func (e *ending) lost() { e.stuffed, e.early = false, false }

// tells reports whether the newest packet ends its PES packet.
func (e *ending) tells() bool { return e.stuffed && e.good >= trustEnding && !e.never }
