//! One direction of a line, without sockets and without a clock: decides for each packet when it arrives, or that it is lost.
//!
//! Times are counted from the line's beginning. What is sent first arrives first: a packet waits for those before it, is put on the line
//! at the line's rate, and travels. Everything follows from the seed and the moments of sending.

use super::profile::{Blackouts, LinkProfile, Loss, Rate};
use crate::rng::Rng;
use std::time::Duration;

/// One direction, shared by all that goes that way.
#[derive(Debug)]
pub struct Lane {
    one_way: Duration,
    jitter: Duration,
    loss: Loss,
    rate: Rate,
    blackouts: Option<Blackouts>,
    is_cut: bool,
    rng: Rng,
    is_bad: bool,
    /// When the last packet has been put on the line.
    busy_until: Duration,
    /// Invariant: never falls.
    latest_arrival: Duration,
}

/// Which way a lane goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    ToHub,
    ToStore,
}

impl Lane {
    #[must_use]
    pub fn new(profile: &LinkProfile, direction: Direction, rng: Rng) -> Self {
        let rate = match direction {
            Direction::ToHub => profile.to_hub,
            Direction::ToStore => profile.to_store,
        };
        Self {
            one_way: profile.one_way,
            jitter: profile.jitter,
            loss: profile.loss,
            rate,
            blackouts: profile.blackouts,
            is_cut: false,
            rng,
            is_bad: false,
            busy_until: Duration::ZERO,
            latest_arrival: Duration::ZERO,
        }
    }

    /// Pulls the plug, or puts it in again. What is under way still arrives.
    pub fn set_cut(&mut self, is_cut: bool) {
        self.is_cut = is_cut;
    }

    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// When a datagram of so many bytes, headers included, arrives; none when it is lost, also for lack of room in the queue.
    pub fn datagram(&mut self, now: Duration, bytes: usize) -> Option<Duration> {
        if self.room_at() > now {
            return None;
        }
        self.segment(now, bytes)
    }

    /// The same for a segment of TCP, which waits before a full queue where a datagram is dropped (`room_at`).
    pub fn segment(&mut self, now: Duration, bytes: usize) -> Option<Duration> {
        let is_lost = self.loses();
        if self.is_dark(now) {
            return None;
        }
        // A lost packet has taken its time on the line like any other.
        self.busy_until = self.busy_until.max(now) + self.time_on_line(bytes);
        if is_lost {
            return None;
        }
        let travels = self.one_way + self.jitter.mul_f64(self.rng.unit());
        self.latest_arrival = self.latest_arrival.max(self.busy_until + travels);
        Some(self.latest_arrival)
    }

    /// From when on the queue has room.
    #[must_use]
    pub fn room_at(&self) -> Duration {
        self.busy_until.saturating_sub(self.rate.queue_max)
    }

    fn is_dark(&self, at: Duration) -> bool {
        self.is_cut || self.blackouts.is_some_and(|blackouts| blackouts.cover(at))
    }

    fn loses(&mut self) -> bool {
        let (turns, lost) = if self.is_bad {
            (self.loss.turns_good, self.loss.lost_while_bad)
        } else {
            (self.loss.turns_bad, self.loss.lost_while_good)
        };
        let is_lost = self.rng.chance(lost);
        self.is_bad ^= self.rng.chance(turns);
        is_lost
    }

    fn time_on_line(&self, bytes: usize) -> Duration {
        let Some(bits_per_second) = self.rate.bits_per_second else { return Duration::ZERO };
        let bits = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(8);
        Duration::from_nanos(bits.saturating_mul(1_000_000_000) / bits_per_second.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::link::profile::LinkName;
    use clap::ValueEnum;

    const PACKET: usize = 1000;

    fn lane(profile: LinkProfile, seed: u64) -> Lane {
        Lane::new(&profile, Direction::ToHub, Rng::seeded(seed))
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_perfect_lane_delivers_everything_at_once() {
        let mut lane = lane(LinkProfile::PERFECT, 1);
        assert!((0..1000).all(|at| lane.datagram(ms(at), PACKET) == Some(ms(at))));
    }

    #[test]
    fn the_same_seed_gives_the_same_fates() {
        let fates = |seed| {
            let mut lane = lane(LinkName::CongestedWifi.profile(), seed);
            (0..500).map(|at| lane.datagram(ms(5 * at), PACKET)).collect::<Vec<_>>()
        };
        assert_eq!(fates(3), fates(3));
        assert_ne!(fates(3), fates(4));
    }

    #[test]
    fn packets_arrive_in_order_within_delay_and_jitter() {
        for name in LinkName::value_variants() {
            let profile = LinkProfile { blackouts: None, ..name.profile() };
            let mut lane = lane(profile, 7);
            let mut last = Duration::ZERO;
            for sent in (0..2000).map(|number| ms(100 * number)) {
                let Some(arrives) = lane.datagram(sent, PACKET) else { continue };
                let longest = profile.one_way + profile.jitter + lane.time_on_line(PACKET);
                assert!((sent + profile.one_way..=sent + longest).contains(&arrives), "{name:?}");
                assert!(arrives >= last, "{name:?}");
                last = arrives;
            }
        }
    }

    #[test]
    fn the_long_run_loss_is_near_the_profiles() {
        const PACKETS: u64 = 2_000_000;
        for name in LinkName::value_variants() {
            let profile = LinkProfile { blackouts: None, ..name.profile() };
            let mut lane = lane(profile, 11);
            let lost = (0..PACKETS).filter(|at| lane.datagram(ms(5 * at), PACKET).is_none()).count();
            let share = f64::from(u32::try_from(lost).unwrap()) / 2e6;
            let wanted = profile.loss.share();
            assert!((share - wanted).abs() <= 0.1 * wanted + 1e-4, "{name:?}: {share} for {wanted}");
        }
    }

    #[test]
    fn losses_come_in_bursts() {
        let profile = LinkProfile { loss: Loss::bursts(0.02, 4.0), ..LinkProfile::PERFECT };
        let mut lane = lane(profile, 5);
        let fates: Vec<bool> = (0..100_000).map(|at| lane.datagram(ms(at), PACKET).is_none()).collect();
        let lost = fates.iter().filter(|lost| **lost).count();
        let followed = fates.windows(2).filter(|two| two[0] && two[1]).count();
        // Evenly spread, one in fifty lost packets would be followed by another.
        assert!(2 * followed > lost, "{followed} of {lost}");
    }

    #[test]
    fn no_more_gets_through_than_the_rate_and_the_rest_finds_the_queue_full() {
        let rate = Rate { bits_per_second: Some(1_000_000), queue_max: ms(100) };
        let mut lane = lane(LinkProfile { to_hub: rate, ..LinkProfile::PERFECT }, 1);
        // Ten times as much as fits, for ten seconds.
        let arrivals: Vec<Duration> = (0..12_500)
            .filter_map(|number| lane.datagram(Duration::from_micros(800 * number), PACKET))
            .collect();
        let fit = 10 * 1_000_000 / (8 * PACKET);
        assert!((fit..=fit + fit / 50).contains(&arrivals.len()), "{} of {fit}", arrivals.len());
        assert!(arrivals.windows(2).all(|two| two[1] - two[0] >= ms(8)));
        assert!(*arrivals.last().unwrap() <= Duration::from_secs(10) + ms(108));
    }

    #[test]
    fn a_blackout_loses_everything() {
        let blackouts = Blackouts { first: ms(100), every: ms(1000), last_for: ms(300) };
        let mut lane = lane(LinkProfile { blackouts: Some(blackouts), ..LinkProfile::PERFECT }, 1);
        let lost: Vec<u64> = (0..1000).filter(|at| lane.datagram(ms(*at), PACKET).is_none()).collect();
        assert_eq!(lost, (100..400).collect::<Vec<_>>());
    }

    #[test]
    fn a_cut_lane_loses_everything_until_it_is_mended() {
        let mut lane = lane(LinkProfile::PERFECT, 1);
        lane.set_cut(true);
        assert!(lane.is_cut() && lane.datagram(ms(1), PACKET).is_none() && lane.segment(ms(1), 1).is_none());
        lane.set_cut(false);
        assert_eq!(lane.datagram(ms(2), PACKET), Some(ms(2)));
    }
}
