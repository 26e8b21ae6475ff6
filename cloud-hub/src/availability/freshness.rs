//! How old a store's numbers are, and what of its free stock is still offered at that age.
//!
//! Holding back is a choice of what to offer, never a change of rights: the escrow alone decides what may be promised.
//! Everything here is a pure function of the settings, the last contact and now.

use serde::Serialize;
use sync_protocol::{Quantity, UnixMillis};
use utoipa::ToSchema;

const MILLION: u32 = 1_000_000;

/// How the operator wants age to count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Freshness {
    /// Up to this age, with the link up, numbers are `live`.
    pub live_s: u32,
    /// After this long without contact a store is `offline`.
    pub offline_s: u32,
    /// Share of what is free that is held back for each hour without contact, 0 to 1.
    pub hold_back_share_per_hour: f64,
    /// After this long without contact nothing is offered; 0 never stops.
    pub stop_after_s: u32,
}

impl Default for Freshness {
    fn default() -> Self {
        Self { live_s: 60, offline_s: 900, hold_back_share_per_hour: 0.0, stop_after_s: 0 }
    }
}

/// The last the hub heard of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contact {
    pub at: UnixMillis,
    pub as_of: UnixMillis,
    pub link_up: bool,
    pub trusted: bool,
}

/// How fresh a store's numbers are.
///
/// `live`: the line is up and the numbers are at most as old as the hub's `live_s` (60 s by default).
/// `delayed`: the line is down or the numbers are older, but the store was heard from within `offline_s` (900 s).
/// `offline`: not heard from for longer than that. `never_seen`: the store has never sent a complete set of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Live,
    Delayed,
    Offline,
    NeverSeen,
}

/// Why a store's web stock is not offered in full. Absent when it is.
///
/// `never_seen`: there are no numbers. `too_old`: the numbers are older than the request's `max_age_s`.
/// `hub_restored`: the hub came back from a backup and has not compared itself with the store yet; 0 is offered.
/// `silent_too_long`: the store was last heard from longer ago than the hub's `stop_after_s`; 0 is offered.
/// `aged`: a share is held back that grows with the time since the last contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Withheld {
    NeverSeen,
    TooOld,
    HubRestored,
    SilentTooLong,
    Aged,
}

/// What a store's age means at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub state: State,
    /// `None` for a store that was never seen.
    pub as_of: Option<UnixMillis>,
    /// Whole seconds since `as_of`.
    pub age_s: Option<u64>,
    pub withheld: Option<Withheld>,
    /// Milliseconds since the last contact.
    silent_ms: u64,
    /// Millionths of what is free that are held back.
    held_share: u32,
}

/// What is offered of one cell. `available` is `None` where it is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    pub available: Option<Quantity>,
    pub held_back: Quantity,
}

impl Freshness {
    /// How a store stands at `now`.
    #[must_use]
    pub fn standing(&self, contact: Option<Contact>, now: UnixMillis) -> Standing {
        let Some(contact) = contact.filter(|contact| contact.as_of.0 > 0) else {
            return Standing::NEVER_SEEN;
        };
        let age_ms = now.since(contact.as_of);
        let silent_ms = now.since(contact.at);
        let state = self.state(contact.link_up, age_ms, silent_ms);
        let held_share = if state == State::Live { 0 } else { self.held_share(silent_ms) };
        let withheld = match () {
            () if !contact.trusted => Some(Withheld::HubRestored),
            () if self.stop_after_s > 0 && silent_ms > millis(self.stop_after_s) => {
                Some(Withheld::SilentTooLong)
            }
            () if held_share > 0 => Some(Withheld::Aged),
            () => None,
        };
        Standing {
            state,
            as_of: Some(contact.as_of),
            age_s: Some(age_ms / 1000),
            withheld,
            silent_ms,
            held_share,
        }
    }

    fn state(&self, link_up: bool, age_ms: u64, silent_ms: u64) -> State {
        if silent_ms > millis(self.offline_s) {
            State::Offline
        } else if link_up && age_ms.max(silent_ms) <= millis(self.live_s) {
            State::Live
        } else {
            State::Delayed
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "the share is clamped to 0..=1 before it becomes millionths, and silence needs no 53 bits"
    )]
    fn held_share(&self, silent_ms: u64) -> u32 {
        let hours = silent_ms as f64 / 3_600_000.0;
        let share = (self.hold_back_share_per_hour * hours).clamp(0.0, 1.0);
        (share * f64::from(MILLION)).round() as u32
    }
}

fn millis(seconds: u32) -> u64 {
    u64::from(seconds) * 1000
}

impl Standing {
    const NEVER_SEEN: Standing = Standing {
        state: State::NeverSeen,
        as_of: None,
        age_s: None,
        withheld: Some(Withheld::NeverSeen),
        silent_ms: 0,
        held_share: 0,
    };

    /// The same, with numbers older than `max_age_s` made unknown.
    #[must_use]
    pub fn no_older_than(mut self, max_age_s: Option<u32>) -> Standing {
        if let (Some(max), Some(age)) = (max_age_s, self.age_s)
            && age > u64::from(max)
        {
            self.withheld = Some(Withheld::TooOld);
        }
        self
    }

    /// Whether nothing can be said about any item of the store.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self.withheld, Some(Withheld::NeverSeen | Withheld::TooOld))
    }

    /// Whole seconds since the last contact; 0 for a store that was never seen.
    #[must_use]
    pub fn silent_s(&self) -> u64 {
        self.silent_ms / 1000
    }

    /// The share that is held back, in per cent.
    #[must_use]
    pub fn held_per_cent(&self) -> f64 {
        f64::from(self.held_share) / f64::from(MILLION / 100)
    }

    /// What is offered of `free`.
    #[must_use]
    pub fn offer(&self, free: Quantity) -> Offer {
        let free = free.thousandths().max(0);
        let held = match self.withheld {
            Some(Withheld::NeverSeen | Withheld::TooOld) => {
                return Offer { available: None, held_back: Quantity::ZERO };
            }
            Some(Withheld::HubRestored | Withheld::SilentTooLong) => free,
            Some(Withheld::Aged) => held_part(free, self.held_share),
            None => 0,
        };
        Offer {
            available: Some(Quantity::from_thousandths(free - held)),
            held_back: Quantity::from_thousandths(held),
        }
    }
}

/// `share` millionths of `free`. Of whole units whole units are held back, the nearest number of them: nobody is offered
/// two thirds of a bottle.
fn held_part(free: i64, share: u32) -> i64 {
    let exact = i128::from(free) * i128::from(share) / i128::from(MILLION);
    // A part of `free`, which is an i64.
    let exact = i64::try_from(exact).unwrap_or(free);
    if free % 1000 == 0 { exact.saturating_add(500) / 1000 * 1000 } else { exact }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    const HOUR_S: i64 = 3600;

    fn settings() -> Freshness {
        Freshness { hold_back_share_per_hour: 0.1, stop_after_s: 86_400, ..Freshness::default() }
    }

    fn heard(seconds_ago: i64, link_up: bool) -> Contact {
        let at = UnixMillis(NOW.0 - seconds_ago * 1000);
        Contact { at, as_of: at, link_up, trusted: true }
    }

    fn standing(contact: Contact) -> Standing {
        settings().standing(Some(contact), NOW)
    }

    fn offered(contact: Contact, free_thousandths: i64) -> i64 {
        let offer = standing(contact).offer(Quantity::from_thousandths(free_thousandths));
        offer.available.expect("a store that was seen").thousandths()
    }

    #[test]
    fn a_store_that_answers_is_live_and_offers_all() {
        assert_eq!(standing(heard(0, true)).state, State::Live);
        assert_eq!(standing(heard(60, true)).state, State::Live);
        assert_eq!(offered(heard(60, true), 7_250), 7_250);
    }

    #[test]
    fn a_store_without_its_line_is_delayed_then_offline() {
        assert_eq!(standing(heard(1, false)).state, State::Delayed);
        assert_eq!(standing(heard(61, true)).state, State::Delayed);
        assert_eq!(standing(heard(900, false)).state, State::Delayed);
        assert_eq!(standing(heard(901, false)).state, State::Offline);
        assert_eq!(standing(heard(901, true)).state, State::Offline);
    }

    #[test]
    fn a_store_that_is_catching_up_is_delayed_with_the_age_of_its_numbers() {
        let contact = Contact { as_of: UnixMillis(NOW.0 - 7_200_000), ..heard(0, true) };
        let standing = standing(contact);
        assert_eq!((standing.state, standing.age_s), (State::Delayed, Some(7200)));
    }

    #[test]
    fn a_store_that_never_sent_complete_numbers_is_unknown() {
        let empty = Contact { as_of: UnixMillis(0), ..heard(0, true) };
        for contact in [None, Some(empty)] {
            let standing = settings().standing(contact, NOW);
            assert_eq!((standing.state, standing.age_s), (State::NeverSeen, None));
            assert_eq!(standing.offer(Quantity::ONE).available, None);
        }
    }

    #[test]
    fn a_share_is_held_back_by_the_hour_and_then_everything() {
        assert_eq!(offered(heard(HOUR_S, false), 20_000), 18_000);
        assert_eq!(offered(heard(5 * HOUR_S, false), 20_000), 10_000);
        assert_eq!(offered(heard(12 * HOUR_S, false), 20_000), 0);
        assert_eq!(standing(heard(25 * HOUR_S, false)).withheld, Some(Withheld::SilentTooLong));
        assert_eq!(offered(heard(25 * HOUR_S, false), 20_000), 0);
    }

    #[test]
    fn whole_units_stay_whole_and_weighed_goods_do_not() {
        assert_eq!(offered(heard(HOUR_S, false), 3_000), 3_000);
        assert_eq!(offered(heard(5 * HOUR_S, false), 3_000), 1_000);
        assert_eq!(offered(heard(HOUR_S, false), 1_500), 1_350);
    }

    #[test]
    fn a_hub_that_was_restored_offers_nothing_of_a_store_it_has_not_joined() {
        let contact = Contact { trusted: false, ..heard(0, true) };
        assert_eq!(standing(contact).withheld, Some(Withheld::HubRestored));
        assert_eq!(offered(contact, 9_000), 0);
    }

    #[test]
    fn numbers_older_than_asked_for_are_unknown() {
        let aged = standing(heard(61, false)).no_older_than(Some(60));
        assert!(aged.is_unknown());
        assert_eq!(aged.offer(Quantity::ONE).available, None);
        assert!(!standing(heard(60, false)).no_older_than(Some(60)).is_unknown());
        assert!(!standing(heard(60, false)).no_older_than(None).is_unknown());
    }

    #[test]
    fn a_negative_free_offers_nothing_and_a_clock_that_jumped_back_harms_nothing() {
        assert_eq!(offered(heard(0, true), -5_000), 0);
        let ahead = standing(heard(-30, true));
        assert_eq!((ahead.state, ahead.age_s), (State::Live, Some(0)));
    }

    #[test]
    fn the_largest_figures_do_not_overflow() {
        assert!(offered(heard(HOUR_S, false), i64::MAX / 1000 * 1000) > 0);
    }
}
