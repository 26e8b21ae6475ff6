-- Ledger lines that were recorded within a stretch of time, the newest first.
-- ?1 before this position, ?2 recorded from, ?3 recorded before, ?4 kind or NULL, ?5 source or NULL, ?6 at most so many.
SELECT movement.position, source.name, document.reference, document.kind, document.reason,
       document.occurred_at, document.recorded_at, item.sku, movement.quantity, movement.effect,
       item.name, item.unit
FROM document INDEXED BY document_recorded
CROSS JOIN movement ON movement.position >= document.document AND movement.position < document.document + document.lines
JOIN source ON source.source = document.source
JOIN item ON item.item = movement.item
WHERE document.recorded_at >= ?2 AND document.recorded_at < ?3 AND movement.position < ?1
  AND (?4 IS NULL OR document.kind = ?4) AND (?5 IS NULL OR source.name = ?5)
ORDER BY movement.position DESC
LIMIT ?6
