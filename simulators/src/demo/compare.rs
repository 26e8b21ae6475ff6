//! The proof at the end: every (store, item) cell as the store has it, as the hub has it, and as the tills remember it.
//!
//! The store is asked at `GET /v1/stock`. The hub is asked twice: `GET /v1/snapshot` lists the cells it has, and
//! `GET /v1/availability?explain=true` says for each cell that anybody knows what is on hand and what the web may have.

use crate::clock;
use crate::fleet::hub::Hub;
use crate::fleet::store::Store;
use crate::http::Client;
use crate::pos::witness::Witness;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use sync_protocol::Quantity;
use tokio::time::sleep;

/// Differences kept to be shown; all are counted.
const SHOWN_MAX: usize = 20;
const PAGE: usize = 1000;
/// The most the hub answers in one request.
const SKUS_AT_ONCE: usize = 100;
/// The hub tells a store of its own changes within seconds, not at once.
const SETTLE_PATIENCE: Duration = Duration::from_secs(20);

/// What the comparison found.
#[derive(Debug, Default)]
pub struct Comparison {
    pub cells: u64,
    pub different: u64,
    /// Of those, the ones that differ in what is on hand, not only in what the web may have.
    pub stock_different: u64,
    pub shown: Vec<Difference>,
    /// Cells of which more has been promised than was granted, by either end's books. Never above 0.
    pub promised_over_granted: u64,
    /// Cells of which less is on the shelf than is set aside for orders.
    pub breaches: u64,
    /// On hand over all cells, in thousandths, by each of the three.
    pub totals: Totals,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    pub tills: i128,
    pub stores: i128,
    pub hub: i128,
}

/// A cell on which the three do not agree; `None` where one has never heard of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub store: String,
    pub sku: String,
    pub figures: Figures,
}

/// On hand by the tills, at the store and at the hub, and what the web may have by the store and by the hub; thousandths.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    pub tills: Option<i128>,
    pub store: Option<i128>,
    pub hub: Option<i128>,
    pub store_free: Option<i128>,
    pub hub_free: Option<i128>,
    /// By the store: set aside for orders, but not on the shelf.
    pub shortfall: Option<i128>,
}

impl Figures {
    /// All three have the same stock, and both ends agree on what the web may have. An item whose sales so far came to nothing
    /// (a line of quantity zero) may be unknown to the hub.
    fn agree(&self) -> bool {
        self.agree_on_stock() && self.store_free.unwrap_or(0) == self.hub_free.unwrap_or(0)
    }

    /// `granted − returned − promised + released` is below zero.
    fn is_over_promised(&self) -> bool {
        self.store_free.unwrap_or(0) < 0 || self.hub_free.unwrap_or(0) < 0
    }

    fn agree_on_stock(&self) -> bool {
        let store = self.store.unwrap_or(0);
        store == self.hub.unwrap_or(0) && store == self.tills.unwrap_or(0)
    }
}

/// Compares all cells of all stores. What the web may have is settled by a last exchange between hub and store: while a cell
/// differs in that alone, all are looked at again, for a while.
pub async fn compare(hub: &Hub, stores: &[Arc<Store>], witness: &Witness) -> Result<Comparison> {
    let start = clock::now();
    loop {
        let comparison = compare_once(hub, stores, witness).await?;
        if comparison.different == comparison.stock_different || start.elapsed() > SETTLE_PATIENCE {
            return Ok(comparison);
        }
        sleep(Duration::from_secs(1)).await;
    }
}

async fn compare_once(hub: &Hub, stores: &[Arc<Store>], witness: &Witness) -> Result<Comparison> {
    let mut listed = list_cells(hub.client()?).await.context("reading the hub's snapshot")?;
    let mut asking = hub.client()?;
    let mut comparison = Comparison::default();
    for store in stores {
        let mut cells: BTreeMap<String, Figures> = BTreeMap::new();
        for (sku, sum) in witness.sums(store.place()) {
            cells.entry(sku.as_str().to_owned()).or_default().tills = Some(sum);
        }
        for (sku, cell) in
            read_store(store).await.with_context(|| format!("reading the stock of {}", store.id()))?
        {
            let figures = cells.entry(sku).or_default();
            (figures.store, figures.store_free) = (Some(cell.on_hand), Some(cell.free));
            figures.shortfall = Some(cell.shortfall);
        }
        let at_hub = listed.remove(&store.id()).unwrap_or_default();
        for sku in &at_hub {
            cells.entry(sku.clone()).or_default();
        }
        ask_hub(&mut asking, &store.id(), &at_hub, &mut cells).await.context("asking the hub")?;
        comparison.add(&store.id(), cells);
    }
    // Cells of stores that nobody started.
    for (store, skus) in listed {
        comparison.add(
            &store,
            skus.into_iter().map(|sku| (sku, Figures { hub: Some(0), ..Figures::default() })).collect(),
        );
    }
    Ok(comparison)
}

impl Comparison {
    fn add(&mut self, store: &str, cells: BTreeMap<String, Figures>) {
        for (sku, figures) in cells {
            self.cells += 1;
            self.promised_over_granted += u64::from(figures.is_over_promised());
            self.breaches += u64::from(figures.shortfall.unwrap_or(0) > 0);
            self.totals.tills += figures.tills.unwrap_or(0);
            self.totals.stores += figures.store.unwrap_or(0);
            self.totals.hub += figures.hub.unwrap_or(0);
            if figures.agree() {
                continue;
            }
            self.different += 1;
            self.stock_different += u64::from(!figures.agree_on_stock());
            if self.shown.len() < SHOWN_MAX {
                self.shown.push(Difference { store: store.to_owned(), sku, figures });
            }
        }
    }
}

/// One end's view of a cell, in thousandths.
#[derive(Debug, Clone, Copy)]
struct Cell {
    on_hand: i128,
    free: i128,
    shortfall: i128,
}

#[derive(Deserialize)]
struct StockPage {
    items: Vec<StockLine>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct StockLine {
    sku: String,
    on_hand: Box<RawValue>,
    free: Box<RawValue>,
    shortfall: Box<RawValue>,
}

async fn read_store(store: &Store) -> Result<Vec<(String, Cell)>> {
    let (mut client, mut cells, mut after) = (store.client()?, Vec::new(), String::new());
    loop {
        let path = format!("/v1/stock?limit={PAGE}&after={}", escaped(&after));
        let page: StockPage = client.get(&path).await?.success()?.json()?;
        for line in page.items {
            let (on_hand, free) = (thousandths(&line.on_hand)?, thousandths(&line.free)?);
            let cell = Cell { on_hand, free, shortfall: thousandths(&line.shortfall)? };
            cells.push((line.sku, cell));
        }
        match page.next {
            Some(next) => after = next,
            None => return Ok(cells),
        }
    }
}

/// A line of the snapshot, as far as it matters here.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum SnapshotLine {
    Start {},
    Store {},
    Item {},
    Level { store: String, sku: String },
    End { levels: usize },
}

/// The cells the hub has, by store.
#[derive(Default)]
struct Listing {
    cells: HashMap<String, BTreeSet<String>>,
    count: usize,
    /// How many the last line says there were; without it the snapshot was cut off.
    announced: Option<usize>,
    fault: Option<anyhow::Error>,
}

async fn list_cells(client: Client) -> Result<HashMap<String, BTreeSet<String>>> {
    let mut stream = client.open("/v1/snapshot", "application/x-ndjson").await?;
    let mut listing = Listing::default();
    while stream.read_lines(|line| listing.take(line)).await? {}
    listing.whole()
}

impl Listing {
    fn take(&mut self, line: &[u8]) {
        if line.is_empty() || self.fault.is_some() {
            return;
        }
        match serde_json::from_slice(line) {
            Ok(SnapshotLine::Level { store, sku }) => {
                self.count += 1;
                self.cells.entry(store).or_default().insert(sku);
            }
            Ok(SnapshotLine::End { levels }) => self.announced = Some(levels),
            Ok(SnapshotLine::Start {} | SnapshotLine::Store {} | SnapshotLine::Item {}) => {}
            Err(error) => {
                let line = String::from_utf8_lossy(line);
                self.fault =
                    Some(anyhow::Error::new(error).context(format!("understanding the line `{line}`")));
            }
        }
    }

    fn whole(self) -> Result<HashMap<String, BTreeSet<String>>> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let announced = self.announced.context("the snapshot has no last line: it was cut off")?;
        ensure!(announced == self.count, "the snapshot announces {announced} cells and has {}", self.count);
        Ok(self.cells)
    }
}

#[derive(Deserialize)]
struct Availability {
    items: Vec<AvailableItem>,
}

#[derive(Deserialize)]
struct AvailableItem {
    sku: String,
    stores: Vec<AvailableAt>,
}

#[derive(Deserialize)]
struct AvailableAt {
    store: String,
    explain: Explanation,
}

#[derive(Deserialize)]
struct Explanation {
    on_hand: Box<RawValue>,
    free: Box<RawValue>,
}

/// Fills in what the hub says of these cells; where it has not listed one, it must say nothing of it either.
async fn ask_hub(
    client: &mut Client,
    store: &str,
    listed: &BTreeSet<String>,
    cells: &mut BTreeMap<String, Figures>,
) -> Result<()> {
    let skus: Vec<String> = cells.keys().cloned().collect();
    for skus in skus.chunks(SKUS_AT_ONCE) {
        let named: String = skus.iter().map(|sku| format!("sku={}&", escaped(sku))).collect();
        let path = format!("/v1/availability?{named}stores={store}&limit=1&explain=true");
        let answer: Availability = client.get(&path).await?.success()?.json()?;
        ensure!(
            answer.items.len() == skus.len(),
            "the hub answered {} of {} skus",
            answer.items.len(),
            skus.len()
        );
        for item in answer.items {
            let here = item.stores.iter().find(|at| at.store == store).map(|at| &at.explain);
            let (Some(figures), Some(here)) = (cells.get_mut(&item.sku), here) else { continue };
            let (on_hand, free) = (thousandths(&here.on_hand)?, thousandths(&here.free)?);
            let known = listed.contains(&item.sku);
            ensure!(
                known || (on_hand, free) == (0, 0),
                "the snapshot has no cell of {store} {}, but there is one",
                item.sku
            );
            (figures.hub, figures.hub_free) = (known.then_some(on_hand), known.then_some(free));
        }
    }
    Ok(())
}

/// A JSON number or string, exactly.
fn thousandths(number: &RawValue) -> Result<i128> {
    let text = number.get().trim_matches('"');
    let quantity: Quantity = text.parse().map_err(|_| anyhow::anyhow!("`{text}` is no quantity"))?;
    Ok(i128::from(quantity.thousandths()))
}

/// As a value in a query: letters and digits stay, everything else becomes %XX.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}

/// Thousandths as people write them.
#[must_use]
pub fn shown(thousandths: Option<i128>) -> String {
    let Some(thousandths) = thousandths else { return "never heard of".to_owned() };
    let (sign, size) = (if thousandths < 0 { "-" } else { "" }, thousandths.unsigned_abs());
    let (whole, rest) = (size / 1000, size % 1000);
    if rest == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{rest:03}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(tills: i128, store: i128, hub: i128) -> Figures {
        let (tills, store, hub) = (Some(tills), Some(store), Some(hub));
        Figures { tills, store, hub, store_free: Some(5), hub_free: Some(5), shortfall: Some(0) }
    }

    #[test]
    fn a_cell_agrees_only_when_all_three_have_the_same() {
        assert!(figures(-1500, -1500, -1500).agree());
        assert!(!figures(1, 1, 2).agree());
        assert!(!figures(2, 1, 1).agree());
        assert!(
            !Figures { hub_free: Some(6), ..figures(1, 1, 1) }.agree(),
            "the web may have as much at both ends"
        );
        assert!(!Figures { hub: None, ..figures(1, 1, 1) }.agree());
        assert!(Figures { hub: None, hub_free: None, store_free: Some(0), ..figures(0, 0, 0) }.agree());
    }

    #[test]
    fn a_cell_with_more_promised_than_granted_is_counted_also_where_all_agree() {
        let mut comparison = Comparison::default();
        let over = Figures { store_free: Some(-1), hub_free: Some(-1), ..figures(1, 1, 1) };
        let breach = Figures { shortfall: Some(2), ..figures(1, 1, 1) };
        comparison.add("S0001", [("a".to_owned(), over), ("b".to_owned(), breach)].into());
        assert_eq!((comparison.different, comparison.promised_over_granted, comparison.breaches), (0, 1, 1));
    }

    #[test]
    fn differences_are_counted_and_some_are_shown() {
        let mut comparison = Comparison::default();
        let cells = (0..100).map(|n| (format!("sku{n:03}"), figures(n, n, n % 50))).collect();
        comparison.add("S0001", cells);
        assert_eq!((comparison.cells, comparison.different, comparison.shown.len()), (100, 50, SHOWN_MAX));
        assert_eq!(comparison.shown[0].sku, "sku050");
    }

    #[test]
    fn a_snapshot_lists_its_cells_and_says_when_it_is_whole() {
        let read = |lines: &[&str]| {
            let mut listing = Listing::default();
            lines.iter().for_each(|line| listing.take(line.as_bytes()));
            listing.whole()
        };
        let lines = [
            r#"{"type":"start","answered_at":"2026-10-31T00:00:00Z"}"#,
            r#"{"type":"store","store":"S0001","name":"One"}"#,
            r#"{"type":"item","sku":"4011","name":"","gtins":[]}"#,
            r#"{"type":"level","store":"S0001","sku":"4011","available":0}"#,
            r#"{"type":"end","cursor":"17","items":1,"levels":1}"#,
        ];
        assert!(read(&lines).unwrap()["S0001"].contains("4011"));
        assert!(read(&lines[..4]).unwrap_err().to_string().contains("cut off"));
        assert!(read(&["{"]).is_err());
    }

    #[test]
    fn quantities_are_shown_as_people_write_them() {
        assert_eq!([shown(Some(-1235)), shown(Some(2000)), shown(None)], ["-1.235", "2", "never heard of"]);
        assert_eq!(escaped("a b/ü"), "a%20b%2F%C3%BC");
    }
}
