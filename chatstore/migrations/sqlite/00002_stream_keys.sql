-- +goose Up

-- Secrets that permit to publish; of each only its SHA-256 is kept. expires_ms is 0 if it never ends.
CREATE TABLE stream_keys (
    id         TEXT    NOT NULL PRIMARY KEY,
    hash       BLOB    NOT NULL UNIQUE,
    stream     TEXT    NOT NULL,
    owner      TEXT    NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX stream_keys_stream ON stream_keys (stream);

