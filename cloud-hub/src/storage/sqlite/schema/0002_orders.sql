-- What is promised of an item without an order, in thousandths: reservations, and promises that a restored hub has forgotten.
ALTER TABLE cell ADD COLUMN held INTEGER NOT NULL DEFAULT 0;

-- Orders name items by sku.
CREATE INDEX item_sku ON item (store, sku);

-- Orders at stores, both halves as they travel. The hub's is NULL where a restored hub has forgotten it, the store's before the store
-- has said anything; `epoch` is the one that the store's half was written in. `shop_order` is the shopper's order that it is part of.
CREATE TABLE pickup_order (
    store      INTEGER NOT NULL,
    id         INTEGER NOT NULL,
    shop_order INTEGER NOT NULL,
    hub_half   BLOB,
    store_half BLOB,
    epoch      INTEGER NOT NULL,
    down_seq   INTEGER NOT NULL,
    PRIMARY KEY (store, id)
) STRICT, WITHOUT ROWID;

-- Orders as shoppers place them. `content` is JSON; `customer` is sealed.
CREATE TABLE shop_order (
    id       INTEGER PRIMARY KEY,
    content  TEXT NOT NULL,
    customer BLOB NOT NULL
) STRICT;
