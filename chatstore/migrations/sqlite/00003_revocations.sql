-- +goose Up

-- What a key permits; and its secret, encrypted, if it is a passphrase of SRT too.
ALTER TABLE stream_keys ADD COLUMN actions TEXT NOT NULL DEFAULT 'publish';
ALTER TABLE stream_keys ADD COLUMN sealed BLOB;

-- Credentials that were taken back. until_ms is when they would have ended anyway, 0 if never.
CREATE TABLE revocations (
    number     INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    credential TEXT    NOT NULL,
    until_ms   INTEGER NOT NULL
);
