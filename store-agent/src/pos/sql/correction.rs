//! A row as it is now, held against what was recorded of it: what has to be recorded so that both agree.
//!
//! The first document of a row has its key as reference; each one that corrects it the key and a running number. A correction is the
//! difference, never the row once more. What can't be corrected by a difference is named.

use crate::agent::{Document, ItemKey, Line, SetAside, SourceDocument};
use crate::pos::mapping::{Mapped, Row};
use crate::pos::sidecar::memory::{Held, Remembered, Step};
use crate::pos::source::Notes;
use sync_protocol::limits::REASON_BYTES_MAX;
use sync_protocol::record::Kind;
use sync_protocol::{Quantity, SourceId, UnixMillis};
use twox_hash::XxHash3_64;

/// The mark of a row of which nothing may be kept, not even a hash.
const NOTHING_KEPT: i64 = 0;

/// Weighs rows, and gathers what comes of it.
#[derive(Debug)]
pub struct Weighing<'a> {
    pub source: &'a SourceId,
    /// Tells the references of this memory from those of one that was lost.
    pub name: &'a str,
    pub now: UnixMillis,
    pub step: Step,
    pub notes: Notes,
}

/// Of everything that was read of a row.
#[must_use]
pub fn hash_of(row: &Row) -> i64 {
    let hash = XxHash3_64::oneshot(format!("{row:?}").as_bytes()).cast_signed();
    if hash == NOTHING_KEPT { 1 } else { hash }
}

/// What is remembered of it is this row as it is.
#[must_use]
pub fn is_same(before: &Remembered, row: &Row) -> bool {
    before.is_there && (before.hash == hash_of(row) || before.hash == NOTHING_KEPT)
}

/// A row of which the core has all it needs, in figures.
#[must_use]
pub fn known(key: i64, text: Option<String>, row: &Row, mapped: &Mapped) -> Remembered {
    let (hash, at, held) = meaning(row, mapped);
    Remembered { key, text, hash, at, held, documents: 1, is_there: true }
}

fn meaning(row: &Row, mapped: &Mapped) -> (i64, Option<UnixMillis>, Held) {
    match mapped {
        Mapped::Documents { documents, .. } => {
            let at = documents.first().map(|of| of.document.occurred_at);
            (hash_of(row), at, held_by(documents))
        }
        Mapped::CardNumber(_) => (NOTHING_KEPT, None, Held::Nothing),
        Mapped::LeftOut | Mapped::Aside(_) => (hash_of(row), None, Held::Nothing),
    }
}

/// What on hand owes to the documents of one row.
fn held_by(documents: &[SourceDocument]) -> Held {
    let mut held = Held::Nothing;
    for SourceDocument { document, .. } in documents {
        for line in &document.lines {
            let goes_out = matches!(document.kind, Kind::Sale | Kind::Waste | Kind::TransferOut);
            let reported = line.quantity.thousandths();
            let thousandths = if goes_out { -reported } else { reported };
            held = match held {
                Held::Nothing if document.kind == Kind::Count => {
                    Held::Counted(line.item.clone(), thousandths)
                }
                Held::Nothing => Held::Moved(line.item.clone(), thousandths),
                Held::Moved(item, sum) => Held::Moved(item, sum.saturating_add(thousandths)),
                Held::Counted(item, sum) => Held::Counted(item, sum.saturating_add(thousandths)),
            };
        }
    }
    held
}

impl Weighing<'_> {
    /// A row that is there; `key` and `text` as it is remembered by.
    pub fn seen(
        &mut self,
        key: i64,
        text: Option<String>,
        row: &Row,
        mapped: Mapped,
        before: Option<&Remembered>,
    ) {
        let (hash, at, held) = meaning(row, &mapped);
        let documents = before.map_or(0, |before| before.documents);
        let mut after = Remembered { key, text, hash, at, held, documents, is_there: true };
        let Some(before) = before.filter(|before| before.documents > 0) else {
            after.documents = u32::from(after.held != Held::Nothing);
            self.step.rows.push(after);
            return self.first(mapped);
        };
        match mapped {
            Mapped::Aside(aside) => self.unreadable(aside, before, &mut after),
            Mapped::CardNumber(aside) => {
                self.notes.card_numbers += 1;
                self.unreadable(aside, before, &mut after);
            }
            Mapped::LeftOut => {
                let row = row_text(&after, "left out");
                self.correct(before, &mut after, "is left out now", row);
            }
            Mapped::Documents { documents, is_rounded } => {
                self.notes.rounded += u64::from(is_rounded);
                let row = documents.first().map(|of| of.row.clone()).unwrap_or_default();
                self.correct(before, &mut after, "was changed", row);
            }
        }
        self.step.rows.push(after);
    }

    /// A row that was there and is not any more.
    pub fn gone(&mut self, before: &Remembered) {
        let mut after = Remembered { held: Held::Nothing, is_there: false, ..before.clone() };
        if before.held != Held::Nothing {
            self.correct(before, &mut after, "was deleted", row_text(before, "deleted"));
        }
        self.step.rows.push(after);
    }

    /// Rows that left the beginning of the ledger long after they were written: that is how a POS tidies up. Nothing moves.
    pub fn archived(&mut self, rows: &[&Remembered]) {
        self.say_archived(rows);
        let gone =
            rows.iter().map(|row| Remembered { held: Held::Nothing, is_there: false, ..(*row).clone() });
        self.step.rows.extend(gone);
    }

    /// The same where keys are texts, which are not given out again: a row that comes back is the one that was recorded. Single rows leave
    /// a SELECT of the last weeks all day, which is not worth a word.
    pub fn put_away(&mut self, rows: &[&Remembered], worth_a_word: usize) {
        if rows.len() >= worth_a_word {
            self.say_archived(rows);
        }
        self.step.rows.extend(rows.iter().map(|row| Remembered { is_there: false, ..(*row).clone() }));
    }

    fn say_archived(&mut self, rows: &[&Remembered]) {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return };
        self.step.set_aside.push(SetAside {
            reason: format!(
                "{} rows, `{}` to `{}`, have left the beginning of the ledger; they were taken for archived, and nothing was moved",
                rows.len(), first.name(), last.name()
            ),
            row: row_text(last, "archived"),
        });
    }

    fn first(&mut self, mapped: Mapped) {
        match mapped {
            Mapped::Documents { documents, is_rounded } => {
                self.notes.rounded += u64::from(is_rounded);
                self.step.documents.extend(documents);
            }
            Mapped::LeftOut => {}
            Mapped::Aside(aside) => self.step.set_aside.push(aside),
            Mapped::CardNumber(aside) => {
                self.notes.card_numbers += 1;
                self.step.set_aside.push(aside);
            }
        }
    }

    fn unreadable(&mut self, aside: SetAside, before: &Remembered, after: &mut Remembered) {
        after.held = before.held.clone();
        after.at = before.at;
        let reason = format!(
            "row `{}` was recorded and has been changed into what can't be; what was recorded of it stands. {}",
            after.name(),
            aside.reason
        );
        self.step.set_aside.push(SetAside { reason, row: aside.row });
    }

    fn correct(&mut self, before: &Remembered, after: &mut Remembered, what: &str, row: String) {
        let lines = match (&before.held, &after.held) {
            (old, new) if old == new => Vec::new(),
            (Held::Counted(..), _) | (_, Held::Counted(..)) => {
                let reason = format!(
                    "row `{}`, a count, {what}: no difference corrects that, so what was recorded of it stands",
                    after.name()
                );
                after.held = before.held.clone();
                self.step.set_aside.push(SetAside { reason, row });
                return;
            }
            (old, new) => difference(old, new),
        };
        if lines.is_empty() {
            self.notes.redated += 1;
            return;
        }
        let reference = format!("{}/r{}-{}", after.name(), before.documents, self.name);
        let reason = reason(&format!("POS row {} {what}", after.name()));
        match reference.parse() {
            Ok(reference) => {
                after.documents = before.documents.saturating_add(1);
                self.notes.corrected += 1;
                let document = Document {
                    source: self.source.clone(),
                    reference,
                    kind: Kind::Adjustment,
                    reason: Some(reason),
                    occurred_at: self.now,
                    counted: None,
                    cursor: None,
                    lines,
                    order: None,
                    trace: None,
                };
                self.step.documents.push(SourceDocument { document, row, is_figure: false });
            }
            Err(error) => {
                after.held = before.held.clone();
                self.step
                    .set_aside
                    .push(SetAside { reason: format!("row `{}`: {error}", after.name()), row });
            }
        }
    }
}

/// What takes on hand from where `old` put it to where `new` does.
fn difference(old: &Held, new: &Held) -> Vec<Line> {
    let mut lines: Vec<(ItemKey, i64)> = Vec::new();
    let both = [(old, -1), (new, 1)];
    for (held, sign) in both {
        let Held::Moved(item, thousandths) = held else { continue };
        match lines.iter_mut().find(|(other, _)| other == item) {
            Some((_, sum)) => *sum += sign * thousandths,
            None => lines.push((item.clone(), sign * thousandths)),
        }
    }
    let moved = lines.into_iter().filter(|(_, thousandths)| *thousandths != 0);
    moved
        .map(|(item, thousandths)| Line { item, quantity: Quantity::from_thousandths(thousandths) })
        .collect()
}

fn reason(text: &str) -> String {
    text.chars().take(REASON_BYTES_MAX / 2).collect()
}

fn row_text(of: &Remembered, what: &str) -> String {
    match &of.text {
        Some(text) => serde_json::json!({ "key": text, "is": what }).to_string(),
        None => serde_json::json!({ "key": of.key, "is": what }).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::pos::{Factor, ItemIs, KeyIs, Mapping, QuantityIs, Rule, Times};
    use crate::pos::mapping::{Cell, Key, Mapper};
    use crate::pos::times::Clockwork;
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    fn mapping() -> Mapping {
        let rule = |starts: &str, kind, quantity_is| Rule {
            starts: starts.to_owned(),
            kind,
            quantity_is,
            units: Factor::ONE,
        };
        Mapping {
            changes: None,
            on_hand: None,
            key_is: KeyIs::Number,
            item_is: ItemIs::Sku,
            location: None,
            kinds: vec![
                rule("POS", Some(Kind::Sale), QuantityIs::Delta),
                rule("counted", Some(Kind::Count), QuantityIs::Count),
                rule("draft", None, QuantityIs::Delta),
                rule("RECV", Some(Kind::Receipt), QuantityIs::Delta),
            ],
            times: Times::Text,
            time_zone: TimeZone::UTC,
        }
    }

    fn row(item: &str, quantity: i64, what: &str) -> Row {
        Row {
            key: Key::Number(7),
            item: Cell::Text(item.to_owned()),
            quantity: Cell::Integer(quantity),
            at: Cell::Text("2026-10-31 12:00:00".to_owned()),
            what: Cell::Text(what.to_owned()),
            location: Cell::Null,
            reason: Cell::Null,
            document: Cell::Null,
        }
    }

    /// The life of row 7, and what each look at it gave.
    #[derive(Default)]
    struct Life {
        before: Option<Remembered>,
        documents: Vec<SourceDocument>,
        set_aside: Vec<SetAside>,
        redated: u64,
    }

    impl Life {
        fn look(&mut self, row: Option<&Row>) {
            let (source, mapping) = ("till-db".parse().unwrap(), mapping());
            let mut weighing = Weighing {
                source: &source,
                name: "ab",
                now: UnixMillis(1),
                step: Step::default(),
                notes: Notes::default(),
            };
            match (row, &self.before) {
                (Some(row), before) if !before.as_ref().is_some_and(|before| is_same(before, row)) => {
                    let clock = Clockwork::new(Times::Text, TimeZone::UTC);
                    let mapped = Mapper { source: &source, mapping: &mapping, clock }.map(row);
                    weighing.seen(7, None, row, mapped, before.as_ref());
                }
                (None, Some(before)) if before.is_there => weighing.gone(before),
                _ => {}
            }
            self.before = weighing.step.rows.pop().or_else(|| self.before.take());
            self.documents.extend(weighing.step.documents);
            self.set_aside.extend(weighing.step.set_aside);
            self.redated += weighing.notes.redated;
        }

        fn on_hand(&self, item: &str) -> i64 {
            let held = self.documents.iter().map(|of| {
                let lines = of.document.lines.iter();
                let of_item = lines.filter(|line| line.item == ItemKey::Sku(item.parse().unwrap()));
                let sum: i64 = of_item.map(|line| line.quantity.thousandths()).sum();
                if of.document.kind == Kind::Sale { -sum } else { sum }
            });
            held.sum()
        }

        fn references(&self) -> Vec<String> {
            self.documents.iter().map(|of| of.document.reference.to_string()).collect()
        }
    }

    #[test]
    fn a_changed_row_is_corrected_by_the_difference_and_a_deleted_one_taken_back() {
        let mut life = Life::default();
        life.look(Some(&row("milk", -3, "POS 1")));
        life.look(Some(&row("milk", -2, "POS 1")));
        life.look(Some(&row("milk", -2, "POS 1")));
        assert_eq!((life.on_hand("milk"), life.documents.len()), (-2_000, 2));
        life.look(None);
        life.look(None);
        assert_eq!(life.on_hand("milk"), 0);
        life.look(Some(&row("milk", -5, "POS 1")));
        assert_eq!(life.on_hand("milk"), -5_000);
        assert_eq!(life.references(), ["7", "7/r1-ab", "7/r2-ab", "7/r3-ab"]);
    }

    #[test]
    fn a_row_that_is_dated_anew_moves_nothing() {
        let mut life = Life::default();
        life.look(Some(&row("milk", -3, "POS 1")));
        life.look(Some(&Row {
            at: Cell::Text("2026-10-30 12:00:00".to_owned()),
            ..row("milk", -3, "POS 1")
        }));
        assert_eq!((life.documents.len(), life.redated, life.set_aside.len()), (1, 1, 0));
    }

    #[test]
    fn a_draft_that_becomes_a_sale_counts_from_then_on() {
        let mut life = Life::default();
        life.look(Some(&row("milk", -3, "draft")));
        assert_eq!(life.documents.len(), 0);
        life.look(Some(&row("milk", -3, "POS 1")));
        assert_eq!(life.references(), ["7"]);
        life.look(Some(&row("milk", -3, "draft")));
        assert_eq!(life.on_hand("milk"), 0);
    }

    #[test]
    fn another_item_is_two_lines_of_one_document() {
        let mut life = Life::default();
        life.look(Some(&row("milk", -3, "POS 1")));
        life.look(Some(&row("ham", -3, "POS 1")));
        assert_eq!((life.on_hand("milk"), life.on_hand("ham"), life.documents.len()), (0, -3_000, 2));
    }

    #[test]
    fn what_no_difference_corrects_is_named_once() {
        let mut life = Life::default();
        life.look(Some(&row("milk", 9, "counted")));
        for _ in 0..2 {
            life.look(Some(&row("milk", 8, "counted")));
        }
        assert_eq!((life.documents.len(), life.set_aside.len()), (1, 1));
        assert!(life.set_aside[0].reason.contains("row `7`, a count, was changed"), "{:?}", life.set_aside);
        let mut life = Life::default();
        life.look(Some(&row("milk", -3, "POS 1")));
        for _ in 0..2 {
            life.look(Some(&Row { quantity: Cell::Null, ..row("milk", 0, "POS 1") }));
        }
        assert_eq!((life.on_hand("milk"), life.set_aside.len()), (-3_000, 1));
        life.look(Some(&row("milk", -4, "POS 1")));
        assert_eq!(life.on_hand("milk"), -4_000);
    }

    proptest! {
        /// However a row lives, what was recorded of it adds up to what it says in the end, and no reference comes twice.
        #[test]
        fn what_was_recorded_adds_up_to_the_row(
            looks in prop::collection::vec(prop::option::of((0usize..3, -4i64..4, 0usize..3)), 1..12),
        ) {
            let mut life = Life::default();
            for look in &looks {
                let row = look.map(|(item, quantity, what)| {
                    row(["milk", "ham", "tea"][item], quantity, ["POS 1", "RECV 2", "draft"][what])
                });
                life.look(row.as_ref());
            }
            for (index, name) in ["milk", "ham", "tea"].into_iter().enumerate() {
                let wanted = match looks.last().unwrap() {
                    Some((item, quantity, what)) if *item == index && *what < 2 => quantity * 1_000,
                    _ => 0,
                };
                prop_assert_eq!(life.on_hand(name), wanted);
            }
            let mut references = life.references();
            references.sort();
            references.dedup();
            prop_assert_eq!(references.len(), life.documents.len());
        }
    }
}
