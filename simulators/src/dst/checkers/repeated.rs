//! A till rings up an order that was handed over at the counter already: the goods have left once. The agent takes back from the
//! handover what the sale repeats, by a document of its own right before the sale's, and by no more than that.

use super::{Check, must, orders};
use crate::dst::truth::DocNo;
use crate::dst::world::World;
use rusqlite::OptionalExtension;
use std::collections::BTreeMap;
use store_agent::agent::{Document, ItemKey, Line};
use sync_protocol::record::{Kind, document_key};
use sync_protocol::{Position, Quantity, Reference, Sku, SourceId, UnixMillis};

/// Looks for such a document before the first line of a sale that has just been recorded, and takes it into the world.
pub fn before_sale(world: &mut World, at: usize, sale: DocNo, first: Position, took_over: bool) -> Check {
    let of_sale = &world.truth.document(sale).document;
    let Some(order) = of_sale.order else { return Ok(()) };
    let Some(document) = own_document_before(world, at, first) else { return Ok(()) };
    let store = world.machines[at].store;
    if world.truth.by_key(store, &document_key(&document.source, &document.reference)).is_some() {
        return Ok(());
    }
    let mut rung_up: BTreeMap<Sku, i64> = BTreeMap::new();
    for line in &of_sale.lines {
        let ItemKey::Sku(sku) = &line.item else { continue };
        *rung_up.entry(sku.clone()).or_default() += line.quantity.thousandths();
    }
    let reference = document.reference.clone();
    must(document.kind == Kind::Pickup && reference.as_str().starts_with(&order.to_string()), "P8", || {
        format!("machine {at} wrote `{reference}` before a sale that names order {order}")
    })?;
    for line in &document.lines {
        let ItemKey::Sku(sku) = &line.item else { continue };
        let (back, sold) = (-line.quantity.thousandths(), rung_up.get(sku).copied().unwrap_or(0));
        must(0 < back && back <= sold, "P8", || {
            format!("machine {at} took {back} of `{sku}` back in `{reference}`; the sale rings up {sold}")
        })?;
    }
    let no = world.truth.report(store, document, false);
    world.trace.note(
        world.now,
        format_args!("machine {at} took back `{reference}`, which the sale after it repeats"),
    );
    orders::booked(world, at, &[no], took_over)
}

/// The agent's own document whose last line is right before `first`.
fn own_document_before(world: &World, at: usize, first: Position) -> Option<Document> {
    let db = world.machines[at].database();
    let sql = "SELECT d.document, s.name, d.reference, d.occurred_at FROM movement m JOIN document d ON d.document = m.document
               JOIN source s ON s.source = d.source WHERE m.position = ?1 AND s.name = ?2";
    let found = db.prepare_cached(sql).and_then(|mut statement| {
        let row = statement.query_row((first.0.checked_sub(1), orders::SOURCE), |row| {
            let (source, reference): (String, String) = (row.get(1)?, row.get(2)?);
            Ok((row.get::<_, i64>(0)?, source, reference, row.get::<_, i64>(3)?))
        });
        row.optional()
    });
    let (number, source, reference, occurred_at) = found.expect("the ledger can be read")?;
    let source: SourceId = source.parse().expect("a source");
    let reference: Reference = reference.parse().expect("a reference");
    let sql = "SELECT i.sku, m.effect FROM movement m JOIN item i ON i.item = m.item WHERE m.document = ?1 ORDER BY m.position";
    let mut statement = db.prepare_cached(sql).expect("the ledger's schema has these columns");
    let rows = statement.query_map([number], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)));
    let line = |row: rusqlite::Result<(String, i64)>| {
        let (sku, effect) = row.expect("a ledger line has an item and an effect");
        let item = ItemKey::Sku(sku.parse().expect("the ledger's items have skus"));
        // What leaves counts up in a line of this kind.
        Line { item, quantity: Quantity::from_thousandths(-effect) }
    };
    let lines = rows.expect("the ledger can be read").map(line).collect();
    Some(Document {
        source,
        reference,
        kind: Kind::Pickup,
        reason: None,
        occurred_at: UnixMillis(occurred_at),
        counted: None,
        cursor: None,
        lines,
        order: None,
        trace: None,
    })
}
