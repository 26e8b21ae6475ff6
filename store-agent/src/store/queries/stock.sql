-- Items in the order of their skus, after a sku, that contain a text in sku or name or carry a barcode.
-- ?1 after this sku, ?2 pattern for LIKE ('%' for all), ?3 barcode number or NULL, ?4 at most so many.
SELECT item.item, item.sku, item.name, item.unit, item.unnamed,
       ifnull(stock.total_in, 0), ifnull(stock.total_out, 0),
       ifnull(stock.granted, 0), ifnull(stock.recalled, 0), ifnull(stock.fulfilled, 0),
       ifnull(stock.promised, 0), ifnull(stock.released, 0), ifnull(stock.returned, 0),
       ifnull(stock.rate, 0), ifnull(stock.rate_at, 0), ifnull(stock.change_seq, 0)
FROM item LEFT JOIN stock ON stock.item = item.item
WHERE item.sku > ?1
  AND (item.sku LIKE ?2 ESCAPE '\' OR item.name LIKE ?2 ESCAPE '\'
       OR item.item = (SELECT gtin.item FROM gtin WHERE gtin.gtin = ?3))
ORDER BY item.sku
LIMIT ?4
