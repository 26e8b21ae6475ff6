//! What a seed stands for: how many stores, how they are connected, what goes wrong and how often. Each seed leaves some faults
//! out, because a history in which everything goes wrong all the time never gets deep into anything.

use super::faults::Fault;
use super::network::{Carriage, Weather};
use crate::rng::Rng;
use sync_protocol::Quantity;
use sync_protocol::link::Timing;
use sync_protocol::stock::ReservePolicy;

/// So many that a hand-over has more than one part.
const MANY_ITEMS: usize = 1_400;

/// Everything that is fixed for one run.
#[derive(Debug)]
pub struct Plan {
    pub carriages: Vec<Carriage>,
    /// Stores whose POS is read with a cursor, beside the tills that report by themselves.
    pub journals: bool,
    pub items: usize,
    pub tills: usize,
    /// Mean pauses, in milliseconds.
    pub till_every: u64,
    pub shopper_every: u64,
    pub fault_every: u64,
    pub weather: Weather,
    /// Invariant: weights above zero.
    pub faults: Vec<(Fault, u64)>,
    pub timing: Timing,
    pub reserve: ReservePolicy,
    /// Where shoppers place orders: what their numbers, and all that staff do, are drawn from.
    pub orders: Option<u64>,
    pub staff_every: u64,
}

impl Plan {
    #[must_use]
    pub fn draw(rng: &mut Rng) -> Plan {
        let stores = rng.index(3) + 1;
        let faults = faults(rng);
        Plan {
            carriages: (0..stores).map(|_| carriage(rng, &faults)).collect(),
            journals: rng.chance(0.6),
            items: if rng.chance(0.02) { MANY_ITEMS } else { 2 + rng.index(9) },
            tills: 1 + rng.index(3),
            till_every: pick(rng, &[400, 1_500, 6_000]),
            shopper_every: pick(rng, &[700, 3_000, 20_000]),
            fault_every: pick(rng, &[8_000, 25_000, 80_000]),
            weather: weather(rng),
            faults,
            timing: timing(rng),
            reserve: reserve(rng),
            orders: rng.chance(0.75).then(|| rng.next_u64()),
            staff_every: pick(rng, &[500, 2_000, 8_000]),
        }
    }

    /// A fault by its weight; `None` where the seed has none.
    pub fn draw_fault(&self, rng: &mut Rng) -> Option<Fault> {
        let mut left = rng.below(self.faults.iter().map(|(_, weight)| weight).sum());
        self.faults.iter().find_map(|(fault, weight)| {
            let hit = left < *weight;
            left = left.saturating_sub(*weight);
            hit.then_some(*fault)
        })
    }
}

fn pick(rng: &mut Rng, from: &[u64]) -> u64 {
    from[rng.index(from.len())]
}

fn weather(rng: &mut Rng) -> Weather {
    let bad = rng.chance(0.7);
    Weather {
        delay_ms: pick(rng, &[2, 30, 400]),
        spike: if bad { rng.unit() * 0.1 } else { 0.0 },
        loss: if bad { rng.unit() * 0.2 } else { 0.0 },
        doubling: if bad { rng.unit() * 0.2 } else { 0.0 },
    }
}

fn faults(rng: &mut Rng) -> Vec<(Fault, u64)> {
    let from: &[(Fault, u64)] = match rng.below(20) {
        0 => &[],
        1 => &Fault::WITH_ROT,
        _ => &Fault::USUAL,
    };
    from.iter().copied().filter(|_| rng.chance(0.6)).collect()
}

/// Rot can be made good only while no agent starts over from what has rotted, so frames had better come in order.
fn carriage(rng: &mut Rng, faults: &[(Fault, u64)]) -> Carriage {
    let rots = faults.iter().any(|(fault, _)| *fault == Fault::Rot);
    if rots || rng.chance(0.6) { Carriage::Quic } else { Carriage::Mqtt }
}

/// The daemons' own times, or ten times as quick: then more goes on between two faults.
fn timing(rng: &mut Rng) -> Timing {
    let usual = Timing::default();
    if rng.chance(0.5) {
        return usual;
    }
    Timing {
        answer_within: usual.answer_within / 10,
        resend_after: usual.resend_after / 10,
        resend_max: usual.resend_max / 10,
        heartbeat_every: usual.heartbeat_every / 10,
        silence_max: usual.silence_max / 10,
        down_delay: usual.down_delay / 10,
    }
}

fn reserve(rng: &mut Rng) -> ReservePolicy {
    let safety = i64::try_from(rng.below(4)).unwrap_or(0);
    ReservePolicy { safety_stock: Quantity::from_units(safety), ..ReservePolicy::default() }
}
