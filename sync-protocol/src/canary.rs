//! The canary: of each source one movement at a time is followed on its way from the POS to the hub, and a note of the store's says how far
//! it has come. A source whose canary is overdue has stopped somewhere, and the note says where.

use crate::ids::SourceId;
use crate::record::{Note, Topic};
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// Most sources of a store that are followed.
pub const CANARIES_MAX: usize = 256;

/// How it stands with one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    pub source: SourceId,
    /// The item whose movements count. Empty: any item's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub item: String,
    /// Since when the source is followed.
    pub since: i64,
    /// After how long without an arrival somebody should look.
    pub overdue_after_ms: i64,
    /// On its way: recorded at the store, not yet accepted by the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under_way: Option<Flight>,
    /// The last one that has come all the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrived: Option<Arrival>,
}

/// A movement that is followed. Times are milliseconds since 1970, by the store's clock but for `happened_at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flight {
    /// By the POS's clock.
    pub happened_at: i64,
    pub read_at: i64,
    pub recorded_at: i64,
    /// Once the hub has the history up to here, it has arrived.
    pub position: u64,
}

/// A movement that the hub has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    #[serde(flatten)]
    pub flight: Flight,
    pub accepted_at: i64,
}

/// What a canary waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitsFor {
    /// A movement that can be read from the POS, or is reported.
    Movement,
    /// The hub's word that it has the movement.
    Hub,
}

impl WaitsFor {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            WaitsFor::Movement => "movement",
            WaitsFor::Hub => "hub",
        }
    }
}

impl Canary {
    /// # Errors
    /// The text is no canary.
    pub fn read(text: &str) -> serde_json::Result<Canary> {
        serde_json::from_str(text)
    }

    #[must_use]
    pub fn note(&self) -> Note {
        let text = serde_json::to_string(self).expect("text keys, numbers and no failing parts");
        Note { topic: Topic::CANARY, key: Canary::key(&self.source), text }
    }

    /// The source is followed no longer.
    #[must_use]
    pub fn no_note(source: &SourceId) -> Note {
        Note { topic: Topic::CANARY, key: Canary::key(source), text: String::new() }
    }

    /// Two sources of a store that share one are told apart by nobody; of 256 that happens once in a hundred thousand stores.
    #[must_use]
    pub fn key(source: &SourceId) -> u32 {
        let hash = twox_hash::XxHash3_64::oneshot(source.as_str().as_bytes());
        u32::try_from(hash >> 32).unwrap_or(0)
    }

    /// How far the newest one has come.
    #[must_use]
    pub fn stage(&self) -> &'static str {
        match (&self.under_way, &self.arrived) {
            (Some(_), _) => "recorded",
            (None, Some(_)) => "accepted",
            (None, None) => "awaited",
        }
    }

    /// The newest movement that is followed.
    #[must_use]
    pub fn newest(&self) -> Option<&Flight> {
        self.under_way.as_ref().or(self.arrived.as_ref().map(|arrival| &arrival.flight))
    }

    /// Milliseconds since one has come all the way, or since the source is followed.
    #[must_use]
    pub fn age_ms(&self, now: UnixMillis) -> u64 {
        now.since(UnixMillis(self.arrived.map_or(self.since, |arrival| arrival.accepted_at)))
    }

    #[must_use]
    pub fn is_overdue(&self, now: UnixMillis) -> bool {
        i64::try_from(self.age_ms(now)).is_ok_and(|age| age > self.overdue_after_ms)
    }

    /// `None`: nothing that anybody has to see to.
    #[must_use]
    pub fn waits_for(&self, now: UnixMillis) -> Option<WaitsFor> {
        match (&self.under_way, &self.arrived) {
            (Some(_), _) => Some(WaitsFor::Hub),
            (None, None) => Some(WaitsFor::Movement),
            (None, Some(_)) => self.is_overdue(now).then_some(WaitsFor::Movement),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn canary() -> Canary {
        Canary {
            source: "till-3".parse().unwrap(),
            item: "4011".to_owned(),
            since: 0,
            overdue_after_ms: 26 * HOUR,
            under_way: None,
            arrived: None,
        }
    }

    fn flight() -> Flight {
        Flight { happened_at: 1, read_at: 2, recorded_at: 3, position: 7 }
    }

    #[test]
    fn a_canary_reads_back_as_what_was_written() {
        let arrived = Some(Arrival { flight: flight(), accepted_at: 4 });
        let whole = Canary { under_way: Some(flight()), arrived, ..canary() };
        for canary in [canary(), whole] {
            let note = canary.note();
            assert_eq!((note.topic, note.key), (Topic::CANARY, Canary::key(&canary.source)));
            assert_eq!(Canary::read(&note.text).unwrap(), canary);
        }
    }

    #[test]
    fn it_ages_until_the_next_one_has_come_all_the_way() {
        let fresh = Canary { arrived: Some(Arrival { flight: flight(), accepted_at: HOUR }), ..canary() };
        let at = |hours: i64| UnixMillis(hours * HOUR);
        assert_eq!(
            (fresh.stage(), fresh.age_ms(at(3)), fresh.waits_for(at(3))),
            ("accepted", 7_200_000, None)
        );
        assert!(!fresh.is_overdue(at(27)) && fresh.is_overdue(at(28)));
        assert_eq!(fresh.waits_for(at(28)), Some(WaitsFor::Movement));
        let cut = Canary { under_way: Some(flight()), ..fresh };
        assert_eq!((cut.stage(), cut.waits_for(at(3))), ("recorded", Some(WaitsFor::Hub)));
        assert!(cut.is_overdue(at(28)));
        let new = canary();
        assert_eq!((new.stage(), new.age_ms(at(1))), ("awaited", 3_600_000));
        assert_eq!(new.waits_for(at(1)), Some(WaitsFor::Movement));
        assert!(new.is_overdue(at(27)));
    }
}
