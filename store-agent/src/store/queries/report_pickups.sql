-- Orders that were made ready, or handed over without that, since a moment: when they came in, when they were ready, when they were promised.
-- ?1 since.
SELECT min(step.at), max(came.at), max(pickup_order.ready_by)
FROM order_step AS step
JOIN pickup_order ON pickup_order.id = step.id
LEFT JOIN order_step AS came ON came.id = step.id AND came.stage = 1
WHERE step.stage IN (3, 4) AND step.at >= ?1
GROUP BY step.id
ORDER BY 1
