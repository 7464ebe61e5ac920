package chatws

import "sync/atomic"

type counters struct {
	joined, messages, duplicates, reactions, delivered, slow, oversize atomic.Uint64
	// refused counts by reason; nothing is added to the map.
	refused map[string]*atomic.Uint64
}

// refusals are the reasons beside the error codes.
var refusals = []string{
	"flood", "full", "no_join", "silent", "denied", "undecided", "origin", "bad_frame", "crowded", "banned", "kicked", "expired", "address",
}

func (c *counters) init() {
	c.refused = map[string]*atomic.Uint64{}
	for _, code := range errorCodes {
		c.refused[string(code)] = new(atomic.Uint64)
	}
	for _, reason := range refusals {
		c.refused[reason] = new(atomic.Uint64)
	}
}

// Stats are the figures of a Server.
type Stats struct {
	// Connections are open, Rooms in memory.
	Connections, Rooms int
	// Sanctions are mutes and bans of all rooms, those too that ended lately.
	Sanctions int
	// Joined counts members that ever joined, Messages what they said,
	// Duplicates what they repeated, Reactions those that were summed,
	// Delivered the events that were queued for members.
	Joined, Messages, Duplicates, Reactions, Delivered uint64
	// Slow counts members closed because too much waited for them, Oversize
	// those closed for a frame over the bound.
	Slow, Oversize uint64
	// Refused counts what was refused, by reason.
	Refused map[string]uint64
}

// Stats returns the figures of this moment.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	st := Stats{Connections: s.open, Rooms: len(s.rooms)}
	s.mu.Unlock()
	st.Sanctions = s.sanctions.count()
	st.Joined, st.Messages, st.Duplicates, st.Reactions = s.joined.Load(), s.messages.Load(), s.duplicates.Load(), s.reactions.Load()
	st.Delivered, st.Slow, st.Oversize = s.delivered.Load(), s.slow.Load(), s.oversize.Load()
	st.Refused = make(map[string]uint64, len(s.refused))
	for name, n := range s.refused {
		st.Refused[name] = n.Load()
	}
	return st
}
