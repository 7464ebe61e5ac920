-- +goose Up

-- What a key permits; and its secret, encrypted, if it is a passphrase of SRT too.
ALTER TABLE stream_keys ADD COLUMN actions TEXT COLLATE "C" NOT NULL DEFAULT 'publish';
ALTER TABLE stream_keys ADD COLUMN sealed BYTEA;

-- Credentials that were taken back. until_ms is when they would have ended anyway, 0 if never.
CREATE TABLE revocations (
    number     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    credential TEXT COLLATE "C" NOT NULL,
    until_ms   BIGINT NOT NULL
);
