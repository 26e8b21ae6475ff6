-- Items that are to be counted, the one that has waited longest first.
SELECT i.sku, i.name, i.unit, n.text
FROM note n JOIN item i ON i.item = n.key
WHERE n.from_hub = 0 AND n.topic = 3 AND n.text ->> 'state' = 'open'
ORDER BY n.text ->> 'opened_at', i.sku
LIMIT ?1
