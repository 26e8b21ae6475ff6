-- The hand-made store's database: a ledger, the stock, and an outbox of messages the broker has not confirmed.
CREATE TABLE movement (
    id        INTEGER PRIMARY KEY,
    reference TEXT    NOT NULL UNIQUE,
    sku       TEXT    NOT NULL,
    quantity  INTEGER NOT NULL
) STRICT;

CREATE TABLE stock (
    sku     TEXT    PRIMARY KEY,
    on_hand INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    payload TEXT    NOT NULL
) STRICT;
