//! What lines are like: the named ones that the demo offers, as figures in one table.
//!
//! They are models. The figures are typical of such lines, chosen to be round, and stand for no particular provider.

use clap::ValueEnum;
use std::time::Duration;

/// How a line treats what is sent over it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinkProfile {
    /// From one end to the other, with the line empty.
    pub one_way: Duration,
    /// What a packet may take longer, evenly spread. Packets stay in order all the same, as they do on nearly every line.
    pub jitter: Duration,
    pub loss: Loss,
    pub to_hub: Rate,
    pub to_store: Rate,
    pub blackouts: Option<Blackouts>,
    pub udp: Udp,
    /// TCP connections are refused until the line has been there for so long.
    pub tcp_opens_after: Duration,
}

/// Losses in bursts, after Gilbert and Elliott: the line is in a good or a bad state, which may change with each packet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loss {
    /// Chance with each packet that the good state turns bad, and the bad one good.
    pub turns_bad: f64,
    pub turns_good: f64,
    /// Share of packets lost in each state.
    pub lost_while_good: f64,
    pub lost_while_bad: f64,
}

impl Loss {
    pub const NONE: Loss = Loss::even(0.0);

    /// Each packet for itself.
    #[must_use]
    pub const fn even(share: f64) -> Loss {
        Loss { turns_bad: 0.0, turns_good: 1.0, lost_while_good: share, lost_while_bad: share }
    }

    /// This share in the long run, in bad states that last for `burst` packets on average and lose four of five.
    #[must_use]
    pub const fn bursts(share: f64, burst: f64) -> Loss {
        const LOST_WHILE_BAD: f64 = 0.8;
        let bad = share / LOST_WHILE_BAD;
        let turns_good = 1.0 / burst;
        let turns_bad = turns_good * bad / (1.0 - bad);
        Loss { turns_bad, turns_good, lost_while_good: 0.0, lost_while_bad: LOST_WHILE_BAD }
    }

    /// Share of packets lost in the long run.
    #[must_use]
    pub fn share(self) -> f64 {
        let bad = self.turns_bad / (self.turns_bad + self.turns_good);
        bad * self.lost_while_bad + (1.0 - bad) * self.lost_while_good
    }
}

/// How fast one direction is, and how long it lets packets queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// None: as fast as the machine.
    pub bits_per_second: Option<u64>,
    /// What would have to wait longer than this finds the queue full.
    pub queue_max: Duration,
}

impl Rate {
    pub const UNLIMITED: Rate = Rate { bits_per_second: None, queue_max: Duration::ZERO };

    const fn mbit(megabits: u64, queue_ms: u64) -> Rate {
        Rate { bits_per_second: Some(megabits * 1_000_000), queue_max: Duration::from_millis(queue_ms) }
    }
}

/// Times without any line, again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blackouts {
    /// From the line's beginning to the first one.
    pub first: Duration,
    /// From one's beginning to the next one's.
    pub every: Duration,
    pub last_for: Duration,
}

impl Blackouts {
    #[must_use]
    pub fn cover(self, at: Duration) -> bool {
        let Some(since_first) = at.checked_sub(self.first) else { return false };
        since_first.as_nanos() % self.every.as_nanos().max(1) < self.last_for.as_nanos()
    }
}

/// What a line, or a firewall on it, does with UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Udp {
    Passes,
    Blocked,
}

impl LinkProfile {
    /// The machine's own loopback.
    pub const PERFECT: LinkProfile = LinkProfile {
        one_way: Duration::ZERO,
        jitter: Duration::ZERO,
        loss: Loss::NONE,
        to_hub: Rate::UNLIMITED,
        to_store: Rate::UNLIMITED,
        blackouts: None,
        udp: Udp::Passes,
        tcp_opens_after: Duration::ZERO,
    };

    /// There and back on the empty line.
    #[must_use]
    pub fn round_trip(&self) -> Duration {
        2 * self.one_way
    }
}

/// The lines that have names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LinkName {
    /// No delay, no loss: the machine's own loopback
    #[default]
    Perfect,
    /// A shop's fibre: near, fast, hardly any loss
    ShopFibre,
    /// Wi-Fi that the customers share: jitter, bursts of loss, a deep queue
    CongestedWifi,
    /// The mobile network, when the fixed line is away
    LteBackup,
    /// A geostationary satellite: 600 ms there and back
    Satellite,
    /// No UDP at all, and TCP only after somebody has clicked
    CaptivePortal,
    /// A good line that goes away again and again; a night lasts seconds here
    NightlyOutage,
}

impl LinkName {
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// The table.
    #[must_use]
    pub const fn profile(self) -> LinkProfile {
        match self {
            Self::Perfect => LinkProfile::PERFECT,
            // Typical of a business line over fibre within a country: 10 ms there and back, 100 up and 250 down, and losses
            // that only monitoring ever sees.
            Self::ShopFibre => SHOP_FIBRE,
            // Typical of a busy 2.4 GHz channel: air time runs out long before the signal, frames are retried (jitter) and then
            // given up in bursts, and the access point queues a quarter of a second.
            Self::CongestedWifi => LinkProfile {
                one_way: ms(10),
                jitter: ms(40),
                loss: Loss::bursts(0.02, 4.0),
                to_hub: Rate::mbit(5, 250),
                to_store: Rate::mbit(10, 250),
                ..LinkProfile::PERFECT
            },
            // Typical of LTE indoors: 60 to 100 ms there and back, 8 up and 25 down, few losses, but in bursts at handovers,
            // and base stations that queue for half a second.
            Self::LteBackup => LinkProfile {
                one_way: ms(30),
                jitter: ms(20),
                loss: Loss::bursts(0.005, 5.0),
                to_hub: Rate::mbit(8, 500),
                to_store: Rate::mbit(25, 500),
                ..LinkProfile::PERFECT
            },
            // Light takes 240 ms up and down again, and ground stations and coding the rest to 300; 3 up and 20 down are what such
            // a subscription sells, and rain comes in bursts.
            Self::Satellite => LinkProfile {
                one_way: ms(300),
                jitter: ms(15),
                loss: Loss::bursts(0.008, 6.0),
                to_hub: Rate::mbit(3, 600),
                to_store: Rate::mbit(20, 600),
                ..LinkProfile::PERFECT
            },
            // Typical of a shopping centre's guest network: UDP is filtered for good; TCP is refused until somebody has accepted
            // the terms on its page, here after ten seconds, which is quick for a person and long enough to be seen.
            Self::CaptivePortal => LinkProfile {
                one_way: ms(8),
                jitter: ms(5),
                loss: Loss::bursts(0.002, 3.0),
                to_hub: Rate::mbit(20, 100),
                to_store: Rate::mbit(50, 100),
                udp: Udp::Blocked,
                tcp_opens_after: Duration::from_secs(10),
                ..LinkProfile::PERFECT
            },
            // A fibre line whose provider works on it every night for two and a half hours. In the demo's time, where half a
            // minute is a day, that is 8 of every 25 seconds: long enough for both ways to be given up.
            Self::NightlyOutage => LinkProfile {
                blackouts: Some(Blackouts {
                    first: Duration::from_secs(12),
                    every: Duration::from_secs(25),
                    last_for: Duration::from_secs(8),
                }),
                ..SHOP_FIBRE
            },
        }
    }
}

const SHOP_FIBRE: LinkProfile = LinkProfile {
    one_way: ms(5),
    jitter: ms(1),
    loss: Loss::bursts(0.0001, 2.0),
    to_hub: Rate::mbit(100, 50),
    to_store: Rate::mbit(250, 50),
    ..LinkProfile::PERFECT
};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_people_type_them() {
        let names: Vec<String> = LinkName::value_variants().iter().map(|name| name.name()).collect();
        let known = ["perfect", "shop-fibre", "congested-wifi", "lte-backup", "satellite", "captive-portal"];
        assert_eq!(names, [&known[..], &["nightly-outage"]].concat());
        assert_eq!(LinkName::from_str("satellite", false), Ok(LinkName::Satellite));
    }

    #[test]
    fn every_figure_is_possible() {
        for profile in LinkName::value_variants().iter().map(|name| name.profile()) {
            let Loss { turns_bad, turns_good, lost_while_good, lost_while_bad } = profile.loss;
            let chances = [turns_bad, turns_good, lost_while_good, lost_while_bad];
            assert!(chances.iter().all(|chance| (0.0..=1.0).contains(chance)), "{profile:?}");
            assert!(profile.loss.share() < 0.05 && profile.one_way < Duration::from_secs(1));
        }
    }

    #[test]
    fn the_long_run_share_of_bursts_is_what_was_asked_for() {
        assert!((Loss::bursts(0.02, 4.0).share() - 0.02).abs() < 1e-12);
        assert!((Loss::even(0.01).share() - 0.01).abs() < 1e-12);
        assert!(Loss::NONE.share().abs() < 1e-12);
    }

    #[test]
    fn blackouts_come_again_and_again() {
        let second = Duration::from_secs;
        let nights = Blackouts { first: second(10), every: second(20), last_for: second(5) };
        let dark: Vec<u64> = (0..60).filter(|at| nights.cover(second(*at))).collect();
        assert_eq!(dark, [10, 11, 12, 13, 14, 30, 31, 32, 33, 34, 50, 51, 52, 53, 54]);
    }
}
