//! How a number came about, in figures and in a sentence a shop assistant can read out.

use super::answer::Explanation;
use crate::availability::{Level, Offer, Standing, Withheld};
use sync_protocol::Quantity;

/// Explains what is offered of one item in one store; `level` is `None` where the store does not carry it.
pub(super) fn explain(level: Option<Level>, standing: &Standing, offer: &Offer) -> Explanation {
    let figures = level.unwrap_or_default();
    Explanation {
        on_hand: figures.on_hand,
        claim: figures.claim(),
        open: figures.open,
        free: figures.free,
        shortfall: figures.shortfall(),
        held_back: offer.held_back,
        reason: reason(level, standing, offer),
    }
}

fn reason(level: Option<Level>, standing: &Standing, offer: &Offer) -> String {
    let silent = duration(standing.silent_s());
    match (standing.withheld, level) {
        (Some(Withheld::NeverSeen), _) => {
            "This store has never sent a complete set of numbers, so nothing is known of it.".to_owned()
        }
        (Some(Withheld::TooOld), _) => {
            let age = duration(standing.age_s.unwrap_or_default());
            format!("The numbers are {age} old, older than the request accepts.")
        }
        (_, None) => "This store does not carry the item.".to_owned(),
        (Some(Withheld::HubRestored), Some(_)) => {
            "The hub was restored from a backup and has not compared itself with \
                                                   this store since: nothing is offered until it has."
                .to_owned()
        }
        (Some(Withheld::SilentTooLong), Some(_)) => {
            format!(
                "The store was last heard from {silent} ago, longer than the hub goes on offering its stock."
            )
        }
        (Some(Withheld::Aged), Some(level)) => format!(
            "{} The store was last heard from {silent} ago, so {:.1} % of that is held back: {}.",
            granted(&level),
            standing.held_per_cent(),
            offer.held_back
        ),
        (None, Some(level)) => format!("{}{}", granted(&level), walk_in(&level)),
    }
}

fn granted(level: &Level) -> String {
    if level.claim().is_zero() {
        return "Nothing is set aside for the web.".to_owned();
    }
    let open = if level.open.is_zero() { "none".to_owned() } else { level.open.to_string() };
    format!(
        "{} are set aside for the web, {open} of them promised to orders: {} free.",
        level.claim(),
        level.free
    )
}

/// Why what lies on the shelf is not all for the web, where that is the question.
fn walk_in(level: &Level) -> String {
    let rest = level.on_hand.thousandths().saturating_sub(level.claim().thousandths());
    if rest > 0 {
        let rest = Quantity::from_thousandths(rest);
        format!(" {rest} more are on hand, kept for customers in the store.")
    } else if level.shortfall().is_positive() {
        format!(" The shelf is {} short of that: the tills sold below the line.", level.shortfall())
    } else {
        String::new()
    }
}

/// Seconds in the largest unit that says enough.
fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::availability::{Contact, Freshness};
    use sync_protocol::UnixMillis;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn said(silent_s: i64, trusted: bool, level: Option<Level>) -> Explanation {
        let at = UnixMillis(NOW.0 - silent_s * 1000);
        let contact = Contact { at, as_of: at, link_up: silent_s < 60, trusted };
        let freshness =
            Freshness { hold_back_share_per_hour: 0.1, stop_after_s: 86_400, ..Freshness::default() };
        let standing = freshness.standing(Some(contact), NOW);
        explain(level, &standing, &standing.offer(level.unwrap_or_default().free))
    }

    fn level(on_hand: i64, open: i64, free: i64) -> Option<Level> {
        let units = Quantity::from_units;
        Some(Level { on_hand: units(on_hand), open: units(open), free: units(free) })
    }

    #[test]
    fn every_number_has_its_sentence() {
        let cases = [
            (
                1,
                true,
                level(20, 3, 12),
                "15 are set aside for the web, 3 of them promised to orders: 12 free. 5 more are",
            ),
            (
                1,
                true,
                level(2, 0, 0),
                "Nothing is set aside for the web. 2 more are on hand, kept for customers",
            ),
            (1, true, level(0, 2, 0), "The shelf is 2 short of that"),
            (1, true, level(-1, 0, 0), "Nothing is set aside for the web."),
            (1, true, None, "does not carry the item"),
            (10_800, true, level(20, 0, 10), "last heard from 3 h ago, so 30.0 % of that is held back: 3."),
            (90_000, true, level(20, 0, 10), "last heard from 25 h ago, longer than"),
            (1, false, level(20, 0, 10), "restored from a backup"),
        ];
        for (silent_s, trusted, level, expected) in cases {
            let explained = said(silent_s, trusted, level);
            assert!(explained.reason.contains(expected), "{}", explained.reason);
        }
    }

    #[test]
    fn the_figures_add_up() {
        let explained = said(10_800, true, level(12, 4, 10));
        assert_eq!(explained.claim, Quantity::from_units(14));
        assert_eq!(explained.shortfall, Quantity::from_units(2));
        assert_eq!(explained.held_back, Quantity::from_units(3));
    }
}
