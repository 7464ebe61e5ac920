package chatstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// MaxStreamKeys is how many keys one stream may have.
const MaxStreamKeys = 100

// MaxPassphrases is how many of them may be passphrases: each is tried with every
// caller.
const MaxPassphrases = 8

// StreamKey is a secret that permits something with a stream. The secret itself is
// nowhere, or encrypted.
type StreamKey struct {
	// ID names it; it is no secret.
	ID     string
	Hash   [sha256.Size]byte
	Stream string
	// Owner is for people.
	Owner string
	// Actions are the names of what it permits, with commas.
	Actions string
	// Sealed is the secret of a passphrase, encrypted; empty for others.
	Sealed string
	// Created and Expires are in milliseconds; a zero Expires is never.
	Created, Expires time.Time
}

// StreamKeys are those of a database, which a server may have open at the same
// time. It is safe for concurrent use.
type StreamKeys struct{ db *database }

// OpenStreamKeys opens or makes the database that Open with the same Config does,
// and begins no epoch.
func OpenStreamKeys(ctx context.Context, c Config, log *slog.Logger) (*StreamKeys, error) {
	db, err := openDatabase(ctx, c, log)
	if err != nil {
		return nil, err
	}
	return &StreamKeys{db}, nil
}

// StreamKeys returns the keys in s's database, which s closes.
func (s *Store) StreamKeys() *StreamKeys { return &StreamKeys{s.db} }

// Close closes a database of OpenStreamKeys.
func (k *StreamKeys) Close() error { return k.db.close() }

// Put adds a key. The error wraps ErrFull if its stream has MaxStreamKeys.
func (k *StreamKeys) Put(ctx context.Context, x StreamKey) error {
	return k.change(ctx, func(tx *sql.Tx) error { return putStreamKey(ctx, tx, x) })
}

// Replace removes the key called id and adds x in its place, both or neither. ok is
// false if there is none called so.
func (k *StreamKeys) Replace(ctx context.Context, id string, x StreamKey) (ok bool, err error) {
	err = k.change(ctx, func(tx *sql.Tx) error {
		if ok, err = removeStreamKey(ctx, tx, id); !ok || err != nil {
			return err
		}
		return putStreamKey(ctx, tx, x)
	})
	return ok, err
}

// Remove removes a key, and reports whether there was one.
func (k *StreamKeys) Remove(ctx context.Context, id string) (ok bool, err error) {
	err = k.change(ctx, func(tx *sql.Tx) error {
		ok, err = removeStreamKey(ctx, tx, id)
		return err
	})
	return ok, err
}

func putStreamKey(ctx context.Context, tx *sql.Tx, x StreamKey) error {
	n := 0
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM stream_keys WHERE stream = $1`, x.Stream).Scan(&n); err != nil {
		return err
	}
	if n >= MaxStreamKeys {
		return fmt.Errorf("%w: %s has %d keys", ErrFull, x.Stream, n)
	}
	var sealed []byte
	if x.Sealed != "" {
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM stream_keys WHERE stream = $1 AND sealed IS NOT NULL`, x.Stream).Scan(&n); err != nil {
			return err
		}
		if n >= MaxPassphrases {
			return fmt.Errorf("%w: %s has %d passphrases", ErrFull, x.Stream, n)
		}
		sealed = []byte(x.Sealed)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO stream_keys (id, hash, stream, owner, created_ms, expires_ms, actions, sealed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		x.ID, x.Hash[:], x.Stream, x.Owner, x.Created.UnixMilli(), unixMilli(x.Expires), x.Actions, sealed)
	return err
}

func removeStreamKey(ctx context.Context, tx *sql.Tx, id string) (bool, error) {
	r, err := tx.ExecContext(ctx, `DELETE FROM stream_keys WHERE id = $1`, id)
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	if err != nil || n == 0 {
		return false, err
	}
	return true, revoke(ctx, tx, keyCredential+id, time.Now().Add(revocationKept))
}

// change carries out f in a transaction.
func (k *StreamKeys) change(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := k.db.writer.BeginTx(ctx, nil)
	if err == nil {
		if err = f(tx); err == nil {
			err = tx.Commit()
		} else {
			err = errors.Join(err, tx.Rollback())
		}
	}
	if err != nil {
		return fmt.Errorf("change the stream keys: %w", err)
	}
	return nil
}

const streamKeyColumns = "id, hash, stream, owner, created_ms, expires_ms, actions, sealed"

// Find returns the key whose secret has this hash; ok is false if there is none.
func (k *StreamKeys) Find(ctx context.Context, hash [sha256.Size]byte) (x StreamKey, ok bool, err error) {
	err = scanStreamKey(k.db.reader.QueryRowContext(ctx, `SELECT `+streamKeyColumns+` FROM stream_keys WHERE hash = $1`, hash[:]), &x)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return x, false, nil
	case err != nil:
		return x, false, fmt.Errorf("look for a stream key: %w", err)
	}
	return x, true, nil
}

// List calls f with the keys of a stream, of all if it is empty, oldest first.
func (k *StreamKeys) List(ctx context.Context, stream string, f func(StreamKey) error) (err error) {
	rows, err := k.db.reader.QueryContext(ctx, `SELECT `+streamKeyColumns+` FROM stream_keys WHERE $1 = '' OR stream = $1 ORDER BY stream, created_ms, id`, stream)
	if err != nil {
		return fmt.Errorf("list the stream keys: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var x StreamKey
		if err := scanStreamKey(rows, &x); err != nil {
			return fmt.Errorf("list the stream keys: %w", err)
		}
		if err := f(x); err != nil {
			return err
		}
	}
	return rows.Err()
}

func scanStreamKey(row interface{ Scan(...any) error }, x *StreamKey) error {
	var hash, sealed []byte
	var created, expires int64
	err := row.Scan(&x.ID, &hash, &x.Stream, &x.Owner, &created, &expires, &x.Actions, &sealed)
	copy(x.Hash[:], hash)
	x.Sealed = string(sealed)
	x.Created = time.UnixMilli(created).UTC()
	if expires != 0 {
		x.Expires = time.UnixMilli(expires).UTC()
	}
	return err
}
