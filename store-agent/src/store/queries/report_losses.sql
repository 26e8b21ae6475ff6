-- What was lost since a moment, by kind and reason. Counts that found fewer are part of it. ?1 since.
SELECT document.kind, ifnull(document.reason, ''), sum(-movement.effect), count(*)
FROM document INDEXED BY document_recorded
CROSS JOIN movement ON movement.position >= document.document AND movement.position < document.document + document.lines
WHERE document.recorded_at >= ?1 AND document.kind IN (4, 5, 6) AND movement.effect < 0
GROUP BY 1, 2
ORDER BY 3 DESC
