package chatstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/pressly/goose/v3"
)

//go:embed migrations
var migrations embed.FS

// database is what differs between SQLite and PostgreSQL.
type database struct {
	// name is for people; it holds no password.
	name string
	// writer has one connection, reader a few. reader is never nil.
	writer, reader *sql.DB
	// insert writes events of a transaction; one that is there already is
	// left as it is.
	insert func(ctx context.Context, tx *sql.Tx, events []*Event) error
	// permanent reports whether a change was refused for what it holds, so
	// that it will be refused whenever it is tried.
	permanent func(error) bool
}

func openDatabase(ctx context.Context, c Config, log *slog.Logger) (*database, error) {
	if c.DB != "" {
		return openPostgres(ctx, c.DB, log)
	}
	return openSQLite(ctx, c.DataDir)
}

// migrate brings the tables up to date.
func migrate(ctx context.Context, db *sql.DB, dialect goose.Dialect, dir string, options ...goose.ProviderOption) error {
	files, err := fs.Sub(migrations, "migrations/"+dir)
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(dialect, db, files, append(options, goose.WithTableName("chat_migrations"), goose.WithDisableGlobalRegistry(true))...)
	if err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("bring the chat tables up to date: %w", err)
	}
	return nil
}

func (d *database) close() error {
	err := d.reader.Close()
	if d.writer != nil {
		err = errors.Join(err, d.writer.Close())
	}
	return err
}

// eventColumns are in the order of (*Event).row.
const eventColumns = "room, epoch, num, state, broadcast, id, client_id, type, user_id, address, at_ms, media_ms, body"
