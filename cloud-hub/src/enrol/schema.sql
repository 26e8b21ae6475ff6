-- Enrolment tokens. Only the SHA-256 of a secret is kept; `id` is its first digits, for people. `store` is empty where head office
-- decides later. `used_key` is the SHA-256 of the public key that the token was used for.
CREATE TABLE token (
    id         TEXT    PRIMARY KEY,
    hash       BLOB    NOT NULL UNIQUE,
    store      TEXT,
    approve    INTEGER NOT NULL,
    made_at    INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER,
    used_at    INTEGER,
    used_key   BLOB
) STRICT;

-- Requests that wait for head office, and what it said. `machine` is JSON, and unchecked.
CREATE TABLE registration (
    number     INTEGER PRIMARY KEY,
    token      TEXT    NOT NULL,
    key        BLOB    NOT NULL,
    store      TEXT,
    peer       TEXT    NOT NULL,
    machine    TEXT    NOT NULL,
    asked_at   INTEGER NOT NULL,
    decided_at INTEGER,
    decision   TEXT    NOT NULL CHECK (decision IN ('pending', 'allowed', 'rejected')),
    UNIQUE (token, key)
) STRICT;

-- Stores that have enrolled, or that head office has shut out. `recoveries` counts since the last enrolment; `why` says what the
-- quarantine is for.
CREATE TABLE identity (
    store          TEXT    PRIMARY KEY,
    bound_key      BLOB,
    recoveries     INTEGER NOT NULL DEFAULT 0,
    revoked_at     INTEGER,
    quarantined_at INTEGER,
    why            TEXT    NOT NULL DEFAULT ''
) STRICT;

-- Certificates given out. Of each store one is `present`. The one before it is `previous` until the present one has been seen, then
-- `outdated`; `refused` is what an enrolment or head office's choice has ended. `pem` is empty for one issued by hand, which is noted
-- when it is renewed.
CREATE TABLE certificate (
    serial      TEXT    PRIMARY KEY,
    store       TEXT    NOT NULL,
    key         BLOB    NOT NULL,
    pem         TEXT    NOT NULL,
    way         TEXT    NOT NULL CHECK (way IN ('by_hand', 'enrolment', 'renewal', 'recovery')),
    state       TEXT    NOT NULL CHECK (state IN ('present', 'previous', 'outdated', 'refused')),
    peer        TEXT    NOT NULL,
    issued_at   INTEGER NOT NULL,
    not_after   INTEGER NOT NULL,
    renew_after INTEGER NOT NULL,
    seen_at     INTEGER
) STRICT;
CREATE INDEX certificate_of_store ON certificate (store, state);
