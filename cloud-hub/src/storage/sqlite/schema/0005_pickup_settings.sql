-- How stores take part in pickup. `content` is JSON as the API takes it; `revision` grows by one with each change, whoever makes it.
-- A store without a row has default settings, revision 0.
CREATE TABLE pickup_settings (
    store    INTEGER PRIMARY KEY,
    revision INTEGER NOT NULL,
    content  TEXT    NOT NULL
) STRICT;
