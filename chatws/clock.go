package chatws

import (
	"time"

	"github.com/miju-live/miju/streamkey"
)

// Streams tells what is live, and where it is in its own time. It is asked
// under a room's lock: it must return at once and not call the Server.
type Streams interface {
	Live(key streamkey.Key) (Clock, bool)
}

// Clock is where a stream is in its own time.
type Clock struct {
	// Broadcast names the stream's life: another begins when it begins anew.
	// It is positive.
	Broadcast int64
	// Media is the live edge.
	Media time.Duration
	// Anchor is the wall-clock time of what Media is zero.
	Anchor time.Time
}

// mapping is c's for what comes from now on.
func (c Clock) mapping() Mapping {
	return Mapping{Broadcast: c.Broadcast, Media: c.Media.Milliseconds(), Wall: c.Anchor.Add(c.Media).UnixMilli()}
}

// driftTold is how far the clock may run away from the mapping that was told:
// less than half a picture.
const driftTold = 10 * time.Millisecond

// look asks whether the room's stream is live and tells members if that
// changed, or how its time maps to the wall clock. Since the room asks under
// its own lock it cannot tell an old state after a new one, whoever made it
// look. It returns the live edge in milliseconds, nil if there is none.
func (r *room) look(now time.Time) *int64 {
	c, live := r.server.streams.Live(r.key)
	was := r.clock.Broadcast
	if was != 0 && (!live || c.Broadcast != was) {
		end := r.clock.Media.Milliseconds()
		r.publish(&Ended{Broadcast: was}, &end, fact{exportOnly: true}, now) // as the last of its broadcast
		r.clock = Clock{}
	}
	if !live {
		return nil
	}
	edge := c.Media.Milliseconds()
	told := r.clock
	r.clock = c
	switch drift := c.Anchor.Sub(told.Anchor); {
	case told.Broadcast == 0:
		r.totals = nil
		r.publish(&Live{Broadcast: c.Broadcast, Mapping: c.mapping()}, &edge, fact{exportOnly: true}, now)
	case drift.Abs() >= driftTold:
		r.tell(&MappingChanged{c.mapping()}, now)
	default:
		r.clock.Anchor = told.Anchor // or drift would go unnoticed, bit by bit
	}
	return &edge
}

// mediaTime returns the media time of what a viewer says who sees shown, if
// it says so: a comment belongs to the picture that its writer saw, as far as
// that can be true.
func (r *room) mediaTime(edge, shown *int64) *int64 {
	if edge == nil || shown == nil {
		return edge
	}
	at := min(max(*shown, *edge-r.server.config.MaxDelay.Milliseconds(), 0), *edge)
	return &at
}
