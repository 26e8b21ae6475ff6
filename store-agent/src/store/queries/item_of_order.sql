-- One item with its cell, as an order's line names it. ?1 number.
SELECT item.item, item.sku, item.name, item.unit, item.unnamed,
       ifnull(stock.total_in, 0), ifnull(stock.total_out, 0),
       ifnull(stock.granted, 0), ifnull(stock.recalled, 0), ifnull(stock.fulfilled, 0),
       ifnull(stock.promised, 0), ifnull(stock.released, 0), ifnull(stock.returned, 0),
       ifnull(stock.rate, 0), ifnull(stock.rate_at, 0), ifnull(stock.change_seq, 0)
FROM item LEFT JOIN stock ON stock.item = item.item
WHERE item.item = ?1
