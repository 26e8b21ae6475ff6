-- Why orders went where they went, as JSON: written with the order, read through a connection of its own, removed after 90 days.
CREATE TABLE routing_decision (
    number     INTEGER PRIMARY KEY,
    shop_order INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    record     TEXT    NOT NULL
) STRICT;

CREATE INDEX routing_decision_order ON routing_decision (shop_order);
CREATE INDEX routing_decision_time ON routing_decision (at);
