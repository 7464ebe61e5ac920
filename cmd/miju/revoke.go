package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/chatstore"
)

const (
	// revokePoll is how often a server looks what was revoked.
	revokePoll = time.Second
	// revokeAgain is for how long what was revoked is ended again, lest somebody
	// slips in who was let in a moment before.
	revokeAgain = 10 * time.Second
	// outOfOrder is how many numbers back a transaction may have been committed
	// late.
	outOfOrder = 100
)

// revocations follow what is revoked in the database.
type revocations struct {
	keys *chatstore.StreamKeys
	last int64
	// seen are those with numbers above last-outOfOrder.
	seen map[int64]bool
}

// poll calls f with what is new since the last time.
func (r *revocations) poll(ctx context.Context, f func(chatstore.Revocation)) error {
	after := max(r.last-outOfOrder, 0)
	for n := range r.seen {
		if n <= after {
			delete(r.seen, n)
		}
	}
	return r.keys.Revocations(ctx, after, func(x chatstore.Revocation) {
		if r.seen[x.Number] {
			return
		}
		r.seen[x.Number] = true
		r.last = max(r.last, x.Number)
		f(x)
	})
}

// knowRevoked has the doors know what was revoked before the start.
func (s *server) knowRevoked(ctx context.Context) error {
	if s.kept == nil || s.doors == nil {
		return nil
	}
	s.revocations = &revocations{keys: s.kept.StreamKeys(), seen: map[int64]bool{}}
	return s.revocations.poll(ctx, func(x chatstore.Revocation) { s.doors.Revoke(x.Credential, x.Until) })
}

// watchRevoked ends who publishes, plays or chats by what is revoked, until ctx
// ends.
func (s *server) watchRevoked(ctx context.Context) {
	if s.revocations == nil {
		return
	}
	tick := time.NewTicker(revokePoll)
	defer tick.Stop()
	recent := map[string]time.Time{} // since when
	for failing := false; ; {
		var now time.Time
		select {
		case <-ctx.Done():
			return
		case now = <-tick.C:
		}
		err := s.revocations.poll(ctx, func(x chatstore.Revocation) {
			s.doors.Revoke(x.Credential, x.Until)
			recent[x.Credential] = now
		})
		if err != nil && !failing && ctx.Err() == nil {
			s.log.Warn("cannot look what was revoked", "err", err)
		}
		failing = err != nil
		for credential, since := range recent {
			s.ingest.EndCredential(credential, auth.ErrRevoked)
			s.origin.EndCredential(credential, auth.ErrRevoked)
			s.chat.EndCredential(credential)
			if now.Sub(since) > revokeAgain {
				delete(recent, credential)
			}
		}
	}
}

// revokeToken takes a token back, which is given whole or by its ID.
func revokeToken(ctx context.Context, keys *chatstore.StreamKeys, token string) error {
	credential, until, err := auth.Revocable(token)
	if err != nil {
		return err
	}
	if !until.IsZero() && time.Now().After(until) {
		return errors.New("the token has expired already")
	}
	return keys.Revoke(ctx, credential, until)
}

// tokenRevoke takes tokens back, also while the server runs.
func tokenRevoke(env []string) *cobra.Command {
	cmd := managesKeys(env, needs(1), func(cmd *cobra.Command, keys *chatstore.StreamKeys, args []string) error {
		if err := revokeToken(cmd.Context(), keys, strings.TrimSpace(args[0])); err != nil {
			return err
		}
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "revoked: no server on this database takes it any more")
		return err
	})
	cmd.Use, cmd.Short = "revoke ID|TOKEN", "Revoke a token by its ID (jti), or one that is given whole; who publishes, plays or chats by it is cut off within a second or two"
	return cmd
}
