-- Where everything that leaves stands. `cursor` is the last place of the hub's outbox whose event has been taken for this endpoint, and
-- `cursor_id` the id of that event: a hub's database that was restored from a copy is known by it. Events up to `replay_upto` are sent
-- again although they have been delivered. `disabled` is set by an answer 410. After too many failures in a row nothing is sent before
-- `open_until`. Times are milliseconds since 1970.
CREATE TABLE endpoint (
    name         TEXT    PRIMARY KEY,
    cursor       INTEGER NOT NULL,
    cursor_id    TEXT    NOT NULL DEFAULT '',
    replay_upto  INTEGER NOT NULL DEFAULT 0,
    disabled     INTEGER NOT NULL DEFAULT 0,
    failures     INTEGER NOT NULL DEFAULT 0,
    open_until   INTEGER NOT NULL DEFAULT 0,
    last_success INTEGER,
    last_failure INTEGER
) STRICT;

-- Everything to be sent, being sent, and sent. `task` is the id that the other side knows it by, the same with every attempt. Of those
-- with the same `chain` only the first that is not delivered is sent. What was delivered keeps its row, without its body, for as
-- long as its event may be read again.
CREATE TABLE delivery (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    endpoint   TEXT    NOT NULL,
    task       TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    shop_order TEXT    NOT NULL,
    chain      TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    state      TEXT    NOT NULL CHECK (state IN ('waiting', 'delivered', 'dead')),
    attempts   INTEGER NOT NULL DEFAULT 0,
    next_at    INTEGER NOT NULL,
    ended_at   INTEGER NOT NULL DEFAULT 0,
    last_error TEXT    NOT NULL DEFAULT '',
    body       TEXT    NOT NULL,
    UNIQUE (endpoint, task)
) STRICT;

CREATE INDEX delivery_due ON delivery (endpoint, next_at) WHERE state = 'waiting';
CREATE INDEX delivery_chain ON delivery (endpoint, chain) WHERE state <> 'delivered';
CREATE INDEX delivery_dead ON delivery (id) WHERE state = 'dead';
CREATE INDEX delivery_ended ON delivery (ended_at) WHERE state = 'delivered';

-- What the payment service has been told to capture of each line, in thousandths, less what it was told to refund.
CREATE TABLE payment_line (
    shop_order TEXT    NOT NULL,
    part       TEXT    NOT NULL,
    sku        TEXT    NOT NULL,
    issued     INTEGER NOT NULL,
    PRIMARY KEY (shop_order, part, sku)
) STRICT, WITHOUT ROWID;

CREATE TABLE payment_order (
    shop_order TEXT    PRIMARY KEY,
    steps      INTEGER NOT NULL,
    captured   INTEGER NOT NULL,
    voided     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Events that the payment rule has seen: none counts twice, also when an outbox is read again.
CREATE TABLE payment_event (
    id TEXT    PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
