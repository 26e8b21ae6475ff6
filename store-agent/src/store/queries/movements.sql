-- Ledger lines after a position. ?1 after this position, ?2 at most so many.
SELECT movement.position, source.name, document.reference, document.kind, document.reason,
       document.occurred_at, document.recorded_at, item.sku, movement.quantity, movement.effect,
       item.name, item.unit
FROM movement
JOIN document ON document.document = movement.document
JOIN source ON source.source = document.source
JOIN item ON item.item = movement.item
WHERE movement.position > ?1
ORDER BY movement.position
LIMIT ?2
