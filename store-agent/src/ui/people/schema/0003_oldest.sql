-- The oldest schema whose agents can work on this database, as in the store's own.
CREATE TABLE schema_oldest (version INTEGER NOT NULL) STRICT;
INSERT INTO schema_oldest VALUES (3);
