-- Shelves that somebody is counting on the page, or has counted and that wait for a manager. `position` is where the ledger stood when counting began, so
-- that what is sold meanwhile is kept right. `reference` is the one its document and its line in the trail will have. `state`: 1 being counted, 2 waits
-- for approval, 3 recorded, 4 given up. `counted` and `variance` in thousandths, once it has been added up.
CREATE TABLE sheet (
    sheet     INTEGER PRIMARY KEY AUTOINCREMENT,
    reference TEXT    NOT NULL UNIQUE,
    sku       TEXT    NOT NULL,
    position  INTEGER NOT NULL,
    blind     INTEGER NOT NULL,
    person    TEXT    NOT NULL,
    device    TEXT    NOT NULL,
    opened_at INTEGER NOT NULL,
    state     INTEGER NOT NULL DEFAULT 1,
    counted   INTEGER,
    variance  INTEGER,
    closed_at INTEGER
) STRICT;
CREATE INDEX sheet_open ON sheet (sku) WHERE state IN (1, 2);

-- What was found, shelf by shelf, in thousandths. `once` is of the form it came from: sent twice, it is entered once.
CREATE TABLE sheet_entry (
    entry    INTEGER PRIMARY KEY AUTOINCREMENT,
    sheet    INTEGER NOT NULL REFERENCES sheet,
    once     TEXT    NOT NULL,
    quantity INTEGER NOT NULL,
    place    TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    UNIQUE (sheet, once)
) STRICT;
