//! What a batch weighs on the wire, measured on a shop that has been selling for a quarter of a year: 30,000 items, 12,000
//! lines a day, popularity as one over the rank. Totals only grow, so figures grow slowly with a shop's age: after a month,
//! a quarter and a year, a hundred cells take 6.5, 6.9 and 7.9 bytes each, ten thousand take 2.8, 3.3 and 4.0.

use super::*;
use crate::record::{HistoryLine, Kind};
use crate::stock::{Cell, ReservePolicy, SalesRate, target_claim, walk_in_reserve};
use crate::{Gtin, Quantity, UnixMillis};
use std::collections::BTreeSet;

const ITEMS: u32 = 30_000;
const DAYS: i64 = 90;
const LINES_A_DAY: u64 = 12_000;
const OPENS_MS: i64 = 8 * 3_600_000;
const DAY_MS: i64 = 24 * 3_600_000;
const OPEN_FOR_MS: i64 = 12 * 3_600_000;

#[test]
fn cells_are_small_on_the_wire() {
    let shop = Shop::after_a_while();
    for (cells, bytes_max) in [(1, 50), (100, 8 * 100), (1_000, 6 * 1_000), (10_000, 4 * 10_000)] {
        let bytes = shop.bytes_of_the_last(cells);
        assert!(bytes <= bytes_max, "{bytes} bytes for {cells} cells");
    }
}

#[test]
fn a_line_of_history_takes_at_most_nine_bytes() {
    let (frame, lines) = a_morning_of_baskets();
    let bytes = encode(&frame).len();
    assert!(bytes <= 9 * lines, "{bytes} bytes for {lines} lines");
}

#[test]
fn an_item_takes_at_most_twenty_bytes() {
    let batch = StateBatch { items: assortment(2_000), ..StateBatch::default() };
    let bytes = encode(&framed(Body::State(batch))).len();
    assert!(bytes <= 20 * 2_000, "{bytes} bytes for 2,000 items");
}

/// Baskets of one to a dozen lines at six tills, each till numbering its own receipts.
fn a_morning_of_baskets() -> (Frame, usize) {
    let mut shop = Shop { articles: Vec::new(), dice: Dice(11), events: 0 };
    let mut documents = Vec::new();
    let (mut position, mut now) = (Position(4_000_000), UnixMillis(1_793_480_602_000));
    let mut receipts = [4_100, 3_877, 2_950, 4_012, 1_203, 88];
    while documents.len() < 1_000 {
        let till = usize::try_from(shop.dice.below(6)).unwrap();
        receipts[till] += 1;
        now.0 += shop.dice.below(14_000).cast_signed();
        let count = 1 + shop.dice.below(4) * shop.dice.below(4);
        let lines: Vec<HistoryLine> = (0..count).map(|_| shop.line()).collect();
        let first_position = position;
        position.0 += count;
        documents.push(HistoryDocument {
            first_position,
            source: format!("till-{}", till + 1).parse().unwrap(),
            reference: format!("2026-10-31/{}/{:06}", till + 1, receipts[till]).parse().unwrap(),
            kind: Kind::Sale,
            reason: None,
            occurred_at: now,
            recorded_at: UnixMillis(now.0 + 3 + shop.dice.below(60).cast_signed()),
            content: u32::try_from(shop.dice.next() >> 32).unwrap(),
            lines,
        });
    }
    let lines = documents.iter().map(|document| document.lines.len()).sum();
    let batch = HistoryBatch {
        base: Position(4_000_000 - 1),
        upto: Position(position.0 - 1),
        documents,
        ..HistoryBatch::default()
    };
    (framed(Body::History(batch)), lines)
}

fn assortment(count: u32) -> Vec<ItemRecord> {
    let mut dice = Dice(13);
    let makes = ["Gartenglück", "Hofgut", "Bergland", "Nordstern", "Alma", "Kornblume", "Tante Ida"];
    let goods = [
        "Vollmilch",
        "Apfelsaft naturtrüb",
        "Roggenbrot",
        "Butter mild",
        "Erdbeerjoghurt",
        "Spaghetti No. 5",
    ];
    let packs = ["500 g", "1 l", "250 g", "6 × 0,5 l", "750 g", "Dose"];
    let mut of =
        |words: &[&str]| words[usize::try_from(dice.next() % words.len() as u64).unwrap()].to_owned();
    let mut numbers = Dice(17);
    (1..=count)
        .map(|n| ItemRecord {
            item: ItemNo(n),
            sku: format!("{:07}", 1_000_000 + numbers.below(8_000_000)).parse().unwrap(),
            gtins: vec![Gtin::from_number(4_000_000_000_000 + numbers.below(399_999_999_999)).unwrap()],
            name: format!("{} {} {}", of(&makes), of(&goods), of(&packs)),
            unit: "each".to_owned(),
            unnamed: false,
        })
        .collect()
}

struct Article {
    cell: Cell,
    rate: SalesRate,
    /// What the shelf is filled up to.
    full: i64,
    changed: u64,
}

/// A shop with a few thousand items that sell every day and a long tail that hardly moves.
struct Shop {
    articles: Vec<Article>,
    dice: Dice,
    events: u64,
}

impl Shop {
    fn after_a_while() -> Shop {
        let mut shop = Shop { articles: Vec::new(), dice: Dice(7), events: 0 };
        for _ in 0..ITEMS {
            let full = 2 + shop.dice.below(11).cast_signed();
            let article = Article { cell: Cell::default(), rate: SalesRate::default(), full, changed: 0 };
            shop.articles.push(article);
        }
        (0..DAYS).for_each(|day| shop.trade(day));
        shop
    }

    fn trade(&mut self, day: i64) {
        self.fill_up(UnixMillis(day * DAY_MS));
        let opens = day * DAY_MS + OPENS_MS;
        for line in 0..LINES_A_DAY {
            let now = UnixMillis(opens + OPEN_FOR_MS * line.cast_signed() / LINES_A_DAY.cast_signed());
            if line % (LINES_A_DAY / 24) == 0 {
                self.look_at_reserves(now);
            }
            let at = self.popular();
            self.sell(at, now);
        }
    }

    /// Popularity falls as one over the rank, and ranks are strewn over the item numbers.
    fn popular(&mut self) -> usize {
        let rank = ((f64::from(ITEMS) + 40.0).ln() - 40f64.ln()) * self.dice.share();
        let rank = 40.0 * rank.exp() - 40.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank below ITEMS")]
        let rank = (rank as u64).min(u64::from(ITEMS) - 1);
        usize::try_from(rank * 7_919 % u64::from(ITEMS)).unwrap()
    }

    fn line(&mut self) -> HistoryLine {
        let item = ItemNo(u32::try_from(self.popular()).unwrap() + 1);
        let quantity = Quantity::from_units([1, 1, 1, 1, 2, 3][usize::try_from(self.dice.below(6)).unwrap()]);
        HistoryLine { item, quantity, effect: Quantity::from_thousandths(-quantity.thousandths()) }
    }

    fn sell(&mut self, at: usize, now: UnixMillis) {
        let pieces = [1, 1, 1, 1, 1, 1, 2, 2, 3, 6][usize::try_from(self.dice.below(10)).unwrap()];
        let online = self.dice.below(100) == 0;
        let article = &mut self.articles[at];
        article.cell.honour_recalls();
        let one = Quantity::from_units(1);
        if online && article.cell.free() >= one {
            article.cell.promise(one).unwrap();
            article.cell.hand_over(one).unwrap();
            article.cell.move_stock(Quantity::from_units(-1)).unwrap();
        } else {
            article.cell.move_stock(Quantity::from_units(-pieces)).unwrap();
            article.rate.observe(Quantity::from_units(pieces), now);
        }
        // What sells out is brought from the back room the same day.
        if article.cell.on_hand() <= Quantity::ZERO && article.full > 0 {
            article.full += article.full / 2 + 1;
            article.cell.move_stock(Quantity::from_units(article.full)).unwrap();
        }
        self.settle(at, now);
    }

    fn fill_up(&mut self, now: UnixMillis) {
        for at in 0..self.articles.len() {
            let article = &mut self.articles[at];
            let on_hand = article.cell.on_hand().thousandths() / 1000;
            if on_hand * 2 < article.full {
                article.cell.honour_recalls();
                article.cell.move_stock(Quantity::from_units(article.full - on_hand)).unwrap();
                self.settle(at, now);
            }
        }
    }

    /// As the agent does: only where the target is off by a unit.
    fn look_at_reserves(&mut self, now: UnixMillis) {
        for at in 0..self.articles.len() {
            let article = &mut self.articles[at];
            let store = &article.cell.store;
            let net = (store.granted - store.recalled - store.fulfilled).cast_signed();
            if (article.target(now).thousandths() - net).abs() >= 1000 {
                article.cell.honour_recalls();
                self.settle(at, now);
            }
        }
    }

    fn settle(&mut self, at: usize, now: UnixMillis) {
        self.events += 1;
        let article = &mut self.articles[at];
        article.cell.settle(article.target(now));
        article.changed = self.events;
    }

    /// The frame that carries the `count` cells changed last.
    fn bytes_of_the_last(&self, count: usize) -> usize {
        let mut latest: Vec<(u64, ItemNo)> =
            self.articles.iter().zip(1..).map(|(article, item)| (article.changed, ItemNo(item))).collect();
        latest.sort_unstable_by(|a, b| b.cmp(a));
        let items: BTreeSet<ItemNo> = latest.into_iter().take(count).map(|(_, item)| item).collect();
        let half = |item: &ItemNo| {
            let half = self.articles[usize::try_from(item.0 - 1).unwrap()].cell.store;
            StoreHalf { epoch: EPOCH, ..half }
        };
        let stock: Vec<StoreStock> =
            items.iter().map(|item| StoreStock { item: *item, half: half(item) }).collect();
        assert_eq!(stock.len(), count);
        let batch = StateBatch {
            base: Seq(self.events - 20_000),
            upto: Seq(self.events),
            head: Seq(self.events),
            position: Position(self.events),
            stock,
            ..StateBatch::default()
        };
        let frame = framed(Body::State(batch));
        let bytes = encode(&frame);
        assert_eq!(decode(&bytes).unwrap(), frame);
        bytes.len()
    }
}

impl Article {
    fn target(&self, now: UnixMillis) -> Quantity {
        let reserve = walk_in_reserve(&ReservePolicy::default(), self.rate.per_second(now));
        target_claim(self.cell.open(), self.cell.on_hand(), reserve.up_to_whole_units())
    }
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Evenly in 0..1.
    fn share(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap()) / f64::from(u32::MAX)
    }
}
