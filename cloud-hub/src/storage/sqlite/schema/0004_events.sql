-- What has happened to orders, for others to hear of: written in the commit in which it happened, read by the courier and the feed of
-- events, removed after 30 days. A number is never given twice, not even after the last row has gone; a database that was restored
-- counts on from where it was, which is why `id` has its own random part for each start of the hub. `recorded_at` is the hub's clock,
-- `at` that of whoever did it. `reference` is the payment's, and `body` JSON.
CREATE TABLE order_event (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    kind        TEXT    NOT NULL,
    shop_order  INTEGER NOT NULL,
    reference   TEXT,
    body        TEXT    NOT NULL
) STRICT;

CREATE INDEX order_event_id ON order_event (id);
CREATE INDEX order_event_time ON order_event (recorded_at);
