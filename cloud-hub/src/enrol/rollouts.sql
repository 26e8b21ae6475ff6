-- Rings in their order. A store that is in none is in a ring behind them all.
CREATE TABLE ring (
    position INTEGER PRIMARY KEY,
    name     TEXT    NOT NULL UNIQUE
) STRICT;
CREATE TABLE ring_store (
    store TEXT    PRIMARY KEY,
    ring  INTEGER NOT NULL
) STRICT;

-- The rollout that is, or was last. `why` says what halted it.
CREATE TABLE rollout (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    number     INTEGER NOT NULL,
    version    TEXT    NOT NULL,
    sequence   INTEGER NOT NULL,
    source     TEXT    NOT NULL,
    stage      TEXT    NOT NULL CHECK (stage IN ('running', 'paused', 'halted', 'stopped')),
    why        TEXT    NOT NULL,
    ring       INTEGER NOT NULL,
    halt_after INTEGER NOT NULL,
    soak_ms    INTEGER NOT NULL,
    began_at   INTEGER NOT NULL
) STRICT;

-- Wishes of rollouts, pins and retries are numbered together, and no number is used twice.
CREATE TABLE wish_number (
    last INTEGER NOT NULL
) STRICT;
INSERT INTO wish_number (last) VALUES (0);

-- Stores that head office has taken out of rollouts. Without a number the store stays as it is.
CREATE TABLE release_pin (
    store    TEXT PRIMARY KEY,
    number   INTEGER,
    sequence INTEGER,
    source   TEXT
) STRICT;

-- Stores that may try again what has failed, and under which number.
CREATE TABLE release_retry (
    store  TEXT    PRIMARY KEY,
    number INTEGER NOT NULL
) STRICT;

-- What stores have said of their programs. `since`: heard with these, and as well or ill, without a break. `outcome` is JSON, of the last wish the store was told.
CREATE TABLE release_seen (
    store       TEXT    PRIMARY KEY,
    asked_at    INTEGER NOT NULL,
    keeper      TEXT    NOT NULL CHECK (keeper IN ('storectl', 'package')),
    agent       TEXT    NOT NULL,
    sequence    INTEGER NOT NULL,
    since       INTEGER NOT NULL,
    is_well     INTEGER NOT NULL,
    outcome     TEXT,
    is_forgiven INTEGER NOT NULL
) STRICT;
