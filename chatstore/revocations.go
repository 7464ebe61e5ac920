package chatstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Revocation is a credential that was taken back.
type Revocation struct {
	// Number rises, but transactions may commit in another order.
	Number     int64
	Credential string
	// Until is when it would have ended anyway, in milliseconds; zero is never.
	Until time.Time
}

// keyCredential begins the credential of a stream key, before its ID.
const keyCredential = "key:"

// revocationKept is for how long a stream key's is kept: the key itself is gone, so
// only servers that run must see it.
const revocationKept = 24 * time.Hour

// Revoke takes a credential back, and forgets those that are over.
func (k *StreamKeys) Revoke(ctx context.Context, credential string, until time.Time) error {
	return k.change(ctx, func(tx *sql.Tx) error { return revoke(ctx, tx, credential, until) })
}

func revoke(ctx context.Context, tx *sql.Tx, credential string, until time.Time) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM revocations WHERE until_ms <> 0 AND until_ms < $1`, time.Now().Add(-revocationKept).UnixMilli()); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO revocations (credential, until_ms) VALUES ($1, $2)`, credential, unixMilli(until))
	return err
}

// Revocations calls f with those whose number is higher than after.
func (k *StreamKeys) Revocations(ctx context.Context, after int64, f func(Revocation)) (err error) {
	rows, err := k.db.reader.QueryContext(ctx, `SELECT number, credential, until_ms FROM revocations WHERE number > $1 ORDER BY number`, after)
	if err != nil {
		return fmt.Errorf("read what was revoked: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r Revocation
		var until int64
		if err := rows.Scan(&r.Number, &r.Credential, &until); err != nil {
			return fmt.Errorf("read what was revoked: %w", err)
		}
		if until != 0 {
			r.Until = time.UnixMilli(until).UTC()
		}
		f(r)
	}
	return rows.Err()
}
