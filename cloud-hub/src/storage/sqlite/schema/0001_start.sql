-- One row about the hub itself. `life` names this life of the database: an unsigned 64-bit number stored as the signed one with the
-- same bits. `feed` is the last number given out in the change feed.
CREATE TABLE hub (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    life     INTEGER NOT NULL,
    feed     INTEGER NOT NULL
) STRICT;

-- The stores. The first six columns are what people say of a store; the rest is where its sync stands.
-- `boots` is the chain of starts of the agent last welcomed, 24 bytes each. `cut_epoch` and `cut_position` name the last consistent
-- cut: everything up to there is in the figures, nothing beyond, and `at_cut` holds what has moved since. `trusted` is 0 after a
-- restore of this database until the store has told what it knows of the hub's promises; `heard_life` is the life in which an agent of
-- the store was last welcomed or granted an epoch.
CREATE TABLE store (
    store         INTEGER PRIMARY KEY,
    id            TEXT    NOT NULL UNIQUE,
    name          TEXT    NOT NULL,
    lat           REAL    NOT NULL,
    lon           REAL    NOT NULL,
    timezone      TEXT    NOT NULL,
    epoch         INTEGER NOT NULL DEFAULT 0,
    boots         BLOB    NOT NULL DEFAULT x'',
    boot_head     INTEGER NOT NULL DEFAULT 0,
    granted_to    INTEGER,
    state_mark    INTEGER NOT NULL DEFAULT 0,
    history_mark  INTEGER NOT NULL DEFAULT 0,
    down_head     INTEGER NOT NULL DEFAULT 0,
    cut_epoch     INTEGER NOT NULL DEFAULT 0,
    cut_position  INTEGER NOT NULL DEFAULT 0,
    position_seen INTEGER NOT NULL DEFAULT 0,
    last_contact  INTEGER NOT NULL DEFAULT 0,
    as_of         INTEGER NOT NULL DEFAULT 0,
    trusted       INTEGER NOT NULL DEFAULT 1,
    heard_life    INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Items by store and the store's own number. `gtins` are numbers separated by spaces.
CREATE TABLE item (
    store   INTEGER NOT NULL,
    item    INTEGER NOT NULL,
    sku     TEXT    NOT NULL,
    gtins   TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    unit    TEXT    NOT NULL,
    unnamed INTEGER NOT NULL,
    PRIMARY KEY (store, item)
) STRICT, WITHOUT ROWID;

-- The stock cells, both halves, in thousandths. `epoch` is the one that the store's half was written in, which may be an earlier one
-- than the store's own. `down_seq` orders changes of the hub's half for this store, `feed` orders changes of figures over all stores.
CREATE TABLE cell (
    store     INTEGER NOT NULL,
    item      INTEGER NOT NULL,
    total_in  INTEGER NOT NULL,
    total_out INTEGER NOT NULL,
    granted   INTEGER NOT NULL,
    recalled  INTEGER NOT NULL,
    fulfilled INTEGER NOT NULL,
    promised  INTEGER NOT NULL,
    released  INTEGER NOT NULL,
    returned  INTEGER NOT NULL,
    down_seq  INTEGER NOT NULL,
    feed      INTEGER NOT NULL,
    epoch     INTEGER NOT NULL,
    PRIMARY KEY (store, item)
) STRICT, WITHOUT ROWID;

-- The physical part of cells as at the last consistent cut, for those that have moved on since.
CREATE TABLE at_cut (
    store     INTEGER NOT NULL,
    item      INTEGER NOT NULL,
    total_in  INTEGER NOT NULL,
    total_out INTEGER NOT NULL,
    PRIMARY KEY (store, item)
) STRICT, WITHOUT ROWID;

-- How far each store's POS sources have been read. `moved` says that it has changed since the cut, when it was `at_cut` (null: there was
-- none).
CREATE TABLE cursor (
    store  INTEGER NOT NULL,
    source TEXT    NOT NULL,
    value  BLOB    NOT NULL,
    moved  INTEGER NOT NULL,
    at_cut BLOB,
    PRIMARY KEY (store, source)
) STRICT, WITHOUT ROWID;

-- The stores' movements, one row per batch as it arrived: a history frame, deflated as on the wire.
CREATE TABLE history (
    store INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    upto  INTEGER NOT NULL,
    frame BLOB    NOT NULL,
    PRIMARY KEY (store, epoch, upto)
) STRICT, WITHOUT ROWID;

-- Records that could not be understood, with the reason.
CREATE TABLE quarantine (
    id     INTEGER PRIMARY KEY,
    store  INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    what   TEXT    NOT NULL,
    reason TEXT    NOT NULL,
    bytes  BLOB    NOT NULL
) STRICT;
