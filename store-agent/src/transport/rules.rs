//! Which way to the hub is dialled next and when, when QUIC is probed, and when MQTT is left for it.
//!
//! A state machine without sockets and without a clock: it is told what happened and what time it is. The rules:
//!
//! - `auto` begins with QUIC. A way on which the hub is not heard in time has failed, and the other is next: MQTT at once, QUIC
//!   after a pause that grows.
//! - When a QUIC link ends, MQTT is next, at once. When an MQTT link that had stood for a while ends, MQTT is dialled again:
//!   what made QUIC fail has most likely not gone away.
//! - While on MQTT, QUIC is probed. Once it has stood long enough MQTT is left for it.
//! - A return that soon ends again doubles how long the next probe has to stand; a QUIC link that lasts takes that back.

use crate::config::TransportMode;
use crate::inbox::Transport;
use std::time::Duration;

/// The rules' times. Tests shorten them.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// `auto` only: from the dial to the hub's first frame.
    pub quic_heard_within: Duration,
    /// Longer, for TCP, TLS, the proxy and two packets there and back.
    pub mqtt_heard_within: Duration,
    /// The first pause before a dial, and the longest.
    pub pause_first: Duration,
    pub pause_max: Duration,
    /// From the hub being heard on MQTT to the first probe of QUIC; after failed probes it doubles up to `probe_pause_max`.
    pub probe_pause_first: Duration,
    pub probe_pause_max: Duration,
    /// One probing connection stands at most so long; the hub holds none for longer than 60 seconds.
    pub probe_stands_max: Duration,
    /// How long QUIC has to stand before MQTT is left for it, at first and at most.
    pub healthy_after: Duration,
    pub healthy_after_max: Duration,
    /// A return to QUIC that ends within this was premature. An MQTT link that stood so long is dialled again.
    pub steady_after: Duration,
    /// A QUIC link that stood for so long makes up for earlier ones that did not.
    pub trusted_after: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            quic_heard_within: Duration::from_secs(4),
            mqtt_heard_within: Duration::from_secs(12),
            pause_first: Duration::from_millis(200),
            pause_max: Duration::from_secs(30),
            probe_pause_first: Duration::from_secs(5),
            probe_pause_max: Duration::from_secs(30),
            probe_stands_max: Duration::from_secs(50),
            healthy_after: Duration::from_secs(10),
            healthy_after_max: Duration::from_secs(300),
            steady_after: Duration::from_secs(60),
            trusted_after: Duration::from_secs(600),
        }
    }
}

/// What to dial, and how long to wait before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dial {
    pub transport: Transport,
    pub pause: Duration,
}

/// The hub is heard on another way than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    pub to: Transport,
    pub reason: String,
}

/// A probe of QUIC: when it begins, and how long its connection has to stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    pub at: Duration,
    pub stands: Duration,
}

/// The state machine. Times are counted from any one moment, the same for all.
#[derive(Debug)]
pub struct Rules {
    mode: TransportMode,
    pace: Pace,
    next: Next,
    pauses: Pauses,
    link: Option<Link>,
    /// The way the hub was last heard on, and why the latest link ended.
    used: Option<Transport>,
    last_reason: String,
    healthy_after: Duration,
    /// The QUIC link that is dialled or open was dialled because probes said so.
    returned: bool,
}

#[derive(Debug, Clone, Copy)]
struct Next {
    transport: Transport,
    at_once: bool,
}

#[derive(Debug)]
struct Link {
    transport: Transport,
    dialled: Duration,
    heard: Option<Duration>,
    probing: Probing,
    leaving: bool,
}

#[derive(Debug, Default)]
struct Probing {
    due: Duration,
    failures: u32,
    /// How long probes have stood, one after the other.
    stood: Duration,
}

impl Rules {
    #[must_use]
    pub fn new(mode: TransportMode, pace: Pace) -> Rules {
        let transport = match mode {
            TransportMode::Auto | TransportMode::Quic => Transport::Quic,
            TransportMode::Mqtt => Transport::Mqtt,
        };
        Rules {
            mode,
            pace,
            next: Next { transport, at_once: true },
            pauses: Pauses::default(),
            link: None,
            used: None,
            last_reason: String::new(),
            healthy_after: pace.healthy_after,
            returned: false,
        }
    }

    /// What to dial next. `share` is random, from 0 to 1.
    pub fn dial(&mut self, share: f64) -> Dial {
        let pause = match self.next.at_once {
            true => Duration::ZERO,
            false => self.pauses.next(&self.pace, share),
        };
        Dial { transport: self.next.transport, pause }
    }

    pub fn dialled(&mut self, now: Duration) {
        self.link = Some(Link {
            transport: self.next.transport,
            dialled: now,
            heard: None,
            probing: Probing::default(),
            leaving: false,
        });
    }

    /// When the link is to be given up unless the hub is heard before.
    #[must_use]
    pub fn silent_until(&self) -> Option<Duration> {
        let link = self.link.as_ref().filter(|link| link.heard.is_none() && self.is_auto())?;
        Some(link.dialled + self.patience(link.transport))
    }

    #[must_use]
    pub fn patience(&self, transport: Transport) -> Duration {
        match transport {
            Transport::Quic => self.pace.quic_heard_within,
            Transport::Mqtt => self.pace.mqtt_heard_within,
        }
    }

    /// The hub's first frame on this link. Says so if the way has changed with it.
    pub fn heard(&mut self, now: Duration) -> Option<Switch> {
        let link = self.link.as_mut().filter(|link| link.heard.is_none())?;
        link.heard = Some(now);
        link.probing.due = now + self.pace.probe_pause_first;
        self.pauses = Pauses::default();
        let to = link.transport;
        // Whoever may choose begins with QUIC.
        let before = self.used.replace(to).or(self.is_auto().then_some(Transport::Quic));
        let changed = before.is_some_and(|before| before != to);
        changed.then(|| Switch { to, reason: self.last_reason.clone() })
    }

    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.heard.is_some())
    }

    /// The way the hub is heard on at present.
    #[must_use]
    pub fn transport(&self) -> Option<Transport> {
        self.link.as_ref().filter(|link| link.heard.is_some()).map(|link| link.transport)
    }

    /// The probe of QUIC that is due now or later, while on MQTT.
    #[must_use]
    pub fn probe(&self) -> Option<Probe> {
        let link = self.link.as_ref().filter(|link| self.is_auto() && link.transport == Transport::Mqtt)?;
        if link.heard.is_none() || link.leaving {
            return None;
        }
        let wanted = self.healthy_after.saturating_sub(link.probing.stood);
        Some(Probe { at: link.probing.due, stands: wanted.min(self.pace.probe_stands_max) })
    }

    /// A probe stood for the time given, or failed. True when the MQTT link is to be left for QUIC.
    pub fn probed(&mut self, now: Duration, stood: Option<Duration>) -> bool {
        let (pace, healthy_after) = (self.pace, self.healthy_after);
        let Some(link) = &mut self.link else { return false };
        let probing = &mut link.probing;
        match stood {
            Some(stood) => {
                *probing = Probing { due: now, failures: 0, stood: probing.stood + stood };
                link.leaving = probing.stood >= healthy_after;
            }
            None => {
                let failures = (probing.failures + 1).min(16);
                let pause = grown(pace.probe_pause_first, pace.probe_pause_max, failures);
                *probing = Probing { due: now + pause, failures, stood: Duration::ZERO };
            }
        }
        link.leaving
    }

    /// How long QUIC has to stand at present before MQTT is left for it.
    #[must_use]
    pub fn healthy_after(&self) -> Duration {
        self.healthy_after
    }

    /// The link ended, or could not be made.
    pub fn ended(&mut self, now: Duration, reason: &str) {
        let Some(link) = self.link.take() else { return };
        let stood = link.heard.map(|at| now.saturating_sub(at));
        reason.clone_into(&mut self.last_reason);
        if link.transport == Transport::Quic {
            self.judge_quic(stood);
        }
        self.returned = link.leaving;
        self.next = match (self.mode, link.transport) {
            (TransportMode::Auto, Transport::Quic) => Next { transport: Transport::Mqtt, at_once: true },
            (TransportMode::Auto, Transport::Mqtt) => self.after_mqtt(&link, stood),
            (_, transport) => Next { transport, at_once: false },
        };
    }

    fn after_mqtt(&self, link: &Link, stood: Option<Duration>) -> Next {
        let steady = stood.is_some_and(|stood| stood >= self.pace.steady_after);
        let again = steady && !link.leaving;
        let transport = if again { Transport::Mqtt } else { Transport::Quic };
        Next { transport, at_once: link.leaving }
    }

    fn judge_quic(&mut self, stood: Option<Duration>) {
        let stood = stood.unwrap_or_default();
        if self.returned && stood < self.pace.steady_after {
            self.healthy_after = (self.healthy_after * 2).min(self.pace.healthy_after_max);
        }
        if stood >= self.pace.trusted_after {
            self.healthy_after = self.pace.healthy_after;
        }
    }

    fn is_auto(&self) -> bool {
        self.mode == TransportMode::Auto
    }
}

/// How long to wait before the next dial: soon at first, then ever longer, and never in step with other stores.
#[derive(Debug, Default)]
struct Pauses {
    failures: u32,
}

impl Pauses {
    fn next(&mut self, pace: &Pace, share: f64) -> Duration {
        let longest = grown(pace.pause_first, pace.pause_max, self.failures);
        self.failures = (self.failures + 1).min(16);
        // Between a half and the whole: never at once, never all stores together.
        longest.mul_f64(0.5 + share.clamp(0.0, 1.0) / 2.0)
    }
}

/// `first`, doubled so often, at most `longest`.
fn grown(first: Duration, longest: Duration, doublings: u32) -> Duration {
    first.saturating_mul(1 << doublings.min(16)).min(longest)
}

#[cfg(test)]
mod tests;
