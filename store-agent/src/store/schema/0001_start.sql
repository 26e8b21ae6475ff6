-- One row: who this agent is and how far each sequence has come. `epoch` 0 means the hub has never granted one.
-- `change_seq` is the last one given out; `next_position` and `next_item` are the next ones to give.
-- `down_mark` is how far the hub's records have been applied; the two acked marks are what the hub has confirmed (a hint: the
-- hub's welcome is what counts). `hub_life` names the hub's database as last seen.
CREATE TABLE agent (
    only_row        INTEGER PRIMARY KEY CHECK (only_row = 1),
    store           TEXT    NOT NULL,
    epoch           INTEGER NOT NULL DEFAULT 0,
    change_seq      INTEGER NOT NULL DEFAULT 0,
    next_position   INTEGER NOT NULL DEFAULT 1,
    next_item       INTEGER NOT NULL DEFAULT 1,
    state_acked     INTEGER NOT NULL DEFAULT 0,
    history_acked   INTEGER NOT NULL DEFAULT 0,
    down_mark       INTEGER NOT NULL DEFAULT 0,
    hub_life        INTEGER NOT NULL DEFAULT 0,
    stopped_cleanly INTEGER NOT NULL DEFAULT 1
) STRICT;

-- Every start of this agent in the current epoch: a random number, and the first change_seq and ledger position given out under it.
-- `boot` is an unsigned 64-bit number stored as the signed one with the same bits.
CREATE TABLE boot (
    ordinal        INTEGER PRIMARY KEY AUTOINCREMENT,
    boot           INTEGER NOT NULL,
    first_seq      INTEGER NOT NULL,
    first_position INTEGER NOT NULL
) STRICT;

-- Items, by the store's own number. `unnamed` items were first seen at a till; nobody has named them yet.
CREATE TABLE item (
    item       INTEGER PRIMARY KEY,
    sku        TEXT    NOT NULL UNIQUE,
    name       TEXT    NOT NULL DEFAULT '',
    unit       TEXT    NOT NULL DEFAULT 'each',
    unnamed    INTEGER NOT NULL DEFAULT 0,
    change_seq INTEGER NOT NULL
) STRICT;

CREATE TABLE gtin (
    gtin INTEGER PRIMARY KEY,
    item INTEGER NOT NULL REFERENCES item
) STRICT;
CREATE INDEX gtin_item ON gtin (item);

-- The stock cell, both halves, in thousandths. `rate` (units a second) and `rate_at` (ms since 1970) are the recent
-- sales rate that the walk-in reserve is taken from.
CREATE TABLE stock (
    item       INTEGER PRIMARY KEY REFERENCES item,
    total_in   INTEGER NOT NULL DEFAULT 0,
    total_out  INTEGER NOT NULL DEFAULT 0,
    granted    INTEGER NOT NULL DEFAULT 0,
    recalled   INTEGER NOT NULL DEFAULT 0,
    fulfilled  INTEGER NOT NULL DEFAULT 0,
    promised   INTEGER NOT NULL DEFAULT 0,
    released   INTEGER NOT NULL DEFAULT 0,
    returned   INTEGER NOT NULL DEFAULT 0,
    rate       REAL    NOT NULL DEFAULT 0,
    rate_at    INTEGER NOT NULL DEFAULT 0,
    change_seq INTEGER NOT NULL
) STRICT;

CREATE TABLE source (
    source INTEGER PRIMARY KEY,
    name   TEXT NOT NULL UNIQUE
) STRICT;

-- What a source reported in one piece. `content` is a hash of everything in it, so that the same reference with other content is
-- noticed. Its lines are the movements `document` .. `document + lines − 1`: its key is the position of its first line. `epoch` is the incarnation whose
-- history it belongs to. `kind`: 1 sale, 2 return, 3 receipt, 4 adjustment, 5 count, 6 waste, 7 transfer_out, 8 transfer_in.
CREATE TABLE document (
    document    INTEGER PRIMARY KEY,
    source      INTEGER NOT NULL REFERENCES source,
    reference   TEXT    NOT NULL,
    kind        INTEGER NOT NULL,
    reason      TEXT,
    occurred_at INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    content     INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    lines       INTEGER NOT NULL,
    UNIQUE (source, reference)
) STRICT;

-- The ledger: one row per line, append-only. `quantity` is as reported; `effect` is what it did to on hand. Both in thousandths.
-- `anchor` is set on counts only: the position the ledger had when the shelf was counted.
CREATE TABLE movement (
    position INTEGER PRIMARY KEY,
    document INTEGER NOT NULL REFERENCES document,
    item     INTEGER NOT NULL REFERENCES item,
    quantity INTEGER NOT NULL,
    effect   INTEGER NOT NULL,
    anchor   INTEGER
) STRICT;

-- The lines of one item, found block by block of 8,192 positions. An index by item alone takes each new line in another page, which
-- halves what a store can record in a second; this one grows where the ledger grows. A query joins `ledger_block` with
-- `movement` by `position >> 13`, and looks into each block (some 200 a year) once.
CREATE INDEX movement_item ON movement (position >> 13, item);
CREATE VIEW ledger_block AS
    WITH RECURSIVE block (number) AS (
        SELECT 0
        UNION ALL
        SELECT number + 1 FROM block WHERE number < (SELECT max(position) >> 13 FROM movement)
    )
    SELECT number FROM block;

-- How far each POS source has been read; committed with the movements it yielded.
CREATE TABLE cursor (
    source     INTEGER PRIMARY KEY REFERENCES source,
    value      BLOB    NOT NULL,
    change_seq INTEGER NOT NULL
) STRICT;

-- Documents the hub knows from an earlier incarnation of this store whose rows this disk may not have: a till that sends one of
-- them again is answered, not counted twice. `key` is XXH3-128 of source, a zero byte and reference.
CREATE TABLE known_document (
    key            BLOB    PRIMARY KEY,
    content        INTEGER NOT NULL,
    first_position INTEGER NOT NULL,
    lines          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Records from the hub that could not be understood, kept with the reason.
CREATE TABLE quarantine (
    id        INTEGER PRIMARY KEY,
    at        INTEGER NOT NULL,
    reason    TEXT    NOT NULL,
    bytes     BLOB    NOT NULL
) STRICT;
