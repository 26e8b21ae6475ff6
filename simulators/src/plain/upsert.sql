INSERT INTO stock (store, sku, on_hand, seq)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
ON CONFLICT (store, sku) DO UPDATE
SET on_hand = excluded.on_hand, seq = excluded.seq
WHERE stock.seq < excluded.seq
