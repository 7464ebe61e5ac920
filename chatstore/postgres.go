package chatstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// migrationLock is the advisory lock under which one of several servers brings
// the tables up to date.
const migrationLock = 0x6d696a75

// openPostgres connects to a database, which may still be starting.
func openPostgres(ctx context.Context, dsn string, log *slog.Logger) (*database, error) {
	d, err := readPostgres(dsn)
	if err != nil {
		return nil, err
	}
	config, err := parsePostgres(dsn)
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	d.writer = stdlib.OpenDB(*config)
	d.writer.SetMaxOpenConns(1)
	if err := awaitPostgres(ctx, d, log); err != nil {
		return nil, errors.Join(err, d.close())
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(migrationLock), lock.WithLockTimeout(1, 60))
	if err == nil {
		err = migrate(ctx, d.reader, goose.DialectPostgres, "postgres", goose.WithSessionLocker(locker))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", d.name, err), d.close())
	}
	return d, nil
}

// readPostgres prepares to read; nothing is connected yet.
func readPostgres(dsn string) (*database, error) {
	config, err := parsePostgres(dsn)
	if err != nil {
		return nil, err
	}
	r := stdlib.OpenDB(*config)
	r.SetMaxOpenConns(4)
	r.SetConnMaxIdleTime(time.Minute)
	name := "postgres://" + net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))) + "/" + config.Database
	return &database{name: name, reader: r, insert: insertPostgres, permanent: permanentPostgres}, nil
}

func parsePostgres(dsn string) (*pgx.ConnConfig, error) {
	if !strings.HasPrefix(dsn, "postgres://") && !strings.HasPrefix(dsn, "postgresql://") {
		return nil, errors.New("--db must be like postgres://user:password@host/name")
	}
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		// Not in its own words: they repeat the URL, and a password may stand anywhere.
		why := errors.Unwrap(err)
		if why == nil {
			why = errors.New("it cannot be read")
		}
		return nil, fmt.Errorf("--db: %w", why)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 5 * time.Second
	}
	for name, value := range map[string]string{
		"application_name": "miju",
		// A server that cannot see that we are gone must let go of what it
		// has locked for us: else nobody writes until TCP finds out.
		"idle_in_transaction_session_timeout": "20s",
	} {
		if config.RuntimeParams[name] == "" {
			config.RuntimeParams[name] = value
		}
	}
	return config, nil
}

// awaitPostgres waits until the server answers or ctx ends.
func awaitPostgres(ctx context.Context, d *database, log *slog.Logger) error {
	for tries := 0; ; tries++ {
		err := d.writer.PingContext(ctx)
		if err == nil {
			return nil
		}
		var refused *pgconn.PgError // it is there, and says no
		starting := errors.As(err, &refused) && (refused.Code == "57P03" || refused.Code == "53300")
		if refused != nil && !starting {
			return err
		}
		if tries == 0 {
			log.Warn("waiting for the chat database", "database", d.name, "err", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", d.name, err)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// insertPostgres sends columns, not rows: one statement for any number.
func insertPostgres(ctx context.Context, tx *sql.Tx, events []*Event) error {
	n := len(events)
	texts := make([][]string, 7)
	for i := range texts {
		texts[i] = make([]string, n)
	}
	numbers := make([][]int64, 5)
	for i := range numbers {
		numbers[i] = make([]int64, n)
	}
	bodies := make([][]byte, n)
	for i, e := range events {
		for k, s := range [...]string{e.Room, e.Broadcast, e.ID, e.ClientID, e.Type, e.UserID, e.Address} {
			texts[k][i] = s
		}
		for k, v := range [...]int64{e.Epoch, int64(e.Offset), e.state(), e.At.UnixMilli(), e.MediaTime} {
			numbers[k][i] = v
		}
		if bodies[i] = e.Body; e.Body == nil {
			bodies[i] = []byte{}
		}
	}
	_, err := tx.ExecContext(ctx, `
INSERT INTO chat_events (room, broadcast, id, client_id, type, user_id, address, epoch, num, state, at_ms, media_ms, body)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                     $8::bigint[], $9::bigint[], $10::smallint[], $11::bigint[], $12::bigint[], $13::bytea[])
ON CONFLICT DO NOTHING`,
		texts[0], texts[1], texts[2], texts[3], texts[4], texts[5], texts[6], numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], bodies)
	return err
}

// permanentPostgres knows the classes data exception, integrity constraint
// violation and program limit exceeded (PostgreSQL, appendix A).
func permanentPostgres(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && len(e.Code) == 5 && (e.Code[:2] == "22" || e.Code[:2] == "23" || e.Code[:2] == "54")
}
