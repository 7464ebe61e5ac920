package bench

import "time"

// position is a place in a stream: the part of a segment that comes next.
type position struct {
	number int64
	part   int
}

// piece is what a player fetches at once: a part, or a whole segment.
type piece struct {
	resource
	init     resource
	duration time.Duration
	date     time.Time // of its begin; zero is unknown
	gap      bool
	next     position
}

// place is where a position is, seen from a playlist.
type place int

const (
	here   place = iota
	ahead        // not listed yet
	behind       // the playlist has skipped it, or lists it no more
)

// low says whether a player may follow parts.
func (l *mediaList) low() bool { return l.partTarget > 0 && l.blocks }

// at returns what is at a position. With parts false it goes by whole segments.
func (l *mediaList) at(p position, parts bool) (piece, place) {
	if len(l.segments) == 0 || p.number < l.segments[0].number {
		if len(l.segments) == 0 {
			return piece{}, ahead
		}
		return piece{}, behind
	}
	i := p.number - l.segments[0].number
	if i >= int64(len(l.segments)) {
		return piece{}, ahead
	}
	s := &l.segments[i]
	if p.part >= len(s.parts) && p.part > 0 {
		if s.open() {
			return piece{}, ahead
		}
		return l.at(position{p.number + 1, 0}, parts) // it had no more parts than that
	}
	if parts && len(s.parts) > 0 {
		t := piece{
			resource: s.parts[p.part].resource, init: s.init, duration: s.parts[p.part].duration, date: s.date,
			gap: s.gap || s.parts[p.part].gap, next: position{p.number, p.part + 1},
		}
		if !t.date.IsZero() {
			for _, before := range s.parts[:p.part] {
				t.date = t.date.Add(before.duration)
			}
		}
		return t, here
	}
	if s.open() {
		return piece{}, ahead
	}
	return piece{s.resource, s.init, s.duration, s.date, s.gap, position{p.number + 1, 0}}, here
}

// start is where a player begins to fetch: a random access point at least as far
// from the end as the server wants players to be (4.4.3.8). lead is how much
// farther it is, which a player decodes and does not show.
func (l *mediaList) start(parts bool) (p position, lead time.Duration) {
	back := l.holdBack
	if back == 0 {
		back = 3 * l.target
	}
	if parts {
		if back = l.partHoldBack; back == 0 {
			back = 3 * l.partTarget
		}
	}
	distance := time.Duration(0)
	for i := len(l.segments) - 1; i >= 0; i-- {
		s := &l.segments[i]
		if !parts || len(s.parts) == 0 {
			if distance += s.duration; distance >= back && !s.open() {
				return position{s.number, 0}, distance - back
			}
			continue
		}
		for j := len(s.parts) - 1; j >= 0; j-- {
			if distance += s.parts[j].duration; distance >= back && (s.parts[j].independent || j == 0) {
				return position{s.number, j}, distance - back
			}
		}
	}
	if len(l.segments) == 0 {
		return position{l.sequence + l.skipped, 0}, 0
	}
	return position{l.segments[0].number, 0}, 0
}

// wanted is what a player asks a blocking server for: the first thing that the
// playlist does not list (6.2.5.2).
func (l *mediaList) wanted() position {
	n := len(l.segments)
	if n == 0 {
		return position{l.sequence + l.skipped, 0}
	}
	if s := &l.segments[n-1]; s.open() {
		return position{s.number, len(s.parts)}
	}
	return position{l.segments[n-1].number + 1, 0}
}
