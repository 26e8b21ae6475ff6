//! The tables that people read.

use super::UNIT;
use super::compare::{Outcome, Policy};
use super::report::SeasonReport;
use super::tally::{Accuracy, Goods, Orders, Tally};
use std::fmt::Write;

const NAME_WIDTH: usize = 31;
/// A head, and what stands below it for an outcome, `bold` being that of the last known stock.
type Column = (&'static str, fn(outcome: &Outcome, bold: &Tally) -> String);

const ORDERS: [Column; 10] = [
    ("tried", |outcome, _| grouped(outcome.tally.orders.tried)),
    ("taken", |outcome, _| grouped(outcome.tally.orders.taken)),
    ("failed", |outcome, _| grouped(outcome.tally.orders.failed)),
    ("in 1000", |outcome, _| decimals(failed_in_thousand(&outcome.tally.orders), 2)),
    ("refused*", |outcome, _| grouped(outcome.tally.orders.refused_although_there)),
    ("%", |outcome, _| decimals(refused_percent(&outcome.tally.orders), 1)),
    ("price", |outcome, bold| price(&outcome.tally.orders, &bold.orders)),
    ("cut: taken", |outcome, _| grouped(outcome.tally.orders_while_cut.taken)),
    ("failed", |outcome, _| grouped(outcome.tally.orders_while_cut.failed)),
    ("in 1000", |outcome, _| decimals(failed_in_thousand(&outcome.tally.orders_while_cut), 1)),
];

const GOODS: [Column; 10] = [
    ("lost units", |outcome, _| units(outcome.tally.goods.walk_in_lost)),
    ("%", |outcome, _| decimals(lost_percent(&outcome.tally), 2)),
    ("to picked", |outcome, _| units(outcome.tally.goods.walk_in_lost_to_picked)),
    ("right %", |outcome, _| decimals(right_percent(&outcome.tally.always), 2)),
    ("off by", |outcome, _| decimals(units_off(&outcome.tally.always), 3)),
    ("cut: right %", |outcome, _| decimals(right_percent(&outcome.tally.while_cut), 2)),
    ("yes wrong %", |outcome, _| decimals(yes_wrong_percent(&outcome.tally.while_cut), 3)),
    ("off by", |outcome, _| decimals(units_off(&outcome.tally.while_cut), 3)),
    ("broken", |outcome, _| grouped(outcome.tally.promises_broken)),
    ("over grant", |outcome, _| if_granted(outcome, outcome.tally.promised_over_granted)),
];

/// Both tables of a season.
#[must_use]
pub fn tables(season: &SeasonReport) -> String {
    let mut text = format!(
        "{}: {} stores, {} days, {} till lines; {} times a store is cut off from {}:00 UTC\n\n",
        season.name,
        season.stores,
        season.days,
        grouped(count(season.lines)),
        grouped(count(season.outages)),
        season.cut_from_hour,
    );
    text += &table("orders", &ORDERS, season);
    text += "\n";
    text += &table("walk-in customers, online figure", &GOODS, season);
    text
}

/// What the columns mean.
pub const LEGEND: &str = "\
failed: taken, and not all of it on the shelf when it was picked; in 1000 taken
refused*: although the shelf could have given all of it; % of those tried
price: of such refusals, for each failure less than with the last known stock
cut: orders and samples of stores that were cut off at that moment
lost units: wanted by walk-in customers and not there; to picked: because they waited to be collected
right: samples (store, item, hour) in which online says available and the shelf can give one, or neither
yes wrong: online says available and the shelf can't; off by: mean difference in units
broken: till sales that took what an order had been promised; over grant: promised beyond what was granted
";

fn table(title: &str, columns: &[Column], season: &SeasonReport) -> String {
    let widths: Vec<usize> = columns.iter().map(|(head, _)| head.chars().count().max(8)).collect();
    let mut text = format!("  {title:<NAME_WIDTH$}");
    for ((head, _), width) in columns.iter().zip(&widths) {
        let _ = write!(text, "  {head:>width$}");
    }
    text += "\n";
    let bold = season.outcomes.iter().find(|outcome| outcome.policy == Policy::LastKnown);
    let bold = bold.map(|outcome| outcome.tally).unwrap_or_default();
    for outcome in &season.outcomes {
        let name = format!("{} {}", outcome.family, outcome.setting);
        let _ = write!(text, "  {:<NAME_WIDTH$}", name.trim_end());
        for ((_, cell), width) in columns.iter().zip(&widths) {
            let _ = write!(text, "  {:>width$}", cell(outcome, &bold));
        }
        text += "\n";
    }
    text
}

#[must_use]
pub fn failed_in_thousand(orders: &Orders) -> f64 {
    1000.0 * ratio(orders.failed, orders.taken)
}

#[must_use]
pub fn refused_percent(orders: &Orders) -> f64 {
    percent(orders.refused_although_there, orders.tried)
}

fn lost_percent(tally: &Tally) -> f64 {
    let Goods { walk_in_lost, walk_in_wanted, .. } = tally.goods;
    percent(walk_in_lost.unsigned_abs(), walk_in_wanted.unsigned_abs())
}

fn right_percent(accuracy: &Accuracy) -> f64 {
    percent(accuracy.right(), accuracy.samples)
}

fn yes_wrong_percent(accuracy: &Accuracy) -> f64 {
    percent(accuracy.says_yes_wrongly, accuracy.samples)
}

fn units_off(accuracy: &Accuracy) -> f64 {
    ratio(accuracy.units_off, accuracy.samples)
}

/// How many orders more are refused although the goods are there, for each that fails less.
fn price(orders: &Orders, bold: &Orders) -> String {
    let more = orders.refused_although_there.saturating_sub(bold.refused_although_there);
    decimals(ratio(more, bold.failed.saturating_sub(orders.failed)), 0)
}

fn if_granted(outcome: &Outcome, number: u64) -> String {
    if outcome.policy.grants() { grouped(number) } else { "–".to_owned() }
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * ratio(part, whole)
}

#[expect(clippy::cast_precision_loss, reason = "shares to be read by people")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { f64::NAN } else { part as f64 / whole as f64 }
}

/// A share of nothing is no figure.
fn decimals(figure: f64, places: usize) -> String {
    if figure.is_nan() { "–".to_owned() } else { format!("{figure:.places$}") }
}

fn units(thousandths: i64) -> String {
    grouped(thousandths.div_euclid(UNIT).unsigned_abs())
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
