//! Runs a season under each policy, a store at a time on as many threads as there are cores.

use super::Model;
use super::books::{Buffer, LastKnown};
use super::escrow::Escrow;
use super::plan::{Plan, Plans};
use super::replay::replay;
use super::season::Season;
use super::tally::Tally;
use serde::Serialize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use sync_protocol::Quantity;
use sync_protocol::stock::ReservePolicy;

/// How the web shop decides what it may promise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Policy {
    /// There is no web shop: what walk-in customers lose anyway.
    NoWeb,
    /// What the hub last heard, less its open promises.
    LastKnown,
    /// The same less so many units.
    Buffer { units: i64 },
    /// Escrow; the store keeps back so many units.
    FixedReserve { units: i64 },
    /// Escrow; the store keeps back what may be sold in so many seconds.
    VelocityReserve { exposure_s: u32 },
    /// Escrow; the larger of both.
    BothReserves { units: i64, exposure_s: u32 },
}

/// What is compared; the settings of one family follow each other, from the boldest to the most careful.
pub const POLICIES: [Policy; 13] = [
    Policy::NoWeb,
    Policy::LastKnown,
    Policy::Buffer { units: 1 },
    Policy::Buffer { units: 2 },
    Policy::Buffer { units: 4 },
    Policy::FixedReserve { units: 1 },
    Policy::FixedReserve { units: 2 },
    Policy::FixedReserve { units: 4 },
    Policy::VelocityReserve { exposure_s: 300 },
    Policy::VelocityReserve { exposure_s: 900 },
    Policy::VelocityReserve { exposure_s: 3_600 },
    Policy::VelocityReserve { exposure_s: 14_400 },
    Policy::BothReserves { units: 1, exposure_s: 900 },
];

impl Policy {
    /// What the settings of one policy have in common.
    #[must_use]
    pub fn family(self) -> &'static str {
        match self {
            Self::NoWeb => "no web shop",
            Self::LastKnown => "last known stock",
            Self::Buffer { .. } => "last known less a buffer",
            Self::FixedReserve { .. } => "escrow, fixed reserve",
            Self::VelocityReserve { .. } => "escrow, velocity reserve",
            Self::BothReserves { .. } => "escrow, both reserves",
        }
    }

    /// The setting within its family, short; empty where there is none.
    #[must_use]
    pub fn setting(self) -> String {
        match self {
            Self::NoWeb | Self::LastKnown => String::new(),
            Self::Buffer { units } | Self::FixedReserve { units } => units.to_string(),
            Self::VelocityReserve { exposure_s } => duration(exposure_s),
            Self::BothReserves { units, exposure_s } => format!("{units}, {}", duration(exposure_s)),
        }
    }

    /// One store's season under this policy.
    #[must_use]
    pub fn replay(self, plan: &Plan) -> Tally {
        match self {
            Self::NoWeb => replay::<LastKnown>(&plan.clone().without_web(), Buffer::default()),
            Self::LastKnown => replay::<LastKnown>(plan, Buffer::default()),
            Self::Buffer { units } => replay::<LastKnown>(plan, Buffer { units }),
            Self::FixedReserve { units } => replay::<Escrow>(plan, reserve(units, 0)),
            Self::VelocityReserve { exposure_s } => replay::<Escrow>(plan, reserve(0, exposure_s)),
            Self::BothReserves { units, exposure_s } => replay::<Escrow>(plan, reserve(units, exposure_s)),
        }
    }

    /// Whether a store sets aside what may be promised.
    #[must_use]
    pub fn grants(self) -> bool {
        matches!(self, Self::FixedReserve { .. } | Self::VelocityReserve { .. } | Self::BothReserves { .. })
    }
}

/// With the product's own z. Nothing is expected to sell in no time, so that an exposure of 0 leaves the fixed reserve.
fn reserve(units: i64, exposure_s: u32) -> ReservePolicy {
    ReservePolicy { safety_stock: Quantity::from_units(units), exposure_s, ..ReservePolicy::default() }
}

fn duration(seconds: u32) -> String {
    if seconds < 3_600 { format!("{} min", seconds / 60) } else { format!("{} h", seconds / 3_600) }
}

/// What a season came to under one policy, over all stores.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    #[serde(skip)]
    pub policy: Policy,
    pub family: &'static str,
    pub setting: String,
    #[serde(flatten)]
    pub tally: Tally,
}

impl Outcome {
    #[must_use]
    pub fn of(policy: Policy, tally: Tally) -> Self {
        Self { policy, family: policy.family(), setting: policy.setting(), tally }
    }
}

/// Replays the season under each of `policies`.
#[must_use]
pub fn compare(season: &Season, model: Model, seed: u64, policies: &[Policy]) -> Vec<Outcome> {
    let plans = Plans::new(season, model, seed);
    let (next, sums) = (AtomicUsize::new(0), Mutex::new(vec![Tally::default(); policies.len()]));
    let work = || {
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            if place >= season.stores() {
                return;
            }
            let plan = plans.store(place);
            let tallies: Vec<Tally> = policies.iter().map(|policy| policy.replay(&plan)).collect();
            let mut sums = sums.lock().expect("a thread that panicked ends the whole run");
            sums.iter_mut().zip(tallies).for_each(|(sum, tally)| *sum += tally);
        }
    };
    let threads = thread::available_parallelism().map_or(1, |cores| cores.get());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let sums = sums.into_inner().expect("a thread that panicked ends the whole run");
    policies.iter().zip(sums).map(|(policy, tally)| Outcome::of(*policy, tally)).collect()
}
