-- Items that have all the words of a search, or words that begin with them. Those whose name begins with it come first.
-- ?1 the words for MATCH, ?2 how the name would begin (pattern for LIKE), ?3 at most so many, ?4 at most so many are looked at.
SELECT item.item, item.sku, item.name, item.unit, item.unnamed,
       ifnull(stock.total_in, 0), ifnull(stock.total_out, 0),
       ifnull(stock.granted, 0), ifnull(stock.recalled, 0), ifnull(stock.fulfilled, 0),
       ifnull(stock.promised, 0), ifnull(stock.released, 0), ifnull(stock.returned, 0),
       ifnull(stock.rate, 0), ifnull(stock.rate_at, 0), ifnull(stock.change_seq, 0)
FROM (SELECT rowid AS item FROM item_search WHERE item_search MATCH ?1 LIMIT ?4) AS found
JOIN item ON item.item = found.item
LEFT JOIN stock ON stock.item = item.item
ORDER BY item.unnamed, item.name LIKE ?2 ESCAPE '\' DESC, item.name COLLATE NOCASE, item.sku
LIMIT ?3
