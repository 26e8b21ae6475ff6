-- When each source last reported, among the newest stretch of the ledger. ?1 not before this document.
SELECT source, max(recorded_at), count(*)
FROM document
WHERE document >= ?1
GROUP BY source
