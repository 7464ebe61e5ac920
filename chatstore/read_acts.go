package chatstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"net/netip"
	"slices"
	"time"
)

// Settings returns what PutSettings was given last, empty if it never
// was. When the database fails it returns what memory holds, and the error.
func (s *Store) Settings(ctx context.Context, room string) ([]byte, error) {
	var b []byte
	pending, err := s.read(ctx, func(c change) bool {
		p, ok := c.(*putSettings)
		return ok && p.room == room
	}, func(ctx context.Context, tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT settings FROM chat_rooms WHERE room = $1`, room).Scan(&b)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if len(pending) > 0 {
		b = pending[len(pending)-1].what.(*putSettings).settings
	}
	return b, err
}

// Sanctions returns all bans and mutes that have not ended, oldest first; there
// are MaxSanctions at most. When the database fails it returns what memory
// holds, and the error.
func (s *Store) Sanctions(ctx context.Context) ([]Sanction, error) {
	now := time.Now().UnixMilli()
	all := map[key]Sanction{}
	pending, err := s.read(ctx, func(c change) bool {
		switch c.(type) {
		case *putSanction, *removeSanction:
			return true
		}
		return false
	}, func(ctx context.Context, tx *sql.Tx) error { return readSanctions(ctx, tx, all) })
	for _, o := range pending {
		switch c := o.what.(type) {
		case *putSanction:
			all[c.Sanction.key()] = c.Sanction
		case *removeSanction:
			delete(all, c.key)
		}
	}
	list := make([]Sanction, 0, len(all))
	for _, x := range all {
		if !x.expired(now) {
			list = append(list, x)
		}
	}
	slices.SortFunc(list, func(a, b Sanction) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Room, b.Room), cmp.Compare(a.Subject.User, b.Subject.User), a.Subject.Network.Compare(b.Subject.Network), cmp.Compare(a.Kind, b.Kind))
	})
	return list, err
}

func readSanctions(ctx context.Context, tx *sql.Tx, into map[key]Sanction) error {
	rows, err := tx.QueryContext(ctx, `SELECT kind, room, user_id, network, until_ms, reason, actor, at_ms FROM chat_sanctions`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var x Sanction
		var network string
		var until, at int64
		if err := rows.Scan(&x.Kind, &x.Room, &x.Subject.User, &network, &until, &x.Reason, &x.Actor, &at); err != nil {
			return err
		}
		if network != "" {
			if x.Subject.Network, err = netip.ParsePrefix(network); err != nil {
				return err
			}
		}
		x.Until, x.At = fromMilli(until), time.UnixMilli(at).UTC()
		into[x.key()] = x
	}
	return rows.Err()
}

// AuditLog returns the newest lines of a room's audit, or of all rooms if room
// is empty, newest first, at most n and MaxAudit. When the database fails it
// returns what memory holds, and the error.
func (s *Store) AuditLog(ctx context.Context, room string, n int) ([]AuditEntry, error) {
	n = min(n, MaxAudit)
	if n <= 0 {
		return nil, nil
	}
	var stored []AuditEntry
	pending, err := s.read(ctx, func(c change) bool {
		a, ok := c.(*audit)
		return ok && (room == "" || a.Room == room)
	}, func(ctx context.Context, tx *sql.Tx) (err error) {
		stored, err = readAudit(ctx, tx, room, n)
		return err
	})
	if err != nil {
		stored = nil
	}
	var log []AuditEntry
	for _, o := range slices.Backward(pending) {
		log = append(log, o.what.(*audit).AuditEntry)
	}
	log = append(log, stored...)
	return log[:min(n, len(log))], err
}

func readAudit(ctx context.Context, tx *sql.Tx, room string, n int) ([]AuditEntry, error) {
	query, args := `SELECT at_ms, room, actor, act, target, detail FROM chat_audit`, []any{n}
	if room != "" {
		query, args = query+` WHERE room = $2`, append(args, room)
	}
	rows, err := tx.QueryContext(ctx, query+` ORDER BY id DESC LIMIT $1`, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var log []AuditEntry
	for rows.Next() {
		var a AuditEntry
		var at int64
		if err := rows.Scan(&at, &a.Room, &a.Actor, &a.Act, &a.Target, &a.Detail); err != nil {
			return nil, err
		}
		a.At = time.UnixMilli(at).UTC()
		log = append(log, a)
	}
	return log, rows.Err()
}
