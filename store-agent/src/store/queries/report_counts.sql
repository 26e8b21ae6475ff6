-- Lines of counts since a moment: when, what was there, and what that changed. ?1 since.
SELECT document.recorded_at, movement.quantity, movement.effect
FROM document INDEXED BY document_recorded
CROSS JOIN movement ON movement.position >= document.document AND movement.position < document.document + document.lines
WHERE document.recorded_at >= ?1 AND document.kind = 5
ORDER BY movement.position
