//! How many bytes a changed cell costs inside a frame, by the protocol's own codec.

use super::figure::{Figure, Target, as_f64};
use crate::rng::{Rng, Skew};
use crate::scenario::generator::{is_weighed, sku};
use anyhow::{Result, ensure};
use sync_protocol::frame::{self, Body, Frame, StateBatch};
use sync_protocol::record::{ItemRecord, StoreStock};
use sync_protocol::stock::{Cell, target_claim};
use sync_protocol::{Boot, Epoch, ItemNo, Position, Quantity, Seq};

const ITEMS: usize = 30_000;

/// The figures of frames with 100 and with 10,000 changed cells.
pub fn measure() -> Result<Vec<Figure>> {
    let mut store = SoldStore::open(ITEMS);
    let mut figures = Vec::new();
    for (cells, bound) in [(100, 8.0), (10_000, 4.0)] {
        let batch = store.sell_until_changed(cells);
        let bytes = encoded(&batch)?;
        let per_cell = as_f64(bytes) / as_f64(u64::try_from(batch.stock.len())?);
        let what = format!("payload per changed cell, batch of {cells}");
        figures.push(Figure::new("wire", what, per_cell, "B").target(Target::AtMost(bound)).how(
            "the whole encoded frame, of a store with 30,000 items after some weeks of skewed sales and regular deliveries",
        ));
    }
    Ok(figures)
}

fn encoded(batch: &StateBatch) -> Result<u64> {
    let body = Body::State(batch.clone());
    let frame = Frame { store: "S0001".parse()?, epoch: Epoch(1), boot: Boot(0x9e37_79b9_7f4a_7c15), body };
    let bytes = frame::encode(&frame);
    ensure!(frame::decode(&bytes)? == frame, "a frame must read back as it was written");
    Ok(u64::try_from(bytes.len())?)
}

/// A store some weeks after its opening: every cell has totals of its own.
pub struct SoldStore {
    cells: Vec<Cell>,
    rng: Rng,
    skew: Skew,
    seq: u64,
}

impl SoldStore {
    #[must_use]
    pub fn open(items: usize) -> Self {
        let mut rng = Rng::seeded(1);
        let cells = (0..items).map(|_| stocked(&mut rng)).collect();
        Self { cells, rng, skew: Skew::over(items), seq: 1_000_000 }
    }

    /// The first batch: all items, by name, and all stock.
    #[must_use]
    pub fn everything(&self) -> StateBatch {
        let upto = Seq(self.seq);
        let items = (0..self.cells.len()).map(|item| ItemRecord {
            item: number(item),
            sku: sku(item),
            gtins: Vec::new(),
            name: format!("Item {item}"),
            unit: "each".into(),
            unnamed: false,
        });
        let stock = self.cells.iter().enumerate();
        let stock = stock.map(|(item, cell)| StoreStock { item: number(item), half: cell.store });
        StateBatch {
            base: Seq(0),
            upto,
            head: upto,
            position: Position(self.seq),
            items: items.collect(),
            stock: stock.collect(),
            ..Default::default()
        }
    }

    /// Sells until so many different cells have changed, and puts them in a batch.
    pub fn sell_until_changed(&mut self, wanted: usize) -> StateBatch {
        let base = Seq(self.seq);
        let mut changed = std::collections::BTreeSet::new();
        while changed.len() < wanted {
            let item = self.skew.draw(&mut self.rng);
            sell(&mut self.cells[item], quantity(item, &mut self.rng));
            changed.insert(item);
            self.seq += 1;
        }
        let stock =
            changed.into_iter().map(|item| StoreStock { item: number(item), half: self.cells[item].store });
        let upto = Seq(self.seq);
        StateBatch {
            base,
            upto,
            head: upto,
            position: Position(self.seq),
            stock: stock.collect(),
            ..Default::default()
        }
    }
}

fn stocked(rng: &mut Rng) -> Cell {
    let mut cell = Cell::default();
    cell.store.epoch = Epoch(1);
    let delivered = rng.between(100, 2000) * 1000;
    let sold = delivered - rng.between(0, 99) * 1000;
    // Far below the bounds of a cell.
    let _ = cell.store.receive(delivered);
    settle(&mut cell);
    let _ = cell.store.issue(sold);
    settle(&mut cell);
    cell
}

fn sell(cell: &mut Cell, quantity: Quantity) {
    let _ = cell.move_stock(Quantity::from_thousandths(-quantity.thousandths()));
    settle(cell);
}

/// As the agent does after each change, and as the hub answers.
fn settle(cell: &mut Cell) {
    let target = target_claim(cell.open(), cell.on_hand(), Quantity::ZERO);
    cell.settle(target);
    cell.honour_recalls();
}

/// Pieces mostly, grams where goods are weighed.
fn quantity(item: usize, rng: &mut Rng) -> Quantity {
    if is_weighed(item) {
        Quantity::from_thousandths(i64::try_from(rng.between(80, 2500)).unwrap_or(1000))
    } else {
        Quantity::from_units(i64::try_from(rng.between(1, 2)).unwrap_or(1))
    }
}

fn number(item: usize) -> ItemNo {
    ItemNo(u32::try_from(item + 1).unwrap_or(u32::MAX))
}
