-- The store's people. Names are free again once somebody has left. `role`: 1 associate, 2 manager, 3 IT. `pin` is argon2id with its parameters and
-- salt. `failures` in a row and `wait_until` (ms since 1970) hold guessing back, over restarts too.
CREATE TABLE person (
    person     INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT    NOT NULL,
    role       INTEGER NOT NULL CHECK (role IN (1, 2, 3)),
    pin        TEXT    NOT NULL,
    language   TEXT,
    failures   INTEGER NOT NULL DEFAULT 0,
    wait_until INTEGER NOT NULL DEFAULT 0,
    added_at   INTEGER NOT NULL,
    left_at    INTEGER
) STRICT;
CREATE UNIQUE INDEX person_name ON person (name) WHERE left_at IS NULL;

-- Screens that may show the page. `secret` is SHA-256 of what the device's cookie holds.
CREATE TABLE device (
    device     INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT    NOT NULL,
    secret     BLOB    NOT NULL UNIQUE,
    paired_by  TEXT    NOT NULL,
    paired_at  INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    failures   INTEGER NOT NULL DEFAULT 0,
    wait_until INTEGER NOT NULL DEFAULT 0,
    revoked_at INTEGER
) STRICT;

-- Codes that pair a device, each good once and for minutes. `code` is SHA-256 of the digits.
CREATE TABLE pairing (
    pairing     INTEGER PRIMARY KEY AUTOINCREMENT,
    code        BLOB    NOT NULL,
    made_by     TEXT    NOT NULL,
    valid_until INTEGER NOT NULL,
    used_at     INTEGER
) STRICT;

-- Doors without a person or device to count at: `setup` and `pairing`.
CREATE TABLE door (
    name       TEXT    PRIMARY KEY,
    failures   INTEGER NOT NULL,
    wait_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who is signed in where. `secret` is SHA-256 of what the cookie holds. `proven_at` is when the PIN was last given.
CREATE TABLE session (
    session    INTEGER PRIMARY KEY AUTOINCREMENT,
    secret     BLOB    NOT NULL UNIQUE,
    device     INTEGER NOT NULL REFERENCES device,
    person     INTEGER NOT NULL REFERENCES person,
    started_at INTEGER NOT NULL,
    last_act   INTEGER NOT NULL,
    proven_at  INTEGER NOT NULL,
    ended_at   INTEGER
) STRICT;
CREATE INDEX session_open ON session (person) WHERE ended_at IS NULL;

-- What was done on the page, by whom and where: written before it is tried, completed with what became of it, never changed after that and never
-- deleted. Names are as they were then.
CREATE TABLE audit (
    audit     INTEGER PRIMARY KEY AUTOINCREMENT,
    reference TEXT    NOT NULL UNIQUE,
    at        INTEGER NOT NULL,
    person    TEXT    NOT NULL,
    device    TEXT    NOT NULL,
    act       TEXT    NOT NULL,
    subject   TEXT    NOT NULL,
    outcome   TEXT    NOT NULL DEFAULT 'begun',
    detail    TEXT    NOT NULL DEFAULT ''
) STRICT;
CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
BEGIN SELECT raise(ABORT, 'the audit trail is only ever added to'); END;
CREATE TRIGGER audit_is_completed_once BEFORE UPDATE ON audit
WHEN old.outcome <> 'begun' OR (new.reference, new.at, new.person, new.device, new.act, new.subject)
    IS NOT (old.reference, old.at, old.person, old.device, old.act, old.subject)
BEGIN SELECT raise(ABORT, 'the audit trail is only ever added to'); END;
