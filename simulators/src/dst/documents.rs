//! What tills and the POS report: drawn from a random stream, with everything a shop's day has, rare things included.

use crate::rng::Rng;
use store_agent::agent::{Counted, Document, ItemEntry, ItemKey, Line};
use sync_protocol::record::Kind;
use sync_protocol::{Gtin, Position, Quantity, Reference, Sku, SourceId, UnixMillis};

/// Kinds and how often they come.
const KINDS: [(Kind, u64); 8] = [
    (Kind::Sale, 60),
    (Kind::Receipt, 14),
    (Kind::Return, 6),
    (Kind::Count, 8),
    (Kind::Adjustment, 4),
    (Kind::Waste, 3),
    (Kind::TransferOut, 2),
    (Kind::TransferIn, 3),
];

/// The shop's items, by number. Every third has a barcode, every fifth is weighed.
#[must_use]
pub fn sku(item: usize) -> Sku {
    format!("item-{item}").parse().expect("letters, a dash and digits are a sku")
}

fn gtin(item: usize) -> Option<Gtin> {
    let number = u64::try_from(item).ok()?;
    if item.is_multiple_of(3) { Gtin::from_number(4_000_000_000_000 + number) } else { None }
}

/// Where a document comes from.
pub struct Origin<'a> {
    pub source: &'a SourceId,
    pub number: u64,
    pub now: UnixMillis,
    /// The last ledger position this source was told of.
    pub position: Option<Position>,
    pub items: usize,
    pub cursor: Option<Vec<u8>>,
}

pub fn draw(rng: &mut Rng, origin: &Origin<'_>) -> Document {
    let kind = draw_kind(rng);
    let lines = 1 + rng.index(4);
    let lines = (0..lines).map(|_| line(rng, kind, origin.items)).collect();
    let ago = i64::try_from(rng.below(5_000)).unwrap_or(0);
    Document {
        source: origin.source.clone(),
        reference: format!("{}/{}", origin.source, origin.number)
            .parse::<Reference>()
            .expect("printable and short"),
        kind,
        reason: (kind == Kind::Adjustment).then(|| "found behind the shelf".to_owned()),
        occurred_at: UnixMillis(origin.now.0 - ago),
        counted: (kind == Kind::Count).then(|| counted(rng, origin)),
        cursor: origin.cursor.clone(),
        lines,
        order: None,
        trace: None,
    }
}

fn draw_kind(rng: &mut Rng) -> Kind {
    let mut left = rng.below(KINDS.iter().map(|(_, weight)| weight).sum());
    for (kind, weight) in KINDS {
        if left < weight {
            return kind;
        }
        left -= weight;
    }
    Kind::Sale
}

fn counted(rng: &mut Rng, origin: &Origin<'_>) -> Counted {
    match origin.position.filter(|_| rng.chance(0.4)) {
        Some(position) => Counted::Position(position),
        None => Counted::At(UnixMillis(origin.now.0 - i64::try_from(rng.below(60_000)).unwrap_or(0))),
    }
}

fn line(rng: &mut Rng, kind: Kind, items: usize) -> Line {
    let item = rng.index(items);
    let key = match gtin(item).filter(|_| rng.chance(0.5)) {
        Some(gtin) => ItemKey::Gtin(gtin),
        None => ItemKey::Sku(sku(item)),
    };
    Line { item: key, quantity: Quantity::from_thousandths(thousandths(rng, kind, item)) }
}

fn thousandths(rng: &mut Rng, kind: Kind, item: usize) -> i64 {
    let most = match kind {
        Kind::Receipt | Kind::Count => 40,
        _ => 4,
    };
    let units = i64::try_from(rng.below(most) + 1).unwrap_or(1) * 1_000;
    let weighed = if item % 5 == 4 { i64::try_from(rng.below(1_000)).unwrap_or(0) } else { 0 };
    let void = kind != Kind::Count && rng.chance(0.05);
    let none = rng.chance(0.03);
    match (void, none) {
        (_, true) => 0,
        (true, _) => -(units + weighed),
        _ => units + weighed,
    }
}

/// The shop's master data about an item.
#[must_use]
pub fn entry(item: usize, edition: u64) -> ItemEntry {
    ItemEntry {
        sku: sku(item),
        gtins: gtin(item).into_iter().collect(),
        name: format!("Item {item}, edition {edition}, {}", "with a long name that takes room ".repeat(5)),
        unit: if item % 5 == 4 { "kg" } else { "each" }.to_owned(),
    }
}

/// Whether an item is named by its barcode here.
#[must_use]
pub fn names_a_barcode(document: &Document) -> bool {
    document.lines.iter().any(|line| matches!(line.item, ItemKey::Gtin(_)))
}
