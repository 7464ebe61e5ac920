package ingest

import (
	"context"
	"fmt"
	"time"
)

// play admits a player, if need be after a wait for its stream, and sends it
// the stream until one of the two ends.
func (s *Server) play(ctx, deciding context.Context, conn Conn, x *session) error {
	player, ok := conn.(Player)
	if !ok {
		return ErrNotPlayable
	}
	// It counts as a player instead of as an encoder's connection.
	s.open.Add(-1)
	defer s.open.Add(1)
	s.arrived(x)
	defer s.players.Add(-1)
	if s.players.Add(1) > int64(s.config.MaxPlayers) {
		return fmt.Errorf("%w: %d players are connected", ErrTooLarge, s.config.MaxPlayers)
	}
	wait, cancel := context.WithTimeout(deciding, s.config.PlayWait)
	defer cancel()
	live, err := s.hub.Await(wait, x.Key)
	if ctx.Err() != nil {
		return cause(ctx)
	}
	if err != nil {
		return err
	}
	viewer, err := live.Admit()
	if err != nil {
		return err
	}
	defer viewer.Leave()
	// From here on nothing is due from the peer.
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	x.Admitted = true
	if err = player.Play(ctx, live); ctx.Err() != nil {
		return cause(ctx)
	}
	return err
}
