-- The hand-made hub's only table: the newest stock of each item, by the sequence number its store gave the change.
CREATE TABLE stock (
    store   text   NOT NULL,
    sku     text   NOT NULL,
    on_hand bigint NOT NULL,
    seq     bigint NOT NULL,
    PRIMARY KEY (store, sku)
);
