-- The oldest schema whose agents can work on this database. A migration that they could not live with raises it; one that only adds leaves it. An agent
-- that an upgrade has put back goes on by it with a database that a newer one has brought further.
CREATE TABLE schema_oldest (version INTEGER NOT NULL) STRICT;
INSERT INTO schema_oldest VALUES (5);
