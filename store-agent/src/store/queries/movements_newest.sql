-- Ledger lines before a position, the newest first, within a stretch of the ledger so that a rare kind or source is no scan of all of it.
-- ?1 before this position, ?2 not before this one, ?3 kind or NULL, ?4 source or NULL, ?5 at most so many.
SELECT movement.position, source.name, document.reference, document.kind, document.reason,
       document.occurred_at, document.recorded_at, item.sku, movement.quantity, movement.effect,
       item.name, item.unit
FROM movement
CROSS JOIN document ON document.document = movement.document
JOIN source ON source.source = document.source
JOIN item ON item.item = movement.item
WHERE movement.position < ?1 AND movement.position >= ?2
  AND (?3 IS NULL OR document.kind = ?3) AND (?4 IS NULL OR source.name = ?4)
ORDER BY movement.position DESC
LIMIT ?5
