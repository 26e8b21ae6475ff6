//! Tills under load, and the outside witness: what was answered must be in the ledger once, whatever was killed meanwhile.

use super::http::{Client, Reply};
use super::wait::pause;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A sku and how many.
type Line = (String, i64);

/// One basket: its reference and its lines, in whole units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basket {
    pub reference: String,
    pub lines: Vec<Line>,
}

/// What a till knows of a basket in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Answered, with the ledger positions it got.
    Recorded(Vec<u64>),
    /// No answer, and the customer left: it may be in the ledger, whole, or not at all.
    Abandoned,
}

/// Rings up baskets and remembers each outcome.
pub struct Till {
    source: String,
    agent: Arc<Mutex<SocketAddr>>,
    random: u64,
    /// Milliseconds from one basket to the next.
    rests: u64,
    rung_up: u32,
    outcomes: BTreeMap<String, (Basket, Outcome)>,
}

const SKUS: u64 = 12;
const LINES_MAX: u64 = 5;
/// One in so many baskets is not sent again when the answer stays out.
const ABANDONED_ONE_IN: u64 = 8;

impl Till {
    pub fn new(source: &str, agent: Arc<Mutex<SocketAddr>>) -> Till {
        let seed = source.bytes().fold(0x9E37_79B9_7F4A_7C15, |seed, byte| seed ^ u64::from(byte) << 17);
        let (rests, rung_up, outcomes) = (0, 0, BTreeMap::new());
        Till { source: source.to_owned(), agent, random: seed, rests, rung_up, outcomes }
    }

    /// With a rest after each basket.
    pub fn unhurried(self) -> Till {
        Till { rests: 20, ..self }
    }

    /// Rings up one basket after the other until told to stop; sends each again until it is answered, as tills do.
    pub fn work(mut self, closing: &AtomicBool) -> Till {
        while !closing.load(Ordering::Relaxed) {
            let basket = self.next_basket();
            let outcome = self.ring_up(&basket);
            self.outcomes.insert(basket.reference.clone(), (basket, outcome));
            if self.rests > 0 {
                pause(self.rests);
            }
        }
        self
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    pub fn outcomes(&self) -> impl Iterator<Item = (&Basket, &Outcome)> {
        self.outcomes.values().map(|(basket, outcome)| (basket, outcome))
    }

    pub fn answered(&self) -> usize {
        self.outcomes().filter(|(_, outcome)| matches!(outcome, Outcome::Recorded(_))).count()
    }

    /// Sends everything that was answered again; each must be known, at the positions it got then.
    #[track_caller]
    pub fn is_remembered(&self) {
        for (basket, outcome) in self.outcomes() {
            let Outcome::Recorded(positions_then) = outcome else {
                continue;
            };
            let answer = self.send(basket).expect("the agent answers").expect(200).json();
            assert_eq!(answer["duplicate"], true, "{basket:?}");
            assert_eq!(&positions(&answer), positions_then, "{basket:?}");
        }
    }

    fn ring_up(&mut self, basket: &Basket) -> Outcome {
        loop {
            match self.send(basket) {
                Ok(reply) if matches!(reply.status, 200 | 201) => {
                    return Outcome::Recorded(positions(&reply.json()));
                }
                // Being stopped or started is no answer; anything else would be a refusal, which a till never gets.
                Ok(reply) => assert_eq!(reply.status, 503, "a sale was refused: {reply:?}"),
                Err(_) if self.draw(ABANDONED_ONE_IN) == 0 => return Outcome::Abandoned,
                Err(_) => {}
            }
            pause(5);
        }
    }

    fn send(&self, basket: &Basket) -> std::io::Result<Reply> {
        let agent = *self.agent.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<Value> =
            basket.lines.iter().map(|(sku, quantity)| json!({ "sku": sku, "quantity": quantity })).collect();
        let body = json!({
            "source": self.source, "reference": basket.reference, "kind": "sale",
            "occurred_at": "2026-10-31T17:03:22-04:00", "lines": lines,
        });
        Client::new(agent, super::store::TOKEN).post("/v1/movements", &body)
    }

    fn next_basket(&mut self) -> Basket {
        self.rung_up += 1;
        let reference = format!("2026-10-31/{:06}", self.rung_up);
        let count = 1 + self.draw(LINES_MAX);
        let lines = (0..count)
            .map(|_| (sku(self.draw(SKUS)), i64::try_from(1 + self.draw(3)).expect("small")))
            .collect();
        Basket { reference, lines }
    }

    /// A number below `bound`; SplitMix64, so that each till has its own unchanging day.
    fn draw(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

/// The name of the tills' item number `n`.
pub fn sku(n: u64) -> String {
    format!("item-{n:02}")
}

/// All of the tills' items.
pub fn skus() -> impl Iterator<Item = String> {
    (0..SKUS).map(sku)
}

/// An agent's whole ledger, as its API tells it.
pub struct Ledger {
    rows: BTreeMap<u64, Row>,
}

/// One line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub source: String,
    pub reference: String,
    pub sku: String,
    pub quantity: i64,
}

impl Ledger {
    pub fn read(agent: &Client) -> Ledger {
        let mut rows = BTreeMap::new();
        let mut after = 0;
        loop {
            let page = agent
                .get(&format!("/v1/movements?after={after}"))
                .expect("the agent answers")
                .expect(200)
                .json();
            let movements = page["movements"].as_array().expect("a page of movements").clone();
            for movement in &movements {
                let (position, row) = row(movement);
                assert!(rows.insert(position, row).is_none(), "position {position} appears twice");
            }
            match page["next"].as_u64() {
                Some(next) => after = next,
                None => return Ledger { rows },
            }
        }
    }

    /// Everything answered is in it once, at the positions answered; everything abandoned is in it whole or not at all; and
    /// nothing else came from the till.
    #[track_caller]
    pub fn agrees_with(&self, till: &Till) {
        let mut found: BTreeMap<&str, Vec<(u64, Line)>> = BTreeMap::new();
        for (position, row) in self.rows.iter().filter(|(_, row)| row.source == till.source()) {
            found.entry(&row.reference).or_default().push((*position, (row.sku.clone(), row.quantity)));
        }
        for (basket, outcome) in till.outcomes() {
            let rows = found.remove(basket.reference.as_str()).unwrap_or_default();
            let (positions, lines): (Vec<u64>, Vec<Line>) = rows.into_iter().unzip();
            match outcome {
                Outcome::Recorded(answered) => {
                    assert_eq!(
                        (&positions, &lines),
                        (answered, &basket.lines),
                        "{} of {}",
                        basket.reference,
                        till.source()
                    );
                }
                Outcome::Abandoned => assert!(
                    lines.is_empty() || lines == basket.lines,
                    "{basket:?} is there in part: {lines:?}"
                ),
            }
        }
        assert!(found.is_empty(), "nobody rang up {found:?}");
    }

    /// Units sold of an item.
    pub fn sold(&self, sku: &str, sources: &[&str]) -> i64 {
        let rows = self.rows.values().filter(|row| row.sku == sku && sources.contains(&row.source.as_str()));
        rows.map(|row| row.quantity).sum()
    }
}

fn positions(answer: &Value) -> Vec<u64> {
    let positions = answer["positions"].as_array().unwrap_or_else(|| panic!("no positions in {answer}"));
    positions.iter().map(|position| position.as_u64().expect("a position is a number")).collect()
}

fn row(movement: &Value) -> (u64, Row) {
    let text = |field: &str| {
        movement[field].as_str().unwrap_or_else(|| panic!("no {field} in {movement}")).to_owned()
    };
    let number = |field: &str| movement[field].as_i64().unwrap_or_else(|| panic!("no {field} in {movement}"));
    let position = u64::try_from(number("position")).expect("a position is not negative");
    let row = Row {
        source: text("source"),
        reference: text("reference"),
        sku: text("sku"),
        quantity: number("quantity"),
    };
    (position, row)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASKET: [(&str, i64); 2] = [("item-01", 2), ("item-02", 1)];

    fn till(outcome: Outcome) -> Till {
        let mut till = Till::new("till-1", Arc::new(Mutex::new(([127, 0, 0, 1], 9).into())));
        let lines = BASKET.iter().map(|(sku, quantity)| ((*sku).to_owned(), *quantity)).collect();
        let basket = Basket { reference: "1".to_owned(), lines };
        till.outcomes.insert("1".to_owned(), (basket, outcome));
        till
    }

    fn ledger(rows: &[(u64, &str, (&str, i64))]) -> Ledger {
        let row = |(position, reference, (sku, quantity)): &(u64, &str, (&str, i64))| {
            let (reference, sku) = ((*reference).to_owned(), (*sku).to_owned());
            (*position, Row { source: "till-1".to_owned(), reference, sku, quantity: *quantity })
        };
        Ledger { rows: rows.iter().map(row).collect() }
    }

    #[test]
    fn the_witness_is_content_with_what_was_answered() {
        let whole = ledger(&[(7, "1", BASKET[0]), (8, "1", BASKET[1])]);
        whole.agrees_with(&till(Outcome::Recorded(vec![7, 8])));
        whole.agrees_with(&till(Outcome::Abandoned));
        ledger(&[]).agrees_with(&till(Outcome::Abandoned));
    }

    #[test]
    #[should_panic(expected = "1 of till-1")]
    fn the_witness_notices_a_lost_basket() {
        ledger(&[]).agrees_with(&till(Outcome::Recorded(vec![7, 8])));
    }

    #[test]
    #[should_panic(expected = "1 of till-1")]
    fn the_witness_notices_a_doubled_basket() {
        let rows = [(7, "1", BASKET[0]), (8, "1", BASKET[1]), (9, "1", BASKET[0]), (10, "1", BASKET[1])];
        ledger(&rows).agrees_with(&till(Outcome::Recorded(vec![7, 8])));
    }

    #[test]
    #[should_panic(expected = "there in part")]
    fn the_witness_notices_a_torn_basket() {
        ledger(&[(7, "1", BASKET[0])]).agrees_with(&till(Outcome::Abandoned));
    }

    #[test]
    #[should_panic(expected = "nobody rang up")]
    fn the_witness_notices_a_basket_from_nowhere() {
        ledger(&[(7, "2", BASKET[0])]).agrees_with(&till(Outcome::Abandoned));
    }
}
