-- Ledger lines of one item after a position. ?1 after this position, ?2 at most so many, ?3 sku.
SELECT movement.position, source.name, document.reference, document.kind, document.reason,
       document.occurred_at, document.recorded_at, item.sku, movement.quantity, movement.effect
FROM item
JOIN movement ON movement.item = item.item
JOIN document ON document.document = movement.document
JOIN source ON source.source = document.source
WHERE item.sku = ?3 AND movement.position > ?1
ORDER BY movement.position
LIMIT ?2
