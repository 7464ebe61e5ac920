-- +goose Up

-- Secrets that permit to publish; of each only its SHA-256 is kept. expires_ms is 0 if it never ends.
CREATE TABLE stream_keys (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    hash       BYTEA NOT NULL UNIQUE,
    stream     TEXT COLLATE "C" NOT NULL,
    owner      TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX stream_keys_stream ON stream_keys (stream);

