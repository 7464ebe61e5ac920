package chatstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// sqliteFile is the database's name in the data directory.
const sqliteFile = "chat.db"

var errNoDir = errors.New("there is no directory to keep chat in: give --data-dir or --db")

// openSQLite opens or makes the file, for its owner alone: it holds addresses.
func openSQLite(ctx context.Context, dir string) (*database, error) {
	if dir == "" {
		return nil, errNoDir
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, sqliteFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Chmod(0o600), f.Close()); err != nil {
		return nil, err
	}
	d, err := readSQLite(path)
	if err != nil {
		return nil, err
	}
	// FULL: a commit is on the disk when it is answered. The log (4000 pages)
	// and the cache have 16 MiB each, which makes batches twice as fast as
	// SQLite's own 4 and 2 when there are many rooms.
	dsn, err := sqliteURL(path, "_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=journal_size_limit(16777216)&_pragma=wal_autocheckpoint(4000)&_pragma=cache_size(-16384)")
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	d.writer = sql.OpenDB(logKeeper{d.reader.Driver(), dsn})
	d.writer.SetMaxOpenConns(1)
	if err := migrate(ctx, d.writer, goose.DialectSQLite3, "sqlite"); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), d.close())
	}
	return d, nil
}

// logKeeper opens connections that leave the log and its index where they are
// when they close. Else the next start could not make them on a full disk, and
// without them not even read.
type logKeeper struct {
	driver driver.Driver
	dsn    string
}

// Connect opens a connection.
func (k logKeeper) Connect(context.Context) (driver.Conn, error) {
	c, err := k.driver.Open(k.dsn)
	if err != nil {
		return nil, err
	}
	if f, ok := c.(sqlite.FileControl); ok {
		_, err = f.FileControlPersistWAL("main", 1)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Driver returns SQLite's.
func (k logKeeper) Driver() driver.Driver { return k.driver }

// readSQLite opens a file that exists, to read.
func readSQLite(path string) (*database, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	dsn, err := sqliteURL(path, "_pragma=query_only(1)")
	if err != nil {
		return nil, err
	}
	r, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	r.SetMaxOpenConns(4)
	r.SetConnMaxIdleTime(time.Minute)
	return &database{name: path, reader: r, insert: insertSQLite, permanent: permanentSQLite}, nil
}

func sqliteURL(path, query string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	path = filepath.ToSlash(path)
	if path[0] != '/' { // C:/data/chat.db
		path = "/" + path
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: "_pragma=busy_timeout(2000)&" + query}).String(), nil
}

func insertSQLite(ctx context.Context, tx *sql.Tx, events []*Event) error {
	s, err := tx.PrepareContext(ctx, `INSERT INTO chat_events (`+eventColumns+`) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING`)
	if err != nil {
		return err
	}
	defer s.Close()
	for _, e := range events {
		body := e.Body
		if body == nil {
			body = []byte{}
		}
		if _, err := s.ExecContext(ctx, e.Room, e.Epoch, int64(e.Offset), e.state(), e.Broadcast, e.ID, e.ClientID, e.Type, e.UserID, e.Address,
			e.At.UnixMilli(), e.MediaTime, body); err != nil {
			return err
		}
	}
	return nil
}

func permanentSQLite(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH:
		return true
	}
	return false
}
