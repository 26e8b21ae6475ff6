-- Texts that this store and the hub keep for each other: the latest under each topic and key. `from_hub`: the hub's, otherwise this store's own,
-- with its place in the sequence of changes. `topic`: 1 settings, 2 a count wished for, 3 a count task, 4 a pause. `key` is the item's number, or 0.
CREATE TABLE note (
    from_hub   INTEGER NOT NULL,
    topic      INTEGER NOT NULL,
    key        INTEGER NOT NULL,
    text       TEXT    NOT NULL,
    change_seq INTEGER NOT NULL,
    PRIMARY KEY (from_hub, topic, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX note_change ON note (change_seq) WHERE from_hub = 0;
