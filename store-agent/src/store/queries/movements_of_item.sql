-- Ledger lines of one item after a position. ?1 after this position, ?2 at most so many, ?3 sku.
SELECT movement.position, source.name, document.reference, document.kind, document.reason,
       document.occurred_at, document.recorded_at, item.sku, movement.quantity, movement.effect,
       item.name, item.unit
FROM (
    SELECT line.position
    FROM item
    CROSS JOIN ledger_block
    CROSS JOIN movement AS line ON line.position >> 13 = ledger_block.number AND line.item = item.item
    WHERE item.sku = ?3 AND ledger_block.number >= ?1 >> 13 AND line.position > ?1
    ORDER BY line.position
    LIMIT ?2
) AS line
JOIN movement ON movement.position = line.position
JOIN document ON document.document = movement.document
JOIN source ON source.source = document.source
JOIN item ON item.item = movement.item
ORDER BY movement.position
