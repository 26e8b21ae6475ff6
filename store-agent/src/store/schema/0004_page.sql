-- What the store's page asks for.

-- Finds items by the words in their sku and name, without minding case and accents: "cafe" finds "Café". `M*` keeps the vowel signs of Devanagari inside
-- a word. The texts themselves stay in `item`; the triggers keep the two together, whoever writes.
CREATE VIRTUAL TABLE item_search USING fts5 (
    sku, name, content = 'item', content_rowid = 'item', prefix = '2 3',
    tokenize = "unicode61 remove_diacritics 2 categories 'L* N* M* Co'"
);
CREATE TRIGGER item_added AFTER INSERT ON item BEGIN
    INSERT INTO item_search (rowid, sku, name) VALUES (new.item, new.sku, new.name);
END;
CREATE TRIGGER item_removed AFTER DELETE ON item BEGIN
    INSERT INTO item_search (item_search, rowid, sku, name) VALUES ('delete', old.item, old.sku, old.name);
END;
CREATE TRIGGER item_renamed AFTER UPDATE ON item WHEN (old.item, old.sku, old.name) IS NOT (new.item, new.sku, new.name) BEGIN
    INSERT INTO item_search (item_search, rowid, sku, name) VALUES ('delete', old.item, old.sku, old.name);
    INSERT INTO item_search (rowid, sku, name) VALUES (new.item, new.sku, new.name);
END;
INSERT INTO item_search (item_search) VALUES ('rebuild');

-- The ledger by the day it was written: for one day's movements and for reports. Grows at its end.
CREATE INDEX document_recorded ON document (recorded_at, kind);

-- When each pickup order came to each stage at this store (`stage` as in its half): for reports. The half itself keeps only the last.
CREATE TABLE order_step (
    id    INTEGER NOT NULL,
    stage INTEGER NOT NULL,
    at    INTEGER NOT NULL,
    PRIMARY KEY (id, stage)
) STRICT, WITHOUT ROWID;
CREATE INDEX order_step_time ON order_step (stage, at);

-- What a record in quarantine is, so that it can be tried again: `order`, `stock`, `count_wish`; `unreadable` or empty where it can't.
ALTER TABLE quarantine ADD COLUMN what TEXT NOT NULL DEFAULT '';
