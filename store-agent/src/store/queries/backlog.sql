-- Records and movements above what the hub has confirmed; one row, also before the store has a name.
SELECT coalesce(sum(records), 0), coalesce(sum(movements), 0)
FROM (
    SELECT (SELECT count(*) FROM item WHERE change_seq > state_acked)
         + (SELECT count(*) FROM stock WHERE change_seq > state_acked)
         + (SELECT count(*) FROM cursor WHERE change_seq > state_acked)
         + (SELECT count(*) FROM pickup_order WHERE change_seq > state_acked)
         + (SELECT count(*) FROM note WHERE from_hub = 0 AND change_seq > state_acked) AS records,
           max(0, next_position - 1 - history_acked) AS movements
    FROM (SELECT state_acked, history_acked, next_position FROM agent)
);
