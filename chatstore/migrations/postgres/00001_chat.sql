-- +goose Up

-- Texts are compared byte by byte (COLLATE "C"): an update of the system's locales leaves the indexes good.

-- One row a start of a server: no epoch is given twice. applied is the number of the last change that was written in it.
CREATE TABLE chat_epochs (
    epoch   BIGINT NOT NULL PRIMARY KEY,
    applied BIGINT NOT NULL
);

-- state: 0 history and export, 1 export only, 2 deleted (kept without its body, so that a repeated message is known).
CREATE TABLE chat_events (
    room      TEXT COLLATE "C" NOT NULL,
    epoch     BIGINT   NOT NULL,
    num       BIGINT   NOT NULL,
    state     SMALLINT NOT NULL,
    broadcast TEXT COLLATE "C" NOT NULL,
    id        TEXT COLLATE "C" NOT NULL,
    client_id TEXT COLLATE "C" NOT NULL,
    type      TEXT COLLATE "C" NOT NULL,
    user_id   TEXT COLLATE "C" NOT NULL,
    address   TEXT COLLATE "C" NOT NULL,
    at_ms     BIGINT   NOT NULL,
    media_ms  BIGINT   NOT NULL,
    body      BYTEA    NOT NULL,
    PRIMARY KEY (room, epoch, num)
);
CREATE INDEX chat_events_age ON chat_events (at_ms);
-- Expressions, so that no planner takes the primary key for what begins with a room, and walks through all of it.
CREATE INDEX chat_events_id ON chat_events ((room || ' ' || id)) WHERE id <> '';
CREATE INDEX chat_events_user ON chat_events (user_id) WHERE user_id <> '' AND state < 2;

-- Events up to (cleared_epoch, cleared_num) are gone for readers; unswept says that some may still have to be deleted.
CREATE TABLE chat_rooms (
    room          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    settings      BYTEA,
    cleared_epoch BIGINT   NOT NULL DEFAULT 0,
    cleared_num   BIGINT   NOT NULL DEFAULT 0,
    unswept       SMALLINT NOT NULL DEFAULT 0
);
CREATE INDEX chat_rooms_unswept ON chat_rooms (room) WHERE unswept = 1;

-- room '' is every room; user_id or network is '', the other names who is meant; until_ms 0 is for good.
CREATE TABLE chat_sanctions (
    kind     SMALLINT NOT NULL,
    room     TEXT COLLATE "C" NOT NULL,
    user_id  TEXT COLLATE "C" NOT NULL,
    network  TEXT COLLATE "C" NOT NULL,
    until_ms BIGINT   NOT NULL,
    reason   TEXT COLLATE "C" NOT NULL,
    actor    TEXT COLLATE "C" NOT NULL,
    at_ms    BIGINT   NOT NULL,
    PRIMARY KEY (kind, room, user_id, network)
);

CREATE TABLE chat_audit (
    id     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at_ms  BIGINT NOT NULL,
    room   TEXT COLLATE "C" NOT NULL,
    actor  TEXT COLLATE "C" NOT NULL,
    act    TEXT COLLATE "C" NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    detail TEXT COLLATE "C" NOT NULL
);
CREATE INDEX chat_audit_room ON chat_audit (room, id);
CREATE INDEX chat_audit_age ON chat_audit (at_ms);
