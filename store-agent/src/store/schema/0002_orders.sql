-- Pickup orders, both halves as they travel (NULL: the hub's half has not come; the order was handed over on its signed code).
-- `is_active` says that somebody at the store still has something to do; `ready_by` and `change_seq` are taken out of the halves.
CREATE TABLE pickup_order (
    id         INTEGER PRIMARY KEY,
    hub_half   BLOB,
    store_half BLOB    NOT NULL,
    is_active  INTEGER NOT NULL,
    ready_by   INTEGER NOT NULL,
    change_seq INTEGER NOT NULL
) STRICT;
CREATE INDEX pickup_order_active ON pickup_order (ready_by) WHERE is_active = 1;
CREATE INDEX pickup_order_change ON pickup_order (change_seq);

-- What staff could not find of an item, until somebody counts it; and what the store has said it will not hand over, until the hub
-- has released it. In thousandths. Neither is offered to the web. `since` and `position` say when they last could not find it, and where
-- the ledger stood then.
CREATE TABLE doubt (
    item     INTEGER PRIMARY KEY,
    in_doubt INTEGER NOT NULL,
    given_up INTEGER NOT NULL,
    since    INTEGER NOT NULL,
    position INTEGER NOT NULL
) STRICT;
