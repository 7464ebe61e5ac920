-- +goose Up

-- One row a start of a server: no epoch is given twice. applied is the number of the last change that was written in it.
CREATE TABLE chat_epochs (
    epoch   INTEGER NOT NULL PRIMARY KEY,
    applied INTEGER NOT NULL
);

-- state: 0 history and export, 1 export only, 2 deleted (kept without its body, so that a repeated message is known).
CREATE TABLE chat_events (
    room      TEXT    NOT NULL,
    epoch     INTEGER NOT NULL,
    num       INTEGER NOT NULL,
    state     INTEGER NOT NULL,
    broadcast TEXT    NOT NULL,
    id        TEXT    NOT NULL,
    client_id TEXT    NOT NULL,
    type      TEXT    NOT NULL,
    user_id   TEXT    NOT NULL,
    address   TEXT    NOT NULL,
    at_ms     INTEGER NOT NULL,
    media_ms  INTEGER NOT NULL,
    body      BLOB    NOT NULL,
    PRIMARY KEY (room, epoch, num)
) WITHOUT ROWID;
CREATE INDEX chat_events_age ON chat_events (at_ms);
-- Expressions, so that no planner takes the primary key for what begins with a room, and walks through all of it.
CREATE INDEX chat_events_id ON chat_events ((room || ' ' || id)) WHERE id <> '';
CREATE INDEX chat_events_user ON chat_events (user_id) WHERE user_id <> '' AND state < 2;

-- Events up to (cleared_epoch, cleared_num) are gone for readers; unswept says that some may still have to be deleted.
CREATE TABLE chat_rooms (
    room          TEXT    NOT NULL PRIMARY KEY,
    settings      BLOB,
    cleared_epoch INTEGER NOT NULL DEFAULT 0,
    cleared_num   INTEGER NOT NULL DEFAULT 0,
    unswept       INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX chat_rooms_unswept ON chat_rooms (room) WHERE unswept = 1;

-- room '' is every room; user_id or network is '', the other names who is meant; until_ms 0 is for good.
CREATE TABLE chat_sanctions (
    kind     INTEGER NOT NULL,
    room     TEXT    NOT NULL,
    user_id  TEXT    NOT NULL,
    network  TEXT    NOT NULL,
    until_ms INTEGER NOT NULL,
    reason   TEXT    NOT NULL,
    actor    TEXT    NOT NULL,
    at_ms    INTEGER NOT NULL,
    PRIMARY KEY (kind, room, user_id, network)
) WITHOUT ROWID;

CREATE TABLE chat_audit (
    id     INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at_ms  INTEGER NOT NULL,
    room   TEXT    NOT NULL,
    actor  TEXT    NOT NULL,
    act    TEXT    NOT NULL,
    target TEXT    NOT NULL,
    detail TEXT    NOT NULL
);
CREATE INDEX chat_audit_room ON chat_audit (room, id);
CREATE INDEX chat_audit_age ON chat_audit (at_ms);
