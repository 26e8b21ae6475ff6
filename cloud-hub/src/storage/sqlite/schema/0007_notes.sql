-- Texts that a store and the hub keep for each other: the latest under each topic and key. `from_hub`: the hub's, with its place in what goes
-- down to the store; otherwise the store's. `topic`: 1 settings, 2 a count wished for, 3 a count task, 4 a pause. `key` is the item's number, or 0.
CREATE TABLE note (
    store    INTEGER NOT NULL REFERENCES store,
    from_hub INTEGER NOT NULL,
    topic    INTEGER NOT NULL,
    key      INTEGER NOT NULL,
    text     TEXT    NOT NULL,
    down_seq INTEGER NOT NULL,
    PRIMARY KEY (store, from_hub, topic, key)
) STRICT, WITHOUT ROWID;
