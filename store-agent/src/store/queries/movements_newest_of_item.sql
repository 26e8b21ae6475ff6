-- Ledger lines of one item before a position, the newest first, block by block.
-- ?1 before this position, ?2 sku, ?3 kind or NULL, ?4 source or NULL, ?5 at most so many, ?6 recorded from, ?7 recorded before.
SELECT movement.position, source.name, document.reference, document.kind, document.reason,
       document.occurred_at, document.recorded_at, item.sku, movement.quantity, movement.effect,
       item.name, item.unit
FROM item
CROSS JOIN ledger_block
CROSS JOIN movement ON movement.position >> 13 = ledger_block.number AND movement.item = item.item
JOIN document ON document.document = movement.document
JOIN source ON source.source = document.source
WHERE item.sku = ?2 AND ledger_block.number <= ?1 >> 13 AND movement.position < ?1
  AND (?3 IS NULL OR document.kind = ?3) AND (?4 IS NULL OR source.name = ?4)
  AND (?6 IS NULL OR document.recorded_at >= ?6) AND (?7 IS NULL OR document.recorded_at < ?7)
ORDER BY movement.position DESC
LIMIT ?5
