//! How the store has done in the last days: pickups against their promise, what was not found, what was lost, how right the books were.

use super::Desk;
use super::chart::{self, Bar};
use super::failure::Failure;
use super::items::query;
use super::layout::{self, Screen};
use super::ledger_words;
use super::texts::Text;
use super::texts::reports as texts;
use super::visitor::Visitor;
use super::words::Words;
use crate::http::reading::ask;
use crate::store::reader::{CountLine, PickupTime, Reports, Shrink};
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use std::time::Duration;
use sync_protocol::record::Kind;
use sync_protocol::{Quantity, UnixMillis};

pub const PATH: &str = "/reports";
const SPANS: [i64; 2] = [7, 28];
/// So many reasons are drawn and listed; the rest is rare.
const REASONS_MAX: usize = 12;

/// The days of a report: the name of each, and when it began.
struct Days {
    starts: Vec<(String, UnixMillis)>,
}

impl Days {
    fn last(words: &Words<'_>, count: i64) -> Days {
        let today = jiff::Timestamp::from_millisecond(words.now.0).unwrap_or_default();
        let today = today.to_zoned(words.zone.clone()).date();
        let starts = (0..count).rev().filter_map(|back| {
            let date = today.checked_sub(jiff::Span::new().days(back)).ok()?;
            let start = date.to_zoned(words.zone.clone()).ok()?.timestamp().as_millisecond();
            Some((words.short_day(date), UnixMillis(start)))
        });
        Days { starts: starts.collect() }
    }

    fn since(&self) -> UnixMillis {
        self.starts.first().map_or(UnixMillis(0), |(_, start)| *start)
    }

    /// Two series, by whether `is_first` holds of the moment's thing.
    fn count<T>(
        &self,
        things: &[T],
        at: impl Fn(&T) -> UnixMillis,
        is_first: impl Fn(&T) -> bool,
    ) -> Vec<Bar> {
        let mut bars: Vec<Bar> = self
            .starts
            .iter()
            .map(|(label, _)| Bar { label: label.clone(), first: 0.0, second: 0.0 })
            .collect();
        for thing in things {
            let later = self.starts.iter().rposition(|(_, start)| *start <= at(thing));
            let Some(bar) = later.and_then(|day| bars.get_mut(day)) else { continue };
            if is_first(thing) { bar.first += 1.0 } else { bar.second += 1.0 }
        }
        bars
    }
}

pub async fn show(State(desk): Desk, Extension(visitor): Extension<Visitor>) -> Result<Response, Failure> {
    let (words, form) = (visitor.words(&desk), query(&visitor)?);
    let span = form.parsed::<i64>("days").ok().filter(|days| SPANS.contains(days)).unwrap_or(SPANS[0]);
    let days = Days::last(&words, span);
    let since = days.since();
    let found = ask(&desk.reader, move |reader| reader.reports(since)).await?;
    let main = html! {
        h1 { (words.say(texts::TITLE)) }
        nav.tabs aria-label=(words.say(texts::SPAN)) {
            @for days in SPANS {
                a.tab href=(format!("{PATH}?days={days}")) aria-current=[(days == span).then_some("page")] {
                    (words.fill(texts::LAST_DAYS, &[("count", &days.to_string())]))
                }
            }
        }
        div.reports {
            (pickups(&words, &days, &found.pickups))
            (not_found(&words, &found))
            (shrink(&words, &found.shrink))
            (accuracy(&words, &days, &found.counts))
        }
    };
    Ok(layout::page(&desk, &visitor, Screen::new(words.say(texts::TITLE), PATH, main)).await)
}

fn pickups(words: &Words<'_>, days: &Days, found: &[PickupTime]) -> Markup {
    let is_on_time = |time: &PickupTime| time.ready_at <= time.ready_by;
    let on_time = found.iter().filter(|time| is_on_time(time)).count();
    let said = words
        .fill(texts::PICKUPS_SAID, &[("on_time", &on_time.to_string()), ("count", &found.len().to_string())]);
    let mut taken: Vec<u64> =
        found.iter().filter_map(|time| Some(time.ready_at.since(time.came_at?))).collect();
    taken.sort_unstable();
    let bars = days.count(found, |time| time.ready_at, is_on_time);
    section(
        words,
        "pickups",
        texts::PICKUPS,
        found.is_empty(),
        html! {
            p.headline { (said) }
            @if let Some(median) = taken.get(taken.len() / 2) {
                p { (words.fill(texts::MEDIAN, &[("age", &words.age(Duration::from_millis(*median)))])) }
            }
            (legend(words, texts::ON_TIME, texts::LATE))
            figure { (chart::columns("pickups", &said, &bars)) }
            (by_day(words, texts::ON_TIME, texts::LATE, &bars))
        },
    )
}

fn not_found(words: &Words<'_>, found: &Reports) -> Markup {
    let (lines, missing) = (found.order_lines, found.not_found_lines);
    let said = words.fill(
        texts::NOT_FOUND_SAID,
        &[
            ("missing", &missing.to_string()),
            ("lines", &lines.to_string()),
            ("percent", &percent(missing, lines)),
        ],
    );
    section(
        words,
        "not-found",
        texts::NOT_FOUND,
        lines == 0,
        html! {
            p.headline { (said) }
            (share(words, lines - missing, missing, lines))
            table {
                thead { tr { th scope="col" { (words.say(texts::LINES)) } th.amount scope="col" { (words.say(texts::TIMES)) } } }
                tbody {
                    tr { td data-head=(words.say(texts::LINES)) { (words.say(texts::FOUND)) } td.amount data-head=(words.say(texts::TIMES)) { (lines - missing) } }
                    tr { td data-head=(words.say(texts::LINES)) { (words.say(texts::NOT_FOUND)) } td.amount data-head=(words.say(texts::TIMES)) { (missing) } }
                }
            }
        },
    )
}

fn shrink(words: &Words<'_>, found: &[Shrink]) -> Markup {
    let most = found.iter().map(|loss| loss.lost.thousandths()).max().unwrap_or(0).max(1);
    section(
        words,
        "shrink",
        texts::SHRINK,
        found.is_empty(),
        html! {
            p.hint { (words.say(texts::SHRINK_WHY)) }
            table {
                thead {
                    tr {
                        th scope="col" { (words.say(texts::REASON)) }
                        th.amount scope="col" { (words.say(texts::LOST)) }
                        th.amount scope="col" { (words.say(texts::TIMES)) }
                    }
                }
                tbody {
                    @for loss in found.iter().take(REASONS_MAX) {
                        tr {
                            td data-head=(words.say(texts::REASON)) {
                                (why(words, loss))
                                svg.share viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" {
                                    rect.first width=(loss.lost.thousandths() * 100 / most) height="6" {}
                                }
                            }
                            td.amount data-head=(words.say(texts::LOST)) { (words.quantity(loss.lost)) }
                            td.amount data-head=(words.say(texts::TIMES)) { (loss.lines) }
                        }
                    }
                }
            }
        },
    )
}

fn why(words: &Words<'_>, loss: &Shrink) -> String {
    let kind = words.say(ledger_words::kind(loss.kind));
    match (loss.kind, loss.reason.as_str()) {
        (Kind::Count, "") => kind.to_owned(),
        (_, "") => format!("{kind}: {}", words.say(texts::NO_REASON)),
        (_, reason) => format!("{kind}: {}", ledger_words::reason(words, reason)),
    }
}

fn accuracy(words: &Words<'_>, days: &Days, found: &[CountLine]) -> Markup {
    let is_right = |count: &CountLine| count.variance.is_zero();
    let right = found.iter().filter(|count| is_right(count)).count() as u64;
    let count = found.len() as u64;
    let off = found.iter().map(|count| count.variance.thousandths().abs()).sum();
    let said = words.fill(
        texts::ACCURACY_SAID,
        &[("right", &right.to_string()), ("count", &count.to_string()), ("percent", &percent(right, count))],
    );
    let bars = days.count(found, |count| count.at, is_right);
    section(
        words,
        "accuracy",
        texts::ACCURACY,
        found.is_empty(),
        html! {
            p.headline { (said) }
            p { (words.fill(texts::OFF_BY, &[("units", &words.quantity(Quantity::from_thousandths(off)))])) }
            (legend(words, texts::RIGHT, texts::WRONG))
            figure { (chart::columns("accuracy", &said, &bars)) }
            (by_day(words, texts::RIGHT, texts::WRONG, &bars))
        },
    )
}

fn section(words: &Words<'_>, id: &str, title: Text, is_empty: bool, content: Markup) -> Markup {
    html! {
        section.panel aria-labelledby=(id) {
            h2 #(id) { (words.say(title)) }
            @if is_empty { p.empty { (words.say(texts::NOTHING)) } } @else { (content) }
        }
    }
}

fn legend(words: &Words<'_>, first: Text, second: Text) -> Markup {
    html! {
        p.legend {
            span { svg.key viewBox="0 0 12 12" aria-hidden="true" { rect.first width="12" height="12" {} } " " (words.say(first)) }
            span { svg.key viewBox="0 0 12 12" aria-hidden="true" { rect.second width="12" height="12" {} rect.stripe x="4" width="4" height="12" {} } " " (words.say(second)) }
        }
    }
}

/// The same figures as in the picture; days without any are left out.
fn by_day(words: &Words<'_>, first: Text, second: Text, bars: &[Bar]) -> Markup {
    html! {
        details {
            summary.button { (words.say(texts::AS_TABLE)) }
            table {
                thead {
                    tr {
                        th scope="col" { (words.say(texts::DAY)) }
                        th.amount scope="col" { (words.say(first)) }
                        th.amount scope="col" { (words.say(second)) }
                    }
                }
                tbody {
                    @for bar in bars.iter().filter(|bar| bar.first + bar.second > 0.0) {
                        tr {
                            td data-head=(words.say(texts::DAY)) { (bar.label) }
                            td.amount data-head=(words.say(first)) { (bar.first) }
                            td.amount data-head=(words.say(second)) { (bar.second) }
                        }
                    }
                }
            }
        }
    }
}

/// One lying bar in two parts.
fn share(words: &Words<'_>, first: u64, second: u64, whole: u64) -> Markup {
    let part = |count: u64| count * 100 / whole.max(1);
    let label = format!("{}: {first}, {}: {second}", words.say(texts::FOUND), words.say(texts::NOT_FOUND));
    html! {
        svg.share.tall viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label=(label) {
            rect.first width=(part(first)) height="6" {}
            rect.second x=(part(first)) width=(100 - part(first)) height="6" {}
        }
    }
}

/// With one decimal, rounded down: 100 % means all of them.
fn percent(part: u64, whole: u64) -> String {
    let tenths = part * 1000 / whole.max(1);
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Language;
    use jiff::tz::TimeZone;

    #[test]
    fn a_thing_counts_to_the_day_it_happened_on_in_the_store() {
        let zone = TimeZone::get("Asia/Kolkata").unwrap();
        // 2026-11-23 05:00 UTC, half past ten in the store.
        let words = Words { language: Language::English, zone: &zone, now: UnixMillis(1_795_410_000_000) };
        let days = Days::last(&words, 7);
        assert_eq!((days.starts.len(), days.starts[6].0.as_str()), (7, "23 Nov"));
        let at = |text: &str| UnixMillis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond());
        let things = [at("2026-11-22T18:29:59Z"), at("2026-11-22T18:30:00Z"), at("2026-11-01T00:00:00Z")];
        let bars = days.count(&things, |at| *at, |at| *at == things[0]);
        assert_eq!((bars[5].first, bars[5].second, bars[6].first, bars[6].second), (1.0, 0.0, 0.0, 1.0));
        assert_eq!(
            bars.iter().map(|bar| bar.first + bar.second).sum::<f64>(),
            2.0,
            "the third is too long ago"
        );
    }

    #[test]
    fn shares_are_rounded_down() {
        assert_eq!(percent(999, 1000), "99.9");
        assert_eq!(percent(1999, 2000), "99.9");
        assert_eq!((percent(5, 5).as_str(), percent(0, 0).as_str()), ("100.0", "0.0"));
    }
}
